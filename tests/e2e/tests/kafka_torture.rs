//! Torture: while records come in steadily, hosts are killed, stopped, added and removed, brokers and the database crash,
//! and connections are cut, also right behind a COMMIT. Nothing is lost, nothing is doubled, order is kept.
//!
//! AZENHA_TEST_SEED repeats the events of a run, AZENHA_TEST_LONG makes it last ten minutes.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use azenha_conformance::proxy::{Cut, Proxy};
use azenha_e2e::numbered::Load;
use azenha_e2e::{OwnDatabase, OwnKafka, Postgres, Trial, is_long, seed};
use fastrand::Rng;

/// Records a second.
const RATE: u64 = 2_000;
/// How often the whole deck of events is played at least.
const ROUNDS: usize = 3;
/// How long the long form lasts.
const LONG: Duration = Duration::from_secs(600);
/// Most hosts at a time.
const MOST_HOSTS: usize = 4;

/// Brokers of the cluster.
const BROKERS: usize = 3;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// SIGKILL, and the host is started again with its data.
    Kill,
    /// SIGKILL, and the host is never seen again.
    KillForGood,
    /// SIGTERM, and the host is started again.
    Stop,
    /// SIGTERM, and the host is gone.
    Remove,
    /// A new host.
    Add,
    /// One of three brokers is killed and comes back. Were it the only one, its partitions would have no leader for a
    /// moment, in which Kafka may leave a transaction open for good, of which its coordinator says that it is complete.
    KillBroker,
    /// The database crashes and recovers.
    CrashDatabase,
    /// Every connection to the database is cut.
    CutConnections,
    /// A COMMIT is done, and its answer is lost.
    CutBehindCommit,
    /// A COMMIT is lost.
    CutBeforeCommit,
}

/// One round of events; as many hosts come as go.
fn deck() -> Vec<Event> {
    use Event::*;
    vec![
        Kill,
        Kill,
        Kill,
        KillForGood,
        Stop,
        Remove,
        Add,
        Add,
        CrashDatabase,
        CutConnections,
        CutBehindCommit,
        CutBeforeCommit,
        KillBroker,
    ]
}

struct Torture {
    trial: Trial,
    kafka: OwnKafka,
    postgres: OwnDatabase,
    proxy: Proxy,
    random: Rng,
    happened: BTreeMap<Event, usize>,
}

impl Torture {
    /// Plays the deck until it is enough.
    async fn run(&mut self, at_least: Duration) -> Result<()> {
        let (begun, mut rounds) = (Instant::now(), 0);
        while rounds < ROUNDS || begun.elapsed() < at_least {
            let mut deck = deck();
            self.random.shuffle(&mut deck);
            let mut deck = VecDeque::from(deck);
            while let Some(event) = deck.pop_front() {
                if !self.is_possible(event) {
                    deck.push_back(event);
                    continue;
                }
                println!("{:6.1} s  {event:?}", begun.elapsed().as_secs_f64());
                self.strike(event).await.with_context(|| format!("{event:?}"))?;
                *self.happened.entry(event).or_default() += 1;
                let pause = self.random.u64(300..4_000);
                self.pause(Duration::from_millis(pause)).await?;
            }
            rounds += 1;
        }
        Ok(())
    }

    fn is_possible(&mut self, event: Event) -> bool {
        let hosts = self.trial.group.hosts().len();
        match event {
            Event::KillForGood | Event::Remove => hosts > 1,
            Event::Add => hosts < MOST_HOSTS,
            _ => true,
        }
    }

    async fn strike(&mut self, event: Event) -> Result<()> {
        let hosts = self.trial.group.hosts();
        let host = self.random.usize(0..hosts.len());
        let group = &mut self.trial.group;
        match event {
            Event::Kill | Event::KillForGood => group.hosts()[host].kill()?,
            Event::Stop | Event::Remove => group.hosts()[host].terminate()?,
            Event::Add => group.add()?,
            Event::KillBroker => {
                let broker = self.random.i32(1..=BROKERS as i32);
                self.kafka.kill(broker)?;
                // Before the others have noticed, or after.
                let away = self.random.u64(0..6_000);
                self.pause(Duration::from_millis(away)).await?;
                self.kafka.restart(broker)?;
            }
            Event::CrashDatabase => self.postgres.crash()?,
            Event::CutConnections => self.proxy.cut_all(),
            Event::CutBehindCommit => self.proxy.cut_next_commit(Cut::AfterCommit),
            Event::CutBeforeCommit => self.proxy.cut_next_commit(Cut::BeforeCommit),
        }
        match event {
            Event::Kill | Event::Stop => {
                // Before the group has noticed, or long after.
                let away = self.random.u64(0..9_000).saturating_sub(4_000);
                self.pause(Duration::from_millis(away)).await?;
                self.trial.group.start(host, &[])
            }
            Event::KillForGood | Event::Remove => {
                self.trial.group.forget(host);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn pause(&mut self, time: Duration) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            tokio::time::sleep(Duration::from_millis(100).min(time)).await;
            self.trial.group.tend()?;
        }
        Ok(())
    }

    /// That a test passes in which nothing went wrong proves nothing.
    fn check_events(&self) -> Result<()> {
        println!("{:?}", self.happened);
        for event in deck() {
            let times = self.happened.get(&event).copied().unwrap_or_default();
            ensure!(times >= ROUNDS, "{event:?} happened only {times} times");
        }
        ensure!(self.proxy.cuts_left() == 0, "{} commits were not cut", self.proxy.cuts_left());
        Ok(())
    }
}

/// `HOST:PORT` in a URL.
fn address(url: &str) -> Result<&str> {
    let rest = url.split_once('@').map(|(_, rest)| rest);
    Ok(rest.and_then(|rest| rest.split_once('/')).context("a URL without a database")?.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_whatever_dies() -> Result<()> {
    let Some(kafka) = OwnKafka::start(BROKERS)? else { return Ok(()) };
    let Some(postgres) = OwnDatabase::postgres()? else { return Ok(()) };
    let seed = seed();
    let url = postgres.url()?;
    let proxy = Proxy::start(address(&url)?).await;
    let warehouse = url.replace(address(&url)?, &proxy.address().to_string());
    let trial = Trial::start(&kafka.brokers()?, Postgres::at(&url), &warehouse).await?;
    let load = Load::start(&trial.kafka, RATE, seed)?;
    let random = Rng::with_seed(seed);
    let mut torture = Torture { trial, kafka, postgres, proxy, random, happened: BTreeMap::new() };

    let at_least = if is_long() { LONG } else { Duration::ZERO };
    let tortured = torture.run(at_least).await;
    let checked = torture.trial.finish(load).await;
    let outcome = tortured.and(checked).and_then(|()| torture.check_events());
    torture.trial.group.judge("torture", outcome)
}

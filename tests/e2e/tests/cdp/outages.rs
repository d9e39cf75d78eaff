//! A database and a search engine that go away and come back, while one host lives through it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use azenha_e2e::cdp::Customers;
use azenha_e2e::{Azenha, OwnDatabase, Running, repository};

use super::{Servers, by_customer, check_pages, check_profiles};

/// Events a second: more than any machine has sent by the end.
const RATE: &str = "200";
const MOST: &str = "200000";

/// How long a host may take to go on once a server is back: pauses between tries grow.
const PATIENCE: Duration = Duration::from_secs(120);

struct Scene {
    azenha: Azenha,
    servers: Servers,
    host: Running,
}

impl Scene {
    fn new(servers: Servers) -> Result<Self> {
        let azenha = Azenha::new()?;
        azenha.write("host.yaml", &servers.connections()?)?;
        let config = azenha.path("host.yaml").display().to_string();
        let host = azenha.start(&[&repository().join("pipelines/cdp")], &["--config", &config])?;
        Ok(Self { azenha, servers, host })
    }

    /// Waits until more events have arrived in both stores than there are now.
    async fn goes_on(&mut self, since: &str) -> Result<()> {
        let before = self.arrived().await;
        println!("{since}: {before:?} events are in the database and the engine");
        self.until(since, |now| now.0 > before.0 && now.1 > before.1).await
    }

    async fn until(&mut self, what: &str, holds: impl Fn((usize, usize)) -> bool) -> Result<()> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let now = self.arrived().await;
            if holds(now) {
                return Ok(());
            }
            ensure!(self.host.ended()?.is_none(), "{what}: the host has ended: {}", self.host.log());
            ensure!(std::time::Instant::now() < deadline, "{what}: {now:?} events, still: {}", self.host.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Events in the table and in the engine so far.
    async fn arrived(&self) -> (usize, usize) {
        let in_database = self.servers.event_ids().await.map_or(0, |ids| ids.len());
        (in_database, self.servers.count_in_engine().unwrap_or_default())
    }

    async fn play(&mut self) -> Result<()> {
        let server = format!("http://{}", self.host.address);
        let load = ["load", "--generator", "cdp", "--topic", "cdp_events", "--key", "id", "--broken", "0.02"];
        let how = ["--rate", RATE, "--records", MOST, "--server", &server];
        let mut loading = self.azenha.spawn(load.iter().chain(&how))?;
        self.goes_on("the load began").await?;
        self.servers.database.crash()?;
        self.goes_on("the database was restarted").await?;
        self.servers.engine.crash()?;
        self.goes_on("the engine was restarted").await?;
        ensure!(loading.ended()?.is_none(), "the load has ended: {}", loading.log());
        loading.kill()?;
        self.check().await
    }

    async fn check(&mut self) -> Result<()> {
        let expected = Customers::of(&self.azenha.topic("cdp_events")?);
        let count = expected.events.len();
        self.until("everything that was sent arrives", |now| now == (count, count)).await?;
        self.check_events(&expected).await?;
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let profiles = by_customer(self.servers.profiles().await?);
            let known: i64 = profiles.values().map(|profile| profile.events).sum();
            if known == count as i64 || std::time::Instant::now() > deadline {
                return check_profiles(&profiles, &expected);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Nothing was lost and nothing else came: in either store, by either endpoint, among the dead letters.
    async fn check_events(&mut self, expected: &Customers) -> Result<()> {
        let in_database: BTreeSet<String> = self.servers.event_ids().await?.into_iter().collect();
        ensure!(in_database == expected.events, "other events than were sent are in the database");
        let in_engine: BTreeSet<String> = self.servers.ids_in_engine()?.into_iter().collect();
        ensure!(in_engine == expected.events, "other events than were sent are in the engine");
        // Those that came last were not waited for.
        let azenha = &self.azenha;
        self.host.wait_until("each broken event is a dead letter", |_| {
            Ok(azenha.dead_letters("cdp")?.len() == expected.dead)
        })?;
        self.servers.mend_index().await?;
        check_pages(&self.host, expected)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_lives_through_restarts_of_database_and_engine_and_goes_on_by_itself() -> Result<()> {
    let Some(servers) = Servers::start(OwnDatabase::mariadb)? else { return Ok(()) };
    let mut scene = Scene::new(servers)?;
    scene.play().await
}

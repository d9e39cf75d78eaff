//! A hundred swaps of a plugin while three hosts count a steady stream on Kafka, one of them killed every ten swaps:
//! nothing is lost or doubled, and each result says which version made it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use azenha_e2e::kafka::{Kafka, Record};
use azenha_e2e::numbered::{Load, NUMBERED, PARTITIONS, Produced};
use azenha_e2e::{Azenha, Group, OwnKafka, is_long, repository, seed, send};
use fastrand::Rng;
use serde_json::Value;

/// Records a second.
const RATE: u64 = 2_000;
/// One host is killed every so many swaps.
const KILL_EVERY: usize = 10;
const HOSTS: usize = 3;
const TOKEN: &str = "deployer-0123456789";
const PIPELINE: &str = "swapped";
/// Writes other accumulators, which the plugins before cannot read.
const NEXT: &str = "tagged-count-next";

/// Rounds of going over to other state and back.
const THERE_AND_BACK: u64 = 6;

/// Swaps; the long form has more of them.
fn swaps() -> usize {
    if is_long() { 400 } else { 100 }
}

/// The plugin of a version: each has other bytes than the one before, and so has to be compiled and opened anew.
fn plugin(tag: usize) -> &'static str {
    if tag.is_multiple_of(2) { "tagged-count-even" } else { "tagged-count" }
}

/// The same component with a remark, and so with another digest.
fn with_remark(component: &[u8]) -> Vec<u8> {
    let custom_section = [0, 5, 4, b'e', b'v', b'e', b'n'];
    [component, &custom_section].concat()
}

fn definition(plugin: &str, tag: usize) -> String {
    format!(
        "name: {PIPELINE}
sources:
  numbered:
    topic: {NUMBERED}
    partitions: {PARTITIONS}
    schema: {{ device: text, timestamp: timestamp(ms) }}
    event_time: {{ field: timestamp, lateness: 30s, idle_after: 10m }}
steps:
  counts: {{ aggregate: {plugin}, from: numbered, by: [device], window: {{ tumbling: 1m }}, config: {{ tag: v{tag} }} }}
sinks:
  swapped_counts: {{ from: counts, topic: swapped_counts, key: [device, start_time], version_column: version }}
"
    )
}

/// Three hosts that run what the log defines, with a token.
struct Hosts {
    group: Group,
    random: Rng,
    /// Runs as long as they do.
    _broker: OwnKafka,
}

impl Hosts {
    async fn start(brokers: &str, broker: OwnKafka, seed: u64) -> Result<Self> {
        let config = format!(
            "log: {{ kafka: {{ brokers: '{brokers}', session_timeout_ms: 6000, heartbeat_interval_ms: 1000, \
             transaction_timeout_ms: 10000 }} }}\n\
             http: {{ tokens: [{{ name: deployer, token: {TOKEN}, role: deployer }}] }}\n"
        );
        let mut hosts = Self { group: Group::new(&[], &config), random: Rng::with_seed(seed), _broker: broker };
        for _ in 0..HOSTS {
            hosts.group.add()?;
        }
        hosts.define().await?;
        Ok(hosts)
    }

    /// Uploads the plugins, and defines the pipeline.
    async fn define(&mut self) -> Result<()> {
        let azenha = Azenha::new()?;
        let file = azenha.write("pipeline.yaml", &definition(plugin(1), 1))?;
        azenha.succeed(["validate", &file.display().to_string()])?;
        let file = azenha.write("pipeline.yaml", &definition(NEXT, 1))?;
        azenha.succeed(["validate", &file.display().to_string()])?;
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
        let read = |name: &str| std::fs::read(target.join("plugins").join(format!("{name}.wasm")));
        let (component, next) = (read(plugin(1))?, read(NEXT)?);
        let even = with_remark(&component);
        self.group.wait_until("the hosts are ready", async |group| Ok(group.addresses().len() == HOSTS)).await?;
        let address = self.group.addresses().first().cloned().context("no host")?;
        for (name, bytes) in [(plugin(1), component), (plugin(2), even), (NEXT, next)] {
            let pushed = call(&address, "PUT", &format!("/plugins/{name}"), "application/wasm", &bytes)?;
            ensure!(pushed.is_some(), "plugin {name} was not taken");
        }
        self.swap(plugin(1), 1).await?;
        self.settle().await
    }

    /// Puts a version.
    async fn swap(&mut self, plugin: &str, tag: usize) -> Result<()> {
        self.change("PUT", "", &definition(plugin, tag)).await
    }

    /// Asks for a change; another host takes it if the first one that is asked does not answer.
    async fn change(&mut self, method: &str, route: &str, body: &str) -> Result<()> {
        let path = format!("/pipelines/{PIPELINE}{route}");
        self.group
            .wait_until("a version is accepted", async |group| {
                let accepts = |address: &String| call(address, method, &path, "application/yaml", body.as_bytes());
                Ok(group.addresses().iter().any(|address| matches!(accepts(address), Ok(Some(_)))))
            })
            .await
    }

    /// Waits until every lane runs a version.
    async fn await_version(&mut self, version: u64) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.group.tend()?;
            let lanes = self.lanes();
            if lanes.len() == 2 * PARTITIONS as usize && lanes.iter().all(|lane| lane["version"] == version) {
                return Ok(());
            }
            ensure!(begun.elapsed() < Duration::from_secs(120), "not every lane runs version {version}: {lanes:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The lanes of all hosts that run.
    fn lanes(&self) -> Vec<Value> {
        let shown = |address: &String| call(address, "GET", &format!("/pipelines/{PIPELINE}"), "", b"").ok().flatten();
        let hosts: Vec<Value> = self.group.addresses().iter().filter_map(shown).collect();
        let tasks = hosts.iter().flat_map(|host| host["tasks"].as_array().into_iter().flatten());
        let lanes = tasks.flat_map(|task| task["lanes"].as_array().into_iter().flatten());
        lanes.filter(|lane| lane["state"] == "running").cloned().collect()
    }

    /// Waits until every lane runs somewhere and has nothing left to read.
    async fn settle(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.group.tend()?;
            let lanes = self.lanes();
            if lanes.len() == 2 * PARTITIONS as usize && lanes.iter().all(|lane| lane["lag"] == 0) {
                return Ok(());
            }
            ensure!(begun.elapsed() < Duration::from_secs(120), "not everything is counted: {lanes:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What lanes say of their last swap: version, and how long they processed nothing.
    fn switched(&self) -> Vec<(u64, f64)> {
        let switched = |lane: &Value| {
            let switched = &lane["switched"];
            Some((switched["version"].as_u64()?, switched["pause_ms"].as_f64()?))
        };
        self.lanes().iter().filter_map(switched).collect()
    }

    /// Kills a host, and starts it again with its data.
    async fn lose_one(&mut self) -> Result<()> {
        let index = self.random.usize(..HOSTS);
        self.group.hosts()[index].kill()?;
        tokio::time::sleep(Duration::from_millis(self.random.u64(0..400))).await;
        self.group.start(index, &[])
    }
}

/// A call with the token; none if it was refused.
fn call(address: &str, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Option<Value>> {
    let bearer = format!("Bearer {TOKEN}");
    let answer = send(address, method, path, &[("Authorization", &bearer), ("Content-Type", kind)], body)?;
    Ok(if answer.status < 300 { Some(answer.json()?) } else { None })
}

/// How lanes went over in swaps without a kill.
#[derive(Default)]
struct Pauses {
    /// Milliseconds of each lane that did while it ran.
    millis: Vec<f64>,
    /// Lanes that were on their way to another host meanwhile.
    moving: usize,
}

async fn swap_again_and_again(hosts: &mut Hosts) -> Result<Pauses> {
    let mut pauses = Pauses::default();
    for number in 2..=swaps() + 1 {
        hosts.swap(plugin(number), number).await?;
        let begun = Instant::now();
        if number % KILL_EVERY == 0 {
            hosts.lose_one().await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
            continue;
        }
        // Every lane that runs goes over; after a kill some are still on their way to another host.
        let (lanes, mut done) = (2 * PARTITIONS as usize, Vec::new());
        while done.len() < lanes && begun.elapsed() < Duration::from_secs(2) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let of_this = |(version, pause)| (version == number as u64).then_some(pause);
            done = hosts.switched().into_iter().filter_map(of_this).collect();
        }
        pauses.moving += lanes.saturating_sub(done.len());
        pauses.millis.extend(done);
        tokio::time::sleep(Duration::from_millis(hosts.random.u64(50..300))).await;
    }
    Ok(pauses)
}

fn print_pauses(Pauses { mut millis, moving }: Pauses) -> Result<()> {
    millis.sort_by(f64::total_cmp);
    ensure!(millis.len() > moving, "{} lanes went over, {moving} were on their way to another host", millis.len());
    let (median, worst) = (millis[millis.len() / 2], millis[millis.len() - 1]);
    println!(
        "swaps without a kill, at {RATE} records/s: {} lanes went over, p50 {median:.1} ms, worst {worst:.1} ms; {moving} were \
         on their way to another host after a kill",
        millis.len()
    );
    Ok(())
}

/// Each row was made by the code of the version that it says, which its tag tells. The results of a window are made by one
/// lane: where a version begins there, the one before has ended.
fn check_tags(kafka: &Kafka) -> Result<()> {
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for record in kafka.read("swapped_counts")? {
        let value = record.json()?;
        let tag = value["tag"].as_str().and_then(|tag| tag.strip_prefix('v')?.parse::<usize>().ok());
        let tag = tag.with_context(|| format!("{value} has no tag"))?;
        ensure!(value["version"] == tag, "{value} says another version than made it");
        let window = format!("{} {}", value["device"], value["start_time"]);
        let before = last.insert(window, tag).unwrap_or(0);
        ensure!(before <= tag, "{value}: version {tag} after {before} at {}/{}", record.partition, record.offset);
        seen.insert(tag);
    }
    println!("{} versions have results", seen.len());
    ensure!(seen.len() > swaps() / 2, "too few of {} versions have results", swaps());
    Ok(())
}

/// What came of work on three hosts under load.
struct Outcome<T> {
    kafka: Kafka,
    hosts: Hosts,
    produced: Produced,
    worked: Result<T>,
}

/// Has three hosts on a broker of their own count a steady stream while something is done to them, and waits until all of it
/// is counted. None: there is no Kafka here.
async fn under_load<T>(work: impl AsyncFnOnce(&mut Hosts) -> Result<T>) -> Result<Option<Outcome<T>>> {
    let Some(broker) = OwnKafka::start(1)? else { return Ok(None) };
    let (seed, brokers) = (seed(), broker.brokers()?);
    let kafka = Kafka::at(&brokers);
    kafka.create_topic(NUMBERED, PARTITIONS).await?;
    let mut hosts = Hosts::start(&brokers, broker, seed).await?;
    let load = Load::start(&kafka, RATE, seed)?;
    let worked = work(&mut hosts).await;
    let produced = load.stop()?;
    println!("{} records were sent", produced.total());
    let settled = hosts.settle().await;
    Ok(Some(Outcome { kafka, hosts, produced, worked: settled.and(worked) }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_swaps_under_load_with_hosts_killed_lose_and_double_nothing() -> Result<()> {
    let Some(Outcome { kafka, mut hosts, produced, worked }) = under_load(swap_again_and_again).await? else {
        return Ok(());
    };
    let check = || {
        let pauses = worked?;
        produced.check_growth("counted", &kafka.read("swapped_counts")?)?;
        check_tags(&kafka)?;
        print_pauses(pauses)
    };
    hosts.group.judge("swaps", check())
}

/// Goes over to code whose state the one before cannot read, and back, again and again; some hosts die on the way.
async fn there_and_back(hosts: &mut Hosts) -> Result<()> {
    for round in 0..THERE_AND_BACK {
        let version = 2 * round + 2;
        hosts.swap(NEXT, version as usize).await?;
        let waits = hosts.random.u64(0..3_000);
        tokio::time::sleep(Duration::from_millis(waits)).await;
        // Now and then lanes are still going over.
        if round % 2 == 0 {
            hosts.await_version(version).await?;
        }
        hosts.change("POST", "/rollback", "").await?;
        if round % 3 == 1 {
            hosts.lose_one().await?;
        }
        hosts.await_version(version + 1).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_to_the_state_before_a_version_counts_every_record_once_whichever_hosts_die() -> Result<()> {
    let Some(Outcome { kafka, mut hosts, produced, worked }) = under_load(there_and_back).await? else { return Ok(()) };
    let check = || {
        worked?;
        let results = kafka.read("swapped_counts")?;
        let standing = standing(&results);
        produced.check_growth("counted", &standing)?;
        check_code(&results, &standing)
    };
    hosts.group.judge("going back", check())
}

/// The last record of each key that has one.
fn standing(records: &[Record]) -> Vec<Record> {
    let last: BTreeMap<_, &Record> = records.iter().map(|record| (&record.key, record)).collect();
    last.into_values().filter(|record| record.value.is_some()).cloned().collect()
}

/// What stands is made by the code that is in force; the other one made something on the way.
fn check_code(results: &[Record], standing: &[Record]) -> Result<()> {
    let of_next = |records: &[Record]| {
        let values = records.iter().filter(|record| record.value.is_some()).map(Record::json);
        let values: Vec<Value> = values.collect::<Result<_>>()?;
        anyhow::Ok(values.iter().filter(|value| value["before"].is_i64()).count())
    };
    let undone = of_next(results)?;
    println!("{undone} of {} results were undone", results.len());
    ensure!(undone > 0, "the other code never counted anything");
    ensure!(of_next(standing)? == 0, "results of what was undone stand");
    Ok(())
}

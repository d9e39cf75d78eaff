//! Three hosts on Kafka that count a steady stream, while something is done to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use azenha_e2e::kafka::{Kafka, Record};
use azenha_e2e::numbered::{Load, NUMBERED, PARTITIONS, Produced};
use azenha_e2e::versions::{Begun, Seen};
use azenha_e2e::{Azenha, Group, OwnKafka, repository, seed, send};
use fastrand::Rng;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;

/// Records a second.
pub const RATE: u64 = 2_000;
/// Writes other accumulators, which the plugins before cannot read.
pub const NEXT: &str = "tagged-count-next";
/// The topic of the counts.
pub const COUNTED: &str = "swapped_counts";
/// The topic in which each record has a row of its own; the task that writes it has the same name.
const SEEN: &str = "seen";
/// Those of the rows, and of both halves of the aggregation.
pub const LANES: usize = 3 * PARTITIONS as usize;
const HOSTS: usize = 3;
const TOKEN: &str = "deployer-0123456789";
const PIPELINE: &str = "swapped";
/// How long lanes may take for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// One test at a time: they measure how long lanes stand still.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The plugin of a version: each has other bytes than the one before, and so has to be compiled and opened anew.
pub fn plugin(tag: u64) -> &'static str {
    if tag.is_multiple_of(2) { "tagged-count-even" } else { "tagged-count" }
}

/// The same component with a remark, and so with another digest.
fn with_remark(component: &[u8]) -> Vec<u8> {
    let custom_section = [0, 5, 4, b'e', b'v', b'e', b'n'];
    [component, &custom_section].concat()
}

/// Counts records by device and minute, and writes a row for each; both say by which version, and its tag.
pub fn definition(plugin: &str, tag: u64) -> String {
    format!(
        "name: {PIPELINE}
sources:
  numbered:
    topic: {NUMBERED}
    partitions: {PARTITIONS}
    schema: {{ device: text, sequence: int64, timestamp: timestamp(ms) }}
    event_time: {{ field: timestamp, lateness: 30s, idle_after: 10m }}
steps:
  tagged: {{ transform: rename, from: numbered, config: {{ columns: {{ tag: {{ constant: v{tag} }} }} }} }}
  counts: {{ aggregate: {plugin}, from: numbered, by: [device], window: {{ tumbling: 1m }}, config: {{ tag: v{tag} }} }}
sinks:
  {SEEN}: {{ from: tagged, topic: {SEEN}, columns: {{ $partition: read_in, $offset: read_at }}, version_column: versao }}
  {COUNTED}: {{ from: counts, topic: {COUNTED}, key: [device, start_time], version_column: versao }}
"
    )
}

/// Three hosts that run what the log defines, with a token.
pub struct Hosts {
    pub group: Group,
    pub random: Rng,
    /// From where on lanes ran versions, as far as it was asked for.
    pub begun: Begun,
    /// The broker that they need, and the right to be the only ones: kept as long as they run.
    _broker: OwnKafka,
    _alone: MutexGuard<'static, ()>,
}

impl Hosts {
    async fn start(broker: OwnKafka, alone: MutexGuard<'static, ()>, seed: u64) -> Result<Self> {
        let config = format!(
            "log: {{ kafka: {{ brokers: '{}', session_timeout_ms: 6000, heartbeat_interval_ms: 1000, \
             transaction_timeout_ms: 10000 }} }}\n\
             http: {{ tokens: [{{ name: deployer, token: {TOKEN}, role: deployer }}] }}\n",
            broker.brokers()?
        );
        let (group, random) = (Group::new(&[], &config), Rng::with_seed(seed));
        let mut hosts = Self { group, random, begun: Begun::default(), _broker: broker, _alone: alone };
        for _ in 0..HOSTS {
            hosts.group.add()?;
        }
        hosts.define().await?;
        Ok(hosts)
    }

    /// Uploads the plugins, and defines the pipeline.
    async fn define(&mut self) -> Result<()> {
        let azenha = Azenha::new()?;
        for built in [plugin(1), NEXT] {
            let file = azenha.write("pipeline.yaml", &definition(built, 1))?;
            azenha.succeed(["validate", &file.display().to_string()])?;
        }
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
        let read = |name: &str| std::fs::read(target.join("plugins").join(format!("{name}.wasm")));
        let component = read(plugin(1))?;
        let even = with_remark(&component);
        self.group.wait_until("the hosts are ready", async |group| Ok(group.addresses().len() == HOSTS)).await?;
        let plugins = [(plugin(1), component), (plugin(2), even), (NEXT, read(NEXT)?), ("rename", read("rename")?)];
        for (name, bytes) in plugins {
            let pushed = call(&self.address()?, "PUT", &format!("/plugins/{name}"), "application/wasm", &bytes)?;
            ensure!(pushed.is_some(), "plugin {name} was not taken");
        }
        self.swap(&definition(plugin(1), 1)).await?;
        self.await_whole(1).await
    }

    /// Puts a version.
    pub async fn swap(&mut self, definition: &str) -> Result<()> {
        self.change("PUT", "", definition).await
    }

    /// Asks for a change; another host takes it if the first one that is asked does not answer.
    pub async fn change(&mut self, method: &str, route: &str, body: &str) -> Result<()> {
        let path = format!("/pipelines/{PIPELINE}{route}");
        self.group
            .wait_until("a version is accepted", async |group| {
                let accepts = |address: &String| call(address, method, &path, "application/yaml", body.as_bytes());
                Ok(group.addresses().iter().any(|address| matches!(accepts(address), Ok(Some(_)))))
            })
            .await
    }

    /// Kills a host, and starts it again with its data.
    pub async fn lose_one(&mut self) -> Result<()> {
        let index = self.random.usize(..HOSTS);
        self.group.hosts()[index].kill()?;
        sleep(Duration::from_millis(self.random.u64(0..400))).await;
        self.group.start(index, &[])
    }

    /// Waits until every lane runs a version somewhere.
    pub async fn await_version(&mut self, version: u64) -> Result<()> {
        let all_do = |lanes: &[Value]| running(lanes).count() == LANES && run(lanes, version);
        self.await_lanes(&format!("every lane runs version {version}"), all_do).await
    }

    /// The same, and until no lane is on its way to another host.
    pub async fn await_whole(&mut self, version: u64) -> Result<()> {
        let all_do = |lanes: &[Value]| are_whole(lanes) && run(lanes, version);
        self.await_lanes(&format!("the group is whole, with version {version}"), all_do).await
    }

    /// Waits until every lane runs a version; how long those that went over to it while they ran processed nothing, in
    /// milliseconds.
    pub async fn await_over(&mut self, version: u64) -> Result<Vec<f64>> {
        let mut pauses = Vec::new();
        let all_do = |lanes: &[Value]| {
            pauses = pauses_of(lanes, version);
            running(lanes).count() == LANES && run(lanes, version)
        };
        self.await_lanes(&format!("every lane goes over to version {version}"), all_do).await?;
        Ok(pauses)
    }

    /// The same of the lanes that have gone over to a version where they run now.
    pub fn pauses(&self, version: u64) -> Vec<f64> {
        pauses_of(&self.lanes(), version)
    }

    /// Waits until lanes that run have not more to read than what comes in a second.
    pub async fn catch_up(&mut self) -> Result<()> {
        let is_little = |lane: &Value| lane["lag"].as_u64().is_some_and(|lag| lag < RATE / PARTITIONS as u64);
        self.await_lanes("a backlog is read", |lanes| running(lanes).all(is_little)).await
    }

    /// Waits until the group is whole and has nothing left to read.
    async fn settle(&mut self) -> Result<()> {
        let are_done = |lanes: &[Value]| are_whole(lanes) && running(lanes).all(|lane| lane["lag"] == 0);
        self.await_lanes("everything is counted", are_done).await
    }

    async fn await_lanes(&mut self, what: &str, mut holds: impl FnMut(&[Value]) -> bool) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.group.tend()?;
            let lanes = self.lanes();
            if holds(&lanes) {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}: {lanes:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// All lanes as each of the hosts sees them.
    fn lanes(&self) -> Vec<Value> {
        let mut lanes = Vec::new();
        for address in self.group.addresses() {
            let shown = call(&address, "GET", &format!("/pipelines/{PIPELINE}"), "", b"").ok().flatten();
            for task in shown.unwrap_or_default()["tasks"].as_array().into_iter().flatten() {
                lanes.extend(task["lanes"].as_array().cloned().unwrap_or_default());
            }
        }
        lanes
    }

    /// The last versions, as a host shows them.
    pub fn versions(&self) -> Result<Vec<Value>> {
        let shown = call(&self.address()?, "GET", &format!("/pipelines/{PIPELINE}/versions"), "", b"")?;
        shown.and_then(|shown| shown.as_array().cloned()).context("no versions")
    }

    /// Asks from where on lanes ran the last versions.
    pub fn learn(&mut self) -> Result<()> {
        let versions = self.versions()?;
        self.begun.learn(&versions)
    }

    fn address(&self) -> Result<String> {
        self.group.addresses().first().cloned().context("no host")
    }
}

fn running(lanes: &[Value]) -> impl Iterator<Item = &Value> {
    lanes.iter().filter(|lane| lane["state"] == "running")
}

/// Whether those that run do so with a version.
fn run(lanes: &[Value], version: u64) -> bool {
    running(lanes).all(|lane| lane["version"] == version)
}

/// Whether every lane runs on one host, and each other one knows that it is not there.
fn are_whole(lanes: &[Value]) -> bool {
    let elsewhere = lanes.iter().filter(|lane| lane["state"] == "elsewhere").count();
    running(lanes).count() == LANES && elsewhere == (HOSTS - 1) * LANES
}

fn pauses_of(lanes: &[Value], version: u64) -> Vec<f64> {
    let over = running(lanes).filter(|lane| lane["switched"]["version"] == version);
    over.filter_map(|lane| lane["switched"]["pause_ms"].as_f64()).collect()
}

/// A call with the token; none if it was refused.
fn call(address: &str, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Option<Value>> {
    let bearer = format!("Bearer {TOKEN}");
    let answer = send(address, method, path, &[("Authorization", &bearer), ("Content-Type", kind)], body)?;
    Ok(if answer.status < 300 { Some(answer.json()?) } else { None })
}

/// What came of work on three hosts under load.
pub struct Outcome {
    pub kafka: Kafka,
    pub hosts: Hosts,
    pub produced: Produced,
}

/// Has three hosts on a broker of their own count a steady stream while something is done to them, and waits until all
/// of it is counted. None: there is no Kafka here.
pub async fn under_load<T>(
    work: impl AsyncFnOnce(&mut Hosts, &Load) -> Result<T>,
) -> Result<Option<(Outcome, Result<T>)>> {
    let alone = ALONE.lock().await;
    let Some(broker) = OwnKafka::start(1)? else { return Ok(None) };
    let (seed, kafka) = (seed(), Kafka::at(&broker.brokers()?));
    kafka.create_topic(NUMBERED, PARTITIONS).await?;
    let mut hosts = Hosts::start(broker, alone, seed).await?;
    let load = Load::start(&kafka, RATE, seed)?;
    let worked = work(&mut hosts, &load).await;
    let produced = load.stop()?;
    println!("{} records were sent", produced.total());
    let settled = hosts.settle().await.and_then(|()| hosts.learn());
    Ok(Some((Outcome { kafka, hosts, produced }, settled.and(worked))))
}

impl Outcome {
    /// Each record has one row, which says the version that ran at its offset. Gives the versions that made rows.
    pub fn check_rows(&self, tag_of: impl Fn(i64) -> String) -> Result<BTreeSet<i64>> {
        let rows = self.kafka.read(SEEN)?.into_iter().map(|record| seen(&record)).collect::<Result<Vec<_>>>()?;
        self.hosts.begun.check_seen(SEEN, &rows, self.produced.total() as u64, tag_of)?;
        Ok(rows.iter().map(|row| row.version).collect())
    }

    /// The records that are dead letters because a plugin failed on them, each once. There are no others.
    pub fn dead_letters(&self) -> Result<Vec<Value>> {
        let mut records: BTreeMap<String, Value> = BTreeMap::new();
        for letter in self.kafka.read(&format!("{PIPELINE}.dead_letters"))? {
            let letter = letter.json()?;
            ensure!(letter["cause"] == "failed", "{letter}");
            let record = letter["record"]["value"]["text"].as_str().with_context(|| letter.to_string())?;
            records.insert(letter["id"].to_string(), serde_json::from_str(record)?);
        }
        Ok(records.into_values().collect())
    }
}

fn seen(record: &Record) -> Result<Seen> {
    let row = record.json()?;
    Seen::of(format!("{} {}", row["device"], row["sequence"]), &row)
}

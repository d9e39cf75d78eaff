//! Records a second, from the embedded log through enrich-click and click-count to the SQLite table, beside a
//! bare loop over the same log that parses each record and counts. Prints; fails only if the count is wrong.
//!
//! `cargo bench --profile release --workspace --bench end_to_end -- 1000000` takes another number of records.

use std::borrow::Cow;
use std::collections::HashMap;
use std::env;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use azenha_bench::{Clicks, Clickstream};
use azenha_connect::embedded::{EmbeddedLog, EmbeddedOptions};
use azenha_connect::open_store;
use azenha_engine::clock::SystemClock;
use azenha_engine::edition::Edition;
use azenha_engine::log::{Append, Log, ReadLimit};
use azenha_engine::status::{Counters, TaskStatus};
use azenha_engine::store::Store;
use azenha_engine::{Engine, EngineOptions, Pipeline, Program};
use azenha_model::Records;
use azenha_model::config::HostConfig;
use azenha_model::plan::TopicSpec;
use azenha_sandbox::{Limits, Sandbox};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

/// Records of a run, if the command line does not say.
const RECORDS: usize = 3_000_000;

/// Records of a batch, as the host cuts what it is sent, and batches that are appended at once.
const BATCH: usize = 1_000;
const GROUP: usize = 32;

/// The windows of the bare loop, in milliseconds.
const WINDOW: i64 = 120_000;

fn main() -> Result<()> {
    let records = env::args().find_map(|argument| argument.parse().ok()).unwrap_or(RECORDS);
    let cores = available_parallelism().map_or(1, usize::from);
    println!("{records} clicks, {cores} cores; thousands of records a second\n");
    println!("{:<32} {:>8} {:>10} {:>8} {:>7}", "", "append", "bare loop", "azenha", "ratio");
    let sandbox = Sandbox::new(Limits::default(), None)?;
    let runtime = tokio::runtime::Runtime::new()?;
    for (name, clicks, partitions) in [
        ("the sample, 4 partitions", Clicks::sparse()?, 4),
        ("the sample, 1 partition", Clicks::sparse()?, 1),
        ("dense clicks, 4 partitions", Clicks::dense(), 4),
        ("dense clicks, 1 partition", Clicks::dense(), 1),
    ] {
        let stream = Clickstream::load(&sandbox, partitions)?;
        runtime.block_on(Case { name, clicks, stream, records }.measure())?;
    }
    Ok(())
}

struct Case {
    name: &'static str,
    clicks: Clicks,
    stream: Clickstream,
    records: usize,
}

impl Case {
    async fn measure(self) -> Result<()> {
        let directory = tempfile::tempdir()?;
        let log = Arc::new(EmbeddedLog::open(directory.path(), EmbeddedOptions::default()).await?);
        let source = self.stream.plan.topics.first().context("a plan without topics")?.clone();
        log.ensure_topic(&source).await?;
        let appended = self.append(&log, &source).await?;
        let bare = self.bare_loop(&log, &source).await?;

        let stores = self.stores(directory.path())?;
        let options = EngineOptions { workers: available_parallelism().map_or(1, usize::from), ..Default::default() };
        let engine = Engine::start(log.clone(), Arc::new(SystemClock::start()), options)?;
        let Clickstream { plan, plugins } = self.stream;
        let started = Instant::now();
        let pipeline = engine
            .run(Program {
                plan,
                plugins,
                stores,
                objects: HashMap::new(),
                registries: HashMap::new(),
                generation: 0,
                edition: Edition::default(),
            })
            .await?;
        pipeline.drain().await?;
        let taken = started.elapsed();

        let rate = |taken: Duration| self.records as f64 / taken.as_secs_f64() / 1e3;
        let ratio = bare.as_secs_f64() / taken.as_secs_f64();
        let (append, bare, azenha) = (rate(appended), rate(bare), rate(taken));
        println!("{:<32} {append:>8.0} {bare:>10.0} {azenha:>8.0} {ratio:>7.2}", self.name);
        report(&pipeline, taken);
        pipeline.stop().await;
        let counted = counted(&directory.path().join("warehouse.db")).await?;
        ensure!(counted == self.records as i64, "the table has {counted} clicks, not {}", self.records);
        Ok(log.close().await?)
    }

    fn stores(&self, directory: &Path) -> Result<HashMap<String, Arc<dyn Store>>> {
        let url = HostConfig::default_for(directory).connection("warehouse").context("no URL for the table")?;
        Ok(HashMap::from([("warehouse".to_owned(), open_store("warehouse", url.reveal())?)]))
    }

    /// Fills the source's topic, a batch to each partition in turn. Making the records is not timed.
    async fn append(&self, log: &EmbeddedLog, source: &TopicSpec) -> Result<Duration> {
        let mut taken = Duration::ZERO;
        let mut first = 0;
        while first < self.records {
            let last = self.records.min(first + GROUP * BATCH);
            let append = |first: usize| Append {
                topic: source.name.clone(),
                partition: (first / BATCH) as u32 % source.partitions,
                records: Records::unkeyed(self.clicks.records(first, BATCH.min(last - first)), 0),
            };
            let appends = (first..last).step_by(BATCH).map(append).collect();
            let started = Instant::now();
            log.append(appends).await?;
            taken += started.elapsed();
            first = last;
        }
        Ok(taken)
    }

    /// What anybody would write without Azenha: one thread reads, parses and counts, and keeps nothing.
    async fn bare_loop(&self, log: &EmbeddedLog, source: &TopicSpec) -> Result<Duration> {
        #[derive(serde::Deserialize)]
        struct Click<'a> {
            #[serde(rename = "campaignId", borrow)]
            campaign: Cow<'a, str>,
            timestamp: i64,
        }
        let limit = ReadLimit { records: 8_192, bytes: 8 << 20, wait: Duration::ZERO };
        let mut counts: HashMap<(String, i64), u64> = HashMap::new();
        let started = Instant::now();
        for partition in 0..source.partitions {
            let end = log.bounds(&source.name, partition).await?.end;
            let mut next = 0;
            while next < end {
                let fetched = log.read(&source.name, partition, next, limit).await?;
                next += fetched.offsets.len() as u64;
                for value in fetched.records.values.iter().flatten() {
                    let click: Click = serde_json::from_slice(value)?;
                    *counts.entry((click.campaign.into_owned(), click.timestamp / WINDOW)).or_default() += 1;
                }
            }
        }
        let taken = started.elapsed();
        let counted: u64 = counts.values().sum();
        ensure!(counted == self.records as u64, "the bare loop counted {counted} clicks");
        Ok(taken)
    }
}

/// Where the time went, task by task.
fn report(pipeline: &Pipeline, taken: Duration) {
    for TaskStatus { task, lanes, .. } in pipeline.tasks() {
        let sum = |counter: fn(&Counters) -> u64| lanes.iter().map(|lane| counter(&lane.counters)).sum::<u64>();
        let records = sum(|counters| counters.records.load(Relaxed));
        let rows = sum(|counters| counters.rows_out.load(Relaxed));
        let plugin = sum(|counters| counters.plugin_nanos.load(Relaxed)) as f64 / taken.as_nanos() as f64;
        let commits = sum(|counters| counters.commits.load(Relaxed));
        let commit_time = sum(|counters| counters.commit_nanos.load(Relaxed)) as f64 / 1e6 / commits.max(1) as f64;
        println!(
            "  {task:<30} {records:>8} records in, {rows:>8} rows out; plugin {:>4.1} % of a core; \
             {commits:>5} commits of {commit_time:.1} ms",
            plugin * 100.0
        );
    }
    println!();
}

/// The clicks that the table counts.
async fn counted(database: &Path) -> Result<i64> {
    let mut database = SqliteConnectOptions::new().filename(database).connect().await?;
    Ok(sqlx::query_scalar("SELECT sum(click_count) FROM click_counts").fetch_one(&mut database).await?)
}

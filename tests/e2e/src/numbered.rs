//! Records that carry a device and a sequence number each, so that a checker sees every one that is lost, doubled or
//! out of order; and the pipelines that copy and count them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use serde_json::Value;

use crate::kafka::{Kafka, Record, Reports};

/// The topic that records are sent to.
pub const NUMBERED: &str = "numbered";
/// Its partitions.
pub const PARTITIONS: i32 = 4;
/// The topic of the copies, each a record of its own.
pub const COPIES: &str = "copies";
/// The topic of the counts; the last record of a key counts.
pub const COUNTS: &str = "window_counts";

/// Copies every record to a topic, and from there to a table that a doubled one would stand in twice.
pub const COPY_PIPELINE: &str = r"
name: copying
sources:
  numbered: { topic: numbered, partitions: 4, schema: { device: text, sequence: int64 } }
steps:
  kept: { transform: filter, from: numbered, config: { column: sequence, at_least: 0 } }
sinks:
  copies: { from: kept, topic: copies, key: [device] }
  archive: { from: copies, connection: warehouse, table: copies, mode: append }
";

/// Counts records by device and minute, through the exchange, to a topic and a table.
pub const COUNT_PIPELINE: &str = r"
name: counting
sources:
  numbered:
    topic: numbered
    partitions: 4
    schema: { device: text, timestamp: timestamp(ms) }
    event_time: { field: timestamp, lateness: 30s, idle_after: 10m }
steps:
  counts: { aggregate: click-count, from: numbered, by: [device], window: { tumbling: 1m } }
sinks:
  window_counts: { from: counts, topic: window_counts, key: [device, start_time] }
  totals: { from: window_counts, connection: warehouse, table: window_counts, key: [device, start_time] }
";

const WINDOW: i64 = 60_000;
/// How much later an earlier record may come: inside of the pipeline's lateness.
const DISORDER: i64 = 20_000;
/// Milliseconds of event time from record to record.
const STEP: i64 = 10;
const START: i64 = 1_700_000_000_000;
const DEVICES: usize = 200;

/// What was sent, and acknowledged.
#[derive(Debug, Clone, Default)]
pub struct Produced {
    /// The records of each device, numbered from 0 on.
    pub sequences: BTreeMap<String, u64>,
    /// How many of them fall into each window, by device and start in epoch milliseconds.
    pub windows: BTreeMap<(String, i64), i64>,
}

/// Steady load, until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    /// Records beside those of the rate.
    more: Arc<AtomicU64>,
    reports: Reports,
    thread: JoinHandle<Result<Produced>>,
}

impl Load {
    /// Sends so many records a second.
    pub fn start(kafka: &Kafka, rate: u64, seed: u64) -> Result<Self> {
        let mut sender = kafka.producer()?;
        let (stop, more) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, added, reports) = (Arc::clone(&stop), Arc::clone(&more), sender.reports().clone());
        let thread = std::thread::spawn(move || {
            let (mut produced, mut random, begun) = (Produced::default(), Rng::with_seed(seed), Instant::now());
            let due = || begun.elapsed().as_millis() as u64 * rate / 1_000 + added.load(Ordering::SeqCst);
            let mut number = 0;
            while !stopped.load(Ordering::SeqCst) {
                while number < due() {
                    let (device, value) = produced.next(number as i64, &mut random);
                    sender.send(NUMBERED, None, &device, &value)?;
                    number += 1;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            sender.finish()?;
            Ok(produced)
        });
        Ok(Self { stop, more, reports, thread })
    }

    /// Records that were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.reports.acknowledged()
    }

    /// Sends so many records more, as fast as it goes.
    pub fn add(&self, records: u64) {
        self.more.fetch_add(records, Ordering::SeqCst);
    }

    /// Ends; gives what was produced, all of it acknowledged.
    pub fn stop(self) -> Result<Produced> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().map_err(|_| anyhow::anyhow!("the load panicked"))?
    }
}

impl Produced {
    fn next(&mut self, number: i64, random: &mut Rng) -> (String, String) {
        let device = format!("device_{:03}", random.usize(0..DEVICES));
        let timestamp = START + number * STEP - random.i64(0..DISORDER);
        let next = self.sequences.entry(device.clone()).or_default();
        let value = format!(r#"{{"device":"{device}","sequence":{next},"timestamp":{timestamp}}}"#);
        *next += 1;
        *self.windows.entry((device.clone(), timestamp / WINDOW * WINDOW)).or_default() += 1;
        (device, value)
    }

    /// The same without records that nobody counts, by their values: windows do not have them.
    pub fn without(&self, values: &[Value]) -> Result<Self> {
        let mut rest = self.clone();
        for value in values {
            let of = value["device"].as_str().zip(value["timestamp"].as_i64());
            let (device, timestamp) = of.with_context(|| format!("{value} was never sent"))?;
            let window = (device.to_owned(), timestamp / WINDOW * WINDOW);
            let count = rest.windows.get_mut(&window).with_context(|| format!("{value} was never sent"))?;
            *count -= 1;
            if *count == 0 {
                rest.windows.remove(&window);
            }
        }
        Ok(rest)
    }

    /// All records.
    pub fn total(&self) -> i64 {
        self.windows.values().sum()
    }

    /// Compares pairs of device and sequence number with what was produced, each as often as it stands there.
    pub fn check_each(&self, place: &str, found: impl IntoIterator<Item = (String, i64)>) -> Result<()> {
        let mut copies: BTreeMap<(String, i64), i64> = BTreeMap::new();
        for pair in found {
            *copies.entry(pair).or_default() += 1;
        }
        let doubled: Vec<_> = copies.iter().filter(|(_, copies)| **copies > 1).collect();
        let all =
            self.sequences.iter().flat_map(|(device, end)| (0..*end as i64).map(|number| (device.clone(), number)));
        let lost: Vec<_> = all.filter(|pair| !copies.contains_key(pair)).collect();
        let strange = copies.len() + lost.len() - self.total() as usize;
        println!("{place}: {} different records, {} lost, {} doubled", copies.len(), lost.len(), doubled.len());
        ensure!(
            doubled.is_empty() && lost.is_empty() && strange == 0,
            "{place}: {} lost {:?}, {} doubled {:?}, {strange} that were never sent",
            lost.len(),
            lost.iter().take(10).collect::<Vec<_>>(),
            doubled.len(),
            doubled.iter().take(10).collect::<Vec<_>>()
        );
        Ok(())
    }

    /// The copies in their topic: each record once, and those of a device in the order in which they were sent.
    pub fn check_copies(&self, records: &[Record]) -> Result<()> {
        let pairs = records.iter().map(pair).collect::<Result<Vec<_>>>()?;
        self.check_each("the topic of copies", pairs.iter().cloned())?;
        let mut next: BTreeMap<&str, (i32, i64)> = BTreeMap::new();
        for (record, (device, sequence)) in records.iter().zip(&pairs) {
            let (partition, expected) = next.entry(device).or_insert((record.partition, 0));
            ensure!(
                (*partition, *expected) == (record.partition, *sequence),
                "{device}: {sequence} stands at {}/{}, where {expected} of partition {partition} is due",
                record.partition,
                record.offset
            );
            *expected += 1;
        }
        Ok(())
    }

    /// The counts in their topic: those of a window only grow, and the last is that of a recount.
    pub fn check_counts(&self, records: &[Record]) -> Result<()> {
        self.check_growth("click_count", records)
    }

    /// The same, where the count stands in a column of another name.
    pub fn check_growth(&self, column: &str, records: &[Record]) -> Result<()> {
        let mut counts: BTreeMap<(String, i64), i64> = BTreeMap::new();
        for record in records {
            let value = record.json()?;
            let (start, count) = (value["start_time"].as_i64(), value[column].as_i64());
            let device = value["device"].as_str().context("a count without a device")?.to_owned();
            let (start, count) = start.zip(count).with_context(|| value.to_string())?;
            let before = counts.insert((device, start), count).unwrap_or(0);
            ensure!(before < count, "{value} comes after a count of {before}");
        }
        self.check_windows("the topic of counts", &counts)
    }

    /// Compares counts by device and start of the window with a recount of what was produced.
    pub fn check_windows(&self, place: &str, found: &BTreeMap<(String, i64), i64>) -> Result<()> {
        println!("{place}: {} windows", found.len());
        for (window, count) in &self.windows {
            if found.get(window) != Some(count) {
                bail!("{place}: {window:?} has {:?}, not {count}", found.get(window));
            }
        }
        ensure!(found.len() == self.windows.len(), "{place}: windows that nothing was sent for");
        Ok(())
    }
}

fn pair(record: &Record) -> Result<(String, i64)> {
    let value = record.json()?;
    let pair = value["device"].as_str().zip(value["sequence"].as_i64());
    pair.map(|(device, sequence)| (device.to_owned(), sequence)).with_context(|| value.to_string())
}

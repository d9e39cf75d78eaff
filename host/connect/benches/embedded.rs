//! How fast the embedded log appends and reads, beside a plain file that is written and synced in equally many
//! steps. Prints records a second; fails nothing.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use arrow_array::BinaryArray;
use azenha_connect::embedded::{EmbeddedLog, EmbeddedOptions};
use azenha_engine::log::{Append, Log, ReadLimit};
use azenha_model::Records;
use azenha_model::plan::{TopicKind, TopicSpec};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Records of a batch, batches that are appended at once, and how often.
const BATCH: usize = 1000;
const GROUP: usize = 32;
const GROUPS: usize = 64;
const TOTAL: usize = BATCH * GROUP * GROUPS;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let records = clicks();
    println!("{TOTAL} records of {} bytes, {BATCH} a batch, {GROUP} batches a commit", records.bytes() / BATCH);
    let dir = tempfile::tempdir()?;
    let (plain_write, plain_read) = plain_file(&dir.path().join("plain"), &records)?;
    let log = EmbeddedLog::open(dir.path(), EmbeddedOptions::default()).await?;
    for lanes in [1, 2] {
        let topic = format!("bench-{lanes}");
        log.ensure_topic(&TopicSpec { name: topic.clone(), partitions: lanes, kind: TopicKind::Output }).await?;
        let append = append(&log, &topic, lanes, &records).await?;
        report(&format!("append, {lanes} lane(s)"), append, plain_write);
        let read = read(&log, &topic, lanes).await?;
        report(&format!("read, {lanes} lane(s)"), read, plain_read);
    }
    log.close().await?;
    Ok(())
}

fn report(what: &str, taken: Duration, plain: Duration) {
    let rate = TOTAL as f64 / taken.as_secs_f64() / 1e6;
    let ratio = plain.as_secs_f64() / taken.as_secs_f64();
    println!("{what:20} {rate:6.2} million records/s, {ratio:.2} × the speed of a plain file");
}

/// JSON of about 100 bytes a record, each different.
fn clicks() -> Records {
    let click = |number: usize| {
        let (user, time) = (number.wrapping_mul(2_654_435_761) % 1_000_003, 1_700_000_000_000 + number * 37);
        format!(
            r#"{{"campaignId":"campaign-{:04}","userId":"user-{user:07}","timestamp":{time},"eventType":"click"}}"#,
            number % 500
        )
    };
    Records::unkeyed(BinaryArray::from_iter_values((0..BATCH).map(click)), 0)
}

/// Writes and reads the same bytes, synced once a group.
fn plain_file(path: &Path, records: &Records) -> Outcome<(Duration, Duration)> {
    let bytes = records.values.value_data();
    let started = Instant::now();
    let mut file = File::create(path)?;
    for _ in 0..GROUPS {
        for _ in 0..GROUP {
            file.write_all(bytes)?;
        }
        file.sync_data()?;
    }
    let written = started.elapsed();
    let started = Instant::now();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; bytes.len()];
    for _ in 0..GROUPS * GROUP {
        file.read_exact(&mut buffer)?;
    }
    Ok((written, started.elapsed()))
}

/// Each lane appends its share; their commits are grouped by the writer.
async fn append(log: &EmbeddedLog, topic: &str, lanes: u32, records: &Records) -> Outcome<Duration> {
    let started = Instant::now();
    let lane = async |partition| {
        for _ in 0..GROUPS {
            let one = Append { topic: topic.to_owned(), partition, records: records.clone() };
            log.append(vec![one; GROUP / lanes as usize]).await?;
        }
        Ok::<(), azenha_engine::log::LogError>(())
    };
    futures::future::try_join_all((0..lanes).map(lane)).await?;
    Ok(started.elapsed())
}

async fn read(log: &EmbeddedLog, topic: &str, lanes: u32) -> Outcome<Duration> {
    let started = Instant::now();
    let limit = ReadLimit { records: 10_000, bytes: 4 << 20, wait: Duration::ZERO };
    let lane = async |partition| {
        let mut next = 0;
        while next < (TOTAL / lanes as usize) as u64 {
            next += log.read(topic, partition, next, limit).await?.offsets.len() as u64;
        }
        Ok::<(), azenha_engine::log::LogError>(())
    };
    futures::future::try_join_all((0..lanes).map(lane)).await?;
    Ok(started.elapsed())
}

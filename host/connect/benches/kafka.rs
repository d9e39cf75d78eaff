//! What a record costs on its way into and out of a Kafka cluster, and how quickly small commits follow each
//! other. `AZENHA_TEST_KAFKA` names the brokers. Prints nanoseconds a record; fails nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arrow_array::BinaryArray;
use azenha_connect::kafka::{KafkaLog, KafkaOptions};
use azenha_engine::log::{Append, Change, Commit, LaneId, Log, LogError, ReadLimit};
use azenha_model::Records;
use azenha_model::plan::{TopicKind, TopicSpec};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Records of an append, and how many appends there are.
const BATCH: usize = 10_000;
const BATCHES: usize = 200;
const TOTAL: usize = BATCH * BATCHES;
/// Small commits that follow each other.
const COMMITS: u64 = 200;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let Ok(brokers) = std::env::var("AZENHA_TEST_KAFKA") else {
        println!("skipped: AZENHA_TEST_KAFKA names no brokers");
        return Ok(());
    };
    let run = std::process::id();
    let options = KafkaOptions {
        brokers,
        properties: BTreeMap::new(),
        instance: format!("bench-{run}"),
        committers: 2,
        replication: None,
    };
    let log = KafkaLog::connect(options).await?;
    let records = clicks();
    println!("{TOTAL} records of {} bytes, {BATCH} an append", records.bytes() / BATCH);
    for partitions in [1, 2] {
        let topic = format!("bench-{run}-{partitions}");
        log.ensure_topic(&TopicSpec { name: topic.clone(), partitions, kind: TopicKind::Output }).await?;
        let cost = Cost::begin();
        append(&log, &topic, partitions, &records).await?;
        cost.report(&format!("append, {partitions} partition(s)"));
        read(&log, &topic, partitions).await?;
    }
    commits(&log, run).await?;
    log.close().await?;
    Ok(())
}

/// Time that passed, and processor time of all threads of this process.
struct Cost {
    begun: Instant,
    busy: Duration,
}

impl Cost {
    fn begin() -> Self {
        Self { begun: Instant::now(), busy: busy() }
    }

    fn report(&self, what: &str) {
        let each = |time: Duration| time.as_nanos() as usize / TOTAL;
        let (passed, busy) = (each(self.begun.elapsed()), each(busy() - self.busy));
        println!("{what:24} {passed:6} ns a record; {busy:6} ns of processor time");
    }
}

/// Processor time of this process, as Linux counts it in hundredths of a second.
fn busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
    Duration::from_millis(fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
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
    Records::unkeyed(BinaryArray::from_iter_values((0..BATCH).map(click)), 1_700_000_000_000_000)
}

/// Each partition gets its share.
async fn append(log: &KafkaLog, topic: &str, partitions: u32, records: &Records) -> Result<(), LogError> {
    let one = async |partition| {
        for _ in 0..BATCHES / partitions as usize {
            log.append(vec![Append { topic: topic.to_owned(), partition, records: records.clone() }]).await?;
        }
        Ok(())
    };
    futures::future::try_join_all((0..partitions).map(one)).await.map(drop)
}

/// Reads all partitions as a member of a group.
async fn read(log: &KafkaLog, topic: &str, partitions: u32) -> Outcome<()> {
    let member = log.join(&format!("{topic}.read"), topic).await?;
    while !matches!(member.changed().await?, Change::Assigned(assigned) if assigned.len() == partitions as usize) {}
    let cost = Cost::begin();
    let one = async |partition| {
        let mut reader = member.reader(partition, 0).await?;
        let limit = ReadLimit { records: 10_000, bytes: 4 << 20, wait: Duration::from_secs(10) };
        let mut read = 0;
        while read < TOTAL / partitions as usize {
            read += reader.read(limit).await?.offsets.len();
        }
        Ok::<(), LogError>(())
    };
    futures::future::try_join_all((0..partitions).map(one)).await?;
    cost.report(&format!("read, {partitions} partition(s)"));
    Ok(())
}

/// A lane that commits one record and its position again and again.
async fn commits(log: &KafkaLog, run: u32) -> Outcome<()> {
    let topic = format!("bench-{run}-commits");
    log.ensure_topic(&TopicSpec { name: topic.clone(), partitions: 1, kind: TopicKind::Output }).await?;
    let lane = LaneId { group: format!("bench-{run}"), input: topic.clone(), partition: 0 };
    let mut owner = log.take_lane(&lane).await?;
    let record = clicks().slice(0, 1);
    let begun = Instant::now();
    for position in 1..=COMMITS {
        let append = Append { topic: topic.clone(), partition: 0, records: record.clone() };
        owner.commit(Commit { position, appends: vec![append] }).await?;
    }
    println!("a commit of one record takes {:?}", begun.elapsed() / COMMITS as u32);
    Ok(())
}

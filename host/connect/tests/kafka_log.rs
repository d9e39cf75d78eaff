//! The Kafka log keeps the promises of every log, and those of its own.
//!
//! `AZENHA_TEST_KAFKA` names the brokers (`tests/services/kafka start DIR` starts one); without it the tests say
//! that they were skipped. Checks use topics of fixed names: each run needs a broker of its own.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use azenha_conformance::log_conformance;
use azenha_conformance::log_helpers::*;
use azenha_connect::kafka::{KafkaLog, KafkaOptions};
use azenha_engine::log::{Change, Commit, Log, LogError, ReadLimit};
use azenha_model::plan::{TopicKind, TopicSpec};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

struct Fixture {
    log: KafkaLog,
}

impl Fixture {
    async fn new() -> Option<Self> {
        Some(Self { log: KafkaLog::connect(options(&brokers()?)).await.unwrap() })
    }

    fn log(&self) -> &dyn Log {
        &self.log
    }
}

fn brokers() -> Option<String> {
    std::env::var("AZENHA_TEST_KAFKA").ok().filter(|brokers| !brokers.is_empty())
}

/// Each log is another host.
fn options(brokers: &str) -> KafkaOptions {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let instance = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    KafkaOptions {
        brokers: brokers.to_owned(),
        properties: BTreeMap::new(),
        instance,
        committers: 2,
        replication: None,
    }
}

log_conformance!(Fixture::new());

/// Connects another host, or says that there is nothing to connect to.
macro_rules! connect {
    () => {
        match Fixture::new().await {
            Some(fixture) => fixture.log,
            None => return println!("skipped: there is no server to test with"),
        }
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_is_fenced_by_another_host() {
    let (first, second) = (connect!(), connect!());
    topic(&first, "hosts", 1).await;
    let mut before = first.take_lane(&lane("hosts")).await.unwrap();
    before.commit(commit(1, to("hosts", 0, values(&["before"])))).await.unwrap();
    let mut after = second.take_lane(&lane("hosts")).await.unwrap();
    assert_eq!(after.position(), Some(1));
    for _ in 0..2 {
        let error = before.commit(commit(2, to("hosts", 0, values(&["stale"])))).await.unwrap_err();
        assert!(matches!(error, LogError::Fenced(_)), "{error}");
    }
    after.commit(commit(3, to("hosts", 0, values(&["after"])))).await.unwrap();
    assert_eq!(texts(&read_all(&second, "hosts", 0).await), ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hosts_with_one_id_the_later_one_fences_the_other() {
    let Some(brokers) = brokers() else { return println!("skipped: there is no server to test with") };
    let options = KafkaOptions { committers: 1, ..options(&brokers) };
    let first = KafkaLog::connect(options.clone()).await.unwrap();
    let second = KafkaLog::connect(options).await.unwrap();
    topic(&first, "twins", 1).await;
    let record = |text: &str| vec![to("twins", 0, values(&[text]))];
    first.append(record("first")).await.unwrap();
    second.append(record("second")).await.unwrap();
    let error = first.append(record("stale")).await.unwrap_err();
    assert!(matches!(error, LogError::Storage { .. }), "{error}");
    assert!(format!("{error}").contains("another process uses the same id"), "{error}");
    first.append(record("third")).await.unwrap();
    assert_eq!(texts(&read_all(&first, "twins", 0).await), ["first", "second", "third"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_host_left_open_is_invisible_and_gone_when_it_comes_back() {
    let Some(brokers) = brokers() else { return println!("skipped: there is no server to test with") };
    let options = KafkaOptions { committers: 1, ..options(&brokers) };
    let log = KafkaLog::connect(options.clone()).await.unwrap();
    topic(&log, "killed", 1).await;
    let killed = transaction(&brokers, &format!("azenha-{}-0", options.instance), "killed").await;
    assert_eq!(log.bounds("killed", 0).await.unwrap().end, 0);
    assert!(read_once(&log, "killed", 0, 0, ALL).await.is_empty());
    log.append(vec![to("killed", 0, values(&["back"]))]).await.unwrap();
    let end = log.settled_end("killed", 0).await.unwrap();
    assert_eq!(texts(&read_all(&log, "killed", 0).await), ["back"]);
    assert!(end >= 4, "two records and two markers: {end}");
    drop(killed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_goes_on_behind_what_is_no_record() {
    let Some(brokers) = brokers() else { return println!("skipped: there is no server to test with") };
    let log = connect!();
    topic(&log, "aborted", 1).await;
    let producer = transaction(&brokers, "aborted", "aborted").await;
    producer.abort_transaction(Duration::from_secs(10)).unwrap();
    let end = log.settled_end("aborted", 0).await.unwrap();
    assert_eq!(end, 2, "a record and a marker");
    let limit = ReadLimit { wait: Duration::from_secs(10), ..ALL };
    let read = log.read("aborted", 0, 0, ALL).await.unwrap();
    assert_eq!((read.offsets.len(), read.next), (0, end));
    let member = log.join("aborted.task", "aborted").await.unwrap();
    assigned(member.as_ref()).await;
    let read = member.reader(0, 0).await.unwrap().read(limit).await.unwrap();
    assert_eq!((read.offsets.len(), read.next), (0, end));
    log.append(vec![to("aborted", 0, values(&["next"]))]).await.unwrap();
    let read = log.read("aborted", 0, read.next, limit).await.unwrap();
    assert_eq!(read.offsets, [end]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_purged_records_is_out_of_range() {
    let log = connect!();
    let spec = TopicSpec { name: "azenha.p.t.changelog".to_owned(), partitions: 1, kind: TopicKind::Changelog };
    log.ensure_topic(&spec).await.unwrap();
    for text in ["a", "b"] {
        log.append(vec![to(&spec.name, 0, values(&[text]))]).await.unwrap();
    }
    let last = read_all(&log, &spec.name, 0).await[1].offset;
    log.purge(&spec.name, 0, last).await.unwrap();
    let member = log.join("purged.task", &spec.name).await.unwrap();
    assigned(member.as_ref()).await;
    let limit = ReadLimit { wait: Duration::from_secs(10), ..ALL };
    let error = member.reader(0, 0).await.unwrap().read(limit).await.unwrap_err();
    assert!(matches!(error, LogError::OutOfRange { offset: 0, start, .. } if start == last), "{error}");
    drop(member);
    let member = log.join("purged.task", &spec.name).await.unwrap();
    assigned(member.as_ref()).await;
    let read = member.reader(0, last).await.unwrap().read(limit).await.unwrap();
    assert_eq!(read.offsets, [last]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_internal_topic_that_would_lose_records_is_refused() {
    let Some(brokers) = brokers() else { return println!("skipped: there is no server to test with") };
    let log = connect!();
    let topics = [("compacted", "cleanup.policy", "compact"), ("expiring", "retention.ms", "1000")];
    for (name, setting, value) in topics {
        let topic = NewTopic::new(name, 1, TopicReplication::Fixed(-1)).set(setting, value);
        admin(&brokers).create_topics([&topic], &AdminOptions::new()).await.unwrap()[0].clone().unwrap();
        let spec = TopicSpec { name: name.to_owned(), partitions: 1, kind: TopicKind::Internal };
        let error = log.ensure_topic(&spec).await.unwrap_err();
        assert!(
            matches!(&error, LogError::Unfit { setting: named, found, .. } if named == setting && found == value),
            "{error}"
        );
        log.ensure_topic(&TopicSpec { kind: TopicKind::Source, ..spec }).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_made_so_that_they_are_accepted_again() {
    let (first, second) = (connect!(), connect!());
    for kind in [TopicKind::Source, TopicKind::Output, TopicKind::Internal, TopicKind::Changelog, TopicKind::Compacted]
    {
        let spec = TopicSpec { name: format!("made-{kind:?}"), partitions: 2, kind };
        let made = first.ensure_topic(&spec).await.unwrap();
        assert_eq!(second.ensure_topic(&spec).await.unwrap(), made);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_made_anew_has_another_id() {
    let Some(brokers) = brokers() else { return println!("skipped: there is no server to test with") };
    let log = connect!();
    let made = log.ensure_topic(&spec("anew", 1)).await.unwrap();
    log.append(vec![to("anew", 0, values(&["old"]))]).await.unwrap();
    admin(&brokers).delete_topics(&["anew"], &AdminOptions::new()).await.unwrap()[0].clone().unwrap();
    while log.topic("anew").await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_ne!(log.ensure_topic(&spec("anew", 1)).await.unwrap().id, made.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_too_large_is_refused_and_nothing_is_written() {
    let log = connect!();
    topic(&log, "large", 1).await;
    let mut owner = log.take_lane(&lane("large")).await.unwrap();
    let large = vec![0; 9 << 20];
    let appends = vec![to("large", 0, values(&["small"])), to("large", 0, values(&[&large]))];
    let error = owner.commit(Commit { position: 1, appends }).await.unwrap_err();
    let most = log.record_limit("large").await.unwrap();
    let told = |limit: &usize| most == Some(*limit);
    assert!(
        matches!(&error, LogError::TooLarge { bytes, limit, .. } if *bytes == large.len() && told(limit)),
        "{error}"
    );
    assert_eq!(log.bounds("large", 0).await.unwrap().end, 0);
    owner.commit(commit(2, to("large", 0, values(&["small"])))).await.unwrap();
    assert_eq!(log.position(&lane("large")).await.unwrap(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_is_not_moved_under_a_member() {
    let log = connect!();
    topic(&log, "in-use", 1).await;
    let member = log.join("in-use.task", "in-use").await.unwrap();
    assigned(member.as_ref()).await;
    let error = log.set_position(&lane("in-use"), 3).await.unwrap_err();
    assert!(matches!(error, LogError::InUse(_)), "{error}");
    drop(member);
    while let Err(error) = log.set_position(&lane("in-use"), 3).await {
        assert!(matches!(error, LogError::InUse(_)), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(log.position(&lane("in-use")).await.unwrap(), Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_noted_position_is_seen() {
    let log = connect!();
    topic(&log, "noted", 1).await;
    let member = log.join("noted.task", "noted").await.unwrap();
    assigned(member.as_ref()).await;
    member.note(0, 42).await;
    while log.position(&lane("noted")).await.unwrap() != Some(42) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_on_two_hosts_hand_partitions_over_without_loss() {
    let (first, second) = (connect!(), connect!());
    topic(&first, "handed", 4).await;
    topic(&first, "handed-copy", 4).await;
    let stage = async |from: usize| {
        let number = |partition: usize, row: usize| (from + row * 4 + partition).to_string();
        for rows in [0..20, 20..30, 30..31, 31..50] {
            let texts = |partition| rows.clone().map(|row| number(partition, row)).collect::<Vec<_>>();
            let appends = (0..4).map(|partition| to("handed", partition as u32, values(&texts(partition)))).collect();
            first.append(appends).await.unwrap();
        }
    };
    let copied = async |wanted: usize| {
        let mut copied = Vec::new();
        while copied.len() < wanted {
            copied.clear();
            for partition in 0..4 {
                copied.extend(texts(&read_all(&first, "handed-copy", partition).await));
            }
        }
        copied.sort_by_key(|text| text.parse::<usize>().unwrap());
        let numbers: Vec<String> = (0..wanted).map(|number| number.to_string()).collect();
        assert_eq!(copied, numbers, "each record is copied once");
    };
    tokio::select! {
        () = copy(&first) => {}
        () = async { stage(0).await; copied(200).await; } => {}
    }
    // The first host's membership is dropped and made again; the second one joins it.
    tokio::select! {
        () = copy(&first) => {}
        () = copy(&second) => {}
        () = async { stage(200).await; copied(400).await; stage(400).await; copied(600).await; } => {}
    }
    tokio::select! {
        () = copy(&second) => {}
        () = async { stage(600).await; copied(800).await; } => {}
    }
}

/// Copies `handed` to `handed-copy` as a member of a group, partition by partition, on and on.
async fn copy(log: &KafkaLog) {
    let member = log.join("handed.copy", "handed").await.unwrap();
    let mut lanes = BTreeMap::new();
    loop {
        tokio::select! {
            biased;
            change = member.changed() => match change.unwrap() {
                Change::Assigned(partitions) => {
                    for partition in partitions {
                        let owner = member.take(partition).await.unwrap();
                        let reader = member.reader(partition, owner.position().unwrap_or(0)).await.unwrap();
                        lanes.insert(partition, (owner, reader));
                    }
                }
                Change::Revoked(partitions) => {
                    lanes.retain(|partition, _| !partitions.contains(partition));
                    member.release(&partitions).await;
                }
            },
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        for (partition, (owner, reader)) in &mut lanes {
            let read = reader.read(ReadLimit { records: 10, ..ALL }).await.unwrap();
            if !read.offsets.is_empty() {
                owner.commit(commit(read.next, to("handed-copy", *partition, read.records))).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_do_not_answer_are_named() {
    let error = KafkaLog::connect(options("127.0.0.1:1")).await.unwrap_err();
    assert!(matches!(error, LogError::Storage { .. }));
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    assert!(error.to_string().contains("no broker answers"), "{error}");
}

#[tokio::test]
async fn a_property_that_is_not_possible_is_named_without_its_value() {
    let mut options = options("127.0.0.1:1");
    options.properties.insert("security.protocol".to_owned(), "hush".to_owned());
    let shown = format!("{options:?}");
    let error = KafkaLog::connect(options).await.unwrap_err();
    assert!(matches!(error, LogError::Denied { .. }));
    assert!(error.to_string().contains("security.protocol"), "{error}");
    for text in [shown, error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("hush"), "{text}");
    }
}

/// A producer whose transaction has written one record, and is not committed.
async fn transaction(brokers: &str, transactional_id: &str, topic: &str) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("transactional.id", transactional_id);
    let topic = topic.to_owned();
    let open = move || {
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(Duration::from_secs(30)).unwrap();
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<(), str>::to(&topic).partition(0).payload("open")).unwrap();
        producer.flush(Duration::from_secs(10)).unwrap();
        producer
    };
    tokio::task::spawn_blocking(open).await.unwrap()
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap()
}

//! A client of Kafka that has nothing in common with the host's: it says what really stands in a topic.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};

/// How long anything may take. Longer than the timeout of a transaction that somebody left open.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// A committed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
}

impl Record {
    /// The value as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        let value = self.value.as_deref().context("a tombstone")?;
        serde_json::from_slice(value).with_context(|| String::from_utf8_lossy(value).into_owned())
    }
}

/// A cluster as its clients see it.
#[derive(Debug, Clone)]
pub struct Kafka {
    brokers: String,
}

impl Kafka {
    /// The cluster at `HOST:PORT`, several with commas between them.
    pub fn at(brokers: &str) -> Self {
        Self { brokers: brokers.to_owned() }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    fn consumer(&self, isolation: &str) -> Result<BaseConsumer> {
        let mut config = self.config();
        config.set("group.id", "azenha-tests").set("enable.auto.commit", "false");
        config.set("isolation.level", isolation).set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "error").set("topic.metadata.refresh.interval.ms", "1000");
        Ok(config.create()?)
    }

    /// Makes a topic with as many replicas as the brokers are set to.
    pub async fn create_topic(&self, topic: &str, partitions: i32) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().operation_timeout(Some(ANSWER));
        for made in admin.create_topics([&new], &options).await? {
            made.map_err(|(topic, code)| anyhow::anyhow!("making topic {topic}: {code}"))?;
        }
        Ok(())
    }

    /// The broker that leads a partition.
    pub fn leader(&self, topic: &str, partition: i32) -> Result<i32> {
        let metadata = self.consumer("read_committed")?.fetch_metadata(Some(topic), ANSWER)?;
        let topics = metadata.topics().iter().find(|found| found.name() == topic);
        let found = topics.and_then(|topic| topic.partitions().iter().find(|found| found.id() == partition));
        Ok(found.with_context(|| format!("there is no {topic}/{partition}"))?.leader())
    }

    /// A producer that loses and doubles nothing.
    pub fn producer(&self) -> Result<Sender> {
        let mut config = self.config();
        config.set("enable.idempotence", "true").set("acks", "all");
        config.set("partitioner", "murmur2_random").set("linger.ms", "5");
        // A broker that is restarted is waited for.
        config.set("message.timeout.ms", "600000").set("queue.buffering.max.messages", "1000000");
        let reports = Reports::default();
        let producer = config.create_with_context(Acknowledged(reports.clone()))?;
        Ok(Sender { producer, reports, sent: 0 })
    }

    /// All committed records of a topic, once nothing in it is still to be committed or aborted.
    pub fn read(&self, topic: &str) -> Result<Vec<Record>> {
        let consumer = self.consumer("read_committed")?;
        let partitions = self.settle(topic, &consumer)?;
        let mut list = TopicPartitionList::new();
        for partition in &partitions {
            list.add_partition_offset(topic, *partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        let (mut open, mut records, begun) = (partitions, Vec::new(), Instant::now());
        while !open.is_empty() {
            match consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => records.push(Record {
                    partition: message.partition(),
                    offset: message.offset(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                }),
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(error).context(topic.to_owned()),
                None => ensure!(begun.elapsed() < PATIENCE, "the end of {topic} was not reached"),
            }
        }
        Ok(records)
    }

    /// Waits until no transaction is open in a topic; gives its partitions.
    fn settle(&self, topic: &str, committed: &BaseConsumer) -> Result<BTreeSet<i32>> {
        let uncommitted = self.consumer("read_uncommitted")?;
        let metadata = committed.fetch_metadata(Some(topic), ANSWER)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|found| found.id());
        let partitions: BTreeSet<i32> = partitions.collect();
        ensure!(!partitions.is_empty(), "there is no topic {topic}");
        let begun = Instant::now();
        for partition in &partitions {
            loop {
                let (_, end) = uncommitted.fetch_watermarks(topic, *partition, ANSWER)?;
                let (_, settled) = committed.fetch_watermarks(topic, *partition, ANSWER)?;
                if settled >= end {
                    break;
                }
                ensure!(begun.elapsed() < PATIENCE, "a transaction in {topic}/{partition} stays open");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(partitions)
    }
}

fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::*;
    let passing =
        [BrokerTransportFailure, AllBrokersDown, OperationTimedOut, NotLeaderForPartition, LeaderNotAvailable];
    error.rdkafka_error_code().is_some_and(|code| passing.contains(&code))
}

/// What became of records that were sent.
#[derive(Debug, Clone, Default)]
pub struct Reports {
    acknowledged: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<String>>>,
}

impl Reports {
    /// How many records were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }
}

struct Acknowledged(Reports);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => drop(self.0.acknowledged.fetch_add(1, Ordering::SeqCst)),
            Err((error, _)) => {
                *self.0.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
        }
    }
}

/// Sends records; idempotent, and each acknowledged by all replicas.
pub struct Sender {
    producer: ThreadedProducer<Acknowledged>,
    reports: Reports,
    sent: u64,
}

impl Sender {
    /// Sends a record to the partition of its key, or to one that is named.
    pub fn send(&mut self, topic: &str, partition: Option<i32>, key: &str, value: &str) -> Result<()> {
        let mut record = BaseRecord::to(topic).key(key).payload(value);
        record.partition = partition;
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    std::thread::sleep(Duration::from_millis(10));
                    record = again;
                }
                Err((error, _)) => bail!("sending to {topic}: {error}"),
            }
        }
        self.sent += 1;
        Ok(())
    }

    /// What becomes of what is sent.
    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Waits until every record is acknowledged; gives their number.
    pub fn finish(self) -> Result<u64> {
        self.producer.flush(PATIENCE)?;
        if let Some(failure) = self.reports.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bail!("a record may or may not have been written, so nothing can be proven: {failure}");
        }
        let acknowledged = self.reports.acknowledged();
        ensure!(acknowledged == self.sent, "{acknowledged} of {} records were acknowledged", self.sent);
        Ok(self.sent)
    }
}

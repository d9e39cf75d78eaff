//! How the clients of the cluster are set up: what users may say, and what exactly once depends on.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

/// Properties that only producers know.
const PRODUCER_ONLY: &[&str] = &["compression.level", "compression.type", LINGER, TRANSACTION_TIMEOUT];

/// Properties that only consumers know. A producer's socket timeout follows from its transaction timeout.
const CONSUMER_ONLY: &[&str] = &[
    "fetch.max.bytes",
    "fetch.wait.max.ms",
    "heartbeat.interval.ms",
    "max.partition.fetch.bytes",
    "queued.max.messages.kbytes",
    "session.timeout.ms",
    "socket.timeout.ms",
];

const RECONNECT_MAX: &str = "reconnect.backoff.max.ms";

const LINGER: &str = "linger.ms";

const TRANSACTION_TIMEOUT: &str = "transaction.timeout.ms";

/// The timeout of a transaction where the configuration has none, in milliseconds: as long as a new owner of a
/// lane may have to wait for what a killed one left behind.
const TRANSACTION_TIMEOUT_MS: u64 = 15_000;

/// How long a member may take to let its partitions go. Longer than any commit takes.
pub(super) const MAX_POLL_INTERVAL: Duration = Duration::from_secs(120);

/// The largest record that a producer sends: what topics of ours hold, and something for its frame.
const MESSAGE_MAX_BYTES: usize = super::topics::INTERNAL_MAX_BYTES + (1 << 20);

/// How a Kafka log is reached and run.
#[derive(Clone)]
pub struct KafkaOptions {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// Further properties of the clients, those that the host's configuration lets pass; secrets among them.
    pub properties: BTreeMap<String, String>,
    /// The persisted id of this host; no other process may use it at the same time.
    pub instance: String,
    /// Transactional producers, among which the partitions are shared out; at least one is made.
    pub committers: usize,
    /// Replicas of the topics that are made. None: as many as the brokers make on their own.
    pub replication: Option<i16>,
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("brokers", &self.brokers)
            .field("properties", &self.properties.keys())
            .field("instance", &self.instance)
            .field("committers", &self.committers)
            .field("replication", &self.replication)
            .finish()
    }
}

impl KafkaOptions {
    /// How long the coordinator lets a transaction stay open.
    pub(super) fn transaction_timeout(&self) -> Duration {
        let stated = self.properties.get(TRANSACTION_TIMEOUT).and_then(|text| text.parse().ok());
        Duration::from_millis(stated.unwrap_or(TRANSACTION_TIMEOUT_MS))
    }

    /// A producer whose transactions go by this id.
    pub(super) fn producer(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.base(CONSUMER_ONLY);
        config
            .set("transactional.id", transactional_id)
            .set(TRANSACTION_TIMEOUT, self.transaction_timeout().as_millis().to_string())
            .set("message.max.bytes", MESSAGE_MAX_BYTES.to_string())
            .set("queue.buffering.max.kbytes", "65536")
            // More small records than one transaction has: where the queue is full, each that leaves it wakes the thread that
            // fills it.
            .set("queue.buffering.max.messages", "500000")
            // Reports cost time for each record, and only failures matter.
            .set("delivery.report.only.error", "true")
            // After a commit the coordinator refuses the next transaction until its markers are written.
            .set("retry.backoff.ms", "2");
        if config.get(LINGER).is_none() {
            // Small requests cost the brokers time; but the records of a commit may be sent while its offsets are.
            config.set(LINGER, "2");
        }
        config
    }

    /// A member of a group that shares out the partitions of a topic.
    pub(super) fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.reader();
        config
            .set("group.id", group)
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            // The library takes that event for a record: after a rebalance it would go on one record further.
            .set("enable.partition.eof", "false")
            .set("max.poll.interval.ms", MAX_POLL_INTERVAL.as_millis().to_string());
        for (name, default) in [("session.timeout.ms", "10000"), ("heartbeat.interval.ms", "3000")] {
            if config.get(name).is_none() {
                config.set(name, default);
            }
        }
        config
    }

    /// A consumer that is told what to read. Its group only satisfies the library: nothing is ever committed.
    pub(super) fn tail(&self) -> ClientConfig {
        let mut config = self.reader();
        config.set("group.id", super::group_id("tail")).set("enable.partition.eof", "true");
        config
    }

    /// A client that asks for metadata and offsets; `isolation` decides which end of a partition it sees.
    pub(super) fn queries(&self, isolation: &str) -> ClientConfig {
        let mut config = self.base(PRODUCER_ONLY);
        config.set("isolation.level", isolation);
        config
    }

    /// A consumer that asks for the offsets of a group, and never joins it.
    pub(super) fn asker(&self, group: &str) -> ClientConfig {
        let mut config = self.reader();
        config.set("group.id", group);
        config
    }

    /// A client that makes topics and deletes records.
    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = self.base(CONSUMER_ONLY);
        for name in PRODUCER_ONLY {
            config.remove(name);
        }
        // Nobody would take its log lines.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        config
    }

    fn reader(&self) -> ClientConfig {
        let mut config = self.base(PRODUCER_ONLY);
        for (name, default) in [
            // A waiting fetch delays the start of another partition.
            ("fetch.wait.max.ms", "100"),
            // Counts for each partition, and small records take three times as much memory.
            ("queued.max.messages.kbytes", "4096"),
        ] {
            if config.get(name).is_none() {
                config.set(name, default);
            }
        }
        config
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.min.bytes", "1")
            .set("fetch.queue.backoff.ms", "10");
        config
    }

    fn base(&self, without: &[&str]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "azenha");
        for (name, value) in self.properties.iter().filter(|(name, _)| !without.contains(&name.as_str())) {
            config.set(name, value);
        }
        if config.get(RECONNECT_MAX).is_none() {
            // A broker that is back is found again at once; the library would wait up to ten seconds.
            config.set(RECONNECT_MAX, "1000");
        }
        config.set("bootstrap.servers", &self.brokers);
        // When a broker dies, the library would start over with the first brokers, destroy the handles of those that it
        // knew, and fail what is under way with them, or crash. See `lifeline` for when it knows none any more.
        config.set("metadata.recovery.strategy", "none");
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }
}

//! The log on a Kafka cluster: any number of hosts share the partitions of their inputs.
//!
//! Calls of the client library that block run on threads of their own; what records pass through (reading from a
//! partition's queue, handing records to a producer) is a few calls a batch, see `consume` and `produce`. Nothing
//! here needs the caller's runtime.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use azenha_engine::log::{Append, Bounds, LaneId, LaneLog, Log, LogError, Membership, ReadLimit, Topic};
use azenha_model::plan::TopicSpec;
use azenha_model::{Fetched, Offset};
use rdkafka::consumer::{BaseConsumer, Consumer};

use self::client::{Clients, Context, Kept};
use self::committer::{Committer, Lives, Write};
use self::error::Failure;
use self::lane::{Authority, Claim, Claims, KafkaLane};
use self::membership::KafkaMembership;
use self::offsets::Offsets;
pub use self::options::KafkaOptions;
use self::positions::Positions;
use self::runtime::Runtime;
use self::tail::Tails;
use self::topics::Topics;

mod admin;
mod client;
mod committer;
mod consume;
mod error;
mod lane;
mod lifeline;
mod membership;
mod offsets;
mod options;
mod positions;
mod produce;
mod rebalance;
mod runtime;
mod stream;
mod tail;
mod topics;
mod transaction;

/// How long the first answer of the cluster may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the transactions of others may take to end, beyond their timeout.
const SETTLE_BEYOND_TIMEOUT: Duration = Duration::from_secs(75);

/// The name in Kafka of a group of readers.
fn group_id(group: &str) -> String {
    format!("azenha.{group}")
}

/// What everything of one log shares.
struct Shared {
    options: KafkaOptions,
    runtime: Runtime,
    clients: Clients,
    topics: Arc<Topics>,
    offsets: Arc<Offsets>,
    positions: Positions,
    claims: Arc<Claims>,
    committers: Vec<Committer>,
}

impl Shared {
    /// The committer of a group's partition.
    fn committer(&self, partition: u32) -> Committer {
        self.committers[partition as usize % self.committers.len()].clone()
    }

    async fn existing(&self, topic: &str) -> Result<Topic, LogError> {
        self.topics.find(topic).await?.ok_or_else(|| LogError::NoSuchTopic(topic.to_owned()))
    }

    /// Writes what the brokers will not refuse.
    async fn write(&self, committer: &Committer, write: Write) -> Result<(), LogError> {
        self.topics.check(&write.appends).await?;
        if write.is_empty() {
            return Ok(());
        }
        let places = write.appends.iter().map(|append| (append.topic.clone(), append.partition)).collect();
        let done = committer.write(write).await;
        match done {
            Ok(()) => self.offsets.wrote(places),
            // What is known of the topics may be why.
            Err(LogError::Storage { .. }) => self.topics.forget(),
            Err(_) => {}
        }
        done
    }
}

/// The log of a Kafka cluster.
pub struct KafkaLog {
    shared: Arc<Shared>,
    tails: Tails,
    /// Counts appends, which take turns with the committers.
    turn: AtomicUsize,
}

impl std::fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaLog").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl KafkaLog {
    /// Connects to the cluster. Must be called on a tokio runtime with timers; the log works as long as that
    /// runtime runs.
    ///
    /// # Errors
    /// `Storage` if no broker answers within ten seconds, `Denied` if one refuses this host or a property has a
    /// value that is not possible.
    pub async fn connect(options: KafkaOptions) -> Result<Self, LogError> {
        let what = format!("connecting to Kafka at {}", options.brokers);
        let runtime = Runtime::current();
        let clients = Clients::new(&options.brokers, &runtime);
        let query = |isolation| -> Result<_, Failure> {
            let consumer: BaseConsumer<Context> = options.queries(isolation).create_with_context(Context::default())?;
            Ok(Arc::new(Kept::new(consumer, &clients)))
        };
        let made = query("read_committed").and_then(|committed| Ok((committed, query("read_uncommitted")?)));
        let (committed, uncommitted) = made.map_err(|failure| failure.into_log(&what))?;
        let asked = Arc::clone(&committed);
        runtime.blocking(move || reach(&asked)).await?.map_err(|failure| failure.into_log(&what))?;

        let topics = Topics::new(&options, Arc::clone(&committed), runtime.clone(), &clients);
        let topics = Arc::new(topics.map_err(|failure| failure.into_log(&what))?);
        let settle_within = options.transaction_timeout() + SETTLE_BEYOND_TIMEOUT;
        let offsets = Arc::new(Offsets {
            committed,
            uncommitted,
            unseen: Mutex::default(),
            topics: Arc::clone(&topics),
            runtime: runtime.clone(),
            settle_within,
        });
        let start = |number| {
            let id = format!("azenha-{}-{number}", options.instance);
            Committer::start(&options, id, Lives::Many, &clients)
        };
        let committers = (0..options.committers.max(1)).map(start).collect::<Result<_, _>>()?;
        let tails = Tails::new(&options, &clients, runtime.clone(), Arc::clone(&offsets));
        let positions = Positions::new(&options, &clients, runtime.clone(), settle_within);
        let claims = Arc::default();
        let shared = Arc::new(Shared { options, runtime, clients, topics, offsets, positions, claims, committers });
        Ok(Self { shared, tails, turn: AtomicUsize::new(0) })
    }
}

/// Waits for the first answer of the cluster.
fn reach(client: &BaseConsumer<Context>) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut last = Failure::timed_out("no broker answers");
    while begun.elapsed() < CONNECT_WITHIN {
        if client.client().fetch_cluster_id(Duration::from_millis(500)).is_some() {
            return Ok(());
        }
        while client.poll(Duration::from_millis(20)).is_some() {}
        last = client.context().take_error().unwrap_or(last);
        if last.is_denied() {
            return Err(last);
        }
    }
    Err(Failure { reason: format!("no broker answers within {} s: {last}", CONNECT_WITHIN.as_secs()), ..last })
}

#[async_trait]
impl Log for KafkaLog {
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<Topic, LogError> {
        self.shared.topics.ensure(spec).await
    }

    async fn topic(&self, name: &str) -> Result<Option<Topic>, LogError> {
        self.shared.topics.find(name).await
    }

    async fn topics(&self) -> Result<Vec<Topic>, LogError> {
        self.shared.topics.list().await
    }

    async fn record_limit(&self, topic: &str) -> Result<Option<usize>, LogError> {
        self.shared.topics.record_limit(topic).await
    }

    async fn bounds(&self, topic: &str, partition: u32) -> Result<Bounds, LogError> {
        self.shared.offsets.bounds(topic, partition).await
    }

    async fn settled_end(&self, topic: &str, partition: u32) -> Result<Offset, LogError> {
        self.shared.offsets.settled_end(topic, partition).await
    }

    async fn append(&self, appends: Vec<Append>) -> Result<(), LogError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let committer = self.shared.committer(turn as u32);
        self.shared.write(&committer, Write { appends, position: None }).await
    }

    async fn read(&self, topic: &str, partition: u32, from: Offset, limit: ReadLimit) -> Result<Fetched, LogError> {
        self.tails.read(topic, partition, from, limit).await
    }

    async fn purge(&self, topic: &str, partition: u32, before: Offset) -> Result<(), LogError> {
        self.shared.offsets.purge(topic, partition, before).await
    }

    async fn join(&self, group: &str, topic: &str) -> Result<Arc<dyn Membership>, LogError> {
        let topic = self.shared.existing(topic).await?;
        Ok(Arc::new(KafkaMembership::join(&self.shared, group, &topic)?))
    }

    async fn take_lane(&self, lane: &LaneId) -> Result<Box<dyn LaneLog>, LogError> {
        let LaneId { group, input, partition } = lane;
        let topic_id = self.shared.existing(input).await?.id.as_str().into();
        let claims = Arc::clone(&self.shared.claims);
        let epoch = claims.raise(lane);
        // The brokers let one producer of an id live: taking the lane fences whoever had it, on every host.
        let id = format!("azenha-lane-{input}-{partition}-{group}");
        let committer = Committer::start(&self.shared.options, id, Lives::One, &self.shared.clients)?;
        committer.open().await?;
        let position = self.shared.positions.position(lane).await?;
        let claim = Claim { lane: lane.clone(), topic_id, epoch, claims, authority: Authority::Group };
        Ok(Box::new(KafkaLane { claim, position, committer, shared: Arc::clone(&self.shared) }))
    }

    async fn position(&self, lane: &LaneId) -> Result<Option<Offset>, LogError> {
        self.shared.positions.position(lane).await
    }

    async fn set_position(&self, lane: &LaneId, position: Offset) -> Result<(), LogError> {
        self.shared.positions.set(lane, position).await
    }

    /// Waits also until memberships that were dropped have left their groups. A log that is dropped without this
    /// loses nothing, but its groups may take a session's timeout to notice.
    async fn close(&self) -> Result<(), LogError> {
        for committer in &self.shared.committers {
            committer.close().await?;
        }
        self.tails.close();
        self.shared.positions.close();
        let clients = self.shared.clients.clone();
        self.shared.runtime.blocking(move || clients.join()).await
    }
}

//! A place among the readers of a topic: one consumer of the group, and the thread that serves it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as BlockingMutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use azenha_engine::log::{Change, LaneLog, LogError, Membership, ReadLimit, Reader, Topic};
use azenha_model::{Fetched, Offset};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::{Mutex, mpsc};

use super::Shared;
use super::client::Kept;
use super::consume::{Ends, PartitionQueue};
use super::error::{Failure, storage};
use super::lane::{Authority, Claim, KafkaLane};
use super::positions::one;
use super::rebalance::{MemberContext, Partitions};
use super::stream::{Slot, Stopped, Stream};

/// How long the consumer's thread waits for an event before it looks whether it is still needed.
const POLL: Duration = Duration::from_millis(100);
/// How long a partition that was just assigned may take until it can be read.
const SEEK_WITHIN: Duration = Duration::from_secs(10);
const SEEK_EACH: Duration = Duration::from_millis(10);

/// A consumer that is a member of a group.
pub(super) struct Member {
    consumer: Kept<BaseConsumer<MemberContext>>,
    partitions: Arc<Partitions>,
}

impl Member {
    pub fn consumer(&self) -> &BaseConsumer<MemberContext> {
        &self.consumer
    }

    /// Serves the consumer until the membership is given up, and then leaves the group at once: readers and lanes
    /// may still keep the consumer.
    fn serve(&self) {
        while !self.partitions.is_leaving() {
            if let Some(Err(error)) = self.consumer.poll(POLL) {
                self.report(error);
            }
        }
        if self.consumer.close_queue().is_ok() {
            while !self.consumer.closed() {
                self.consumer.poll(POLL);
            }
        }
    }

    /// Tells what this consumer cannot get over; the rest is tried again by the library. None of it is for ever: a
    /// broker that has just started may know neither a topic nor a user.
    fn report(&self, error: KafkaError) {
        let is_fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        let failure = Failure::from(error);
        let topic = &self.partitions.topic;
        if is_fatal || failure.is_unknown() || failure.is_denied() {
            self.partitions.tell(Err(storage(&format!("reading topic `{topic}`"), failure)));
        } else {
            tracing::debug!(%failure, topic, "Kafka consumer");
        }
    }

    /// Makes the consumer read the partition from an offset on. Refused while the assignment is on its way, and
    /// after an offset that was out of range.
    fn seek(&self, partition: u32, from: Offset) -> Result<(), Failure> {
        let list = one(&self.partitions.topic, partition, from)?;
        // Paused first, so that nothing is read from where the last reader stood.
        self.consumer.pause(&list)?;
        let sought = self.consumer.seek_partitions(list, SEEK_WITHIN)?;
        sought.elements().iter().try_for_each(|element| element.error())?;
        self.resume(partition, &sought)
    }

    fn resume(&self, partition: u32, list: &TopicPartitionList) -> Result<(), Failure> {
        self.consumer.resume(list)?;
        // The library does not tell the thread that fetches, which would notice up to a second later: any request
        // wakes it.
        let _ = self.consumer.fetch_watermarks(&self.partitions.topic, partition as i32, SEEK_WITHIN);
        Ok(())
    }
}

/// A member of the group, until it is dropped.
pub(super) struct KafkaMembership {
    shared: Arc<Shared>,
    member: Arc<Member>,
    changes: Mutex<mpsc::UnboundedReceiver<Result<Change, LogError>>>,
    /// The readers of the partitions.
    slots: BlockingMutex<HashMap<u32, Arc<Slot>>>,
    /// Serves the consumer.
    thread: Option<JoinHandle<()>>,
}

impl KafkaMembership {
    pub fn join(shared: &Arc<Shared>, group: &str, topic: &Topic) -> Result<Self, LogError> {
        let name = &topic.spec.name;
        let what = || format!("joining the readers of topic `{name}`");
        let (tell, changes) = mpsc::unbounded_channel();
        let partitions = Arc::new(Partitions::new(group, topic, Arc::clone(&shared.claims), tell));
        let config = shared.options.member(&super::group_id(group));
        let context = MemberContext::new(&partitions);
        let subscribed = config.create_with_context(context).and_then(|consumer: BaseConsumer<MemberContext>| {
            consumer.subscribe(&[name])?;
            Ok(consumer)
        });
        let consumer = subscribed.map_err(|error| Failure::from(error).into_log(what()))?;
        let member = Arc::new(Member { consumer: Kept::new(consumer, &shared.clients), partitions });
        let served = Arc::clone(&member);
        let thread = std::thread::Builder::new().name("kafka-member".to_owned()).spawn(move || served.serve());
        let thread = Some(thread.map_err(|error| storage(&what(), error))?);
        let changes = Mutex::new(changes);
        Ok(Self { shared: Arc::clone(shared), member, changes, slots: BlockingMutex::default(), thread })
    }

    fn partitions(&self) -> &Partitions {
        &self.member.partitions
    }

    async fn seek(&self, partition: u32, from: Offset) -> Result<Result<(), Failure>, LogError> {
        let member = Arc::clone(&self.member);
        self.shared.runtime.blocking(move || member.seek(partition, from)).await
    }

    fn fenced(&self, partition: u32) -> LogError {
        LogError::Fenced(self.partitions().lane(partition))
    }

    /// Takes the queue of a partition from its last reader.
    fn slot(&self, partition: u32) -> Option<Arc<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = slots.remove(&partition) {
            last.retire();
        }
        let keeper = Arc::clone(&self.member);
        let queue =
            PartitionQueue::open(self.member.consumer(), keeper, &self.partitions().topic, partition, Ends::Asked)?;
        let slot = Slot::new(queue);
        slots.insert(partition, Arc::clone(&slot));
        Some(slot)
    }
}

impl std::fmt::Debug for KafkaMembership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Partitions { group, topic, .. } = self.partitions();
        f.debug_struct("KafkaMembership").field("group", group).field("topic", topic).finish_non_exhaustive()
    }
}

impl Drop for KafkaMembership {
    fn drop(&mut self) {
        self.partitions().leave();
        if let Some(thread) = self.thread.take() {
            // So that a log that is closed waits until the group is left.
            self.shared.clients.run(move || drop(thread.join()));
        }
    }
}

#[async_trait]
impl Membership for KafkaMembership {
    async fn changed(&self) -> Result<Change, LogError> {
        let mut changes = self.changes.lock().await;
        changes.recv().await.unwrap_or_else(|| Err(storage("waiting for partitions", "the log is closed")))
    }

    async fn release(&self, partitions: &[u32]) {
        self.partitions().release(partitions);
    }

    fn owns(&self, partition: u32) -> bool {
        self.partitions().is_owned(partition)
    }

    async fn take(&self, partition: u32) -> Result<Box<dyn LaneLog>, LogError> {
        let lane = self.partitions().lane(partition);
        let epoch = self.partitions().claim(partition).ok_or_else(|| self.fenced(partition))?;
        let committer = self.shared.committer(partition);
        // What the last owner here had under way happens before the position is read; and what this host left open
        // when it was killed is aborted, which the position would have to wait for.
        committer.open().await?;
        let topic_id = Arc::clone(&self.partitions().topic_id);
        let position = self.shared.positions.position_as(Arc::clone(&self.member), &lane, &topic_id).await?;
        let claims = Arc::clone(&self.shared.claims);
        let authority = Authority::Member(Arc::clone(&self.member));
        let claim = Claim { lane, topic_id, epoch, claims, authority };
        if !claim.is_current() {
            return Err(claim.fenced());
        }
        Ok(Box::new(KafkaLane { claim, position, committer, shared: Arc::clone(&self.shared) }))
    }

    async fn note(&self, partition: u32, position: Offset) {
        if !self.partitions().is_owned(partition) {
            return;
        }
        let noted = one(&self.partitions().topic, partition, position)
            .and_then(|list| self.member.consumer().commit(&list, CommitMode::Async));
        if let Err(error) = noted {
            tracing::debug!(%error, partition, "a position was not noted");
        }
    }

    async fn reader(&self, partition: u32, from: Offset) -> Result<Box<dyn Reader>, LogError> {
        let what = || format!("reading {}/{partition}", self.partitions().topic);
        if !self.partitions().is_owned(partition) {
            return Err(self.fenced(partition));
        }
        let slot = self.slot(partition).ok_or_else(|| storage(&what(), "the client has no such partition"))?;
        let begun = Instant::now();
        while let Err(failure) = self.seek(partition, from).await? {
            if begun.elapsed() > SEEK_WITHIN {
                // The library stopped reading it, for instance after an offset that was out of range, and does not
                // begin again. To assign it anew could answer a rebalance that is under way: this member leaves the
                // group and joins it again.
                self.partitions().tell(Err(storage(&what(), failure.clone())));
                return Err(failure.into_log(what()));
            }
            tracing::debug!(%failure, partition, "the assignment is on its way");
            self.shared.runtime.sleep(SEEK_EACH).await;
        }
        let stream = Stream::new(slot, from, self.shared.runtime.clone());
        let (shared, partitions) = (Arc::clone(&self.shared), Arc::clone(&self.member.partitions));
        Ok(Box::new(MemberReader { shared, partitions, partition, stream }))
    }
}

/// Reads a partition of a member.
struct MemberReader {
    shared: Arc<Shared>,
    partitions: Arc<Partitions>,
    partition: u32,
    stream: Stream,
}

#[async_trait]
impl Reader for MemberReader {
    async fn read(&mut self, limit: ReadLimit) -> Result<Fetched, LogError> {
        let failure = match self.stream.read(limit, 0).await {
            Ok(fetched) => return Ok(fetched),
            Err(Stopped::Failed(failure)) => failure,
            // Nothing is known to be there, so nothing stalls.
            Err(Stopped::Retired | Stopped::Stalled) => {
                return Err(LogError::Fenced(self.partitions.lane(self.partition)));
            }
        };
        let (topic, next) = (&self.partitions.topic, self.stream.next());
        if matches!(failure.code, RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) {
            self.shared.offsets.check(topic, self.partition, next).await?;
        }
        Err(self.shared.offsets.failed(failure, topic, self.partition))
    }
}

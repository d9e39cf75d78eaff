//! What a member of a group is given and what is taken from it, as the consumer's callbacks tell.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azenha_engine::log::{Change, LaneId, LogError, Topic};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::client::log_line;
use super::consume;
use super::error::Failure;
use super::lane::Claims;
use super::lifeline::{Trouble, Troubled};
use super::options::MAX_POLL_INTERVAL;

/// How long revoked partitions are waited for. Beyond that the group would go on without this member.
const RELEASE_WITHIN: Duration = MAX_POLL_INTERVAL.saturating_sub(Duration::from_secs(30));

/// A member's partitions. The consumer's thread changes them, lanes ask for them.
pub(super) struct Partitions {
    pub group: String,
    pub topic: String,
    pub topic_id: Arc<str>,
    claims: Arc<Claims>,
    changes: mpsc::UnboundedSender<Result<Change, LogError>>,
    held: Mutex<Held>,
    released: Condvar,
}

#[derive(Default)]
struct Held {
    /// Assigned, and not yet given up.
    owned: HashSet<u32>,
    /// Revoked, and not yet released.
    revoked: HashSet<u32>,
    /// Nobody will release anything any more.
    is_leaving: bool,
}

impl Partitions {
    pub fn new(
        group: &str,
        topic: &Topic,
        claims: Arc<Claims>,
        changes: mpsc::UnboundedSender<Result<Change, LogError>>,
    ) -> Self {
        let (group, topic_id, topic) = (group.to_owned(), topic.id.as_str().into(), topic.spec.name.clone());
        Self { group, topic, topic_id, claims, changes, held: Mutex::default(), released: Condvar::new() }
    }

    pub fn lane(&self, partition: u32) -> LaneId {
        LaneId { group: self.group.clone(), input: self.topic.clone(), partition }
    }

    /// Whether the partition is this member's, and stays so for now.
    pub fn is_owned(&self, partition: u32) -> bool {
        self.held().owned.contains(&partition)
    }

    /// The epoch of a new owner of the partition's lane; none if the partition is not this member's.
    pub fn claim(&self, partition: u32) -> Option<u64> {
        // Under the lock, so that a loss comes either before and is seen, or afterwards and fences.
        let held = self.held();
        held.owned.contains(&partition).then(|| self.claims.raise(&self.lane(partition)))
    }

    pub fn release(&self, partitions: &[u32]) {
        self.held().revoked.retain(|partition| !partitions.contains(partition));
        self.released.notify_all();
    }

    /// Gives everything up.
    pub fn leave(&self) {
        let mut held = self.held();
        held.is_leaving = true;
        let owned: Vec<u32> = held.owned.iter().copied().collect();
        self.give_up(&mut held, &owned);
        self.released.notify_all();
    }

    pub fn is_leaving(&self) -> bool {
        self.held().is_leaving
    }

    /// Tells whoever waits for changes.
    pub fn tell(&self, change: Result<Change, LogError>) {
        // Nobody is told who has left.
        let _ = self.changes.send(change);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on nothing is committed for these partitions by this member.
    fn give_up(&self, held: &mut Held, partitions: &[u32]) {
        for partition in partitions {
            if held.owned.remove(partition) {
                self.claims.raise(&self.lane(*partition));
            }
            held.revoked.remove(partition);
        }
    }

    fn assigned(&self, partitions: Vec<u32>) {
        self.held().owned.extend(&partitions);
        self.tell(Ok(Change::Assigned(partitions)));
    }

    /// Waits until the partitions are released, unless they are lost already.
    fn revoked(&self, partitions: Vec<u32>, lost: bool) {
        let mut held = self.held();
        if lost {
            self.give_up(&mut held, &partitions);
        }
        self.tell(Ok(Change::Revoked(partitions.clone())));
        if !lost && !held.is_leaving {
            held.revoked.extend(&partitions);
            let waits = |held: &mut Held| !held.revoked.is_empty() && !held.is_leaving;
            let waited = self.released.wait_timeout_while(held, RELEASE_WITHIN, waits);
            held = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.give_up(&mut held, &partitions);
    }
}

/// The callbacks of a member's consumer.
pub(super) struct MemberContext {
    pub partitions: Arc<Partitions>,
    trouble: Trouble,
}

impl MemberContext {
    pub fn new(partitions: &Arc<Partitions>) -> Self {
        Self { partitions: Arc::clone(partitions), trouble: Trouble::default() }
    }
}

impl Troubled for MemberContext {
    fn trouble(&self) -> &Trouble {
        &self.trouble
    }
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, topic = self.partitions.topic, "Kafka consumer");
        self.trouble.hear(&error);
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<u32> = list.elements().iter().map(|element| element.partition() as u32).collect();
        let done = if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            assign(consumer, &self.partitions.topic, list).inspect(|()| self.partitions.assigned(partitions))
        } else {
            self.partitions.revoked(partitions, consumer.assignment_lost());
            consumer.incremental_unassign(list)
        };
        if let Err(error) = done {
            let what = format!("sharing out topic `{}`", self.partitions.topic);
            self.partitions.tell(Err(Failure::from(error).into_log(what)));
        }
    }
}

/// Takes partitions over without reading them: a reader says from where. The offset stands for nothing, but an
/// absolute one spares the library to ask for it.
fn assign(
    consumer: &BaseConsumer<MemberContext>,
    topic: &str,
    list: &mut TopicPartitionList,
) -> Result<(), KafkaError> {
    for element in list.elements() {
        consume::split_for_later(consumer, topic, element.partition() as u32);
    }
    list.set_all_offsets(Offset::Offset(0))?;
    if list.count() > 0 {
        consumer.pause(list)?;
    }
    consumer.incremental_assign(list)
}

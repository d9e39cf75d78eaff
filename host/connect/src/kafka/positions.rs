//! Where groups stand: the offsets that they have committed.
//!
//! Each group is asked about by a consumer of its own that never joins it: the library's requests for any group
//! do not notice when the group's coordinator moves to another broker.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use azenha_engine::log::{LaneId, LogError};
use azenha_model::Offset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::client::{Clients, Context, Kept};
use super::error::Failure;
use super::group_id;
use super::membership::Member;
use super::options::KafkaOptions;
use super::runtime::Runtime;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How often a position is asked for that is about to change.
const ASK_EACH: Duration = Duration::from_millis(10);
/// Consumers that are kept for the next question.
const KEPT: usize = 16;

type Asker = Arc<Kept<BaseConsumer<Context>>>;

/// Asks for the positions of groups, and sets them.
pub(super) struct Positions {
    options: KafkaOptions,
    clients: Clients,
    runtime: Runtime,
    /// How long open transactions may take to end.
    settle_within: Duration,
    /// By group; the one that was used last stands last.
    askers: Mutex<Vec<(String, Asker)>>,
}

impl Positions {
    pub fn new(options: &KafkaOptions, clients: &Clients, runtime: Runtime, settle_within: Duration) -> Self {
        Self { options: options.clone(), clients: clients.clone(), runtime, settle_within, askers: Mutex::default() }
    }

    /// The committed position, once no transaction is about to change it.
    pub async fn position(&self, lane: &LaneId) -> Result<Option<Offset>, LogError> {
        let asker = self.asker(&lane.group).map_err(|failure| failure.into_log(reading(lane)))?;
        let found = self.settled(lane, move |lane| {
            let found = committed(&asker, lane);
            serve(&asker);
            found
        });
        Ok(found.await?.map(|committed| committed.position))
    }

    /// As `position`, for a lane of a member; an error if it is a position in another topic of that name.
    pub async fn position_as(
        &self,
        member: Arc<Member>,
        lane: &LaneId,
        topic_id: &str,
    ) -> Result<Option<Offset>, LogError> {
        match self.settled(lane, move |lane| committed(member.consumer(), lane)).await? {
            // Offsets that were set by tools say nothing of the topic.
            Some(found) if !found.topic_id.is_empty() && found.topic_id != topic_id => {
                Err(LogError::Replaced(lane.input.clone()))
            }
            found => Ok(found.map(|committed| committed.position)),
        }
    }

    /// Sets the position of a group without members.
    pub async fn set(&self, lane: &LaneId, position: Offset) -> Result<(), LogError> {
        let failed = |failure: Failure| failure.into_log(format!("setting the position of {lane}"));
        let (asker, asked) = (self.asker(&lane.group).map_err(failed)?, lane.clone());
        let set = self.runtime.blocking(move || {
            let list = one(&asked.input, asked.partition, position)?;
            let done = asker.commit(&list, CommitMode::Sync);
            serve(&asker);
            done.map_err(Failure::from)
        });
        set.await?.map_err(|failure| match failure.code {
            RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::NonEmptyGroup
            | RDKafkaErrorCode::RebalanceInProgress => LogError::InUse(lane.clone()),
            _ => failed(failure),
        })
    }

    /// Destroys the consumers.
    pub fn close(&self) {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn settled(
        &self,
        lane: &LaneId,
        ask: impl Fn(&LaneId) -> Result<Option<Committed>, Failure> + Send + Sync + 'static,
    ) -> Result<Option<Committed>, LogError> {
        let begun = Instant::now();
        let ask = Arc::new(ask);
        loop {
            let (ask, asked) = (Arc::clone(&ask), lane.clone());
            match self.runtime.blocking(move || ask(&asked)).await? {
                Err(failure) if failure.is_passing() && begun.elapsed() < self.settle_within => {
                    self.runtime.sleep(ASK_EACH).await;
                }
                found => return found.map_err(|failure| held(failure).into_log(reading(lane))),
            }
        }
    }

    fn asker(&self, group: &str) -> Result<Asker, Failure> {
        let mut askers = self.askers.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = match askers.iter().position(|(kept, _)| kept == group) {
            Some(found) => askers.remove(found),
            None => {
                let consumer = self.options.asker(&group_id(group)).create_with_context(Context::default())?;
                (group.to_owned(), Arc::new(Kept::new(consumer, &self.clients)))
            }
        };
        if askers.len() == KEPT {
            askers.remove(0);
        }
        let asker = Arc::clone(&kept.1);
        askers.push(kept);
        Ok(asker)
    }
}

/// While a transaction is about to change a position, the library asks again and again, and says only that time is over.
fn held(failure: Failure) -> Failure {
    match failure.code {
        RDKafkaErrorCode::OperationTimedOut => {
            let reason = format!("{}; a transaction that is about to change it may be open", failure.reason);
            Failure { reason, ..failure }
        }
        _ => failure,
    }
}

fn reading(lane: &LaneId) -> String {
    format!("reading the position of {lane}")
}

/// What a group has committed for a partition.
struct Committed {
    position: Offset,
    /// The topic's identity when it was committed; empty if the commit was not a lane's.
    topic_id: String,
}

fn committed<C: ConsumerContext>(consumer: &BaseConsumer<C>, lane: &LaneId) -> Result<Option<Committed>, Failure> {
    let mut list = TopicPartitionList::new();
    list.add_partition(&lane.input, lane.partition as i32);
    let found = consumer.committed_offsets(list, TIMEOUT)?;
    let elements = found.elements();
    let nothing = || Failure::new(RDKafkaErrorCode::Fail, "the answer holds no partition");
    let element = elements.first().ok_or_else(nothing)?;
    element.error()?;
    Ok(match element.offset() {
        KafkaOffset::Offset(offset) => {
            Some(Committed { position: offset as Offset, topic_id: element.metadata().to_owned() })
        }
        _ => None,
    })
}

/// Takes log lines, and errors that stand for themselves.
fn serve(asker: &BaseConsumer<Context>) {
    asker.poll(Duration::ZERO);
}

/// A list of one offset.
pub(super) fn one(topic: &str, partition: u32, offset: Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition as i32, KafkaOffset::Offset(offset as i64))?;
    Ok(list)
}

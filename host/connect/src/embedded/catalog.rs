//! What the log holds, in memory. The directory lock makes this process the only one that writes, so memory
//! is the truth between `open` and `close`: bounds and positions change here once they are committed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use azenha_engine::log::{Bounds, LaneId, LogError, Topic};
use azenha_model::Offset;
use tokio::sync::watch;

/// A partition of a topic.
#[derive(Debug)]
pub(super) struct Partition {
    /// The row of table `partitions`.
    pub id: i64,
    pub topic: String,
    pub number: u32,
    /// What is committed. Readers that wait at the end watch it.
    pub bounds: watch::Sender<Bounds>,
}

impl Partition {
    /// The bounds, if `offset` is within them or at their end.
    pub fn bounds_around(&self, offset: Offset) -> Result<Bounds, LogError> {
        let bounds = *self.bounds.borrow();
        if (bounds.start..=bounds.end).contains(&offset) { Ok(bounds) } else { Err(self.out_of_range(offset)) }
    }

    pub fn out_of_range(&self, offset: Offset) -> LogError {
        let Bounds { start, end } = *self.bounds.borrow();
        LogError::OutOfRange { topic: self.topic.clone(), partition: self.number, offset, start, end }
    }
}

/// A topic and its partitions, in order.
#[derive(Debug)]
pub(super) struct TopicEntry {
    pub topic: Topic,
    pub partitions: Vec<Arc<Partition>>,
}

impl TopicEntry {
    pub fn partition(&self, number: u32) -> Result<&Arc<Partition>, LogError> {
        let partition = self.partitions.get(number as usize);
        partition.ok_or_else(|| LogError::NoSuchPartition { topic: self.topic.spec.name.clone(), partition: number })
    }
}

/// A lane: who may commit, and how far it came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LaneEntry {
    /// Raised each time that the lane is taken. An owner from before a restart is gone with its process, so
    /// epochs need no place on disk.
    pub epoch: u64,
    pub position: Option<Offset>,
}

#[derive(Debug, Default)]
pub(super) struct Catalog {
    topics: Mutex<BTreeMap<String, Arc<TopicEntry>>>,
    lanes: Mutex<HashMap<LaneId, LaneEntry>>,
}

/// A panic elsewhere leaves these maps whole: each change is one insertion.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Catalog {
    pub fn insert_topic(&self, entry: Arc<TopicEntry>) {
        lock(&self.topics).insert(entry.topic.spec.name.clone(), entry);
    }

    pub fn topic(&self, name: &str) -> Option<Arc<TopicEntry>> {
        lock(&self.topics).get(name).cloned()
    }

    /// By name.
    pub fn topics(&self) -> Vec<Topic> {
        lock(&self.topics).values().map(|entry| entry.topic.clone()).collect()
    }

    pub fn partition(&self, topic: &str, number: u32) -> Result<Arc<Partition>, LogError> {
        let entry = self.topic(topic).ok_or_else(|| LogError::NoSuchTopic(topic.to_owned()))?;
        entry.partition(number).cloned()
    }

    pub fn lane(&self, lane: &LaneId) -> LaneEntry {
        lock(&self.lanes).get(lane).copied().unwrap_or_default()
    }

    /// Makes the caller the owner of a lane: its new epoch, and the committed position.
    pub fn take_lane(&self, lane: LaneId) -> LaneEntry {
        let mut lanes = lock(&self.lanes);
        let entry = lanes.entry(lane).or_default();
        entry.epoch += 1;
        *entry
    }

    pub fn move_lane(&self, lane: LaneId, position: Offset) {
        lock(&self.lanes).entry(lane).or_default().position = Some(position);
    }
}

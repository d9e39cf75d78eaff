//! Groups of the embedded log: a process has it to itself, so that every group has one member.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use azenha_engine::log::{Change, LaneId, LaneLog, Log, LogError, Membership, ReadLimit, Reader};
use azenha_model::plan::TopicSpec;
use azenha_model::{Fetched, Offset};

use super::EmbeddedLog;

/// A member to which every partition falls.
#[derive(Debug)]
pub(super) struct OnlyMember {
    log: EmbeddedLog,
    group: String,
    topic: Arc<str>,
    partitions: u32,
    /// Whether it was told that the partitions are its own.
    told: AtomicBool,
}

impl OnlyMember {
    pub fn new(log: EmbeddedLog, group: &str, topic: &TopicSpec) -> Self {
        let told = AtomicBool::new(false);
        Self { log, group: group.to_owned(), topic: topic.name.as_str().into(), partitions: topic.partitions, told }
    }
}

#[async_trait]
impl Membership for OnlyMember {
    async fn changed(&self) -> Result<Change, LogError> {
        if self.told.swap(true, Ordering::Relaxed) {
            return pending().await;
        }
        Ok(Change::Assigned((0..self.partitions).collect()))
    }

    async fn release(&self, _partitions: &[u32]) {}

    fn owns(&self, partition: u32) -> bool {
        partition < self.partitions
    }

    async fn take(&self, partition: u32) -> Result<Box<dyn LaneLog>, LogError> {
        let (group, input) = (self.group.clone(), self.topic.to_string());
        self.log.take_lane(&LaneId { group, input, partition }).await
    }

    /// Nobody asks: whoever reads an internal topic is in this process, and tells its position itself.
    async fn note(&self, _partition: u32, _position: Offset) {}

    async fn reader(&self, partition: u32, from: Offset) -> Result<Box<dyn Reader>, LogError> {
        self.log.catalog.partition(&self.topic, partition)?.bounds_around(from)?;
        Ok(Box::new(EmbeddedPartition { log: self.log.clone(), topic: Arc::clone(&self.topic), partition, next: from }))
    }
}

/// A partition that is read on and on.
struct EmbeddedPartition {
    log: EmbeddedLog,
    topic: Arc<str>,
    partition: u32,
    next: Offset,
}

#[async_trait]
impl Reader for EmbeddedPartition {
    async fn read(&mut self, limit: ReadLimit) -> Result<Fetched, LogError> {
        let fetched = self.log.read(&self.topic, self.partition, self.next, limit).await?;
        self.next = fetched.next;
        Ok(fetched)
    }
}

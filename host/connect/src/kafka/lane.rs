//! The right to commit for a lane: who has it in this process, and in whose name the brokers are asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use azenha_engine::log::{Commit, LaneId, LaneLog, LogError};
use azenha_model::Offset;

use super::Shared;
use super::committer::{Committer, Write};
use super::membership::Member;
use super::transaction::GroupMetadata;

/// The owners of lanes in this process. The brokers fence hosts from each other; within a host this does.
#[derive(Debug, Default)]
pub(super) struct Claims {
    epochs: Mutex<HashMap<LaneId, u64>>,
}

impl Claims {
    /// Ends the right of whoever had the lane here; the epoch is the next owner's.
    pub fn raise(&self, lane: &LaneId) -> u64 {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = epochs.entry(lane.clone()).or_default();
        *epoch += 1;
        *epoch
    }

    fn is_current(&self, lane: &LaneId, epoch: u64) -> bool {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner).get(lane) == Some(&epoch)
    }
}

/// In whose name the offsets of a lane are committed.
#[derive(Clone)]
pub(super) enum Authority {
    /// A member of the lane's group: the brokers refuse it when the partition went to another one.
    Member(Arc<Member>),
    /// The group alone: the committer's transactional id is the lane's, and fences earlier owners.
    Group,
}

/// The right of one owner of a lane.
#[derive(Clone)]
pub(super) struct Claim {
    pub lane: LaneId,
    /// Of the lane's input: stands beside its offsets, and tells them from those of another topic of that name.
    pub topic_id: Arc<str>,
    pub epoch: u64,
    pub claims: Arc<Claims>,
    pub authority: Authority,
}

impl Claim {
    /// Whether nobody took the lane since, and it was not lost, as far as this process knows.
    pub fn is_current(&self) -> bool {
        self.claims.is_current(&self.lane, self.epoch)
    }

    /// What the brokers check the owner by; none if it is no member any more.
    pub fn metadata(&self) -> Option<GroupMetadata> {
        match &self.authority {
            Authority::Member(member) => GroupMetadata::of_member(member.consumer()),
            Authority::Group => GroupMetadata::of_group(&super::group_id(&self.lane.group)),
        }
    }

    /// Claims with the same metadata have the same key.
    pub fn key(&self) -> (&str, usize) {
        match &self.authority {
            Authority::Member(member) => (&self.lane.group, Arc::as_ptr(member).addr()),
            Authority::Group => (&self.lane.group, 0),
        }
    }

    pub fn fenced(&self) -> LogError {
        LogError::Fenced(self.lane.clone())
    }
}

/// A lane that was taken.
pub(super) struct KafkaLane {
    pub claim: Claim,
    pub position: Option<Offset>,
    pub committer: Committer,
    pub shared: Arc<Shared>,
}

#[async_trait]
impl LaneLog for KafkaLane {
    fn position(&self) -> Option<Offset> {
        self.position
    }

    async fn commit(&mut self, commit: Commit) -> Result<(), LogError> {
        if !self.claim.is_current() {
            return Err(self.claim.fenced());
        }
        let position = Some((self.claim.clone(), commit.position));
        self.shared.write(&self.committer, Write { appends: commit.appends, position }).await
    }
}

//! Reads one partition on and on, and waits where it ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use azenha_engine::log::ReadLimit;
use azenha_model::{Fetched, Offset};
use tokio::sync::Notify;

use super::consume::{PartitionQueue, Taken};
use super::error::Failure;
use super::runtime::Runtime;

/// How long records that are there may take to come.
const PATIENCE: Duration = Duration::from_secs(15);

/// A partition's queue, until the next reader gets it.
pub(super) struct Slot {
    queue: Mutex<Option<PartitionQueue>>,
    filled: Arc<Notify>,
}

impl Slot {
    pub fn new(queue: PartitionQueue) -> Arc<Self> {
        let filled = Arc::clone(queue.filled());
        Arc::new(Self { queue: Mutex::new(Some(queue)), filled })
    }

    /// Takes the queue away from the reader.
    pub fn retire(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.filled.notify_one();
    }

    /// None once it was taken away.
    fn take(&self, from: Offset, limit: ReadLimit) -> Option<Taken> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().map(|queue| queue.take(from, limit))
    }
}

/// Why a stream gave nothing.
pub(super) enum Stopped {
    /// Another reader has the partition.
    Retired,
    /// The client says so.
    Failed(Failure),
    /// Nothing comes of what is known to be there.
    Stalled,
}

/// A position in a partition that moves with what is read.
pub(super) struct Stream {
    slot: Arc<Slot>,
    next: Offset,
    /// What came behind the records that were read last.
    failure: Option<Failure>,
    runtime: Runtime,
}

impl Stream {
    pub fn new(slot: Arc<Slot>, from: Offset, runtime: Runtime) -> Self {
        Self { slot, next: from, failure: None, runtime }
    }

    /// The offset that is read next.
    pub fn next(&self) -> Offset {
        self.next
    }

    /// Records; or none once `limit.wait` is over, or the end turned out to lie further on, behind what is no
    /// record. What is known to be there, up to offset `there`, is waited for longer.
    pub async fn read(&mut self, limit: ReadLimit, there: Offset) -> Result<Fetched, Stopped> {
        let begun = Instant::now();
        loop {
            if let Some(failure) = self.failure.take() {
                return Err(Stopped::Failed(failure));
            }
            let taken = self.slot.take(self.next, limit).ok_or(Stopped::Retired)?;
            let has_moved = taken.fetched.next > self.next;
            self.next = taken.fetched.next;
            self.failure = taken.failure;
            let is_behind = self.next < there;
            if !taken.fetched.offsets.is_empty() || (has_moved && !is_behind) {
                return Ok(taken.fetched);
            }
            if self.failure.is_some() {
                continue;
            }
            let wait = if is_behind { PATIENCE.max(limit.wait) } else { limit.wait };
            let left = wait.saturating_sub(begun.elapsed());
            match (left.is_zero(), is_behind) {
                (false, _) => self.wait(left).await,
                (true, false) => return Ok(taken.fetched),
                (true, true) => return Err(Stopped::Stalled),
            }
        }
    }

    /// Waits until the queue is filled, or until the time is over.
    async fn wait(&self, time: Duration) {
        tokio::select! {
            () = self.slot.filled.notified() => {}
            () = self.runtime.sleep(time) => {}
        }
    }
}

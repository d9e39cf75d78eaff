//! What runs and how it does: written by lanes, read by the API, the metrics and whoever waits for the end.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azenha_model::Offset;
use serde::Serialize;
use tokio::sync::watch;

use crate::edition::Version;

/// How a lane is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LaneState {
    /// The group has not said yet which host reads the partition.
    Joining,
    /// Another host of the group reads the partition.
    Elsewhere,
    /// Taking its input over and reading its state back.
    Restoring,
    /// Reading, transforming, committing.
    Running,
    /// Something outside failed; the lane will start again from its last commit.
    Retrying {
        /// What failed.
        error: String,
        /// How often, since the last commit.
        failures: u32,
    },
    /// It cannot go on; a person has to decide.
    Failed {
        /// What failed, and what would help.
        error: String,
    },
    /// It was asked to stop and has committed all that it did.
    Stopped,
}

/// Upper bounds of the commit time histogram's buckets, in microseconds; the last bucket has none.
pub const COMMIT_BUCKETS: [u64; 8] = [1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000];

/// Counters of one lane since the host started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records read.
    pub records: AtomicU64,
    /// Bytes of their keys and values.
    pub bytes: AtomicU64,
    /// Batches handed to the first plugin, or to the end if there is none.
    pub batches: AtomicU64,
    /// Rows written to topics or stores.
    pub rows_out: AtomicU64,
    /// Dead letters written.
    pub dead_letters: AtomicU64,
    /// Those of them that came too late for their windows.
    pub late: AtomicU64,
    /// Plugin calls that failed: traps, time-outs, errors, broken output.
    pub failures: AtomicU64,
    /// Times that the lane began again at its last commit, because something outside failed.
    pub retries: AtomicU64,
    /// Nanoseconds spent in plugins.
    pub plugin_nanos: AtomicU64,
    /// Commits.
    pub commits: AtomicU64,
    /// Nanoseconds that commits took.
    pub commit_nanos: AtomicU64,
    /// Commits by duration; see [`COMMIT_BUCKETS`].
    pub commit_buckets: [AtomicU64; COMMIT_BUCKETS.len() + 1],
    /// Groups in the state.
    pub state_groups: AtomicU64,
    /// Bytes of their keys and accumulators.
    pub state_bytes: AtomicU64,
}

impl Counters {
    /// Counts one commit that took so many nanoseconds.
    pub fn commit(&self, nanos: u64) {
        self.commits.fetch_add(1, Relaxed);
        self.commit_nanos.fetch_add(nanos, Relaxed);
        let bucket = COMMIT_BUCKETS.partition_point(|bound| nanos / 1_000 > *bound);
        self.commit_buckets[bucket].fetch_add(1, Relaxed);
    }
}

/// Whoever waits for a lane gives up once it has failed so often without a commit: about half a minute.
const PATIENCE: u32 = 8;

/// No event time was seen yet.
pub const NO_TIME: i64 = i64::MIN;

/// A lane went over to another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switched {
    /// The version.
    pub version: Version,
    /// The first offset that is read with it.
    pub from: Offset,
    /// How long the lane processed nothing.
    pub pause: Duration,
}

/// One lane: a task's reader of one partition.
#[derive(Debug)]
pub struct LaneStatus {
    /// The partition of the task's input.
    pub partition: u32,
    /// Counters since the host started.
    pub counters: Counters,
    /// Highest event time committed, in microseconds, or [`NO_TIME`].
    pub event_time: AtomicI64,
    /// The watermark in microseconds, or [`NO_TIME`].
    pub watermark: AtomicI64,
    /// The version that it runs; 0 before it is restored, and for a file's pipeline.
    pub version: AtomicU64,
    committed: watch::Sender<Option<Offset>>,
    state: Mutex<LaneState>,
    switched: Mutex<Option<Switched>>,
}

impl LaneStatus {
    pub(crate) fn new(partition: u32) -> Self {
        Self {
            partition,
            counters: Counters::default(),
            event_time: AtomicI64::new(NO_TIME),
            watermark: AtomicI64::new(NO_TIME),
            committed: watch::Sender::default(),
            version: AtomicU64::new(0),
            state: Mutex::new(LaneState::Joining),
            switched: Mutex::default(),
        }
    }

    /// The last time that it went over to another version while it ran.
    pub fn switched(&self) -> Option<Switched> {
        *self.switched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_switched(&self, switched: Switched) {
        *self.switched.lock().unwrap_or_else(PoisonError::into_inner) = Some(switched);
    }

    /// How the lane is doing.
    pub fn state(&self) -> LaneState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next offset to read according to the last commit; none before the lane is restored, or if it is elsewhere.
    pub fn committed(&self) -> Option<Offset> {
        *self.committed.borrow()
    }

    pub(crate) fn set_state(&self, state: LaneState) {
        let gone = matches!(state, LaneState::Elsewhere);
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        // Whoever waits for a position must also learn that it will not come.
        self.committed.send_modify(|committed| {
            if gone {
                *committed = None;
            }
        });
    }

    pub(crate) fn set_committed(&self, position: Offset) {
        self.committed.send_replace(Some(position));
    }

    /// Waits until every record before `target` is committed; an error if the lane failed or was stopped, or fails
    /// again and again. What another host reads is not waited for.
    pub async fn reach(&self, target: Offset) -> Result<(), String> {
        let mut committed = self.committed.subscribe();
        loop {
            let reached = committed.borrow_and_update().is_some_and(|position| position >= target);
            match self.state() {
                LaneState::Failed { error } => return Err(error),
                LaneState::Retrying { error, failures } if failures >= PATIENCE => return Err(error),
                LaneState::Elsewhere => return Ok(()),
                _ if reached => return Ok(()),
                LaneState::Stopped => return Err("it was stopped".to_owned()),
                _ => {}
            }
            if committed.changed().await.is_err() {
                return Err("it has ended".to_owned());
            }
        }
    }
}

/// A task and its lanes, by partition.
#[derive(Debug, Clone)]
pub struct TaskStatus {
    /// The task's name: a step's or sink's, `.fold` for the half before an exchange.
    pub task: String,
    /// The topic that it reads.
    pub input: String,
    /// One for each partition of the input.
    pub lanes: Vec<Arc<LaneStatus>>,
}

//! The log that everything is read from and written to, as the engine sees it. Kafka is one, the embedded
//! log another; `tests/` holds the conformance suite that every implementation passes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azenha_model::plan::TopicSpec;
use azenha_model::{Fetched, Offset, Records};

use crate::error::EngineError;

/// A partition is read so often, at most, if it is purged meanwhile.
const READINGS: u32 = 100;

/// A topic as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name, partitions and kind.
    pub spec: TopicSpec,
    /// Differs between a topic and one of the same name that was made after it was deleted.
    pub id: String,
}

/// The offsets that a partition holds: `start..end`. Its end is the offset of the next record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that can be read.
    pub start: Offset,
    /// The offset that the next record will have.
    pub end: Offset,
}

/// How much to read at once, and how long to wait for the first record.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimit {
    /// A hint: stored batches are not cut, so somewhat more may come.
    pub records: usize,
    /// A hint like `records`; keys and values count.
    pub bytes: usize,
    /// Zero: answer at once.
    pub wait: Duration,
}

/// Records for one partition.
#[derive(Debug, Clone)]
pub struct Append {
    /// A topic that exists.
    pub topic: String,
    /// One of its partitions.
    pub partition: u32,
    /// In the order in which readers will see them.
    pub records: Records,
}

/// The reader of one partition of one input on behalf of one group. At any time one owner's commits succeed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LaneId {
    /// `pipeline.task`; for a feed, what is fed and whereto.
    pub group: String,
    /// A topic that exists.
    pub input: String,
    /// The partition of the input.
    pub partition: u32,
}

impl std::fmt::Display for LaneId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}/{}", self.group, self.input, self.partition)
    }
}

/// What a lane commits: all of it or nothing.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// The next offset to read.
    pub position: Offset,
    /// Outputs, dead letters, messages to the next task, and state.
    pub appends: Vec<Append>,
}

/// Why the log did not do what was asked.
///
/// Nothing was written, except after `Storage`: then a commit may or may not have happened. The lane is taken again,
/// and its stored position tells.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A topic that was never made, or was deleted.
    #[error("there is no topic `{0}`")]
    NoSuchTopic(String),
    /// A topic of the same name as the one that was read before.
    #[error(
        "topic `{0}` was deleted and made anew: the positions in it mean nothing any more; give the step or sink \
         another name, with which it starts over"
    )]
    Replaced(String),
    /// A topic that exists is not as a pipeline says.
    #[error(
        "topic `{topic}` has {found} partitions, but the pipeline says {wanted}; \
         write `partitions: {found}`, or name another topic"
    )]
    PartitionsDiffer {
        /// The topic.
        topic: String,
        /// Its partitions.
        found: u32,
        /// The pipeline's.
        wanted: u32,
    },
    /// A partition beyond those of the topic.
    #[error("topic `{topic}` has no partition {partition}")]
    NoSuchPartition {
        /// The topic.
        topic: String,
        /// The partition that was asked for.
        partition: u32,
    },
    /// An offset that was purged, or was never written.
    #[error(
        "offset {offset} is outside of {topic}/{partition}, which holds {start}..{end}: the position \
         belongs to another log, or the records are gone; bring that log back, or give the step or sink another name, \
         with which it starts over"
    )]
    OutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The offset that was asked for.
        offset: Offset,
        /// The first that can be read.
        start: Offset,
        /// The one that the next record will have.
        end: Offset,
    },
    /// A record that this log cannot hold, however often it is tried.
    #[error("a record of {bytes} bytes is too large for topic `{topic}`: the log holds up to {limit} bytes a record")]
    TooLarge {
        /// The topic.
        topic: String,
        /// Of the record's key and value.
        bytes: usize,
        /// The most that key and value may have.
        limit: usize,
    },
    /// A topic that exists has a setting with which it would not keep what it must keep.
    #[error("topic `{topic}` has {setting}={found}, but it must be {wanted}: {why}")]
    Unfit {
        /// The topic.
        topic: String,
        /// The setting's name.
        setting: String,
        /// Its value.
        found: String,
        /// The value that it must have.
        wanted: String,
        /// What would go wrong.
        why: String,
    },
    /// The lane has a new owner: this one must not go on.
    #[error("another owner took over the lane {0}")]
    Fenced(LaneId),
    /// A lane that somebody reads cannot be moved.
    #[error("{0} is being read; pause its pipeline on every host first")]
    InUse(LaneId),
    /// Whatever keeps the log does not let this host do what it must: credentials, rights, settings.
    #[error("{what}: {reason}")]
    Denied {
        /// What was being done.
        what: String,
        /// Why not.
        reason: String,
    },
    /// Whatever keeps the log failed: a disk, a network, a broker.
    #[error("{what}: {source}")]
    Storage {
        /// What was being done.
        what: String,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl LogError {
    /// Whether trying again later may succeed without anybody changing anything.
    pub fn is_passing(&self) -> bool {
        // A lane that is still this host's is taken back; one that is not will be revoked.
        matches!(self, Self::Storage { .. } | Self::Fenced(_))
    }
}

/// Topics of records, lanes with positions, and commits that cover both.
#[async_trait]
pub trait Log: Send + Sync + std::fmt::Debug {
    /// Creates a topic, or checks that the one that exists is as it must be.
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<Topic, LogError>;

    /// A topic, if it exists.
    async fn topic(&self, name: &str) -> Result<Option<Topic>, LogError>;

    /// All topics, by name.
    async fn topics(&self) -> Result<Vec<Topic>, LogError>;

    /// The most bytes that key and value of a record of a topic may have; none if the log does not say.
    async fn record_limit(&self, topic: &str) -> Result<Option<usize>, LogError>;

    /// What a partition holds that can be read now.
    async fn bounds(&self, topic: &str, partition: u32) -> Result<Bounds, LogError>;

    /// The end of a partition once every commit that had begun when this was called has happened or failed: a new
    /// owner of a lane reads its state up to there.
    async fn settled_end(&self, topic: &str, partition: u32) -> Result<Offset, LogError>;

    /// Appends to any number of partitions: all of it or nothing; durable when this returns.
    async fn append(&self, appends: Vec<Append>) -> Result<(), LogError>;

    /// Committed records from offset `from` on; none if the end is reached and the wait is over.
    /// An offset below the start or above the end is `OutOfRange`.
    async fn read(&self, topic: &str, partition: u32, from: Offset, limit: ReadLimit) -> Result<Fetched, LogError>;

    /// Deletes the records below `before`. May be repeated; a batch that reaches beyond is kept whole.
    async fn purge(&self, topic: &str, partition: u32, before: Offset) -> Result<(), LogError>;

    /// Joins the readers of a topic on behalf of a group, `pipeline.task`. The topic's partitions are shared among
    /// the members of a group, each of which may be another host.
    async fn join(&self, group: &str, topic: &str) -> Result<Arc<dyn Membership>, LogError>;

    /// Takes a lane that no group shares out, from whoever held it: commits of an earlier owner fail with `Fenced`
    /// from now on.
    async fn take_lane(&self, lane: &LaneId) -> Result<Box<dyn LaneLog>, LogError>;

    /// The committed or noted position of a lane, for status and lag; none before its first commit.
    async fn position(&self, lane: &LaneId) -> Result<Option<Offset>, LogError>;

    /// Sets the position of a lane that nobody reads: of a task without state, while its pipeline is paused.
    /// `InUse` if some host still reads it.
    async fn set_position(&self, lane: &LaneId, position: Offset) -> Result<(), LogError>;

    /// Finishes what is being written and gives free what this machine holds of the log; later calls fail.
    async fn close(&self) -> Result<(), LogError> {
        Ok(())
    }
}

/// What changes for a member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These partitions are this member's from now on.
    Assigned(Vec<u32>),
    /// These partitions go to other members once they are released. Whoever lost them already finds out by
    /// commits that are `Fenced`.
    Revoked(Vec<u32>),
}

/// A place among the readers of a topic. It is given up when this is dropped.
#[async_trait]
pub trait Membership: Send + Sync + std::fmt::Debug {
    /// Waits for the next change. Only one caller may wait at a time; nothing is lost if it stops waiting.
    async fn changed(&self) -> Result<Change, LogError>;

    /// Lets revoked partitions go, once nothing is done for them any more.
    async fn release(&self, partitions: &[u32]);

    /// Whether a partition is this member's, as far as it knows.
    fn owns(&self, partition: u32) -> bool;

    /// Takes the right to commit for a partition that is this member's: commits of an earlier owner, here or
    /// elsewhere, fail with `Fenced` from now on.
    async fn take(&self, partition: u32) -> Result<Box<dyn LaneLog>, LogError>;

    /// Remembers how far a lane has come that keeps its position elsewhere, in a store: what `Log::position` gives
    /// then. Nothing depends on it but lag, and how soon internal records are purged: it may fail in silence.
    async fn note(&self, partition: u32, position: Offset);

    /// Reads a partition that is this member's, from an offset on. An earlier reader of it reads no more.
    async fn reader(&self, partition: u32, from: Offset) -> Result<Box<dyn Reader>, LogError>;
}

/// Reads one partition on and on.
#[async_trait]
pub trait Reader: Send {
    /// Committed records behind those that were read before; none if the end is reached and the wait is over.
    /// An offset that the partition does not hold is `OutOfRange`.
    async fn read(&mut self, limit: ReadLimit) -> Result<Fetched, LogError>;
}

/// The right to commit for one lane.
#[async_trait]
pub trait LaneLog: Send {
    /// The committed position when the lane was taken; none if it never committed.
    fn position(&self) -> Option<Offset>;

    /// Commits position and records together; durable when this returns. Who reads a record of an append finds those of
    /// the appends before it with [`read_settled`].
    async fn commit(&mut self, commit: Commit) -> Result<(), LogError>;
}

/// Reads what a partition holds now, once commits under way have happened or failed: from an offset on, or the first one
/// that there is. `next` goes along; what was taken is not taken again by whoever calls this anew after an error.
pub async fn read_settled<E: From<LogError>>(
    log: &dyn Log,
    topic: &str,
    partition: u32,
    next: &mut Offset,
    mut take: impl FnMut(&Fetched) -> Result<(), E>,
) -> Result<(), E> {
    // First where it begins: what is purged from here on is out of range, and not passed over.
    *next = (*next).max(log.bounds(topic, partition).await?.start);
    let end = log.settled_end(topic, partition).await?;
    while *next < end {
        let limit = ReadLimit { records: 1_000, bytes: 16 << 20, wait: Duration::ZERO };
        let fetched = log.read(topic, partition, *next, limit).await?;
        if fetched.next == *next {
            let what = format!("reading {topic}/{partition} from offset {next} to its end, {end}");
            return Err(LogError::Storage { what, source: "nothing came".into() }.into());
        }
        *next = fetched.next;
        take(&fetched)?;
    }
    Ok(())
}

/// Reads all that a partition holds now, like [`read_settled`], into a new `T`. Where a purge comes in between it begins
/// anew: what was read so far may lack what a purged record said, and what is left is whole by itself.
pub async fn read_whole<T: Default>(
    log: &dyn Log,
    topic: &str,
    partition: u32,
    mut take: impl FnMut(&mut T, &Fetched) -> Result<(), EngineError>,
) -> Result<T, EngineError> {
    let mut readings = 0;
    loop {
        let mut whole = T::default();
        readings += 1;
        match read_settled(log, topic, partition, &mut 0, |fetched| take(&mut whole, fetched)).await {
            Err(EngineError::Log(LogError::OutOfRange { .. })) if readings < READINGS => {}
            read => return read.map(|()| whole),
        }
    }
}

//! Stores of rows, as the engine sees them: SQL tables now, documents, search indexes and objects later.

use arrow_array::{BooleanArray, RecordBatch};
use async_trait::async_trait;
use azenha_model::Offset;
use azenha_model::plan::{Generation, StoreOutput};

/// Rows for a store, in the order of the log, with the store's column names.
#[derive(Debug, Clone)]
pub struct StoreRows {
    /// Their columns.
    pub batch: RecordBatch,
    /// True where the row with this key is deleted; only its key columns are set then.
    pub deletes: Option<BooleanArray>,
    /// The offset that each row came from.
    pub offsets: Vec<Offset>,
}

/// Who writes: one lane of one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLaneId {
    /// The pipeline.
    pub pipeline: String,
    /// Its sink.
    pub sink: String,
    /// The topic that it reads.
    pub topic: String,
    /// The topic's identity: offsets of another topic of the same name mean something else.
    pub topic_id: String,
    /// The partition of the topic.
    pub partition: u32,
    /// The version of the offsets.
    pub generation: Generation,
}

/// A row that the store refuses and why, with the index of its batch and its row in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// The index of its batch among those of the commit.
    pub batch: usize,
    /// Its row in the batch.
    pub row: usize,
    /// What the store said.
    pub reason: String,
}

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The table is not as the pipeline says; nothing helps but a person.
    #[error("{0}")]
    Definition(String),
    /// Another host owns this lane of the sink now.
    #[error("another host took over partition {partition} of sink `{sink}`")]
    Fenced {
        /// The sink.
        sink: String,
        /// The partition of its input.
        partition: u32,
    },
    /// Rows that break a constraint: nothing was written; without them the rest can be.
    #[error("{} row(s) refused; the first: {}", .0.len(), .0.first().map_or("", |row| row.reason.as_str()))]
    Refused(Vec<RefusedRow>),
    /// The store cannot be reached or failed: the commit may or may not have happened; opening the lane
    /// again tells.
    #[error("{what}: {source}")]
    Unavailable {
        /// What was being done.
        what: String,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A connection to a store.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Makes the table, or checks that the one that exists fits.
    async fn prepare(&self, output: &StoreOutput) -> Result<(), StoreError>;

    /// Takes a lane over: raises its epoch in the store, so that an earlier owner's commits fail.
    async fn open(&self, output: &StoreOutput, lane: &StoreLaneId) -> Result<Box<dyn StoreLane>, StoreError>;

    /// The next offset of a lane, whatever its generation, without taking it; none if it never wrote.
    async fn position(&self, lane: &StoreLaneId) -> Result<Option<Offset>, StoreError>;

    /// Sets the next offset of a lane. Its generation must be newer than those that wrote so far, whose owners are
    /// fenced; setting it again is no error.
    async fn set_position(&self, lane: &StoreLaneId, position: Offset) -> Result<(), StoreError>;

    /// Ends what was opened, once no lane is left and nothing more will be asked.
    async fn close(&self);
}

/// The right to write the rows of one partition.
#[async_trait]
pub trait StoreLane: Send {
    /// The next offset to read, as the store has it; none if this lane never wrote.
    fn position(&self) -> Option<Offset>;

    /// Writes the rows and the next offset, together; durable when this returns.
    async fn commit(&mut self, rows: &[StoreRows], next: Offset) -> Result<(), StoreError>;
}

//! What both halves of an aggregation have: an aggregation at work, and the changelog of its state.

use std::sync::Arc;

use arrow_array::BinaryArray;
use azenha_model::{Offset, Records};

use crate::aggregation::{Aggregator, Complaints};
use crate::dead_letter::DeadLetters;
use crate::error::EngineError;
use crate::log::Append;
use crate::rows::{Rows, Source};
use crate::state::{StateHeader, StateLog};
use crate::wire::Malformed;

/// An aggregation and the log of its state.
pub struct Keeper {
    /// The step, for dead letters.
    pub step: Arc<str>,
    /// The aggregation at work.
    pub aggregator: Aggregator,
    /// By when windows close here, in microseconds, or [`crate::status::NO_TIME`].
    pub watermark: i64,
    log: StateLog,
    changelog: String,
    partition: u32,
}

impl Keeper {
    /// Keeps the state of one lane in one partition of its changelog.
    pub fn new(aggregator: Aggregator, changelog: String, partition: u32, watermark: i64) -> Self {
        let step = aggregator.spec().plugin.step.as_str().into();
        Self { step, aggregator, watermark, log: StateLog::default(), changelog, partition }
    }

    /// The topic of the state's blocks.
    pub fn changelog(&self) -> &str {
        &self.changelog
    }

    /// Whether the end of the changelog has to be told before the next commit.
    pub fn needs_cycle_start(&self) -> bool {
        self.log.needs_start()
    }

    /// Tells the end of the changelog.
    pub fn begin_cycle(&mut self, end: Offset) {
        self.log.begin_cycle(end);
    }

    /// Makes dead letters of complaints about rows.
    pub fn complain(&self, complaints: Complaints, rows: &Rows, source: &Source, dead: &mut DeadLetters) {
        for (row, complaint) in complaints {
            dead.push(&self.step, source, rows.origin.value(row), &complaint);
        }
    }

    /// The blocks of a commit, and the offset before which the changelog is not needed afterwards.
    pub fn blocks(&mut self, header: &StateHeader) -> Result<(Append, Option<Offset>), EngineError> {
        let sealed = self.log.commit(header, &mut self.aggregator.table);
        let (blocks, purge) = sealed.map_err(|source| malformed(&self.changelog, source))?;
        let records = Records::unkeyed(BinaryArray::from_iter_values(blocks), header.timestamp);
        Ok((Append { topic: self.changelog.clone(), partition: self.partition, records }, purge))
    }
}

/// The error for bytes of our own that cannot be read or written.
pub fn malformed(topic: &str, source: Malformed) -> EngineError {
    EngineError::Malformed { what: format!("topic `{topic}`"), source }
}

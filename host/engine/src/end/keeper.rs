//! What every end with a state has: the changelog that the state is read back from.

use arrow_array::BinaryArray;
use azenha_model::{Offset, Records};

use crate::error::EngineError;
use crate::log::Append;
use crate::state::{GroupTable, StateHeader, StateLog};
use crate::wire::Malformed;

/// Writes the state of one lane to one partition of its changelog.
pub struct Keeper {
    log: StateLog,
    changelog: String,
    partition: u32,
}

impl Keeper {
    /// Keeps the state of one lane in one partition of its changelog.
    pub fn new(changelog: String, partition: u32) -> Self {
        Self { log: StateLog::default(), changelog, partition }
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

    /// A block that changes nothing, for a commit that only shows whose the lane is.
    pub fn fence(&self, header: &StateHeader) -> Result<Append, EngineError> {
        let blocks = StateLog::unchanged(header).map_err(|source| malformed(&self.changelog, source))?;
        let records = Records::unkeyed(BinaryArray::from_iter_values(blocks), header.timestamp);
        Ok(Append { topic: self.changelog.clone(), partition: self.partition, records })
    }

    /// The blocks of a commit, and the offset before which the changelog is not needed afterwards.
    pub fn blocks(
        &mut self,
        header: &StateHeader,
        table: &mut GroupTable,
    ) -> Result<(Append, Option<Offset>), EngineError> {
        let sealed = self.log.commit(header, table);
        let (blocks, purge) = sealed.map_err(|source| malformed(&self.changelog, source))?;
        let records = Records::unkeyed(BinaryArray::from_iter_values(blocks), header.timestamp);
        Ok((Append { topic: self.changelog.clone(), partition: self.partition, records }, purge))
    }
}

/// The error for bytes of our own that cannot be read or written.
pub fn malformed(topic: &str, source: Malformed) -> EngineError {
    EngineError::Malformed { what: format!("topic `{topic}`"), source }
}

//! Rows that go to topics as they are.

use std::sync::Arc;

use super::{End, Moment, Outgoing, RowEnd, State, TopicWriter};
use crate::aggregation::complain;
use crate::dead_letter::DeadLetters;
use crate::error::EngineError;
use crate::plugin::Usage;
use crate::rows::{Arriving, Rows, Source};
use crate::state::Restored;

/// Encodes rows for one topic or several.
pub struct TopicsEnd {
    step: Arc<str>,
    writers: Vec<TopicWriter>,
    arriving: Arriving,
    rows: u64,
}

impl TopicsEnd {
    /// `step` is named by dead letters.
    pub fn new(step: &str, writers: Vec<TopicWriter>, arriving: Arriving) -> Self {
        Self { step: step.into(), writers, arriving, rows: 0 }
    }
}

impl RowEnd for TopicsEnd {
    fn rows(&mut self, rows: &Rows, source: &Arc<Source>, dead: &mut DeadLetters) -> Result<(), EngineError> {
        let times = &source.fetched.records.timestamps;
        for writer in &mut self.writers {
            let columns = &writer.output().columns;
            let arrays = columns
                .iter()
                .map(|column| self.arriving.column(rows, column.input, source))
                .collect::<Result<Vec<_>, _>>()?;
            let timestamps = rows.origin.values().iter().map(|record| times[*record as usize]).collect();
            let complaints = writer.write(&arrays, rows.deletes.as_ref(), timestamps)?;
            self.rows += (rows.len() - complaints.len()) as u64;
            complain(&self.step, complaints, rows, source, dead);
        }
        Ok(())
    }
}

impl End for TopicsEnd {
    fn commit(&mut self, _: &Moment, _: &mut DeadLetters) -> Result<Outgoing, EngineError> {
        let mut outgoing = Outgoing { results: std::mem::take(&mut self.rows), ..Outgoing::default() };
        for writer in &mut self.writers {
            outgoing.appends.extend(writer.take()?);
        }
        Ok(outgoing)
    }

    fn pending_bytes(&self) -> usize {
        self.writers.iter().map(TopicWriter::bytes).sum()
    }

    fn hand_over(&mut self, moment: &Moment) -> Option<Restored> {
        Some(Restored::without_state(moment))
    }

    fn state(&mut self) -> Option<State<'_>> {
        None
    }

    fn take_usage(&mut self) -> Usage {
        Usage::default()
    }
}

//! Rows that go to a table of a store.

use std::sync::Arc;

use arrow_array::UInt32Array;
use arrow_schema::Schema as ArrowSchema;
use azenha_formats::json::row_json;
use azenha_model::Field;
use azenha_model::dead_letter::{Basis, StoreRow};
use azenha_model::plan::StoreOutput;
use serde_json::value::RawValue;

use super::{End, Moment, Outgoing, RowEnd, State};
use crate::dead_letter::DeadLetters;
use crate::error::EngineError;
use crate::plugin::Usage;
use crate::rows::{Arriving, Rows, Source, batch_of};
use crate::state::Restored;
use crate::store::StoreRows;

/// Rows for a store, and the records that they came from: a row that the store refuses is a dead letter.
#[derive(Debug, Clone)]
pub struct StoreBatch {
    /// The rows, with the store's column names.
    pub rows: StoreRows,
    /// Where they came from.
    pub source: Arc<Source>,
    /// The index of the record that each row came from.
    pub origin: UInt32Array,
    /// Where they go.
    pub output: Arc<StoreOutput>,
}

/// Collects rows for one table.
#[derive(Debug)]
pub struct StoreEnd {
    output: Arc<StoreOutput>,
    schema: Arc<ArrowSchema>,
    arriving: Arriving,
    pending: Vec<StoreBatch>,
    bytes: usize,
}

impl StoreEnd {
    /// Nothing is collected yet.
    pub fn new(output: &StoreOutput, arriving: Arriving) -> Self {
        // A delete has values in its key columns only.
        let column = |field: &Field| field.arrow().with_nullable(true);
        let columns: Vec<_> = output.columns.iter().map(|output| column(&output.field)).collect();
        let schema = Arc::new(ArrowSchema::new(columns));
        Self { output: Arc::new(output.clone()), schema, arriving, pending: Vec::new(), bytes: 0 }
    }
}

impl StoreBatch {
    /// What it was decided on that one of the rows was not taken.
    pub fn refused(&self, row: usize) -> Basis {
        let fields: Vec<Field> = self.output.columns.iter().map(|column| column.field.clone()).collect();
        Basis::Store(StoreRow {
            output: Arc::clone(&self.output),
            row: RawValue::from_string(row_json(&fields, self.rows.batch.columns(), row, true)).unwrap_or_default(),
            is_delete: self.rows.deletes.as_ref().is_some_and(|deletes| deletes.value(row)),
        })
    }
}

impl RowEnd for StoreEnd {
    fn rows(&mut self, rows: &Rows, source: &Arc<Source>, _: &mut DeadLetters) -> Result<(), EngineError> {
        if rows.is_empty() {
            return Ok(());
        }
        let columns = self
            .output
            .columns
            .iter()
            .map(|column| self.arriving.column(rows, column.input, source))
            .collect::<Result<Vec<_>, _>>()?;
        let batch = batch_of(Arc::clone(&self.schema), columns, rows.len())?;
        // The records stay in memory until the rows are written: one that is refused is a dead letter.
        self.bytes += batch.get_array_memory_size() + source.fetched.records.bytes();
        let offsets = rows.origin.values().iter().map(|record| source.fetched.offsets[*record as usize]).collect();
        self.pending.push(StoreBatch {
            rows: StoreRows { batch, deletes: rows.deletes.clone(), offsets },
            source: Arc::clone(source),
            origin: rows.origin.clone(),
            output: Arc::clone(&self.output),
        });
        Ok(())
    }
}

impl End for StoreEnd {
    fn commit(&mut self, _: &Moment, _: &mut DeadLetters) -> Result<Outgoing, EngineError> {
        self.bytes = 0;
        let rows = std::mem::take(&mut self.pending);
        let results = rows.iter().map(|batch| batch.origin.len() as u64).sum();
        Ok(Outgoing { rows, results, ..Outgoing::default() })
    }

    fn pending_bytes(&self) -> usize {
        self.bytes
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

//! What a commit changes: of rows with the same key, the last one.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, Schema};
use arrow_select::interleave::interleave_record_batch;
use azenha_engine::store::{RefusedRow, StoreRows};
use azenha_model::Field;
use azenha_model::plan::WriteMode;

use super::failure::Failure;

/// What a write does with its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Adds or replaces rows, as the sink's mode says.
    Put,
    /// Deletes the rows with these keys; the batch has the key columns only.
    Delete,
}

/// The rows that a sink writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'a> {
    pub fields: &'a [Field],
    /// Positions in `fields`.
    pub key: &'a [usize],
    pub mode: WriteMode,
}

/// A row of the batches of a commit: batch, row.
type Place = (usize, usize);

/// Rows for one statement, and where they came from.
#[derive(Debug)]
pub(crate) struct Change {
    pub operation: Operation,
    pub rows: RecordBatch,
    places: Vec<Place>,
}

impl Change {
    /// The same change, its rows in another form.
    pub fn with_rows(self, rows: RecordBatch) -> Self {
        Self { rows, ..self }
    }

    /// The batch of one of the rows, and its row there.
    pub fn place(&self, row: usize) -> (usize, usize) {
        self.places[row]
    }

    /// The refusal of one of the rows.
    pub fn refused(&self, row: usize, reason: String) -> RefusedRow {
        let (batch, row) = self.places[row];
        RefusedRow { batch, row, reason }
    }
}

/// Rows that a commit can write, or those that no store of their kind takes.
pub(crate) type Checked<T> = Result<T, Vec<RefusedRow>>;

/// The changes of a commit. No key is in two of them, and deletes come first: a row may take over what was
/// unique to one that is deleted.
pub(crate) fn changes(shape: Shape<'_>, rows: &[StoreRows]) -> Result<Checked<Vec<Change>>, Failure> {
    let undeletable = undeletable(shape.mode, rows);
    if !undeletable.is_empty() {
        return Ok(Err(undeletable));
    }
    let batches = rows.iter().map(|rows| project(shape, &rows.batch)).collect::<Result<Vec<_>, _>>()?;
    match shape.mode {
        WriteMode::Append => Ok(Ok(appends(batches))),
        WriteMode::Upsert => upserts(shape, rows, &batches).map(Ok).map_err(unfit),
    }
}

/// Each batch as it is.
fn appends(batches: Vec<RecordBatch>) -> Vec<Change> {
    let append = |(batch, rows): (usize, RecordBatch)| {
        let places = (0..rows.num_rows()).map(|row| (batch, row)).collect();
        Change { operation: Operation::Put, rows, places }
    };
    batches.into_iter().enumerate().map(append).filter(|change| !change.places.is_empty()).collect()
}

fn upserts(shape: Shape<'_>, rows: &[StoreRows], batches: &[RecordBatch]) -> Result<Vec<Change>, ArrowError> {
    let places = last_of_each_key(shape, batches)?;
    let (deletes, puts): (Vec<Place>, Vec<Place>) = places.into_iter().partition(|place| is_delete(rows, place));
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let mut changes = Vec::new();
    for (operation, places) in [(Operation::Delete, deletes), (Operation::Put, puts)] {
        if !places.is_empty() {
            let rows = interleave_record_batch(&batches, &places)?;
            let rows = if operation == Operation::Delete { rows.project(shape.key)? } else { rows };
            changes.push(Change { operation, rows, places });
        }
    }
    Ok(changes)
}

/// Rows that say "deleted" to a sink that only adds rows.
pub(crate) fn undeletable(mode: WriteMode, rows: &[StoreRows]) -> Vec<RefusedRow> {
    if mode == WriteMode::Upsert {
        return Vec::new();
    }
    let deleted = every_place(rows.iter().map(|rows| &rows.batch)).filter(|place| is_delete(rows, place));
    let refused = |(batch, row)| RefusedRow { batch, row, reason: "a sink that appends cannot delete".to_owned() };
    deleted.map(refused).collect()
}

fn is_delete(rows: &[StoreRows], (batch, row): &Place) -> bool {
    rows[*batch].deletes.as_ref().is_some_and(|deletes| deletes.is_valid(*row) && deletes.value(*row))
}

fn unfit(error: ArrowError) -> Failure {
    Failure::Definition(error.to_string())
}

/// The sink's columns, in its order. All are nullable here: rows that are deleted have their keys only.
fn project(shape: Shape<'_>, batch: &RecordBatch) -> Result<RecordBatch, Failure> {
    let column = |name: &str| {
        let found = batch.column_by_name(name).cloned();
        found.ok_or_else(|| Failure::Definition(format!("rows have no column `{name}`")))
    };
    let columns: Vec<ArrayRef> = shape.fields.iter().map(|field| column(&field.name)).collect::<Result<_, _>>()?;
    let fields: Vec<_> = shape.fields.iter().map(|field| field.arrow().with_nullable(true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(unfit)
}

fn every_place<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>) -> impl Iterator<Item = Place> {
    batches.into_iter().enumerate().flat_map(|(batch, rows)| (0..rows.num_rows()).map(move |row| (batch, row)))
}

/// In the order of keys: a database whose table is sorted by them then changes one page after the other, where any
/// other order would have it come back to the same pages again and again.
fn last_of_each_key(shape: Shape<'_>, batches: &[RecordBatch]) -> Result<Vec<Place>, ArrowError> {
    let fields = shape.key.iter().map(|index| SortField::new(shape.fields[*index].data_type.arrow())).collect();
    let converter = RowConverter::new(fields)?;
    let key_rows = |batch: &RecordBatch| {
        let keys: Vec<ArrayRef> = shape.key.iter().map(|index| Arc::clone(batch.column(*index))).collect();
        converter.convert_columns(&keys)
    };
    let keys = batches.iter().map(key_rows).collect::<Result<Vec<_>, _>>()?;
    let mut places: Vec<_> = every_place(batches).map(|(batch, row)| (keys[batch].row(row), (batch, row))).collect();
    places.sort_unstable();
    places.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            kept.1 = later.1;
        }
        same
    });
    Ok(places.into_iter().map(|(_, place)| place).collect())
}

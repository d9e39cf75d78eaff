//! What comes of records: rows, and reasons why some gave none.

use arrow_array::{ArrayRef, BooleanArray};

use crate::column::ColumnBuilder;

/// Rows that were decoded from records.
#[derive(Debug)]
pub struct Decoded {
    /// One entry for each column of the stream; None where it is not needed. All as long as `rows`.
    pub columns: Vec<Option<ArrayRef>>,
    /// The index of the record that each row came from, ascending.
    pub rows: Vec<u32>,
    /// True for rows that a tombstone deletes: of these only the key columns are set, and the others are null even
    /// where the schema allows no nulls. None if there is no tombstone.
    pub deletes: Option<BooleanArray>,
    /// The records that gave no row, ascending.
    pub rejected: Vec<Refused>,
}

/// A record that gave no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The record's index.
    pub record: u32,
    /// The path of the field that is wrong, with points between names; None if the whole record is.
    pub field: Option<String>,
    /// What was found and what is needed. Values of personal data are masked.
    pub reason: String,
}

/// The field that is wrong, if it is one, and the reason.
pub(crate) type Refusal = (Option<String>, String);

/// What became of a record.
pub(crate) enum Row {
    /// A row.
    Added,
    /// The key of a row that is deleted.
    Deleted,
}

/// Decodes each of so many `records` by `read`, which is given the record's index and how many rows stand before it,
/// and appends to every column or gives a reason. A column that holds text which is not UTF-8 is missing.
#[inline]
pub(crate) fn decode_each(
    width: usize,
    columns: &mut [(usize, ColumnBuilder)],
    records: usize,
    mut read: impl FnMut(usize, usize, &mut [(usize, ColumnBuilder)]) -> Result<Row, Refusal>,
) -> Decoded {
    let mut rows = Vec::with_capacity(records);
    let mut deleted = Vec::new();
    let mut rejected = Vec::new();
    columns.iter_mut().for_each(|(_, column)| column.reserve(records));
    for record in 0..records {
        match read(record, rows.len(), columns) {
            Ok(Row::Added) => rows.push(record as u32),
            Ok(Row::Deleted) => {
                deleted.push(rows.len());
                rows.push(record as u32);
            }
            Err((field, reason)) => {
                columns.iter_mut().for_each(|(_, column)| column.truncate(rows.len()));
                rejected.push(Refused { record: record as u32, field, reason });
            }
        }
    }
    let deletes = (!deleted.is_empty()).then(|| marked(&deleted, rows.len()));
    let mut arrays = vec![None; width];
    for (index, column) in columns {
        arrays[*index] = column.finish();
    }
    Decoded { columns: arrays, rows, deletes, rejected }
}

/// True at some of `rows`.
fn marked(places: &[usize], rows: usize) -> BooleanArray {
    let mut marks = vec![false; rows];
    for place in places {
        marks[*place] = true;
    }
    BooleanArray::from(marks)
}

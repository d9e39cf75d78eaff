//! What comes of records: rows, what a change stream says of them, and reasons why some records gave none.

use arrow_array::{ArrayRef, BooleanArray};

use crate::column::ColumnBuilder;

/// Rows that were decoded from records.
#[derive(Debug)]
pub struct Decoded {
    /// One entry for each column of the stream; None where it is not needed. All as long as `rows`.
    pub columns: Vec<Option<ArrayRef>>,
    /// The index of the record that each row came from, ascending.
    pub rows: Vec<u32>,
    /// True for rows that a tombstone or a change stream deletes: of these only the key columns are set, and the others
    /// are null even where the schema allows no nulls. None if no row is deleted.
    pub deletes: Option<BooleanArray>,
    /// The records that gave no row, ascending.
    pub rejected: Vec<Refused>,
    /// What the rows are changes of; None if the format is no change stream.
    pub changes: Option<Changes>,
}

/// What a change stream says of its rows beside their columns: one entry for each row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// What each row is.
    pub kinds: Vec<ChangeKind>,
    /// Where each change stands in the database's log; None for tombstones, and where the record does not say it in a
    /// way that is known here.
    pub positions: Vec<Option<ChangePosition>>,
    /// Columns, by index in the stream, of which the database left out values that did not change. True where that is
    /// so: the value known before holds, and the column is null here, even where the schema allows no nulls.
    pub unavailable: Vec<(usize, BooleanArray)>,
}

/// What a row of a change stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A row as a snapshot found it. All rows of one snapshot stand at one position, which no change that it shows
    /// reaches; one that it does not show may stand before it, if its transaction committed behind it. At `last`, a row
    /// whose own position is lower was not in the snapshot, so it is gone. That holds for rows that came over the same
    /// partition, where positions are known, and needs no `first`. A table of one row has only one of the two marks:
    /// `last`, unless it is the first of several tables, which has `first`. An empty table has no rows that could say so,
    /// and those of an incremental snapshot have no marks.
    Snapshot {
        /// Whether it is the table's first row in the snapshot.
        first: bool,
        /// Whether it is the table's last row in the snapshot.
        last: bool,
    },
    /// A row that is new or replaces the one with its key.
    Upsert,
    /// A row that was deleted: only its key columns are set. A row whose key changes is deleted under the old key and
    /// upserted under the new one.
    Delete,
    /// The record without a value that follows a delete, for logs that keep the last record of each key. Like a delete,
    /// but without a position.
    Tombstone,
    /// All rows of the table were deleted: no column is set.
    Truncate,
}

impl ChangeKind {
    /// Whether the row with its key is gone.
    pub fn is_delete(self) -> bool {
        matches!(self, Self::Delete | Self::Tombstone)
    }
}

/// Where a change stands in its database's log: of two changes of one row the later one is greater. It says nothing of
/// changes that came from different servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangePosition(pub [u64; 3]);

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

/// Collects what a change stream says of its rows.
pub(crate) struct ChangesBuilder {
    kinds: Vec<ChangeKind>,
    positions: Vec<Option<ChangePosition>>,
    /// Builder and row of each value that the database left out.
    unavailable: Vec<(usize, usize)>,
}

impl ChangesBuilder {
    pub fn new(records: usize) -> Self {
        let (kinds, positions) = (Vec::with_capacity(records), Vec::with_capacity(records));
        Self { kinds, positions, unavailable: Vec::new() }
    }

    /// The values that were left out of the first `rows` rows, to add to; those of a record that was refused then are
    /// forgotten.
    #[inline]
    pub fn unavailable(&mut self, rows: usize) -> &mut Vec<(usize, usize)> {
        while self.unavailable.pop_if(|(_, row)| *row >= rows).is_some() {}
        &mut self.unavailable
    }

    pub fn push(&mut self, kind: ChangeKind, position: Option<ChangePosition>) {
        self.kinds.push(kind);
        self.positions.push(position);
    }

    /// Puts what was collected beside the rows of `columns`.
    pub fn of(mut self, decoded: Decoded, columns: &[(usize, ColumnBuilder)]) -> Decoded {
        let rows = decoded.rows.len();
        let cells = std::mem::take(self.unavailable(rows));
        let of_column = |(builder, (index, _)): (usize, &(usize, ColumnBuilder))| {
            let of_builder = cells.iter().filter(|(of, _)| *of == builder);
            let places: Vec<usize> = of_builder.map(|(_, row)| *row).collect();
            (!places.is_empty()).then(|| (*index, marked(&places, rows)))
        };
        let unavailable = columns.iter().enumerate().filter_map(of_column).collect();
        let Self { kinds, positions, .. } = self;
        Decoded { changes: Some(Changes { kinds, positions, unavailable }), ..decoded }
    }
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
    Decoded { columns: arrays, rows, deletes, rejected, changes: None }
}

/// True at some of `rows`.
fn marked(places: &[usize], rows: usize) -> BooleanArray {
    let mut marks = vec![false; rows];
    for place in places {
        marks[*place] = true;
    }
    BooleanArray::from(marks)
}

//! Rows on their way through a task, and where they came from.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow_array::{TimestampMicrosecondArray, UInt32Array};
use arrow_schema::{ArrowError, Schema as ArrowSchema};
use arrow_select::take::take;
use azenha_formats::Changes;
use azenha_model::types::meta;
use azenha_model::{Fetched, Field};

use crate::edition::Version;
use crate::status::NO_TIME;

/// The records that a batch of rows came from.
#[derive(Debug)]
pub struct Source {
    /// The topic that was read.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: u32,
    /// The records.
    pub fetched: Fetched,
    /// For each record, its event time in microseconds; [`NO_TIME`] if it has none or none is asked for.
    pub event_times: Vec<i64>,
    /// For each record, the watermark that stood before it.
    pub watermarks: Vec<i64>,
    /// Where each record stands in an object that the topic announces; empty if records stand in the topic itself.
    pub places: Vec<ObjectLine>,
}

/// A line of an object, or a row of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectLine {
    /// The object's path.
    pub path: Arc<str>,
    /// Counted from 1.
    pub number: u64,
}

impl Source {
    /// Records of which no event time is known yet.
    pub fn new(topic: Arc<str>, partition: u32, fetched: Fetched) -> Self {
        Self { topic, partition, fetched, event_times: Vec::new(), watermarks: Vec::new(), places: Vec::new() }
    }

    /// The event time of a record and the watermark before it, in microseconds.
    pub fn time(&self, record: u32) -> (i64, i64) {
        let at = |times: &[i64]| times.get(record as usize).copied().unwrap_or(NO_TIME);
        (at(&self.event_times), at(&self.watermarks))
    }

    /// The object that a record stands in, or `TOPIC/PARTITION`.
    fn kept_in(&self, record: usize) -> Cow<'_, str> {
        match self.places.get(record) {
            Some(ObjectLine { path, .. }) => Cow::Borrowed(path),
            None => Cow::Owned(format!("{}/{}", self.topic, self.partition)),
        }
    }

    /// The number of a record's line in its object, or its offset in the topic.
    fn kept_at(&self, record: usize) -> u64 {
        self.places.get(record).map_or_else(|| self.fetched.offsets[record], |line| line.number)
    }
}

/// Rows: columns of equal length, some left out because nobody reads them.
#[derive(Debug, Clone)]
pub struct Rows {
    /// One entry for each column of the stream at this point.
    pub columns: Vec<Option<ArrayRef>>,
    /// The index of the record that each row came from.
    pub origin: UInt32Array,
    /// True where the row with this key is deleted.
    pub deletes: Option<BooleanArray>,
    /// What a change stream says beside columns. Only a table reads it, and no stage stands before one: whatever takes
    /// rows apart leaves it out.
    pub changes: Option<Arc<Changes>>,
}

impl Rows {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.origin.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows `from..from + length`, sharing memory with these.
    pub fn slice(&self, from: usize, length: usize) -> Self {
        Self {
            columns: self
                .columns
                .iter()
                .map(|column| column.as_ref().map(|column| column.slice(from, length)))
                .collect(),
            origin: self.origin.slice(from, length),
            deletes: self.deletes.as_ref().map(|deletes| deletes.slice(from, length)),
            changes: None,
        }
    }

    /// The column with this index among the stream's own and then the metadata columns. `fields` names them.
    pub fn column(&self, index: usize, fields: &[Field], source: &Source) -> Result<ArrayRef, ArrowError> {
        match self.columns.get(index) {
            Some(Some(column)) => Ok(Arc::clone(column)),
            Some(None) => Err(ArrowError::SchemaError(format!("column `{}` was not decoded", fields[index].name))),
            None => self.metadata(&fields[index].name, source),
        }
    }

    fn metadata(&self, name: &str, source: &Source) -> Result<ArrayRef, ArrowError> {
        let records = &source.fetched.records;
        let each = |value: &dyn Fn(usize) -> i64| self.origin.values().iter().map(|row| value(*row as usize)).collect();
        Ok(match name {
            meta::KEY => take(&records.keys, &self.origin, None)?,
            meta::VALUE => take(&records.values, &self.origin, None)?,
            meta::TIMESTAMP => {
                let times: Vec<i64> = each(&|row| records.timestamps[row]);
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
            }
            meta::TOPIC => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&*source.topic, self.len()))),
            meta::PARTITION => Arc::new(Int64Array::from(vec![i64::from(source.partition); self.len()])),
            meta::OFFSET => {
                let offsets: Vec<i64> = each(&|row| source.fetched.offsets[row] as i64);
                Arc::new(Int64Array::from(offsets))
            }
            meta::OP => {
                let deleted = |row: usize| self.deletes.as_ref().is_some_and(|deletes| deletes.value(row));
                let op = |row: usize| if deleted(row) { meta::OP_DELETE } else { meta::OP_UPSERT };
                Arc::new(StringArray::from_iter_values((0..self.len()).map(op)))
            }
            meta::OBJECT => Arc::new(StringArray::from_iter_values(
                self.origin.values().iter().map(|row| source.kept_in(*row as usize)),
            )),
            meta::LINE => {
                let lines: Vec<i64> = each(&|row| source.kept_at(row) as i64);
                Arc::new(Int64Array::from(lines))
            }
            other => return Err(ArrowError::SchemaError(format!("there is no metadata column `{other}`"))),
        })
    }

    /// The columns with these indices as a batch.
    pub fn batch(&self, indices: &[usize], fields: &[Field], source: &Source) -> Result<RecordBatch, ArrowError> {
        let columns = indices.iter().map(|index| self.column(*index, fields, source)).collect::<Result<_, _>>()?;
        let schema = ArrowSchema::new(indices.iter().map(|index| fields[*index].arrow()).collect::<Vec<_>>());
        batch_of(Arc::new(schema), columns, self.len())
    }
}

/// What arrives at the end of a task that writes rows as they are.
#[derive(Debug)]
pub struct Arriving {
    /// The columns, then the metadata columns.
    pub fields: Vec<Field>,
    /// The version of the pipeline that makes the rows.
    pub version: Version,
}

impl Arriving {
    /// The column with this index; the one behind all of them is the version.
    pub fn column(&self, rows: &Rows, index: usize, source: &Source) -> Result<ArrayRef, ArrowError> {
        if index == self.fields.len() {
            return Ok(made_by(self.version, rows.len()));
        }
        rows.column(index, &self.fields, source)
    }
}

/// The column that says which version of the pipeline made each of some rows.
pub fn made_by(version: Version, rows: usize) -> ArrayRef {
    Arc::new(Int64Array::from_value(version as i64, rows))
}

/// A batch that may have no column.
pub fn batch_of(schema: Arc<ArrowSchema>, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new_with_options(schema, columns, &RecordBatchOptions::new().with_row_count(Some(rows)))
}

//! Objects back to rows.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Schema, SchemaRef};
use azenha_model::Field;
use azenha_model::plan::{Layout, StreamColumn};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::ObjectError;
use super::stored::{Pages, Stored};
use super::text::{TextRecords, says_something};

/// Rows of an object: of each column of the stream an array, or none where nobody reads it; and how many.
pub type Batch = (Vec<Option<ArrayRef>>, usize);

/// What a file gives next.
#[derive(Debug)]
pub enum FilePiece {
    /// Rows.
    Rows(Batch),
    /// A row that is not what the columns say, and how.
    Refused(ObjectError),
}

/// A file may have so many rows: changes of one table are told apart by their place in it.
const MOST_ROWS: i64 = 1 << 24;

/// How many records an object gives, counted apart from reading them: the rows of a Parquet file, or records that say
/// something, of what is broken midway those before that place.
pub fn records_in(path: &str, layout: Layout, content: Arc<dyn Stored>) -> u64 {
    if layout == Layout::Parquet {
        let open = || ParquetRecordBatchReaderBuilder::try_new(Pages(content)).map_err(ObjectError::of);
        return guarded(open).map_or(0, |file| file.metadata().file_metadata().num_rows() as u64);
    }
    let records = TextRecords::open(path, layout, content).into_iter().flatten().map_while(Result::ok);
    records.filter(|record| says_something(record)).count() as u64
}

/// The rows of a Parquet file, batch by batch. An error is about all that follows.
pub struct ParquetRows {
    reader: ParquetRecordBatchReader,
    columns: Vec<StreamColumn>,
    needed: Vec<usize>,
    parts: Parts,
    /// What was read and is not given yet; what comes next is the last of it.
    unread: Vec<RecordBatch>,
}

/// The folders that an object stands in: the values of columns, none for null.
pub type Parts = BTreeMap<String, Option<String>>;

impl ParquetRows {
    /// Opens a file for batches of at most `batch_rows`. A column that it does not have is taken from `parts`, or else is
    /// null.
    ///
    /// # Errors
    /// If it is no Parquet file, holds more than anybody should put into one, or no row of it can have the columns.
    pub fn open(
        content: Arc<dyn Stored>,
        columns: &[StreamColumn],
        needed: &[usize],
        parts: Parts,
        batch_rows: usize,
    ) -> Result<Self, ObjectError> {
        let reader = guarded(|| reader(content, columns, needed, &parts, batch_rows))?;
        Ok(Self { reader, columns: columns.to_vec(), needed: needed.to_vec(), parts, unread: Vec::new() })
    }

    fn read(&mut self) -> Option<Result<RecordBatch, ObjectError>> {
        if let Some(batch) = self.unread.pop() {
            return Some(Ok(batch));
        }
        let reader = &mut self.reader;
        guarded(|| reader.next().transpose().map_err(ObjectError::of)).transpose()
    }

    fn batch(&self, batch: &RecordBatch) -> Result<Batch, ObjectError> {
        let mut arrays = vec![None; self.columns.len()];
        for index in &self.needed {
            arrays[*index] = Some(array(batch, &self.columns[*index], &self.parts)?);
        }
        Ok((arrays, batch.num_rows()))
    }
}

impl Iterator for ParquetRows {
    type Item = Result<FilePiece, ObjectError>;

    /// What cannot be converted is halved until the guilty row is alone, so that what is given does not depend on batches.
    fn next(&mut self) -> Option<Self::Item> {
        let mut batch = match self.read()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(error)),
        };
        loop {
            match self.batch(&batch) {
                Ok(rows) => return Some(Ok(FilePiece::Rows(rows))),
                Err(error) if batch.num_rows() < 2 => return Some(Ok(FilePiece::Refused(error))),
                Err(_) => {
                    let half = batch.num_rows() / 2;
                    self.unread.push(batch.slice(half, batch.num_rows() - half));
                    batch = batch.slice(0, half);
                }
            }
        }
    }
}

/// Anybody may have written the file, and a reader's fault over it must not end the host.
fn guarded<T>(read: impl FnOnce() -> Result<T, ObjectError>) -> Result<T, ObjectError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(ObjectError("its reader failed over it".to_owned())))
}

fn reader(
    content: Arc<dyn Stored>,
    columns: &[StreamColumn],
    needed: &[usize],
    parts: &Parts,
    batch_rows: usize,
) -> Result<ParquetRecordBatchReader, ObjectError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(Pages(content)).map_err(ObjectError::of)?;
    let rows = builder.metadata().file_metadata().num_rows();
    if rows > MOST_ROWS {
        return Err(ObjectError(format!("it has {rows} rows, and {MOST_ROWS} are the most")));
    }
    if rows > 0 {
        fits(builder.schema(), columns, needed, parts)?;
    }
    let wanted: Vec<&str> =
        needed.iter().filter_map(|index| columns[*index].path.first()).map(String::as_str).collect();
    let found =
        builder.schema().fields().iter().enumerate().filter(|(_, field)| wanted.contains(&field.name().as_str()));
    let mask = ProjectionMask::roots(builder.parquet_schema(), found.map(|(index, _)| index).collect::<Vec<_>>());
    builder.with_projection(mask).with_batch_size(batch_rows).build().map_err(ObjectError::of)
}

/// Whether rows of a file can have the columns: what is wrong with every one of them is wrong with the file, and told once.
fn fits(file: &SchemaRef, columns: &[StreamColumn], needed: &[usize], parts: &Parts) -> Result<(), ObjectError> {
    let without_rows = RecordBatch::new_empty(Arc::clone(file));
    // A row of nothing but what the file lacks.
    let one = RecordBatchOptions::new().with_row_count(Some(1));
    let lacking = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &one);
    let lacking = lacking.map_err(ObjectError::of)?;
    for column in needed.iter().map(|index| &columns[*index]) {
        let is_there = column.path.first().is_some_and(|name| without_rows.column_by_name(name).is_some());
        array(if is_there { &without_rows } else { &lacking }, column, parts)?;
    }
    Ok(())
}

/// A column as the stream has it.
fn array(batch: &RecordBatch, column: &StreamColumn, parts: &Parts) -> Result<ArrayRef, ObjectError> {
    let StreamColumn { field, path, .. } = column;
    let Some(name) = path.first().filter(|_| path.len() == 1) else {
        return Err(ObjectError(format!("column `{}` has a path into another one, which a file has not", field.name)));
    };
    let array = match (batch.column_by_name(name), parts.get(name)) {
        (Some(found), _) => converted(found, field)?,
        (None, Some(part)) => {
            let text: ArrayRef = Arc::new(StringArray::from(vec![part.as_deref(); batch.num_rows()]));
            converted(&text, field)?
        }
        (None, None) => new_null_array(&field.data_type.arrow(), batch.num_rows()),
    };
    if array.null_count() > 0 && !field.nullable {
        return Err(ObjectError(format!("column `{name}` has no value")));
    }
    Ok(array)
}

fn converted(found: &ArrayRef, field: &Field) -> Result<ArrayRef, ObjectError> {
    let wanted = field.data_type.arrow();
    if *found.data_type() == wanted {
        return Ok(Arc::clone(found));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    // Or else a wrong value of the dictionary would be one of each row.
    if let DataType::Dictionary(_, of) = found.data_type() {
        let plain = cast_with_options(found, of, &options).map_err(ObjectError::of)?;
        return converted(&plain, field);
    }
    // What the error says repeats the value, which may be personal.
    cast_with_options(found, &wanted, &options).map_err(|_| {
        let found = found.data_type();
        ObjectError(format!("column `{}` is of type {found} and not {}", field.name, field.data_type))
    })
}

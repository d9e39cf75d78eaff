//! Parquet files.

use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, Schema as ArrowSchema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use azenha_model::plan::{Compression, OutputColumn, ReaderHints};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::ObjectError;

/// Rows of a row group: always as many, so that the file does not depend on batches. DuckDB reads 122,880 at once.
const GROUP_ROWS: usize = 122_880;

/// Where a row group of very large rows ends: at the first whole number of blocks that has so many bytes.
const GROUP_BYTES: usize = 32 << 20;

/// Rows of a block; a row group has a whole number of them.
const BLOCK_ROWS: usize = 1_024;

const PAGE_BYTES: usize = 1 << 20;

const ZSTD_LEVEL: i32 = 3;

/// How often a bloom filter may say that a value could be there which is not.
const BLOOM_ERRORS: f64 = 0.01;

/// Writes one file.
pub struct ParquetWriter<W: Write + Send> {
    schema: SchemaRef,
    writer: ArrowWriter<W>,
    sorter: Option<Sorter>,
    /// Rows of the next row group.
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
}

impl<W: Write + Send> ParquetWriter<W> {
    pub fn new(
        target: W,
        columns: &[OutputColumn],
        compression: Compression,
        hints: &ReaderHints,
    ) -> Result<Self, ObjectError> {
        let fields: Vec<_> = columns.iter().map(|column| column.field.arrow()).collect();
        let schema = Arc::new(ArrowSchema::new(fields));
        let properties = properties(columns, compression, hints)?;
        let writer = ArrowWriter::try_new(target, Arc::clone(&schema), Some(properties));
        let writer = writer.map_err(ObjectError::of)?;
        let sorter = if hints.sort_by.is_empty() { None } else { Some(Sorter::new(&schema, &hints.sort_by)?) };
        Ok(Self { schema, writer, sorter, waiting: Vec::new(), waiting_rows: 0, waiting_bytes: 0 })
    }

    pub fn write(&mut self, arrays: &[ArrayRef], rows: usize) -> Result<(), ObjectError> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays.to_vec()).map_err(ObjectError::of)?;
        let mut rest = batch.slice(0, rows);
        while rest.num_rows() > 0 {
            let fits = rest.num_rows().min(BLOCK_ROWS - self.waiting_rows % BLOCK_ROWS);
            self.hold(rest.slice(0, fits));
            rest = rest.slice(fits, rest.num_rows() - fits);
            let is_full = self.waiting_rows >= GROUP_ROWS || self.waiting_bytes >= GROUP_BYTES;
            if is_full && self.waiting_rows.is_multiple_of(BLOCK_ROWS) {
                self.write_group()?;
            }
        }
        Ok(())
    }

    fn hold(&mut self, batch: RecordBatch) {
        self.waiting_rows += batch.num_rows();
        self.waiting_bytes += batch.columns().iter().map(value_bytes).sum::<usize>();
        self.waiting.push(batch);
    }

    /// Writes the rows that wait as one row group.
    fn write_group(&mut self) -> Result<(), ObjectError> {
        let group = concat_batches(&self.schema, &self.waiting).map_err(ObjectError::of)?;
        self.waiting.clear();
        (self.waiting_rows, self.waiting_bytes) = (0, 0);
        if group.num_rows() == 0 {
            return Ok(());
        }
        let group = match &self.sorter {
            Some(sorter) => sorter.sorted(&group)?,
            None => group,
        };
        self.writer.write(&group).and_then(|()| self.writer.flush()).map_err(ObjectError::of)
    }

    /// Bytes of the rows that wait.
    pub fn held_bytes(&self) -> usize {
        self.waiting_bytes
    }

    pub fn bytes(&self) -> usize {
        self.waiting_bytes + self.writer.bytes_written()
    }

    pub fn finish(mut self) -> Result<W, ObjectError> {
        self.write_group()?;
        self.writer.into_inner().map_err(ObjectError::of)
    }
}

/// Bytes of a column's values: the slices of a column have as many together as the whole.
fn value_bytes(column: &ArrayRef) -> usize {
    let span = |offsets: &[i32]| match offsets {
        [first, .., last] => (last - first) as usize + size_of_val(&offsets[1..]),
        _ => 0,
    };
    match column.data_type() {
        DataType::Utf8 => span(column.as_string::<i32>().value_offsets()),
        DataType::Binary => span(column.as_binary::<i32>().value_offsets()),
        other => other.primitive_width().unwrap_or(1) * column.len(),
    }
}

fn properties(
    columns: &[OutputColumn],
    compression: Compression,
    hints: &ReaderHints,
) -> Result<WriterProperties, ObjectError> {
    let codec = match compression {
        Compression::None => Codec::UNCOMPRESSED,
        Compression::Gzip | Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).map_err(ObjectError::of)?),
    };
    let sorted = |column: &usize| SortingColumn { column_idx: *column as i32, descending: false, nulls_first: true };
    let mut properties = WriterProperties::builder()
        .set_compression(codec)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_created_by("azenha".to_owned());
    if !hints.sort_by.is_empty() {
        properties = properties.set_sorting_columns(Some(hints.sort_by.iter().map(sorted).collect()));
    }
    for column in &hints.bloom {
        let path = ColumnPath::from(columns[*column].field.name.as_str());
        properties = properties
            .set_column_bloom_filter_enabled(path.clone(), true)
            .set_column_bloom_filter_fpp(path.clone(), BLOOM_ERRORS)
            .set_column_bloom_filter_max_ndv(path, GROUP_ROWS as u64);
    }
    Ok(properties.build())
}

/// Sorts rows by some of their columns; rows that are equal there stay in their order.
struct Sorter {
    columns: Vec<usize>,
    rows: RowConverter,
}

impl Sorter {
    fn new(schema: &ArrowSchema, columns: &[usize]) -> Result<Self, ObjectError> {
        let field = |column: &usize| SortField::new(schema.field(*column).data_type().clone());
        let rows = RowConverter::new(columns.iter().map(field).collect()).map_err(ObjectError::of)?;
        Ok(Self { columns: columns.to_vec(), rows })
    }

    fn sorted(&self, batch: &RecordBatch) -> Result<RecordBatch, ObjectError> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|column| Arc::clone(batch.column(*column))).collect();
        let rows = self.rows.convert_columns(&columns).map_err(ObjectError::of)?;
        let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
        order.sort_by_key(|row| rows.row(*row as usize));
        take_record_batch(batch, &UInt32Array::from(order)).map_err(ObjectError::of)
    }
}

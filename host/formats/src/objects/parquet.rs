//! Parquet files.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Schema as ArrowSchema, SchemaRef};
use arrow_select::concat::concat_batches;
use azenha_model::plan::{Compression, OutputColumn};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::ObjectError;

/// Rows of a row group: always as many, so that the file does not depend on batches. DuckDB reads 122,880 at once.
const GROUP_ROWS: usize = 122_880;

const PAGE_BYTES: usize = 1 << 20;

const ZSTD_LEVEL: i32 = 3;

/// Writes one file.
pub struct ParquetWriter {
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
    /// Rows of the next row group.
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
}

impl ParquetWriter {
    pub fn new(columns: &[OutputColumn], compression: Compression) -> Result<Self, ObjectError> {
        let fields: Vec<_> = columns.iter().map(|column| column.field.arrow()).collect();
        let schema = Arc::new(ArrowSchema::new(fields));
        let codec = match compression {
            Compression::None => Codec::UNCOMPRESSED,
            Compression::Gzip | Compression::Zstd => {
                Codec::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).map_err(ObjectError::of)?)
            }
        };
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_data_page_size_limit(PAGE_BYTES)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_created_by("azenha".to_owned())
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties));
        let writer = writer.map_err(ObjectError::of)?;
        Ok(Self { schema, writer, waiting: Vec::new(), waiting_rows: 0, waiting_bytes: 0 })
    }

    pub fn write(&mut self, arrays: &[ArrayRef], rows: usize) -> Result<(), ObjectError> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays.to_vec()).map_err(ObjectError::of)?;
        let mut rest = batch.slice(0, rows);
        while self.waiting_rows + rest.num_rows() >= GROUP_ROWS {
            let fits = GROUP_ROWS - self.waiting_rows;
            self.hold(rest.slice(0, fits));
            rest = rest.slice(fits, rest.num_rows() - fits);
            self.write_group()?;
        }
        if rest.num_rows() > 0 {
            self.hold(rest);
        }
        Ok(())
    }

    fn hold(&mut self, batch: RecordBatch) {
        self.waiting_rows += batch.num_rows();
        // Slices share memory: what a few rows of a large batch take is counted by their number.
        self.waiting_bytes +=
            batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum::<usize>();
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
        self.writer.write(&group).and_then(|()| self.writer.flush()).map_err(ObjectError::of)
    }

    pub fn bytes(&self) -> usize {
        self.waiting_bytes + self.writer.bytes_written()
    }

    pub fn finish(mut self) -> Result<Bytes, ObjectError> {
        self.write_group()?;
        self.writer.into_inner().map(Bytes::from).map_err(ObjectError::of)
    }
}

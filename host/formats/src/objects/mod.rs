//! Rows to the content of objects, and back: lines and Parquet files.
//!
//! The same rows give the same bytes, however they were cut into batches: what is written again after a crash, or by a
//! backfill, is what was written before.

mod lines;
mod parquet;
mod read;
mod stored;
mod text;

use std::io::Write;

use arrow_array::ArrayRef;
use azenha_model::plan::{Compression, Layout, OutputColumn, ReaderHints};

use lines::LineWriter;
pub use lines::compressed;
use parquet::ParquetWriter;
pub use read::{Batch, FilePiece, ParquetRows, Parts, records_in};
pub use stored::{Stored, within};
pub use text::{LONGEST_RECORD, TextRecords, says_something};

/// Why an object cannot be written or read; for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ObjectError(pub String);

impl ObjectError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// A row that stands in no object, and why.
pub type RefusedRow = (usize, String);

/// Writes one object, row by row. Some rows are held until enough of them are there to be encoded and written at once.
pub enum ObjectWriter<W: Write + Send> {
    /// Lines.
    Lines(Box<LineWriter<W>>),
    /// A Parquet file.
    Parquet(Box<ParquetWriter<W>>),
}

impl<W: Write + Send> ObjectWriter<W> {
    /// A writer of an object, which goes where `target` is. Records that are objects of their own need none: see [`compressed`].
    ///
    /// # Errors
    /// If the columns cannot be written so.
    pub fn new(
        target: W,
        layout: Layout,
        compression: Compression,
        columns: &[OutputColumn],
        hints: &ReaderHints,
    ) -> Result<Self, ObjectError> {
        Ok(match layout {
            Layout::Parquet => Self::Parquet(Box::new(ParquetWriter::new(target, columns, compression, hints)?)),
            Layout::Json => Self::Lines(Box::new(LineWriter::of_rows(target, columns, compression)?)),
            Layout::Lines | Layout::Record => Self::Lines(Box::new(LineWriter::of_records(target, compression)?)),
        })
    }

    /// Adds rows: one array for each column. Those that no object can hold are left out and told.
    ///
    /// # Errors
    /// If nothing more can be written.
    pub fn write(&mut self, arrays: &[ArrayRef], rows: usize) -> Result<Vec<RefusedRow>, ObjectError> {
        match self {
            Self::Lines(writer) => writer.write(arrays, rows),
            Self::Parquet(writer) => writer.write(arrays, rows).map(|()| Vec::new()),
        }
    }

    /// Bytes of rows that are held in memory.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Lines(writer) => writer.held_bytes(),
            Self::Parquet(writer) => writer.held_bytes(),
        }
    }

    /// Bytes of rows that are held, and those that were written. The same rows have as many, however they came.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Lines(writer) => writer.bytes(),
            Self::Parquet(writer) => writer.bytes(),
        }
    }

    /// Writes the rest of the object, and gives back where it was written.
    ///
    /// # Errors
    /// If it cannot be finished.
    pub fn finish(self) -> Result<W, ObjectError> {
        match self {
            Self::Lines(writer) => writer.finish(),
            Self::Parquet(writer) => writer.finish(),
        }
    }
}

/// What the names of such objects end with, by convention: `.parquet`, `.ndjson.zst`.
pub fn extension(layout: Layout, compression: Compression) -> String {
    let content = match layout {
        Layout::Record => ".json",
        Layout::Lines | Layout::Json => ".ndjson",
        Layout::Parquet => return ".parquet".to_owned(),
    };
    let packed = match compression {
        Compression::None => "",
        Compression::Gzip => ".gz",
        Compression::Zstd => ".zst",
    };
    format!("{content}{packed}")
}

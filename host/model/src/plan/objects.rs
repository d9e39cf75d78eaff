//! Sinks and sources in object stores.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::OutputColumn;

/// Objects that rows are written to, and the topic that announces each of them.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectsOutput {
    /// The sink's name.
    pub sink: String,
    /// The name of a connection of the host's configuration.
    pub connection: String,
    /// Where the objects stand below the connection's URL: parts with `/` between them.
    pub path: String,
    /// What is in an object.
    pub layout: Layout,
    /// How its content is compressed: a whole object of lines, the pages of a Parquet file.
    pub compression: Compression,
    /// What is written, the columns of the partition not among them. Empty where records stand as they came.
    pub columns: Vec<OutputColumn>,
    /// What helps readers of Parquet files to pass over what they do not look for.
    pub hints: ReaderHints,
    /// The columns by which rows are parted into folders, the outermost first.
    pub partition_by: Vec<PartitionColumn>,
    /// When an object ends; of objects that are replaced, how often at most that is done.
    pub roll: Roll,
    /// The topic that gets a record for each object, unless nobody wants to know.
    pub announce: Option<String>,
}

/// What helps readers of a Parquet file to pass over rows that they do not look for. Columns are indices among those that
/// are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReaderHints {
    /// The columns by which the rows of each row group are sorted, ascending, nulls first.
    pub sort_by: Vec<usize>,
    /// The columns that have bloom filters.
    pub bloom: Vec<usize>,
}

/// What is in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One record's value as it came.
    Record,
    /// Records' values as they came, one a line.
    Lines,
    /// Rows as JSON objects, one a line.
    Json,
    /// A Parquet file.
    Parquet,
}

impl Layout {
    /// Whether records stand in objects as they came, instead of their columns.
    pub fn is_raw(self) -> bool {
        matches!(self, Self::Record | Self::Lines)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Record => "record",
            Self::Lines => "lines",
            Self::Json => "json",
            Self::Parquet => "parquet",
        })
    }
}

/// How the content of an object is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, which everything reads.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// A column by which rows are parted into folders: `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionColumn {
    /// What the folder calls it.
    pub name: String,
    /// Index among the columns that arrive.
    pub input: usize,
}

/// When an object ends, whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roll {
    /// Rows of all open objects of a lane.
    pub rows: u64,
    /// Bytes of all open objects of a lane, as far as they are compressed already.
    pub bytes: u64,
    /// Microseconds.
    pub every: i64,
}

/// Objects that the records of a topic announce, where the rows of a stream stand in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectsInput {
    /// The name of a connection of the host's configuration.
    pub connection: String,
    /// What is in an object. Of lines, each is a record.
    pub layout: Layout,
}

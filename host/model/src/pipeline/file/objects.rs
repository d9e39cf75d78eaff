//! Sinks in object stores.

use schemars::JsonSchema;

use super::{Partitions, SinkColumns};
use crate::units::{Bytes, Micros};
use crate::yaml::{FromNode, Node, Report, Spanned, from_keys, word};

/// Objects of a folder or bucket that rows are written to.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct ObjectsSinkDef {
    /// What is read: a source, a step, `step.outlet`, or a topic sink.
    pub from: Spanned<String>,
    /// The name of a connection of the host's configuration.
    pub connection: Spanned<String>,
    /// Where the objects stand below the connection's URL: `clicks`, `shop/clicks`.
    pub objects: Spanned<String>,
    /// What is in an object; `parquet` by default.
    pub format: Option<Spanned<LayoutDef>>,
    /// How it is compressed; by default `zstd` for `parquet`, `json` and `lines`, and `none` for `record`.
    pub compression: Option<Spanned<CompressionDef>>,
    /// A list of columns to write, or a mapping of new names; by default all columns.
    pub columns: Option<SinkColumns>,
    /// A column more, of type int64: which version of the pipeline made the row.
    pub version_column: Option<Spanned<String>>,
    /// The columns by which rows are parted into folders `column=value`, the outermost first. A timestamp parts by its
    /// date in UTC.
    pub partition_by: Option<Spanned<Vec<Spanned<String>>>>,
    /// The columns by which the rows of each row group of a Parquet file are sorted.
    pub sort_by: Option<Spanned<Vec<Spanned<String>>>>,
    /// The columns of a Parquet file that get bloom filters: those of which readers look for single values, if there are
    /// many different ones.
    pub bloom: Option<Spanned<Vec<Spanned<String>>>>,
    /// When an object ends.
    pub roll: Option<RollDef>,
    /// The topic that gets a record for each object. Steps and sinks that read this sink, and sources with `objects`,
    /// follow it.
    pub announce: Option<Spanned<String>>,
    /// How many partitions that topic gets if it does not exist yet; by default as many as what is read.
    pub partitions: Option<Partitions>,
}
from_keys!(
    ObjectsSinkDef, "an objects sink",
    required: [from, connection, objects],
    optional: [
        format,
        compression,
        columns,
        version_column,
        partition_by,
        sort_by,
        bloom,
        roll,
        announce,
        partitions
    ]
);

impl ObjectsSinkDef {
    /// Whether steps and sinks can read what it writes: somebody must tell them of the objects, and their columns must be
    /// known.
    pub fn is_readable(&self) -> bool {
        let format = self.format.as_ref().map(|format| format.value);
        self.announce.is_some() && !matches!(format, Some(LayoutDef::Record | LayoutDef::Lines))
    }
}

/// What is in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum LayoutDef {
    /// One record as it came.
    Record,
    /// Records as they came, one a line.
    Lines,
    /// Rows as JSON objects, one a line.
    Json,
    /// A Parquet file.
    Parquet,
}

impl FromNode for LayoutDef {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let layouts =
            [("record", Self::Record), ("lines", Self::Lines), ("json", Self::Json), ("parquet", Self::Parquet)];
        word(node, &layouts, report)
    }
}

/// How objects are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum CompressionDef {
    /// Not at all.
    None,
    /// gzip, for whatever reads nothing else.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl FromNode for CompressionDef {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        word(node, &[("none", Self::None), ("gzip", Self::Gzip), ("zstd", Self::Zstd)], report)
    }
}

/// When an object ends, whichever comes first. All open objects of a lane end together.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct RollDef {
    /// So many rows; 1,000,000 by default.
    #[schemars(range(min = 1))]
    pub rows: Option<Spanned<u32>>,
    /// So many bytes, as far as they are compressed already; `64MiB` by default.
    pub bytes: Option<Spanned<Bytes>>,
    /// So long after their first row; `1m` by default.
    pub every: Option<Spanned<Micros>>,
}
from_keys!(RollDef, "`roll`", required: [], optional: [rows, bytes, every]);

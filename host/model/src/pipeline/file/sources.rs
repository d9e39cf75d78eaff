//! Sources: the topics that are read.

use schemars::JsonSchema;

use super::super::column::ColumnDef;
use crate::plan::Decimals;
use crate::relation::OnTruncate;
use crate::units::Micros;
use crate::yaml::{Entries, FromNode, Node, Report, Spanned, from_keys, whole_number, word};

/// A topic that is read.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct SourceDef {
    /// The topic's name.
    pub topic: Spanned<String>,
    /// The columns, and where each stands in a record. Records of `format: bytes` have none.
    pub schema: Option<Entries<ColumnDef>>,
    /// What records are written in, or the objects that they announce; `json` by default.
    pub format: Option<Spanned<FormatDef>>,
    /// The connection where objects stand: the topic's records announce them, and rows are read from those.
    pub objects: Option<Spanned<String>>,
    /// The folder below that connection where the objects stand: what a backfill reads, and a batch.
    pub folder: Option<Spanned<String>>,
    /// The URL of the registry that has the schemas; by default that of the host's configuration.
    pub registry: Option<Spanned<String>>,
    /// The columns that identify a row: a record replaces the row with its key, one without a value deletes it. Whatever
    /// joins and assemblies read needs it. A change stream without a key is no table: each event is a row of its own.
    pub key: Option<Spanned<Vec<Spanned<String>>>>,
    /// What is done when the table of a change stream is truncated; `stop` by default.
    pub on_truncate: Option<Spanned<OnTruncate>>,
    /// For `format: debezium`: the connector's `decimal.handling.mode`, `precise` by default. Schemas beside the records
    /// go before it; decimals that are JSON numbers (`double`) need none.
    pub decimals: Option<Spanned<Decimals>>,
    /// How many partitions the topic gets if it does not exist yet; 1 by default.
    pub partitions: Option<Partitions>,
    /// Columns that decide in which partition a record stands. Aggregations by these columns, and
    /// perhaps others, need no exchange between partitions.
    pub partitioned_by: Option<Vec<Spanned<String>>>,
    /// When a row happened; windows need it.
    pub event_time: Option<EventTimeDef>,
}
from_keys!(
    SourceDef, "a source",
    required: [topic],
    optional: [schema, format, objects, folder, registry, decimals, key, on_truncate, partitions, partitioned_by, event_time]
);

/// How many partitions a topic gets.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(inline)]
pub(crate) struct Partitions(#[schemars(range(min = 1, max = 1024))] pub Spanned<u32>);

impl FromNode for Partitions {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let value = whole_number(node, 1..=1024, report)?;
        Some(Self(Spanned { value, place: node.place }))
    }
}

/// What records are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub(crate) enum FormatDef {
    /// One JSON object a record; in objects, one a line.
    Json,
    /// Records of any kind, of which nothing is read: for sinks that keep them as they came.
    Bytes,
    /// Parquet files, which the topic's records announce. For sources with `objects` only.
    Parquet,
    /// Avro, each record behind the id of its schema in a registry.
    Avro,
    /// One JSON object a record, behind the id of its JSON Schema in a registry.
    JsonSchema,
    /// The changes of a table's rows that Debezium writes, in JSON with or without schemas. For sources only.
    Debezium,
    /// The same in Avro, keys too, each record behind the id of its schema in a registry. For sources only.
    DebeziumAvro,
}

impl FromNode for FormatDef {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let formats = [
            ("json", Self::Json),
            ("bytes", Self::Bytes),
            ("parquet", Self::Parquet),
            ("avro", Self::Avro),
            ("json-schema", Self::JsonSchema),
            ("debezium", Self::Debezium),
            ("debezium-avro", Self::DebeziumAvro),
        ];
        word(node, &formats, report)
    }
}

impl FromNode for Decimals {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        word(node, &[("precise", Self::Precise), ("string", Self::String)], report)
    }
}

/// When a row happened, and how late it may come.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct EventTimeDef {
    /// A timestamp column that is never absent.
    pub field: Spanned<String>,
    /// How far behind the latest row one may come and still count; `0s` by default.
    pub lateness: Option<Micros>,
    /// How long a partition may be silent before the others no longer wait for it; `1m` by default.
    pub idle_after: Option<Micros>,
}
from_keys!(EventTimeDef, "an event time", required: [field], optional: [lateness, idle_after]);

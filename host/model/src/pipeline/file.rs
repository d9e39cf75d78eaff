//! The shape of a pipeline file. The comments here are what editors show its author: `json_schema` takes
//! the descriptions from them.

use schemars::JsonSchema;

use super::column::ColumnDef;
use super::tables::{AssembleDef, JoinDef};
use crate::plan::{Decimals, Emit, WriteMode};
use crate::plugin::World;
use crate::relation::OnTruncate;
use crate::units::Micros;
use crate::yaml::{Entries, FromNode, Node, Report, Spanned, Value, choose, from_keys, whole_number, word};

/// A pipeline: which plugins run over which topics, and where the results go.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields, title = "Azenha pipeline")]
pub(crate) struct Definition {
    /// The pipeline's name: letters, digits, `_` and `-`. Topics, positions and metrics carry it.
    pub name: Spanned<String>,
    /// The topics that are read, by the name that steps and sinks use for them.
    pub sources: Entries<SourceDef>,
    /// What is done with the rows.
    pub steps: Option<Entries<StepDef>>,
    /// Where rows go.
    pub sinks: Entries<SinkDef>,
}
from_keys!(Definition, "a pipeline", required: [name, sources, sinks], optional: [steps]);

/// A topic that is read.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct SourceDef {
    /// The topic's name.
    pub topic: Spanned<String>,
    /// The columns, and where each stands in a record.
    pub schema: Entries<ColumnDef>,
    /// What records are written in; `json` by default.
    pub format: Option<Spanned<FormatDef>>,
    /// The URL of the registry that has the schemas; by default that of the host's configuration.
    pub registry: Option<Spanned<String>>,
    /// The columns that identify a row: a record replaces the row with its key, one without a value deletes it. Change
    /// streams need it, and so does whatever joins and assemblies read.
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
    required: [topic, schema],
    optional: [format, registry, decimals, key, on_truncate, partitions, partitioned_by, event_time]
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
    /// One JSON object a record.
    Json,
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

/// Something that is done with rows: a transform, an aggregation, a join or an assembly.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum StepDef {
    Transform(TransformDef),
    Aggregate(AggregateDef),
    Join(JoinDef),
    Assemble(AssembleDef),
}

impl StepDef {
    /// What the step reads; at least one.
    pub fn inputs(&self) -> Vec<&Spanned<String>> {
        match self {
            Self::Transform(step) => vec![&step.from],
            Self::Aggregate(step) => vec![&step.from],
            Self::Join(step) => vec![&step.join, &step.with],
            Self::Assemble(step) => {
                let Entries(tables) = &step.tables.value;
                tables.iter().map(|table| &table.value.from).collect()
            }
        }
    }

    /// The plugin that the step names, and what it must be; joins are the host's own.
    pub fn plugin(&self) -> Option<(&Spanned<String>, World)> {
        match self {
            Self::Transform(step) => Some((&step.transform, World::Transform)),
            Self::Aggregate(step) => Some((&step.aggregate, World::Aggregate)),
            Self::Assemble(step) => Some((&step.assemble, World::Assemble)),
            Self::Join(_) => None,
        }
    }
}

impl FromNode for StepDef {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        match choose("a step", node, &["transform", "aggregate", "join", "assemble"], report)? {
            "transform" => TransformDef::from_node(node, report).map(Self::Transform),
            "aggregate" => AggregateDef::from_node(node, report).map(Self::Aggregate),
            "join" => JoinDef::from_node(node, report).map(Self::Join),
            _ => AssembleDef::from_node(node, report).map(Self::Assemble),
        }
    }
}

/// A step that turns each row into rows, and remembers nothing.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct TransformDef {
    /// The plugin's name, or the path of a `.wasm` file relative to this one.
    pub transform: Spanned<String>,
    /// What is read: a source, a step, `step.outlet`, or a topic sink.
    pub from: Spanned<String>,
    /// The columns that the plugin may read; by default all but personal data.
    pub columns: Option<Spanned<Vec<Spanned<String>>>>,
    /// What the plugin is told; its documentation says what it takes.
    #[schemars(with = "Option<serde_json::Value>")]
    pub config: Option<Node>,
}
from_keys!(TransformDef, "a transform", required: [transform, from], optional: [columns, config]);

/// A step that folds rows into one for each key, and window if there is one.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct AggregateDef {
    /// The plugin's name, or the path of a `.wasm` file relative to this one.
    pub aggregate: Spanned<String>,
    /// What is read: a source, a step, `step.outlet`, or a topic sink.
    pub from: Spanned<String>,
    /// The columns that rows are grouped by.
    pub by: Spanned<Vec<Spanned<String>>>,
    /// The columns that the plugin may read; by default all but personal data.
    pub columns: Option<Spanned<Vec<Spanned<String>>>>,
    /// What the plugin is told; its documentation says what it takes.
    #[schemars(with = "Option<serde_json::Value>")]
    pub config: Option<Node>,
    /// The windows of event time that rows are grouped by; without one a group never ends.
    pub window: Option<Spanned<WindowDef>>,
    /// When results come; `changes` is the default.
    pub emit: Option<Spanned<Emit>>,
}
from_keys!(
    AggregateDef, "an aggregation",
    required: [aggregate, from, by],
    optional: [columns, config, window, emit]
);

impl FromNode for Emit {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        word(node, &[("changes", Self::Changes), ("final", Self::Final)], report)
    }
}

/// Windows of event time.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum WindowDef {
    Tumbling(TumblingDef),
    Hopping(HoppingDef),
    Session(SessionDef),
}

impl FromNode for WindowDef {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        match choose("a window", node, &["tumbling", "hopping", "session"], report)? {
            "tumbling" => TumblingDef::from_node(node, report).map(Self::Tumbling),
            "hopping" => HoppingDef::from_node(node, report).map(Self::Hopping),
            _ => SessionDef::from_node(node, report).map(Self::Session),
        }
    }
}

/// Windows side by side.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct TumblingDef {
    /// How long a window is.
    pub tumbling: Spanned<Micros>,
}
from_keys!(TumblingDef, "a tumbling window", required: [tumbling], optional: []);

/// Windows that overlap.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct HoppingDef {
    /// How long a window is.
    pub hopping: Spanned<Micros>,
    /// How long after one window the next begins: at most the length.
    pub every: Spanned<Micros>,
}
from_keys!(HoppingDef, "a hopping window", required: [hopping, every], optional: []);

/// Windows that last as long as rows of a key follow each other.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct SessionDef {
    /// How long a key must be silent for its window to end.
    pub session: Spanned<Micros>,
}
from_keys!(SessionDef, "a session window", required: [session], optional: []);

/// Where rows go: a topic, or a table or collection of a store.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum SinkDef {
    Topic(TopicSinkDef),
    Table(TableSinkDef),
    Collection(CollectionSinkDef),
}

impl SinkDef {
    pub fn from(&self) -> &Spanned<String> {
        match self {
            Self::Topic(sink) => &sink.from,
            Self::Table(sink) => &sink.from,
            Self::Collection(sink) => &sink.from,
        }
    }
}

impl FromNode for SinkDef {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        match choose("a sink", node, &["topic", "connection"], report)? {
            "topic" => TopicSinkDef::from_node(node, report).map(Self::Topic),
            _ if node.get("collection").is_some() && node.get("table").is_none() => {
                CollectionSinkDef::from_node(node, report).map(Self::Collection)
            }
            _ => TableSinkDef::from_node(node, report).map(Self::Table),
        }
    }
}

/// A topic that rows are written to.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct TopicSinkDef {
    /// What is read: a source, a step, `step.outlet`, or a topic sink.
    pub from: Spanned<String>,
    /// The topic's name.
    pub topic: Spanned<String>,
    /// What records are written in; `json` by default. Keys are JSON in every format.
    pub format: Option<Spanned<FormatDef>>,
    /// The URL of the registry that gets the schema; by default that of the host's configuration.
    pub registry: Option<Spanned<String>>,
    /// How many partitions the topic gets if it does not exist yet; by default as many as what is read.
    pub partitions: Option<Partitions>,
    /// The columns that make the record's key, under the names they have before renaming.
    pub key: Option<Spanned<Vec<Spanned<String>>>>,
    /// A list of columns to write, or a mapping of new names; by default all columns.
    pub columns: Option<SinkColumns>,
}
from_keys!(
    TopicSinkDef, "a topic sink",
    required: [from, topic],
    optional: [format, registry, partitions, key, columns]
);

/// A table that rows are written to.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct TableSinkDef {
    /// What is read: a source, a step, `step.outlet`, or a topic sink.
    pub from: Spanned<String>,
    /// The name of a connection of the host's configuration.
    pub connection: Spanned<String>,
    /// The table's name.
    pub table: Spanned<String>,
    /// The columns that identify a row, under the names they have before renaming.
    pub key: Option<Spanned<Vec<Spanned<String>>>>,
    /// A list of columns to write, or a mapping of new names; by default all columns.
    pub columns: Option<SinkColumns>,
    /// Whether a row replaces the one with its key; `upsert` by default if there is a key, else `append`.
    pub mode: Option<Spanned<WriteMode>>,
}
from_keys!(TableSinkDef, "a table sink", required: [from, connection, table], optional: [key, columns, mode]);

/// A collection that rows are written to as documents.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct CollectionSinkDef {
    /// What is read: a source, a step, `step.outlet`, or a topic sink.
    pub from: Spanned<String>,
    /// The name of a connection of the host's configuration.
    pub connection: Spanned<String>,
    /// The collection's name.
    pub collection: Spanned<String>,
    /// The columns that make a document's `_id`, under the names they have before renaming: the value of one, an
    /// object of several.
    pub key: Option<Spanned<Vec<Spanned<String>>>>,
    /// A list of columns to write, or a mapping of new names; by default all columns.
    pub columns: Option<SinkColumns>,
    /// Whether a document replaces the one with its key; `upsert` by default if there is a key, else `append`.
    pub mode: Option<Spanned<WriteMode>>,
    /// The indexes that the collection gets: each the fields that it sorts by, as documents have them. A point leads
    /// into what a `json` column holds: `customer.id`.
    pub indexes: Option<Vec<Spanned<Vec<Spanned<String>>>>>,
}
from_keys!(
    CollectionSinkDef, "a collection sink",
    required: [from, connection, collection],
    optional: [key, columns, mode, indexes]
);

impl FromNode for WriteMode {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        word(node, &[("upsert", Self::Upsert), ("append", Self::Append)], report)
    }
}

/// The columns that a sink writes: a list of them, or new names for some of all.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum SinkColumns {
    Selected(Vec<Spanned<String>>),
    Renamed(Entries<Spanned<String>>),
}

impl FromNode for SinkColumns {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Sequence(_) => Vec::from_node(node, report).map(Self::Selected),
            Value::Mapping(_) => Entries::from_node(node, report).map(Self::Renamed),
            _ => {
                report
                    .error(node.place, format!("columns are a list or a mapping, {} is found", node.found()))
                    .suggest("write `[column, …]` to select, or `{ column: new_name, … }` to rename");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;
    use crate::yaml::FromKeys;

    #[test]
    fn the_schema_has_exactly_the_keys_that_the_parser_takes() {
        let schema = super::super::json_schema();
        let shapes: &[(&str, &[&str])] = &[
            ("", Definition::KEYS),
            ("/$defs/SourceDef", SourceDef::KEYS),
            ("/$defs/ColumnDef/anyOf/1", ColumnDef::KEYS),
            ("/$defs/EventTimeDef", EventTimeDef::KEYS),
            ("/$defs/TransformDef", TransformDef::KEYS),
            ("/$defs/AggregateDef", AggregateDef::KEYS),
            ("/$defs/JoinDef", JoinDef::KEYS),
            ("/$defs/AssembleDef", AssembleDef::KEYS),
            ("/$defs/AssembledDef", super::super::tables::AssembledDef::KEYS),
            ("/$defs/TumblingDef", TumblingDef::KEYS),
            ("/$defs/HoppingDef", HoppingDef::KEYS),
            ("/$defs/SessionDef", SessionDef::KEYS),
            ("/$defs/TopicSinkDef", TopicSinkDef::KEYS),
            ("/$defs/TableSinkDef", TableSinkDef::KEYS),
            ("/$defs/CollectionSinkDef", CollectionSinkDef::KEYS),
        ];
        for (pointer, keys) in shapes {
            let shape = schema.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {schema:#}"));
            let mut described: Vec<&str> =
                shape["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            let mut taken = keys.to_vec();
            described.sort_unstable();
            taken.sort_unstable();
            assert_eq!(described, taken, "{pointer}");
            assert_eq!(shape["additionalProperties"], Json::Bool(false), "{pointer}");
        }
    }

    #[test]
    fn every_key_has_a_description() {
        fn check(schema: &Json, path: &str) {
            for (key, value) in schema.as_object().into_iter().flatten() {
                if key == "properties" {
                    for (name, property) in value.as_object().unwrap() {
                        assert!(property["description"].is_string(), "{path}/{name}");
                    }
                }
                check(value, &format!("{path}/{key}"));
            }
            schema.as_array().into_iter().flatten().for_each(|item| check(item, path));
        }
        check(&super::super::json_schema(), "");
    }
}

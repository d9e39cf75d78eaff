//! Sinks: where rows go.

use schemars::JsonSchema;

use super::{FormatDef, ObjectsSinkDef, Partitions};
use crate::plan::{DatePart, Language, WriteMode};
use crate::yaml::{Entries, FromNode, Node, Report, Spanned, Value, choose, from_keys, word};

/// Where rows go: a topic, a table, collection or index of a store, or objects.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum SinkDef {
    Topic(TopicSinkDef),
    Table(TableSinkDef),
    Collection(CollectionSinkDef),
    Index(IndexSinkDef),
    Objects(Box<ObjectsSinkDef>),
}

impl SinkDef {
    pub fn from(&self) -> &Spanned<String> {
        match self {
            Self::Topic(sink) => &sink.from,
            Self::Table(sink) => &sink.from,
            Self::Collection(sink) => &sink.from,
            Self::Index(sink) => &sink.from,
            Self::Objects(sink) => &sink.from,
        }
    }
}

impl FromNode for SinkDef {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        match choose("a sink", node, &["topic", "connection"], report)? {
            "topic" => TopicSinkDef::from_node(node, report).map(Self::Topic),
            _ if node.get("objects").is_some() => {
                ObjectsSinkDef::from_node(node, report).map(|sink| Self::Objects(Box::new(sink)))
            }
            _ if node.get("collection").is_some() && node.get("table").is_none() => {
                CollectionSinkDef::from_node(node, report).map(Self::Collection)
            }
            _ if node.get("index").is_some() && node.get("table").is_none() => {
                IndexSinkDef::from_node(node, report).map(Self::Index)
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
    /// A column more, of type int64: which version of the pipeline made the row.
    pub version_column: Option<Spanned<String>>,
}
from_keys!(
    TopicSinkDef, "a topic sink",
    required: [from, topic],
    optional: [format, registry, partitions, key, columns, version_column]
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
    /// A column more, of type int64: which version of the pipeline made the row.
    pub version_column: Option<Spanned<String>>,
    /// Whether a row replaces the one with its key; `upsert` by default if there is a key, else `append`.
    pub mode: Option<Spanned<WriteMode>>,
    /// Columns of text, as the table has them, that together get an index of their words: in MariaDB, MySQL and SQLite.
    pub fulltext: Option<Vec<Spanned<String>>>,
}
from_keys!(
    TableSinkDef, "a table sink",
    required: [from, connection, table],
    optional: [key, columns, version_column, mode, fulltext]
);

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
    /// A column more, of type int64: which version of the pipeline made the row.
    pub version_column: Option<Spanned<String>>,
    /// Whether a document replaces the one with its key; `upsert` by default if there is a key, else `append`.
    pub mode: Option<Spanned<WriteMode>>,
    /// The indexes that the collection gets: each the fields that it sorts by, as documents have them. A point leads
    /// into what a `json` column holds: `customer.id`.
    pub indexes: Option<Vec<Spanned<Vec<Spanned<String>>>>>,
}
from_keys!(
    CollectionSinkDef, "a collection sink",
    required: [from, connection, collection],
    optional: [key, columns, version_column, mode, indexes]
);

/// An index of a search engine that rows are written to as documents.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct IndexSinkDef {
    /// What is read: a source, a step, `step.outlet`, or a topic sink.
    pub from: Spanned<String>,
    /// The name of a connection of the host's configuration.
    pub connection: Spanned<String>,
    /// The index's name; with `each`, that of all indexes together.
    pub index: Spanned<String>,
    /// Makes several indexes: one for each day, month or year of a column. By default there is one.
    pub each: Option<Spanned<EachDef>>,
    /// The columns that make a document's `_id`, under the names they have before renaming.
    pub key: Option<Spanned<Vec<Spanned<String>>>>,
    /// A list of columns to write, or a mapping of new names; by default all columns.
    pub columns: Option<SinkColumns>,
    /// A column more, of type int64: which version of the pipeline made the row.
    pub version_column: Option<Spanned<String>>,
    /// Whether a document replaces the one with its key; `upsert` by default if there is a key, else `append`.
    pub mode: Option<Spanned<WriteMode>>,
    /// Columns of text, as documents have them, whose words can be searched for; others are compared as a whole.
    pub search: Option<Vec<Spanned<String>>>,
    /// The language of these columns, in which a word is found in its other forms, too; by default words are found as
    /// they are written.
    pub language: Option<Spanned<Language>>,
}
from_keys!(
    IndexSinkDef, "an index sink",
    required: [from, connection, index],
    optional: [each, key, columns, version_column, mode, search, language]
);

/// What an index holds, by the column of dates or timestamps that says when, as documents have it: one of these.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct EachDef {
    /// The rows of a day.
    pub day: Option<Spanned<String>>,
    /// The rows of a month.
    pub month: Option<Spanned<String>>,
    /// The rows of a year.
    pub year: Option<Spanned<String>>,
}
from_keys!(EachDef, "`each`", required: [], optional: [day, month, year]);

impl EachDef {
    /// The one that is written; none if it is not exactly one.
    pub fn only(&self) -> Option<(DatePart, &Spanned<String>)> {
        let all = [(DatePart::Day, &self.day), (DatePart::Month, &self.month), (DatePart::Year, &self.year)];
        let mut written = all.into_iter().filter_map(|(part, column)| Some((part, column.as_ref()?)));
        written.next().filter(|_| written.next().is_none())
    }
}

impl FromNode for Language {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let languages = [("portuguese", Self::Portuguese), ("english", Self::English), ("spanish", Self::Spanish)];
        word(node, &languages, report)
    }
}

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

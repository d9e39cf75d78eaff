//! The plan of what runs: a pipeline file resolved into tasks. Each task reads one topic, runs a chain of
//! fused stateless stages over it, and ends in topics, in a stateful operator, or in a store.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use crate::format::{Decimals, Format, RegisteredSchema, SchemaKind, TimeFormat, value_subject};
use crate::plugin::TransformPlan;
use crate::query::Query;
use crate::relation::{Feed, Lookup, Operator, Relation, Table};
use crate::types::{Field, Schema};

pub use aggregation::{Aggregation, Emit, WINDOW_END, WINDOW_START, Window, named_by, window_bounds};
pub use batch::{Batch, BatchTable, BuiltTable, Check, DEAD_LETTERS_TABLE, History, OBJECTS_TABLE, Reference, Test};
pub use objects::{Compression, Layout, ObjectsInput, ObjectsOutput, PartitionColumn, ReaderHints, Roll};
pub use store::{DatePart, Each, Language, StoreOutput, Target, WriteMode};

mod aggregation;
mod batch;
mod objects;
mod store;

/// A pipeline, resolved: everything that a host needs to run it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Its name.
    pub pipeline: String,
    /// Every topic that the tasks read or write: the sources', then as the tasks need them, then the dead letters.
    pub topics: Vec<TopicSpec>,
    /// In topological order: a task stands after the tasks that write its input.
    pub tasks: Vec<Task>,
    /// The topic of this pipeline's dead letters.
    pub dead_letters: String,
    /// What the host answers over HTTP, in the order of the file.
    pub queries: Vec<Query>,
    /// Where the past of sources stands, in the order of the file.
    pub histories: Vec<History>,
    /// What it makes, if it runs over the past only.
    pub batch: Option<Batch>,
}

impl Plan {
    /// The connections at which objects are read or written.
    pub fn object_connections(&self) -> BTreeSet<&str> {
        let read = self.tasks.iter().filter_map(|task| task.input.objects());
        let written = self.tasks.iter().filter_map(|task| task.end.objects());
        read.chain(written.map(|output| output.connection.as_str())).collect()
    }
}

/// A topic that the pipeline reads or writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// The topic's name.
    pub name: String,
    /// At least 1.
    pub partitions: u32,
    /// Who writes it, and when its records may go.
    pub kind: TopicKind,
}

/// Who writes a topic, and when its records may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TopicKind {
    /// Declared as a source: others write it, through the API too.
    Source,
    /// Named by a topic sink, or the dead letters: for readers.
    Output,
    /// Between the tasks of one pipeline; purged behind the consumer's commit.
    Internal,
    /// The state of a stateful task; purged behind its snapshots.
    Changelog,
    /// Of the records with one key the last one counts: what all hosts must know, such as definitions.
    Compacted,
}

/// The topic that holds the state of a task.
pub fn changelog_topic(pipeline: &str, task: &str) -> String {
    internal_topic(pipeline, task, "changelog")
}

/// The topic of what an aggregation's task kept before a version whose state the ones before cannot read.
pub fn snapshots_topic(pipeline: &str, task: &str) -> String {
    internal_topic(pipeline, task, "snapshots")
}

/// The topic between the two halves of an aggregation or a lookup, or in front of a relation.
pub fn exchange_topic(pipeline: &str, step: &str) -> String {
    internal_topic(pipeline, step, "exchange")
}

/// The topic of a step's results, where something but a topic sink reads them.
pub fn results_topic(pipeline: &str, step: &str) -> String {
    internal_topic(pipeline, step, "results")
}

/// The topic that says from which offset on each lane of a pipeline ran which version of it.
pub fn versions_topic(pipeline: &str) -> String {
    format!("{INTERNAL_PREFIX}{pipeline}.versions")
}

/// The topic of a pipeline's dead letters.
pub fn dead_letters_topic(pipeline: &str) -> String {
    format!("{pipeline}{DEAD_LETTERS_SUFFIX}")
}

/// What the names of dead letters' topics end with.
pub const DEAD_LETTERS_SUFFIX: &str = ".dead_letters";

/// What the names of internal topics and changelogs begin with.
pub const INTERNAL_PREFIX: &str = "azenha.";

fn internal_topic(pipeline: &str, task: &str, role: &str) -> String {
    format!("{INTERNAL_PREFIX}{pipeline}.{task}.{role}")
}

/// One consumer of one topic. Each partition of it is a *lane*.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Unique in the pipeline: the step's or sink's name, with `.fold` for the half of an aggregation that
    /// stands before the exchange, and `.repartition` for that of a lookup.
    pub name: String,
    /// What is read.
    pub input: Input,
    /// Stateless transforms, fused, in order.
    pub stages: Vec<Stage>,
    /// What becomes of the rows.
    pub end: End,
}

impl Task {
    /// The step whose rows arrive at the end: dead letters that no plugin caused are of it.
    pub fn end_step(&self) -> &str {
        match &self.end {
            End::Exchange { aggregation, .. } | End::Aggregate { aggregation, .. } => &aggregation.plugin.step,
            End::Store(store) => &store.sink,
            End::Objects(output) => &output.sink,
            End::Table { table, .. } => &table.name,
            End::Relate { relation, .. } => &relation.step,
            End::Repartition { lookup, .. } | End::Lookup { lookup, .. } => &lookup.step,
            End::Topics(_) => &self.name,
        }
    }

    /// The plugins that run in it, by their names in the pipeline file.
    pub fn plugins(&self) -> impl Iterator<Item = &str> {
        let folds = self.end.aggregation().map(|aggregation| aggregation.plugin.plugin.as_str());
        let at_end = folds.or_else(|| Some(self.end.relation()?.assembling()?.plugin.as_str()));
        self.stages.iter().map(|stage| stage.plugin.plugin.as_str()).chain(at_end)
    }

    /// The step that sees what was read first.
    pub fn first_step(&self) -> &str {
        self.stages.first().map_or_else(|| self.end_step(), |stage| &stage.plugin.step)
    }

    /// Whether the task keeps state, and so has a changelog.
    pub fn is_stateful(&self) -> bool {
        !matches!(self.end, End::Topics(_) | End::Store(_))
    }
}

/// What a task reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Records that are decoded into rows.
    Stream(StreamInput),
    /// What tasks with `End::Exchange`, `End::Repartition` or feeds wrote: partial accumulators, rows or changes, by key.
    Exchange {
        /// The internal topic.
        topic: String,
    },
}

impl Input {
    /// The topic that is read.
    pub fn topic(&self) -> &str {
        match self {
            Self::Stream(stream) => &stream.topic,
            Self::Exchange { topic } => topic,
        }
    }

    /// The connection of the objects that the topic's records announce, if rows are read there.
    pub fn objects(&self) -> Option<&str> {
        match self {
            Self::Stream(stream) => stream.objects.as_ref().map(|objects| objects.connection.as_str()),
            Self::Exchange { .. } => None,
        }
    }
}

/// A topic of records, and how they become rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamInput {
    /// The topic's name.
    pub topic: String,
    /// What its records are written in, or the lines of objects that they announce.
    pub format: Format,
    /// The objects that rows stand in; none: they stand in the records.
    pub objects: Option<ObjectsInput>,
    /// Every column of the stream.
    pub columns: Vec<StreamColumn>,
    /// Columns that identify a row, if the topic is a changelog: a tombstone deletes the row that its
    /// record key names. Empty: rows are only ever added, and a record without a value is refused.
    pub key: Vec<usize>,
    /// The columns that somebody reads, ascending; the others are not decoded. Metadata columns are never among
    /// them: the engine makes those on demand, for a stage or end that reads an index past the stream's columns.
    pub needed: Vec<usize>,
    /// When a row happened; only if this task's end goes by it, or is a store whose freshness answers to queries tell. Its
    /// column is among `needed`.
    pub event_time: Option<EventTime>,
}

impl StreamInput {
    /// The stream's own columns, without metadata.
    pub fn schema(&self) -> Schema {
        Schema::new(self.columns.iter().map(|column| column.field.clone()).collect())
    }
}

/// A column of a stream of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamColumn {
    /// Name and type.
    pub field: Field,
    /// Where in the record it stands: the member's name, and those of the objects inside it.
    pub path: Vec<String>,
    /// How a timestamp is written, and in a change stream a time, if the record's own schema does not say it.
    pub time_format: TimeFormat,
}

/// The event time of a stream and how late rows may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTime {
    /// A timestamp column of the stream.
    pub column: usize,
    /// Microseconds that the watermark stays behind the highest event time.
    pub lateness: i64,
    /// Microseconds without a record after which a partition no longer holds the watermark back.
    pub idle_after: i64,
    /// Behind a lookup the rows themselves say how far their stream has come; none: that follows from their times.
    pub told: Option<ToldTime>,
}

/// Columns that say how far the stream of a row had come, before other rows came between. Null: nowhere yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToldTime {
    /// The watermark before the row in the partition that it was first read from: it decides whether the row is late.
    pub watermark: usize,
    /// The lowest watermark of all those partitions: by it windows close.
    pub reached: usize,
}

/// A plugin as a step uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginUse {
    /// The step, for messages, metrics and dead letters.
    pub step: String,
    /// The plugin's name in the pipeline file.
    pub plugin: String,
    /// The step's configuration as JSON.
    pub config: String,
    /// The same with the variables of the file by name: their values may be secrets.
    pub config_by_name: String,
    /// What `open` is given: the columns of the stream, then the metadata columns that the stream does not have
    /// itself.
    pub input: Vec<Field>,
}

/// A fused transform.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The plugin and what it is opened with.
    pub plugin: PluginUse,
    /// What it answered.
    pub plan: TransformPlan,
    /// The outlet that this chain follows.
    pub outlet: usize,
    /// The outlet's columns.
    pub output: Schema,
    /// Those of them that somebody downstream reads, ascending, and those that set metadata (`$op`, …).
    pub needed: Vec<usize>,
}

/// What becomes of a task's rows.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// Rows go to topics as they are.
    Topics(Vec<TopicOutput>),
    /// The first half of an aggregation: grouped by key and window, rows are folded (if the plugin merges)
    /// or passed on, to the partition of the internal topic that owns the key.
    Exchange {
        /// What is folded.
        aggregation: Aggregation,
        /// The internal topic that is written.
        topic: String,
    },
    /// An aggregation, or its second half if the input is an exchange.
    Aggregate {
        /// What is folded.
        aggregation: Aggregation,
        /// Where results go.
        outputs: Vec<TopicOutput>,
    },
    /// Rows go to a table, a collection or an index of a store.
    Store(StoreOutput),
    /// Rows are added to objects.
    Objects(ObjectsOutput),
    /// The rows of a keyed topic are kept, and what changes is told.
    Table {
        /// What is kept.
        table: Table,
        /// The relations that read it.
        feeds: Vec<Feed>,
        /// The topics that get its changes.
        outputs: Vec<TopicOutput>,
    },
    /// The first half of a lookup: rows go to the partition of the internal topic that owns the table's row they name.
    Repartition {
        /// What they are looked up in.
        lookup: Lookup,
        /// Indices of the columns that are sent, as `lookup.stream` has them.
        columns: Vec<usize>,
        /// The internal topic that is written.
        topic: String,
    },
    /// The second half of a lookup; the input is an exchange.
    Lookup {
        /// What rows are looked up in.
        lookup: Lookup,
        /// Where they go, with what was found.
        outputs: Vec<TopicOutput>,
    },
    /// Rows of tables are brought together; the input is an exchange.
    Relate {
        /// What is made of them.
        relation: Relation,
        /// The relations that read the results.
        feeds: Vec<Feed>,
        /// The topics that get the results.
        outputs: Vec<TopicOutput>,
    },
}

impl End {
    /// The aggregation that the task is a half, or the whole, of.
    pub fn aggregation(&self) -> Option<&Aggregation> {
        match self {
            Self::Exchange { aggregation, .. } | Self::Aggregate { aggregation, .. } => Some(aggregation),
            Self::Topics(_)
            | Self::Store(_)
            | Self::Objects(_)
            | Self::Table { .. }
            | Self::Repartition { .. }
            | Self::Lookup { .. }
            | Self::Relate { .. } => None,
        }
    }

    /// The relation that brings rows of tables together.
    pub fn relation(&self) -> Option<&Relation> {
        match self {
            Self::Relate { relation, .. } => Some(relation),
            _ => None,
        }
    }

    /// The objects that rows are written to.
    pub fn objects(&self) -> Option<&ObjectsOutput> {
        match self {
            Self::Objects(output) => Some(output),
            Self::Relate { relation: Relation { operator: Operator::Objects(output), .. }, .. } => Some(output),
            _ => None,
        }
    }

    /// Whether it matters here when rows happened.
    pub fn goes_by_time(&self) -> bool {
        matches!(self, Self::Repartition { .. }) || self.aggregation().is_some_and(|it| it.window.is_some())
    }

    /// The topics that are written, those between tasks among them.
    pub fn writes(&self) -> impl Iterator<Item = &str> {
        let (feeds, exchange) = match self {
            Self::Table { feeds, .. } | Self::Relate { feeds, .. } => (feeds.as_slice(), None),
            Self::Exchange { topic, .. } | Self::Repartition { topic, .. } => (&[][..], Some(topic.as_str())),
            Self::Topics(_) | Self::Aggregate { .. } | Self::Store(_) | Self::Objects(_) | Self::Lookup { .. } => {
                (&[][..], None)
            }
        };
        let outputs = self.outputs().iter().map(|output| output.topic.as_str());
        let announced = self.objects().and_then(|objects| objects.announce.as_deref());
        feeds.iter().map(|feed| feed.topic.as_str()).chain(exchange).chain(announced).chain(outputs)
    }

    /// The topics that rows are written to.
    pub fn outputs(&self) -> &[TopicOutput] {
        match self {
            Self::Topics(outputs)
            | Self::Aggregate { outputs, .. }
            | Self::Table { outputs, .. }
            | Self::Lookup { outputs, .. }
            | Self::Relate { outputs, .. } => outputs,
            Self::Exchange { .. } | Self::Repartition { .. } | Self::Store(_) | Self::Objects(_) => &[],
        }
    }
}

/// A topic that rows are written to.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicOutput {
    /// The topic's name.
    pub topic: String,
    /// What values are written in; keys are JSON in every format.
    pub format: Format,
    /// What is written.
    pub columns: Vec<OutputColumn>,
    /// Positions in `columns`: the record's key, as a JSON object; it decides the partition. Empty: no key.
    pub key: Vec<usize>,
}

/// A column of the rows that arrive at an end, and what it is called outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputColumn {
    /// Index among the columns that arrive (the stream's or last stage's, then the metadata columns). The one behind all
    /// of them is the version of the pipeline that makes the row.
    pub input: usize,
    /// The column as the topic or store has it.
    pub field: Field,
    /// How a topic's JSON writes it, if it is a timestamp.
    pub time_format: TimeFormat,
}

/// Version of what a task's offsets and rows mean; raised by each explicit reset, replay or rebuild, so
/// that a deliberate re-run is not swallowed by the guards against repeated writes.
pub type Generation = u32;

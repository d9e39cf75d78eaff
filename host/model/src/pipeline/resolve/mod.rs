//! From a pipeline file to the plan: what is read by whom, which tasks that makes, and everything that does
//! not fit.
//!
//! Sources, steps and sinks are visited in the order in which rows flow. Each source, transform and topic sink
//! leaves a [`Stream`] behind: a topic, the stages that are fused over it so far, and what is known of the rows
//! there. A task is made where a stream ends.

mod aggregate;
mod batch;
mod columns;
mod identify;
mod indexes;
mod lookup;
mod objects;
mod order;
mod parameters;
mod plugins;
mod prune;
mod queries;
mod reader_hints;
mod schemas;
mod searches;
mod sinks;
mod stores;
mod stream;
mod tables;
mod topics;
mod transform;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use super::file::{SinkDef, StepDef};
use super::{PipelineFile, Source};
use crate::diagnostic::Diagnostics;
use crate::names::unknown;
use crate::plan::{
    End, Format, Input, Plan, StreamColumn, Target, Task, TopicKind, TopicOutput, changelog_topic, dead_letters_topic,
};
use crate::plugin::{AggregatePlan, AssemblePlan, Problem, TableFields, TransformPlan, World};
use crate::query::Path;
use crate::types::Field;
use crate::yaml::{Place, Report, Spanned};
use aggregate::Results;
use order::Reader;
use stream::Stream;
use tables::TableRows;
use topics::Topics;

/// What a pipeline is resolved against.
pub trait Surroundings {
    /// Opens a transform. `plugin` is as the file has it, `config` is JSON, `input` the columns that it may
    /// be given.
    ///
    /// # Errors
    /// Why there is no plan.
    fn open_transform(&self, plugin: &str, config: &str, input: &[Field]) -> Result<TransformPlan, PluginError>;

    /// Opens an aggregate; `keys` are the columns that rows are grouped by, and the window's bounds.
    ///
    /// # Errors
    /// Why there is no plan.
    fn open_aggregate(
        &self,
        plugin: &str,
        config: &str,
        input: &[Field],
        keys: &[Field],
    ) -> Result<AggregatePlan, PluginError>;

    /// Opens an assembly; `keys` are the columns that bring rows of the tables together.
    ///
    /// # Errors
    /// Why there is no plan.
    fn open_assemble(
        &self,
        plugin: &str,
        config: &str,
        tables: &[TableFields],
        keys: &[Field],
    ) -> Result<AssemblePlan, PluginError>;

    /// How many partitions a topic has; none if it does not exist.
    fn partitions(&self, topic: &str) -> Option<u32>;

    /// Whether the host's configuration has a connection.
    ///
    /// # Errors
    /// What would be right, for people.
    fn has_connection(&self, name: &str) -> Result<(), String>;

    /// Whether the URL of a connection, if there is one, is that of a store.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    fn check_connection(&self, name: &str) -> Result<(), String>;

    /// Whether the store of a connection, if there is one, has such targets.
    ///
    /// # Errors
    /// What the store is, for people.
    fn check_target(&self, connection: &str, target: &Target) -> Result<(), String>;

    /// Whether the store of a connection, if there is one, finds rows by words of their texts.
    ///
    /// # Errors
    /// What the store is, for people.
    fn check_search(&self, connection: &str) -> Result<(), String>;

    /// Whether the host's configuration has a connection to objects.
    ///
    /// # Errors
    /// What would be right, for people.
    fn has_objects(&self, name: &str) -> Result<(), String>;

    /// Asks a source's registry whether records of the topic's latest schema, if there is one, can be read as these
    /// columns. The format is one of a registry.
    ///
    /// # Errors
    /// What does not fit, or why that cannot be told; at least one problem.
    fn check_readable(&self, topic: &str, format: &Format, columns: &[StreamColumn]) -> Result<(), Vec<SchemaProblem>>;

    /// Asks a sink's registry whether it would take the schema of what is written. The format is one of a registry.
    ///
    /// # Errors
    /// What does not fit, or why that cannot be told; at least one problem.
    fn check_writable(&self, output: &TopicOutput) -> Result<(), Vec<SchemaProblem>>;

    /// Who else answers requests that a path would take, for people: a query of another pipeline.
    fn path_taken(&self, path: &Path) -> Option<String>;
}

/// Why a topic and its schema registry do not go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaProblem {
    /// The index of the column that it is about, if it is about one.
    pub column: Option<usize>,
    /// What was found, for people.
    pub message: String,
    /// What would be right.
    pub help: String,
}

/// Why a plugin gave no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginError {
    /// There is no such plugin.
    Unknown {
        /// The names of those that there are.
        known: Vec<String>,
    },
    /// It is a plugin of another kind than the step needs.
    WrongWorld {
        /// What it is.
        found: World,
    },
    /// It refuses its configuration or its input; at least one problem.
    Problems(Vec<Problem>),
    /// It is no plugin, or it failed; the text is for people.
    Broken(String),
}

/// Marks what could not be resolved; the report has the reason.
#[derive(Debug, Clone, Copy)]
struct Reported;

type Outcome<T> = Result<T, Reported>;

struct Resolver<'a> {
    file: &'a PipelineFile,
    surroundings: &'a dyn Surroundings,
    report: Report,
    topics: Topics<'a>,
    /// By what `from` calls them. What could not be resolved is not here.
    streams: BTreeMap<String, Stream>,
    /// Of steps and tables whose task writes them itself, by what `from` calls them.
    results: BTreeMap<String, Results>,
    /// What joins and assemblies read, by what `from` calls it.
    tables: BTreeMap<String, TableRows>,
    tasks: Vec<Task>,
}

/// Lanes that a pipeline may have: each has a task of the runtime, buffers and a place in what is shown, and one host
/// may have to run them all.
const MOST_LANES: u32 = 4096;

/// Makes the plan of a pipeline.
pub(super) fn resolve(file: &PipelineFile, surroundings: &dyn Surroundings) -> Result<Plan, Diagnostics> {
    let mut resolver = Resolver {
        file,
        surroundings,
        report: Report::new(&file.file),
        topics: Topics::new(surroundings),
        streams: BTreeMap::new(),
        results: BTreeMap::new(),
        tables: BTreeMap::new(),
        tasks: Vec::new(),
    };
    resolver.sources();
    for reader in order::ordered(file, &mut resolver.report) {
        // What failed is in the report already; what reads it is passed over.
        let _: Outcome<()> = match reader {
            Reader::Step(step) => match &step.value {
                StepDef::Transform(definition) => resolver.transform(definition.plugin_step(&step.name)),
                StepDef::Aggregate(definition) => resolver.aggregate(definition.plugin_step(&step.name), definition),
                StepDef::Table(definition) => resolver.table_step(&step.name, definition),
                StepDef::Join(definition) => resolver.join(&step.name, definition),
                StepDef::Lookup(definition) => resolver.lookup(&step.name, definition),
                StepDef::Assemble(definition) => resolver.assemble(definition.plugin_step(&step.name), definition),
                StepDef::Identify(definition) => resolver.identify(definition.plugin_step(&step.name), definition),
            },
            Reader::Sink(sink) => match &sink.value {
                SinkDef::Topic(definition) => resolver.topic_sink(&sink.name, definition),
                SinkDef::Table(definition) => resolver.table_sink(&sink.name, definition),
                SinkDef::Collection(definition) => resolver.collection_sink(&sink.name, definition),
                SinkDef::Index(definition) => resolver.index_sink(&sink.name, definition),
                SinkDef::Objects(definition) => resolver.objects_sink(&sink.name, definition),
            },
        };
    }
    resolver.finish()
}

impl Resolver<'_> {
    /// Takes the sources in that others write; those of objects that this pipeline writes follow their sinks.
    fn sources(&mut self) {
        for (index, source) in self.file.sources.iter().enumerate() {
            if self.file.announcer(source).is_none() {
                self.source(index, source, TopicKind::Source);
            }
        }
    }

    fn source(&mut self, index: usize, source: &Source, kind: TopicKind) {
        // Of bytes nothing is read: they may be kept beside what is read.
        let is_read = |source: &Source| source.format.value != Format::Bytes;
        let same_topic = |other: &&Source| other.topic.value == source.topic.value && is_read(other) && is_read(source);
        if let Some(other) = self.file.sources[..index].iter().find(same_topic)
            && (&other.columns, &other.format.value) != (&source.columns, &source.format.value)
        {
            let message = format!(
                "topic `{}` is read with another schema by source `{}` already",
                source.topic.value, other.name.value
            );
            self.report.error(source.topic.place, message).suggest("use one source with the columns of both");
        }
        let announced = self.topics.get(&source.topic.value).map(|spec| spec.partitions);
        let wanted = source.partitions.as_ref();
        let partitions = self.topics.partitions(&source.topic, wanted, announced.unwrap_or(1), &mut self.report);
        self.topics.add(&source.topic.value, partitions, kind);
        self.check_source_schema(source);
        self.check_source_objects(source);
        let stream = Stream::of_source(source, partitions);
        match &source.key {
            // What an event leaves out, and whether it came before, only the table knows.
            Some(key) if source.format.value.is_change_stream() => {
                if let Ok(table) = self.keep_table(&source.name, stream, key.clone(), source.on_truncate) {
                    self.leave_table(&source.name, &table);
                }
            }
            _ => {
                self.streams.insert(source.name.value.clone(), stream);
            }
        }
    }

    /// The stream that `from` names.
    fn stream(&mut self, from: &Spanned<String>) -> Outcome<Stream> {
        self.read_joined(from)?;
        if let Some(stream) = self.streams.get(&from.value) {
            let stream = stream.clone();
            self.read_results(&from.value);
            return Ok(stream);
        }
        if let Some((step, outlet)) = from.value.split_once('.')
            && self.streams.contains_key(step)
        {
            let prefix = format!("{step}.");
            let outlets: Vec<&str> = self.streams.keys().filter_map(|name| name.strip_prefix(&prefix)).collect();
            let message = format!("step `{step}` has no outlet `{outlet}`");
            self.report.error(from.place, message).suggest(unknown(outlet, "its outlets are", &outlets));
        }
        if self.tasks.iter().any(|task| task.name == from.value && task.end.objects().is_some()) {
            let message = format!("sink `{}` replaces its objects, so they cannot be followed", from.value);
            self.report.error(from.place, message).suggest("read what the sink reads");
        }
        Err(Reported)
    }

    /// A stream for a step: none that replaces or deletes rows, because no step can take rows back.
    fn stream_of_additions(&mut self, from: &Spanned<String>, what: &str) -> Outcome<Stream> {
        let stream = self.stream(from)?;
        if stream.rows.changes.is_some() {
            let message = format!(
                "`{}` is a changelog: its rows replace and delete earlier ones, and {what} cannot follow that",
                from.value
            );
            self.report
                .error(from.place, message)
                .suggest("sinks, joins and assemblies can read a changelog; with `emit: final` an aggregation gives each row once");
            return Err(Reported);
        }
        Ok(stream)
    }

    /// A task over a stream. `reads` are the columns that its end reads.
    fn push_stream_task(&mut self, name: &str, stream: Stream, reads: BTreeSet<usize>, end: End) {
        let Stream { mut input, mut stages, .. } = stream;
        let tells_freshness = queries::told_fresh(&self.file.queries).any(|sink| sink == name);
        prune::prune(&mut input, &mut stages, reads, tells_freshness || end.goes_by_time());
        self.tasks.push(Task { name: name.to_owned(), input: Input::Stream(input), stages, end });
    }

    /// The changelog of a stateful task.
    fn add_changelog(&mut self, task: &str, partitions: u32, place: Place) {
        let topic = changelog_topic(self.file.name(), task);
        self.add_internal(topic, partitions, TopicKind::Changelog, place);
    }

    fn add_internal(&mut self, topic: String, partitions: u32, kind: TopicKind, place: Place) {
        self.topics.add_internal(topic, partitions, kind, place, &mut self.report);
    }

    fn check_lanes(&mut self) {
        let partitions = |task: &Task| self.topics.get(task.input.topic()).map_or(0, |topic| topic.partitions);
        let lanes = self.tasks.iter().map(partitions).fold(0, u32::saturating_add);
        if lanes > MOST_LANES {
            let message = format!(
                "the tasks of this pipeline have {lanes} lanes, one for each partition that each of them reads; \
                 {MOST_LANES} are the most"
            );
            self.report
                .error(self.file.name.place, message)
                .suggest("give the sources fewer partitions, or make several pipelines of this one");
        }
    }

    fn finish(mut self) -> Result<Plan, Diagnostics> {
        let dead_letters = dead_letters_topic(self.file.name());
        self.add_internal(dead_letters.clone(), 1, TopicKind::Output, self.file.name.place);
        self.check_lanes();
        let queries = self.queries();
        let (histories, batch) = (self.histories(), self.batch());
        let plan = Plan {
            pipeline: self.file.name().to_owned(),
            topics: self.topics.into_specs(),
            tasks: self.tasks,
            dead_letters,
            queries,
            histories,
            batch,
        };
        self.report.into_result(Some(plan))
    }
}

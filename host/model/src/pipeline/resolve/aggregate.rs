//! Aggregations: one task where all rows of a group are in one partition, else two with an exchange between.

use std::collections::BTreeSet;

use super::super::file::{AggregateDef, WindowDef};
use super::plugins::PluginStep;
use super::stream::{Rows, Stream};
use super::{Outcome, Reported, Resolver};
use crate::plan::{
    Aggregation, Emit, End, Format, Input, OutputColumn, PluginUse, Task, TimeFormat, TopicKind, TopicOutput, Window,
    exchange_topic, results_topic, window_bounds,
};
use crate::plugin::AggregatePlan;
use crate::types::Field;
use crate::units::Micros;
use crate::yaml::{Place, Spanned};

/// The most hopping windows that one row may be in.
const MAX_OVERLAP: i64 = 1000;

/// The results of a task, where it has them.
pub(super) struct Results {
    /// The index of the task among the tasks.
    pub task: usize,
    pub rows: Rows,
    /// The columns that identify a result; none if results only ever add to those before.
    pub key: Vec<usize>,
    /// How timestamps are written between tasks.
    pub time_format: TimeFormat,
    pub place: Place,
}

impl Resolver<'_> {
    /// Makes the tasks and leaves a stream of the results behind.
    pub(super) fn aggregate(&mut self, step: PluginStep<'_>, definition: &AggregateDef) -> Outcome<()> {
        let stream = self.stream_of_additions(step.from, "an aggregation")?;
        let aggregation = self.aggregation(step, definition, &stream)?;
        let rows = result_rows(&aggregation, &stream.rows);
        let names = rows.fields.iter().map(|field| &field.name);
        self.check_distinct(names, definition.by.place)?;
        // The group's columns and the window's bounds, which come first.
        let key = (0..aggregation.key_fields().len()).collect();
        self.push_aggregation(step.step, stream, aggregation);
        let time_format = TimeFormat::default();
        let results = Results { task: self.tasks.len() - 1, rows, key, time_format, place: step.step.place };
        self.leave_results(&step.step.value, results);
        Ok(())
    }

    /// Leaves a stream of a task's results behind.
    pub(super) fn leave_results(&mut self, name: &str, results: Results) {
        self.streams.insert(name.to_owned(), results.stream(results_topic(self.file.name(), name)));
        self.results.insert(name.to_owned(), results);
    }

    fn aggregation(
        &mut self,
        step: PluginStep<'_>,
        definition: &AggregateDef,
        stream: &Stream,
    ) -> Outcome<Aggregation> {
        let input = &stream.rows.fields;
        let by = self.key_columns(&definition.by, input);
        let window = self.window(definition, stream);
        let (by, window) = (by?, window?);
        let plugin = step.plugin_use(input);
        let group = by.iter().map(|column| input[*column].clone());
        let keys: Vec<Field> = group.chain(window.map(|_| window_bounds()).into_iter().flatten()).collect();
        let plan = self.open_aggregate(step, &plugin, &keys)?;
        if matches!(window, Some(Window::Session { .. })) {
            self.check_merges(
                step,
                &plan,
                "sessions grow together",
                "use tumbling or hopping windows, or another plugin",
            )?;
        }
        self.check_grant(step, input, &plan.reads, &by)?;
        let emit = definition.emit.as_ref().map_or(Emit::Changes, |emit| emit.value);
        let lateness = stream.input.event_time.filter(|_| window.is_some()).map_or(0, |time| time.lateness);
        Ok(Aggregation { plugin, plan, by, identity: None, window, emit, lateness })
    }

    pub(super) fn open_aggregate(
        &mut self,
        step: PluginStep<'_>,
        plugin: &PluginUse,
        keys: &[Field],
    ) -> Outcome<AggregatePlan> {
        let opened = self.surroundings.open_aggregate(&plugin.plugin, &plugin.config, &plugin.input, keys);
        opened.map_err(|error| self.report_plugin_error(step, &plugin.input, error))
    }

    /// Checks that a plugin merges, where groups do.
    pub(super) fn check_merges(
        &mut self,
        step: PluginStep<'_>,
        plan: &AggregatePlan,
        why: &str,
        help: &str,
    ) -> Outcome<()> {
        if plan.merges {
            return Ok(());
        }
        let message = format!("{why}, but plugin `{}` cannot merge accumulators", step.plugin.value);
        self.report.error(step.plugin.place, message).suggest(help);
        Err(Reported)
    }

    fn window(&mut self, definition: &AggregateDef, stream: &Stream) -> Outcome<Option<Window>> {
        let Some(window) = &definition.window else {
            if let Some(Spanned { value: Emit::Final, place }) = &definition.emit {
                self.report
                    .error(*place, "without a window no result is ever final")
                    .suggest("add a `window`, or write `emit: changes`");
                return Err(Reported);
            }
            return Ok(None);
        };
        if stream.input.event_time.is_none() {
            let message = format!("a window needs an event time, and `{}` has none", definition.from.value);
            self.report
                .error(window.place, message)
                .suggest("give the source an `event_time: { field: … }`; topics that this pipeline writes have none");
            return Err(Reported);
        }
        self.window_sizes(&window.value).map(Some)
    }

    fn window_sizes(&mut self, window: &WindowDef) -> Outcome<Window> {
        match window {
            WindowDef::Tumbling(window) => Ok(Window::Tumbling { size: self.above_zero(&window.tumbling)? }),
            WindowDef::Session(window) => Ok(Window::Session { gap: self.above_zero(&window.session)? }),
            WindowDef::Hopping(window) => {
                let (size, hop) = (self.above_zero(&window.hopping)?, self.above_zero(&window.every)?);
                if hop > size {
                    self.report
                        .error(window.every.place, "windows that begin further apart than they are long leave gaps")
                        .suggest("make `every` at most as long as `hopping`");
                    return Err(Reported);
                }
                if size > hop * MAX_OVERLAP {
                    self.report
                        .error(window.every.place, format!("each row would be in more than {MAX_OVERLAP} windows"))
                        .suggest(format!("make `hopping` at most {MAX_OVERLAP} times as long as `every`"));
                    return Err(Reported);
                }
                Ok(Window::Hopping { size, hop })
            }
        }
    }

    fn above_zero(&mut self, duration: &Spanned<Micros>) -> Outcome<i64> {
        if duration.value.0 > 0 {
            return Ok(duration.value.0);
        }
        self.report.error(duration.place, "a window cannot have no length").suggest("write for instance `2m`");
        Err(Reported)
    }

    fn push_aggregation(&mut self, step: &Spanned<String>, stream: Stream, aggregation: Aggregation) {
        let partitions = stream.rows.partitions;
        if stream.rows.are_together(&aggregation.by) {
            let reads = reads(&aggregation);
            self.push_stream_task(&step.value, stream, reads, End::Aggregate { aggregation, outputs: Vec::new() });
            self.add_changelog(&step.value, partitions, step.place);
        } else {
            self.push_halves(step, stream, aggregation, partitions);
        }
    }

    /// An aggregation in two halves, with an exchange of so many partitions between them.
    pub(super) fn push_halves(
        &mut self,
        step: &Spanned<String>,
        stream: Stream,
        aggregation: Aggregation,
        partitions: u32,
    ) {
        let (name, of_stream) = (&step.value, stream.rows.partitions);
        let topic = exchange_topic(self.file.name(), name);
        let fold = format!("{name}.fold");
        let (reads, first) =
            (reads(&aggregation), End::Exchange { aggregation: aggregation.clone(), topic: topic.clone() });
        self.push_stream_task(&fold, stream, reads, first);
        self.add_changelog(&fold, of_stream, step.place);
        self.add_internal(topic.clone(), partitions, TopicKind::Internal, step.place);
        let end = End::Aggregate { aggregation, outputs: Vec::new() };
        self.tasks.push(Task { name: name.clone(), input: Input::Exchange { topic }, stages: Vec::new(), end });
        self.add_changelog(name, partitions, step.place);
    }

    /// Notes that something else than a topic sink reads a step; if its task writes results itself, they get a topic.
    pub(super) fn read_results(&mut self, step: &str) {
        let Some(results) = self.results.get(step) else { return };
        let output = results.output(results_topic(self.file.name(), step));
        if self.topics.get(&output.topic).is_none() {
            let (task, partitions, place) = (results.task, results.rows.partitions, results.place);
            self.add_internal(output.topic.clone(), partitions, TopicKind::Internal, place);
            self.push_result_output(task, output);
        }
    }

    /// Adds a topic to those that a task writes its results to.
    pub(super) fn push_result_output(&mut self, task: usize, output: TopicOutput) {
        if let Some(outputs) = self.result_outputs(task) {
            outputs.push(output);
        }
    }

    /// The topics that a task writes its results to.
    pub(super) fn result_outputs(&mut self, task: usize) -> Option<&mut Vec<TopicOutput>> {
        match &mut self.tasks[task].end {
            End::Aggregate { outputs, .. }
            | End::Table { outputs, .. }
            | End::Lookup { outputs, .. }
            | End::Relate { outputs, .. } => Some(outputs),
            _ => None,
        }
    }
}

impl Results {
    /// All results, for a topic of their own.
    fn output(&self, topic: String) -> TopicOutput {
        let column = |(input, field): (usize, &Field)| OutputColumn {
            input,
            field: field.clone(),
            time_format: self.time_format,
        };
        let columns = self.rows.fields.iter().enumerate().map(column).collect();
        TopicOutput { topic, format: Format::Json, columns, key: self.key.clone() }
    }

    /// The results as they are read from that topic.
    fn stream(&self, topic: String) -> Stream {
        let output = self.output(topic);
        let partitioned_by = match output.key.as_slice() {
            [] => self.rows.partitioned_by.clone(),
            key => Some(self.rows.partitioning(key)),
        };
        Stream::of_output(&output, self.rows.partitions, partitioned_by, self.rows.changes.is_some())
    }
}

/// The columns that an aggregation reads of its rows.
fn reads(aggregation: &Aggregation) -> BTreeSet<usize> {
    aggregation.by.iter().chain(&aggregation.plan.reads).copied().collect()
}

/// What is known of the results in the task that makes them.
fn result_rows(aggregation: &Aggregation, input: &Rows) -> Rows {
    let keys = aggregation.key_fields().len();
    let groups = aggregation.by.len();
    let fields = aggregation.output().fields;
    let position = |column: &usize| aggregation.by.iter().position(|by| by == column);
    let decisive = input.partitioned_by.as_ref().filter(|_| input.are_together(&aggregation.by));
    let is_fixed = matches!(aggregation.window, Some(Window::Tumbling { .. } | Window::Hopping { .. }));
    Rows {
        own: fields.len(),
        fields,
        partitions: input.partitions,
        partitioned_by: decisive
            .map_or_else(|| Some((0..groups).collect()), |columns| columns.iter().map(position).collect()),
        changes: (aggregation.emit == Emit::Changes).then(|| (0..keys).collect()),
        bounds: is_fixed.then_some((groups, groups + 1)),
        made_by: None,
    }
}

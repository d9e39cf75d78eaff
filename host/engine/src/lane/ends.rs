//! What a lane does with what it reads, made from the plan and the state that was read back.

use std::sync::Arc;

use azenha_model::plan::{
    Aggregation, End as EndPlan, ObjectsOutput, StreamInput, Task, TopicOutput, changelog_topic, snapshots_topic,
};
use azenha_model::relation::{Feed, Lookup, Operator, Relation, Table};
use azenha_model::types::meta;

use super::intake::{Intake, StreamIntake};
use crate::aggregation::{Aggregator, definition};
use crate::end::{
    AggregateEnd, Definition, ExchangeEnd, LookupEnd, MessageEnd, ObjectsEnd, ObjectsPlace, Operation, Order, Outbox,
    RelateEnd, RepartitionEnd, ReplacedEnd, RowEnd, StoreEnd, TableEnd, TopicWriter, TopicsEnd, Unfit, kept_under,
    lookup_definition,
};
use crate::error::EngineError;
use crate::plugin::FusedStage;
use crate::relation::{Assembler, Joiner, KeyedTable, Related, Router, row_codec};
use crate::rows::Arriving;
use crate::state::{GroupTable, Restored, StateHeader};
use crate::status::NO_TIME;
use crate::task::TaskContext;
use crate::watermark::{ReceiverWatermark, SourceWatermark};

/// What a lane does with the records of a stream.
pub fn open_stream(
    context: &Arc<TaskContext>,
    partition: u32,
    stream: &StreamInput,
    recovered: Restored,
) -> Result<Intake, EngineError> {
    let task = context.task();
    let stages = task
        .stages
        .iter()
        .map(|stage| {
            let plugin = context.program.plugin(&stage.plugin.plugin)?;
            let step = &stage.plugin.step;
            FusedStage::open(stage, plugin, (context.tap(step), context.shadow(step)), Arc::clone(&context.clock))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut fields = task.stages.last().map_or_else(|| stream.schema(), |stage| stage.output.clone()).fields;
    for field in meta::fields() {
        if !fields.iter().any(|known| known.name == field.name) {
            fields.push(field);
        }
    }
    let watermark = stream.event_time.map(|time| {
        let reached =
            recovered.header.as_ref().map_or((NO_TIME, NO_TIME), |header| (header.event_time, header.watermark));
        SourceWatermark::resumed(reached.0, reached.1, time.told.is_none().then_some(time.lateness))
    });
    let version = context.program.edition.version;
    let told = recovered.header.as_ref().and_then(|header| header.senders.first()).map(|(_, progress)| *progress);
    let end: Box<dyn RowEnd> = match &task.end {
        EndPlan::Topics(outputs) => {
            let writers = writers(context, outputs, partition)?;
            Box::new(TopicsEnd::new(task.end_step(), writers, Arriving { fields, version }))
        }
        EndPlan::Store(output) => Box::new(StoreEnd::new(output, Arriving { fields, version })),
        EndPlan::Objects(output) => {
            let place = objects_place(context, output, partition)?;
            Box::new(ObjectsEnd::new(output, Arriving { fields, version }, place, recovered))
        }
        EndPlan::Exchange { aggregation, topic } => {
            let aggregator = aggregator(context, aggregation, GroupTable::default())?;
            let outbox = Outbox::new(topic, context.program.partitions(topic)?, partition, told);
            let changelog = changelog_topic(&context.program.plan.pipeline, &task.name);
            Box::new(ExchangeEnd::new(aggregator, outbox, changelog, partition, version))
        }
        EndPlan::Repartition { lookup, columns, topic } => {
            let outbox = Outbox::new(topic, context.program.partitions(topic)?, partition, told);
            let changelog = changelog_topic(&context.program.plan.pipeline, &task.name);
            let definition = lookup_definition(lookup);
            Box::new(RepartitionEnd::new(lookup, (fields, columns), outbox, definition, changelog, partition)?)
        }
        EndPlan::Aggregate { aggregation, outputs } => {
            Box::new(aggregate(context, aggregation, outputs, partition, None, recovered)?)
        }
        EndPlan::Table { table, feeds, outputs } => {
            Box::new(open_table(context, (table, feeds, outputs), partition, recovered)?)
        }
        EndPlan::Relate { .. } | EndPlan::Lookup { .. } => return Err(not_an_exchange()),
    };
    let (step, batch_rows) = (context.task().end_step(), context.options.batch_rows.max(1));
    Ok(Intake::Stream(Box::new(StreamIntake::new(stream, step, batch_rows, stages, watermark, end))))
}

/// What a lane does with the messages of an exchange.
pub fn open_exchange(context: &Arc<TaskContext>, partition: u32, recovered: Restored) -> Result<Intake, EngineError> {
    let end: Box<dyn MessageEnd> = match &context.task().end {
        EndPlan::Aggregate { aggregation, outputs } => {
            Box::new(aggregate(context, aggregation, outputs, partition, Some(senders(context)?), recovered)?)
        }
        EndPlan::Relate { relation, feeds, outputs } => match &relation.operator {
            Operator::Objects(output) => Box::new(open_replaced(context, (relation, output), partition, recovered)?),
            _ => Box::new(open_relation(context, (relation, feeds, outputs), partition, recovered)?),
        },
        EndPlan::Lookup { lookup, outputs } => Box::new(open_lookup(context, lookup, outputs, partition, recovered)?),
        _ => return Err(not_an_exchange()),
    };
    Ok(Intake::Exchange(end))
}

fn not_an_exchange() -> EngineError {
    let reason = "only aggregations, lookups and relations read an exchange, and only aggregations anything else";
    EngineError::Setup(reason.to_owned())
}

/// How many lanes tell the step's second half how far they have come.
fn senders(context: &TaskContext) -> Result<u32, EngineError> {
    let topic = context.task().input.topic();
    let writes = |task: &&Task| match &task.end {
        EndPlan::Exchange { topic: written, .. } | EndPlan::Repartition { topic: written, .. } => written == topic,
        _ => false,
    };
    let missing = || EngineError::Setup(format!("no task writes the exchange `{topic}`"));
    let first_half = context.program.plan.tasks.iter().find(writes).ok_or_else(missing)?;
    context.program.partitions(first_half.input.topic())
}

/// A state is read back only under the definition that wrote it, and by a plugin that reads its version. Rows of tables are
/// not a plugin's.
pub fn check_fits(context: &TaskContext, header: &StateHeader) -> Result<(), EngineError> {
    let (step, end) = (context.task().end_step(), &context.task().end);
    let now = match end {
        EndPlan::Exchange { aggregation, .. } => definition(aggregation),
        EndPlan::Aggregate { aggregation, .. } => {
            if !aggregation.plan.reads(header.state_version) {
                return Err(unread_version(step, header.state_version, aggregation));
            }
            definition(aggregation)
        }
        EndPlan::Objects(_) => context.cut_definition(),
        EndPlan::Repartition { lookup, .. } | EndPlan::Lookup { lookup, .. } => lookup_definition(lookup),
        EndPlan::Table { .. } | EndPlan::Relate { .. } => return readers_after(context, Some(header)).map(|_| ()),
        EndPlan::Topics(_) | EndPlan::Store(_) => return Ok(()),
    };
    if header.definition == now { Ok(()) } else { Err(other_definition(step, &header.definition, &now)) }
}

fn unread_version(step: &str, found: u32, aggregation: &Aggregation) -> EngineError {
    let now = aggregation.plan.state_version;
    EngineError::State(format!(
        "step `{step}`: its state has version {found}, but the plugin writes version {now} and does not read {found}: \
         bring the older plugin back, give the state up with a reset of the step, or give the step another name, with \
         which it starts over"
    ))
}

fn other_definition(step: &str, before: &str, now: &str) -> EngineError {
    EngineError::State(format!(
        "step `{step}`: its state is of another definition ({before}) than the pipeline's ({now}): bring that one back, or \
         give the step another name, with which it starts over"
    ))
}

/// The definition of a table or relation, and what its readers know of the state.
fn readers_after(context: &TaskContext, header: Option<&StateHeader>) -> Result<Definition, EngineError> {
    let step = context.task().end_step();
    let missing = || EngineError::Setup(format!("step `{step}` keeps no rows that others follow"));
    let now = kept_under(&context.task().end).ok_or_else(missing)?;
    let Some(header) = header else { return Ok(now) };
    let text = now.text();
    now.after(&Definition::read(&header.definition)).map_err(|unfit| match unfit {
        Unfit::Other => other_definition(step, &header.definition, &text),
        Unfit::Returning(reader) => EngineError::State(format!(
            "`{reader}` read `{step}` before, but not all the time, and does not know which rows are gone: give what reads \
             `{step}` another name, with which it starts over"
        )),
    })
}

fn open_table(
    context: &TaskContext,
    (table, feeds, outputs): (&Table, &[Feed], &[TopicOutput]),
    partition: u32,
    recovered: Restored,
) -> Result<TableEnd, EngineError> {
    let task = context.task();
    let changelog = changelog_topic(&context.program.plan.pipeline, &task.name);
    let router = Router::new(&table.fields, &table.key, feeds, |topic| context.program.partitions(topic))?;
    let input = (task.input.topic().to_owned(), partition);
    let definition = readers_after(context, recovered.header.as_ref())?;
    let table = KeyedTable::over(table.clone(), recovered.table).map_err(|error| unreadable(&changelog, error))?;
    let holds_many = task.input.objects().is_some() || !task.stages.is_empty();
    let order = if holds_many { Order::of_places() } else { Order::Offsets };
    Ok(TableEnd::new(table, router, writers(context, outputs, partition)?, definition, changelog, input, order))
}

fn open_lookup(
    context: &TaskContext,
    lookup: &Lookup,
    outputs: &[TopicOutput],
    partition: u32,
    recovered: Restored,
) -> Result<LookupEnd, EngineError> {
    let changelog = changelog_topic(&context.program.plan.pipeline, &context.task().name);
    let known = recovered.header.as_ref().map_or(&[][..], |header| &header.senders);
    let reached = recovered.header.as_ref().map_or(NO_TIME, |header| header.watermark);
    let senders = ReceiverWatermark::resumed(senders(context)?, known, reached);
    let table =
        Related::over(recovered.table, vec![lookup.table.versions]).map_err(|error| unreadable(&changelog, error))?;
    let (writers, tap) = (writers(context, outputs, partition)?, context.tap(&lookup.step));
    LookupEnd::new(lookup, table, senders, writers, lookup_definition(lookup), (changelog, partition), tap)
}

fn unreadable(changelog: &str, error: impl std::fmt::Display) -> EngineError {
    EngineError::State(format!("the state in topic `{changelog}` cannot be read: {error}"))
}

fn open_relation(
    context: &TaskContext,
    (relation, feeds, outputs): (&Relation, &[Feed], &[TopicOutput]),
    partition: u32,
    recovered: Restored,
) -> Result<RelateEnd, EngineError> {
    let task = context.task();
    let changelog = changelog_topic(&context.program.plan.pipeline, &task.name);
    let related = open_related(relation, recovered.table, &changelog)?;
    let operation = match &relation.operator {
        Operator::Join(kind) => Operation::Join(Joiner::new(relation, *kind)?),
        Operator::Latest => Operation::Latest(row_codec(&relation.output())?),
        Operator::Objects(_) => return Err(EngineError::Setup("objects are not sent on".to_owned())),
        Operator::Assemble(by) => {
            let (plugin, shadow) = (context.program.plugin(&by.plugin)?, context.shadow(&relation.step));
            let opened = Assembler::open(relation, by, (plugin, shadow), Arc::clone(&context.clock))?;
            Operation::Assemble(Box::new(opened))
        }
    };
    // A joined row is identified by the columns that identify the row of the first table: no feed groups by them.
    let router = Router::new(&relation.output(), &[], feeds, |topic| context.program.partitions(topic))?;
    let outlets = (router, writers(context, outputs, partition)?);
    let (input, tap) = ((task.input.topic().to_owned(), partition), context.tap(&relation.step));
    let definition = readers_after(context, recovered.header.as_ref())?;
    let mut end = RelateEnd::new(relation.clone(), operation, related, outlets, definition, changelog, input, tap)?;
    if let Some(header) = recovered.header.filter(|header| header.state_version != end.code()) {
        end.make_anew(header.state_version);
    }
    Ok(end)
}

fn aggregator(context: &TaskContext, aggregation: &Aggregation, table: GroupTable) -> Result<Aggregator, EngineError> {
    let plugin = context.program.plugin(&aggregation.plugin.plugin)?;
    let shadow = context.shadow(&aggregation.plugin.step);
    Aggregator::open(aggregation, (plugin, shadow), table, Arc::clone(&context.clock))
}

fn aggregate(
    context: &TaskContext,
    aggregation: &Aggregation,
    outputs: &[TopicOutput],
    partition: u32,
    senders: Option<u32>,
    recovered: Restored,
) -> Result<AggregateEnd, EngineError> {
    let mut aggregator = self::aggregator(context, aggregation, recovered.table)?;
    let written_by = recovered.header.as_ref().map_or(aggregation.plan.state_version, |header| header.state_version);
    if written_by != aggregation.plan.state_version {
        aggregator.migrate(written_by)?;
    }
    if recovered.gives_all {
        aggregator.give_all();
    }
    let writers = writers(context, outputs, partition)?;
    let task = context.task();
    let changelog = changelog_topic(&context.program.plan.pipeline, &task.name);
    let input = (task.input.topic().to_owned(), partition);
    let tap = context.tap(&aggregation.plugin.step);
    let versions = (context.program.edition.clone(), snapshots_topic(&context.program.plan.pipeline, &task.name));
    let kept = (changelog, recovered.header.as_ref());
    let mut end = AggregateEnd::new(aggregator, senders, writers, kept, input, tap, versions);
    end.retract(recovered.gone);
    Ok(end)
}

/// Where objects are made of what.
fn objects_place(context: &TaskContext, output: &ObjectsOutput, partition: u32) -> Result<ObjectsPlace, EngineError> {
    let task = context.task();
    let announced = output.announce.as_deref().map(|topic| context.program.partitions(topic)).transpose()?;
    Ok(ObjectsPlace {
        topic: task.input.topic().to_owned(),
        partition,
        generation: context.program.generation,
        announced: announced.unwrap_or(0),
        changelog: changelog_topic(&context.program.plan.pipeline, &task.name),
        definition: context.cut_definition(),
        spool: context.options.spool.clone(),
    })
}

fn open_replaced(
    context: &TaskContext,
    (relation, output): (&Relation, &ObjectsOutput),
    partition: u32,
    recovered: Restored,
) -> Result<ReplacedEnd, EngineError> {
    let place = objects_place(context, output, partition)?;
    let related = open_related(relation, recovered.table, &place.changelog)?;
    let mut end = ReplacedEnd::new(relation, output, related, place)?;
    if let Some(header) = recovered.header {
        end.resume(header.state_version);
    }
    Ok(end)
}

fn open_related(relation: &Relation, entries: GroupTable, changelog: &str) -> Result<Related, EngineError> {
    let versions = relation.tables.iter().map(|table| table.versions).collect();
    Related::over(entries, versions).map_err(|error| unreadable(changelog, error))
}

fn writers(context: &TaskContext, outputs: &[TopicOutput], partition: u32) -> Result<Vec<TopicWriter>, EngineError> {
    let writer = |output: &TopicOutput| {
        let partitions = context.program.partitions(&output.topic)?;
        let schema = context.schema_ids.get(&output.topic).copied().unwrap_or_default();
        let limit = context.record_limits.get(&output.topic).copied();
        let version = context.program.edition.version;
        Ok(TopicWriter::new(output, version, (partitions, partition), schema, limit))
    };
    outputs.iter().map(writer).collect()
}

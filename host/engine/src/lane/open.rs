//! Taking a lane over: its position, its state, its plugins.

use std::sync::Arc;
use std::time::Duration;

use azenha_model::Offset;
use azenha_model::plan::{Aggregation, End as EndPlan, Input, StreamInput, TopicOutput, changelog_topic};
use azenha_model::types::meta;

use super::deliver::Delivery;
use super::intake::{Intake, StreamIntake};
use crate::aggregation::{Aggregator, definition};
use crate::end::{AggregateEnd, ExchangeEnd, RowEnd, StoreEnd, TopicWriter, TopicsEnd};
use crate::error::EngineError;
use crate::failpoint;
use crate::log::{Bounds, Log, LogError, Membership, ReadLimit, Reader};
use crate::plugin::FusedStage;
use crate::state::{GroupTable, Restored, StateHeader, restore};
use crate::status::NO_TIME;
use crate::task::TaskContext;
use crate::watermark::SourceWatermark;

/// A state is read so often, at most, if it is purged meanwhile.
const RECOVERIES: u32 = 5;

/// A lane that was taken over.
pub struct Opened {
    /// The right to commit.
    pub delivery: Delivery,
    /// The next offset to read.
    pub position: Offset,
    /// The timestamp of the last record that the state knows of, in microseconds.
    pub timestamp: i64,
    /// What is done with what is read.
    pub intake: Intake,
    /// Reads on from the position.
    pub reader: Box<dyn Reader>,
}

/// Takes a lane over and reads its state back.
pub async fn open(
    context: &Arc<TaskContext>,
    membership: &Arc<dyn Membership>,
    partition: u32,
) -> Result<Opened, EngineError> {
    let (delivery, mut committed) = take(context, membership, partition).await?;
    failpoint::reach("lane.taken");
    let mut recovered = Restored::default();
    if context.task().is_stateful() {
        recovered = recover(context, partition).await?;
        let reached = recovered.header.as_ref().map(|header| header.position);
        // Brokers forget the offsets of a group that was away for a week; the state has its own.
        committed = committed.or(reached);
        if reached != committed {
            let said = |offset: Option<Offset>| offset.map_or("nowhere".to_owned(), |offset| offset.to_string());
            return Err(EngineError::State(format!(
                "the state of {} reaches to offset {}, but its position is {}: \
                 give the step another name, with which it starts over",
                context.lane_id(partition),
                said(reached),
                said(committed)
            )));
        }
    }
    let position = start(context, partition, committed).await?;
    if let (Some(aggregation), Some(header)) = (context.task().end.aggregation(), &recovered.header) {
        check_fits(aggregation, header)?;
    }
    let timestamp = recovered.header.as_ref().map_or(0, |header| header.timestamp);
    let intake = match &context.task().input {
        Input::Stream(stream) => open_stream(context, partition, stream, recovered)?,
        Input::Exchange { .. } => open_exchange(context, partition, recovered)?,
    };
    failpoint::reach("lane.restored");
    let membership = Arc::clone(membership);
    let reader = context.io(async move { membership.reader(partition, position).await }).await??;
    Ok(Opened { delivery, position, timestamp, intake, reader })
}

/// The next offset to read. A position that the topic does not hold is found before anybody relies on it.
async fn start(context: &Arc<TaskContext>, partition: u32, committed: Option<Offset>) -> Result<Offset, EngineError> {
    let (log, topic) = (Arc::clone(&context.log), context.task().input.topic().to_owned());
    let Bounds { start, end } = context.io(async move { log.bounds(&topic, partition).await }).await??;
    match committed {
        Some(offset) if !(start..=end).contains(&offset) => {
            let topic = context.task().input.topic().to_owned();
            Err(LogError::OutOfRange { topic, partition, offset, start, end }.into())
        }
        Some(offset) => Ok(offset),
        None if start > 0 && context.reads_internal() => Err(EngineError::State(format!(
            "{} would begin at offset 0, but what stood before offset {start} is deleted: give the step before it another \
             name, with which it starts over, or let it write a topic of its own",
            context.lane_id(partition)
        ))),
        None => Ok(start),
    }
}

async fn take(
    context: &Arc<TaskContext>,
    membership: &Arc<dyn Membership>,
    partition: u32,
) -> Result<(Delivery, Option<Offset>), EngineError> {
    if let EndPlan::Store(output) = &context.task().end {
        if !membership.owns(partition) {
            // To open the store would end the right of whoever does.
            return Err(LogError::Fenced(context.lane_id(partition)).into());
        }
        let (store, output) = (Arc::clone(context.program.store(&output.connection)?), output.clone());
        let id = context.store_lane_id(&output.sink, partition);
        let lane = context.io(async move { store.open(&output, &id).await }).await??;
        let position = lane.position();
        return Ok((Delivery::Store(lane), position));
    }
    let membership = Arc::clone(membership);
    let lane = context.io(async move { membership.take(partition).await }).await??;
    let position = lane.position();
    Ok((Delivery::Log(lane), position))
}

/// Reads the state back.
async fn recover(context: &Arc<TaskContext>, partition: u32) -> Result<Restored, EngineError> {
    let topic = changelog_topic(&context.program.plan.pipeline, &context.task().name);
    let log = Arc::clone(&context.log);
    let recovering = async move {
        for _ in 1..RECOVERIES {
            match blocks(log.as_ref(), &topic, partition).await {
                // A purge that the last owner had begun. What was read so far may lack what a deleted block said:
                // the rest alone is whole.
                Err(EngineError::Log(LogError::OutOfRange { .. })) => {}
                recovered => return recovered,
            }
        }
        blocks(log.as_ref(), &topic, partition).await
    };
    context.io(recovering).await?
}

/// All blocks of a changelog, applied in the log's order.
async fn blocks(log: &dyn Log, topic: &str, partition: u32) -> Result<Restored, EngineError> {
    // The last owner's last commit may be on its way still.
    let end = log.settled_end(topic, partition).await?;
    let mut restored = Restored::default();
    let mut next = log.bounds(topic, partition).await?.start;
    while next < end {
        let limit = ReadLimit { records: 100, bytes: 16 << 20, wait: Duration::ZERO };
        let fetched = log.read(topic, partition, next, limit).await?;
        if fetched.next == next {
            let what = format!("reading {topic}/{partition} from offset {next} to its end, {end}");
            return Err(LogError::Storage { what, source: "nothing came".into() }.into());
        }
        next = fetched.next;
        let blocks = fetched.records.values.iter().flatten();
        restore(&mut restored, blocks)
            .map_err(|source| EngineError::Malformed { what: format!("topic `{topic}`"), source })?;
    }
    Ok(restored)
}

fn open_stream(
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
            FusedStage::open(stage, plugin, context.tap(&stage.plugin.step), Arc::clone(&context.clock))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut fields = task.stages.last().map_or_else(|| stream.schema(), |stage| stage.output.clone()).fields;
    for field in meta::fields() {
        if !fields.iter().any(|known| known.name == field.name) {
            fields.push(field);
        }
    }
    let watermark = task.end.aggregation().and_then(|aggregation| {
        aggregation.window?;
        let reached =
            recovered.header.as_ref().map_or((NO_TIME, NO_TIME), |header| (header.event_time, header.watermark));
        Some(SourceWatermark::resumed(reached.0, reached.1, aggregation.lateness))
    });
    let end: Box<dyn RowEnd> = match &task.end {
        EndPlan::Topics(outputs) => Box::new(TopicsEnd::new(writers(context, outputs, partition)?, fields)),
        EndPlan::Store(output) => Box::new(StoreEnd::new(output, fields)),
        EndPlan::Exchange { aggregation, topic } => {
            let told =
                recovered.header.as_ref().and_then(|header| header.senders.first()).map(|(_, progress)| *progress);
            let aggregator = aggregator(context, aggregation, GroupTable::default())?;
            let partitions = context.program.partitions(topic)?;
            let changelog = changelog_topic(&context.program.plan.pipeline, &task.name);
            Box::new(ExchangeEnd::new(aggregator, topic, partitions, changelog, partition, told))
        }
        EndPlan::Aggregate { aggregation, outputs } => {
            Box::new(aggregate(context, aggregation, outputs, partition, None, recovered)?)
        }
    };
    Ok(Intake::Stream(Box::new(StreamIntake::new(stream, context.end_step(), stages, watermark, end))))
}

fn open_exchange(context: &Arc<TaskContext>, partition: u32, recovered: Restored) -> Result<Intake, EngineError> {
    let EndPlan::Aggregate { aggregation, outputs } = &context.task().end else {
        return Err(EngineError::Setup("only an aggregation reads an exchange".to_owned()));
    };
    let topic = context.task().input.topic();
    let feeder = context
        .program
        .plan
        .tasks
        .iter()
        .find(|task| matches!(&task.end, EndPlan::Exchange { topic: written, .. } if written == topic));
    let Some(feeder) = feeder else {
        return Err(EngineError::Setup(format!("no task writes the exchange `{topic}`")));
    };
    let senders = context.program.partitions(feeder.input.topic())?;
    Ok(Intake::Exchange(Box::new(aggregate(context, aggregation, outputs, partition, Some(senders), recovered)?)))
}

/// A state is read back only under the definition, and by the version of the plugin, that wrote it.
fn check_fits(aggregation: &Aggregation, header: &StateHeader) -> Result<(), EngineError> {
    let (step, now) = (&aggregation.plugin.step, definition(aggregation));
    if header.definition != now {
        return Err(EngineError::State(format!(
            "step `{step}`: its state is of another definition ({}) than the pipeline's ({now}): bring that one back, or \
             give the step another name, with which it starts over",
            header.definition
        )));
    }
    if header.state_version != aggregation.plan.state_version {
        return Err(EngineError::State(format!(
            "step `{step}`: its state has version {}, but the plugin writes version {}: bring the older plugin back, or \
             give the step another name, with which it starts over",
            header.state_version, aggregation.plan.state_version
        )));
    }
    Ok(())
}

fn aggregator(context: &TaskContext, aggregation: &Aggregation, table: GroupTable) -> Result<Aggregator, EngineError> {
    let plugin = context.program.plugin(&aggregation.plugin.plugin)?;
    Aggregator::open(aggregation, plugin, table, Arc::clone(&context.clock))
}

fn aggregate(
    context: &TaskContext,
    aggregation: &Aggregation,
    outputs: &[TopicOutput],
    partition: u32,
    senders: Option<u32>,
    recovered: Restored,
) -> Result<AggregateEnd, EngineError> {
    let aggregator = aggregator(context, aggregation, recovered.table)?;
    let writers = writers(context, outputs, partition)?;
    let task = context.task();
    let changelog = changelog_topic(&context.program.plan.pipeline, &task.name);
    let input = (task.input.topic().to_owned(), partition);
    let tap = context.tap(&aggregation.plugin.step);
    Ok(AggregateEnd::new(aggregator, senders, writers, changelog, input, tap, recovered.header.as_ref()))
}

fn writers(context: &TaskContext, outputs: &[TopicOutput], partition: u32) -> Result<Vec<TopicWriter>, EngineError> {
    let writer = |output: &TopicOutput| {
        let partitions = context.program.partitions(&output.topic)?;
        let schema = context.schema_ids.get(&output.topic).copied().unwrap_or_default();
        Ok(TopicWriter::new(output, partitions, partition, schema))
    };
    outputs.iter().map(writer).collect()
}

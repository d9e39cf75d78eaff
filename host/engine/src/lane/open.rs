//! Taking a lane over: its position, its state, its plugins.

use std::sync::Arc;
use std::time::Duration;

use azenha_model::Offset;
use azenha_model::plan::{Aggregation, End as EndPlan, Input, StreamInput, TopicOutput, changelog_topic};
use azenha_model::types::meta;

use super::deliver::Delivery;
use super::intake::{Intake, StreamIntake};
use crate::aggregation::Aggregator;
use crate::end::{AggregateEnd, ExchangeEnd, Recovered, RowEnd, StoreEnd, TopicWriter, TopicsEnd};
use crate::error::EngineError;
use crate::log::ReadLimit;
use crate::plugin::FusedStage;
use crate::state::{Restored, restore};
use crate::status::NO_TIME;
use crate::task::TaskContext;
use crate::watermark::SourceWatermark;

/// A lane that was taken over.
pub struct Opened {
    /// The right to commit.
    pub delivery: Delivery,
    /// The next offset to read.
    pub position: Offset,
    /// What is done with what is read.
    pub intake: Intake,
}

/// Takes a lane over and reads its state back.
pub async fn open(context: &Arc<TaskContext>, partition: u32) -> Result<Opened, EngineError> {
    let (delivery, committed) = take(context, partition).await?;
    let position = match committed {
        Some(position) => position,
        None => {
            let (log, input) = (Arc::clone(&context.log), context.task().input.topic().to_owned());
            context.io(async move { log.bounds(&input, partition).await }).await??.start
        }
    };
    let mut recovered = Recovered::default();
    if context.task().is_stateful() {
        recovered = recover(context, partition).await?;
        let reached = recovered.header.as_ref().map(|header| header.position);
        if reached != committed {
            let said = |offset: Option<Offset>| offset.map_or("nowhere".to_owned(), |offset| offset.to_string());
            return Err(EngineError::State(format!(
                "the state of {} reaches to offset {}, but its position is {}: reset the step",
                context.lane_id(partition),
                said(reached),
                said(committed)
            )));
        }
    }
    let intake = match &context.task().input {
        Input::Stream(stream) => open_stream(context, partition, stream, recovered)?,
        Input::Exchange { .. } => open_exchange(context, partition, recovered)?,
    };
    Ok(Opened { delivery, position, intake })
}

async fn take(context: &Arc<TaskContext>, partition: u32) -> Result<(Delivery, Option<Offset>), EngineError> {
    if let EndPlan::Store(output) = &context.task().end {
        let (store, output) = (Arc::clone(context.program.store(&output.connection)?), output.clone());
        let id = context.store_lane_id(&output.sink, partition);
        let lane = context.io(async move { store.open(&output, &id).await }).await??;
        let position = lane.position();
        return Ok((Delivery::Store(lane), position));
    }
    let (log, id) = (Arc::clone(&context.log), context.lane_id(partition));
    let lane = context.io(async move { log.take_lane(&id).await }).await??;
    let position = lane.position();
    Ok((Delivery::Log(lane), position))
}

async fn recover(context: &Arc<TaskContext>, partition: u32) -> Result<Recovered, EngineError> {
    let topic = changelog_topic(&context.program.plan.pipeline, &context.task().name);
    let log = Arc::clone(&context.log);
    let limit = ReadLimit { records: 100, bytes: 16 << 20, wait: Duration::ZERO };
    let restored = context
        .io(async move {
            let bounds = log.bounds(&topic, partition).await?;
            let mut restored = Restored::default();
            let mut next = bounds.start;
            while next < bounds.end {
                let fetched = log.read(&topic, partition, next, limit).await?;
                let Some(last) = fetched.offsets.last() else { break };
                next = last + 1;
                let blocks = fetched.records.values.iter().flatten();
                restore(&mut restored, blocks)
                    .map_err(|source| EngineError::Malformed { what: format!("topic `{topic}`"), source })?;
            }
            Ok::<_, EngineError>(restored)
        })
        .await??;
    Ok(Recovered { table: restored.table, header: restored.header })
}

fn open_stream(
    context: &Arc<TaskContext>,
    partition: u32,
    stream: &StreamInput,
    recovered: Recovered,
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
            let Recovered { header, .. } = &recovered;
            let told = header.as_ref().and_then(|header| header.senders.first()).map(|(_, progress)| *progress);
            let aggregator = aggregator(context, aggregation, Recovered::default())?;
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

fn open_exchange(context: &Arc<TaskContext>, partition: u32, recovered: Recovered) -> Result<Intake, EngineError> {
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

fn aggregator(
    context: &TaskContext,
    aggregation: &Aggregation,
    recovered: Recovered,
) -> Result<Aggregator, EngineError> {
    let plugin = context.program.plugin(&aggregation.plugin.plugin)?;
    if let Some(header) = &recovered.header
        && header.state_version != aggregation.plan.state_version
    {
        return Err(EngineError::State(format!(
            "step `{}`: its state has version {}, but the plugin writes version {}: reset the step",
            aggregation.plugin.step, header.state_version, aggregation.plan.state_version
        )));
    }
    Aggregator::open(aggregation, plugin, recovered.table, Arc::clone(&context.clock))
}

fn aggregate(
    context: &TaskContext,
    aggregation: &Aggregation,
    outputs: &[TopicOutput],
    partition: u32,
    senders: Option<u32>,
    mut recovered: Recovered,
) -> Result<AggregateEnd, EngineError> {
    let header = recovered.header.clone();
    let aggregator =
        aggregator(context, aggregation, Recovered { table: std::mem::take(&mut recovered.table), header })?;
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
        Ok(TopicWriter::new(output, partitions, partition))
    };
    outputs.iter().map(writer).collect()
}

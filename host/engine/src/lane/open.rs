//! Taking a lane over: its position and its state.

use std::sync::Arc;

use azenha_model::Offset;
use azenha_model::plan::{End as EndPlan, Input, changelog_topic, snapshots_topic};

use super::deliver::{Delivery, LogDelivery};
use super::ends::{check_fits, open_exchange, open_stream};
use super::intake::Intake;
use super::probation::Probation;
use super::switch::prepare;
use crate::edition::{Begun, Distrust, Undone};
use crate::error::EngineError;
use crate::failpoint;
use crate::log::{Bounds, LogError, Membership, Reader, read_whole};
use crate::snapshot::{self, Snapshot, Taken};
use crate::state::{Restored, restore};
use crate::task::TaskContext;

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
    /// The version that the lane began last, by whichever host; none if it never ran one of the log's.
    pub begun: Option<Begun>,
    /// Reads on from the position.
    pub reader: Box<dyn Reader>,
    /// What the state was before, if there is no going back otherwise.
    pub snapshot: Option<Taken>,
    /// Messages of the exchange that come before those at the position.
    pub late: Vec<(Offset, Vec<u8>)>,
}

/// Takes a lane over and reads its state back. Code that cannot go on with that while it is on probation is not trusted.
pub async fn open(
    context: &Arc<TaskContext>,
    membership: &Arc<dyn Membership>,
    partition: u32,
) -> Result<Opened, EngineError> {
    let (delivery, committed) = take(context, membership, partition).await?;
    failpoint::reach("lane.taken");
    let (begun, edition) = (last_version(context, partition).await?, &context.program.edition);
    let (version, is_trusted) = match begun.as_ref().and_then(|begun| context.code_since(begun)) {
        Some(code) => (code.version, Probation::of(edition, &code, committed.unwrap_or_default()).is_none()),
        None => (edition.version, edition.guard.is_none()),
    };
    let opened = go_on(context, membership, partition, (delivery, committed), begun).await;
    opened.map_err(|error| match error {
        error if is_trusted || error.is_passing() => error,
        error => {
            EngineError::Distrusted(Distrust { version, reason: format!("{}: {error}", context.lane_id(partition)) })
        }
    })
}

async fn go_on(
    context: &Arc<TaskContext>,
    membership: &Arc<dyn Membership>,
    partition: u32,
    (delivery, mut committed): (Delivery, Option<Offset>),
    begun: Option<Begun>,
) -> Result<Opened, EngineError> {
    let mut recovered = Restored::default();
    if context.task().is_stateful() {
        recovered = recover(context, partition).await?;
        let reached = recovered.header.as_ref().map(|header| header.position);
        // Brokers forget the offsets of a group that was away for a week; the state has its own.
        committed = committed.or(reached);
        if reached != committed && !was_set(context, partition, reached).await? {
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
    let ran = begun.as_ref().map_or(0, |begun| begun.version);
    let mut late = Vec::new();
    if let Some(undone) = context.program.edition.undone(context.task().end_step(), ran) {
        let snapshot = before(context, partition, undone).await?;
        if !context.reads_internal() {
            committed = Some(snapshot.header()?.position);
        }
        late = snapshot.late;
        tracing::info!(
            lane = %context.lane_id(partition),
            version = undone.by,
            groups = snapshot.restored.table.len(),
            late = late.len(),
            position = committed,
            "goes on from the state before version {}",
            undone.from
        );
        recovered = snapshot.restored.in_place_of(recovered);
    }
    let position = start(context, partition, committed).await?;
    let snapshot = snapshot::take(context, partition, ran, &recovered).await?;
    prepare(context, ran, &mut recovered);
    if let Some(header) = &recovered.header {
        check_fits(context, header)?;
    }
    let timestamp = recovered.header.as_ref().map_or(0, |header| header.timestamp);
    let intake = match &context.task().input {
        Input::Stream(stream) => open_stream(context, partition, stream, recovered)?,
        Input::Exchange { .. } => open_exchange(context, partition, recovered)?,
    };
    failpoint::reach("lane.restored");
    let membership = Arc::clone(membership);
    let reader = context.io(async move { membership.reader(partition, position).await }).await??;
    Ok(Opened { delivery, position, timestamp, intake, begun, reader, snapshot, late })
}

/// What the lane had reached before versions whose work is undone.
async fn before(context: &Arc<TaskContext>, partition: u32, undone: Undone) -> Result<Snapshot, EngineError> {
    let topic = snapshots_topic(&context.program.plan.pipeline, &context.task().name);
    let (log, name) = (Arc::clone(&context.log), topic.clone());
    let last = context.io(async move { snapshot::last(log.as_ref(), &name, partition).await }).await??;
    last.filter(|snapshot| snapshot.between.of < undone.from).ok_or_else(|| {
        EngineError::State(format!(
            "the state of {} before version {} is not in topic `{topic}` any more: bring the plugin of version {} back, or \
             give the step another name, with which it starts over",
            context.lane_id(partition),
            undone.from,
            undone.by - 1
        ))
    })
}

/// The version that the lane began last.
async fn last_version(context: &Arc<TaskContext>, partition: u32) -> Result<Option<Begun>, EngineError> {
    let Some(versions) = context.versions.clone() else { return Ok(None) };
    let task = context.task().name.clone();
    context.io(async move { versions.last(&task, partition).await }).await?
}

/// Whether a backfill set the lane to its position: a lane of objects that never committed, and so was making none, needs
/// no state to go on from anywhere.
async fn was_set(context: &Arc<TaskContext>, partition: u32, reached: Option<Offset>) -> Result<bool, EngineError> {
    if reached.is_some() || context.task().end.objects().is_none() {
        return Ok(false);
    }
    let (log, task) = (Arc::clone(&context.log), &context.task().name);
    let topic = changelog_topic(&context.program.plan.pipeline, task);
    let bounds = context.io(async move { log.bounds(&topic, partition).await }).await??;
    Ok(bounds.end == 0)
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
    Ok((Delivery::Log(LogDelivery::new(lane)), position))
}

/// Reads the state back.
async fn recover(context: &Arc<TaskContext>, partition: u32) -> Result<Restored, EngineError> {
    let topic = changelog_topic(&context.program.plan.pipeline, &context.task().name);
    let log = Arc::clone(&context.log);
    let recovering = async move {
        read_whole(log.as_ref(), &topic, partition, |restored, fetched| {
            restore(restored, fetched.records.values.iter().flatten())
                .map_err(|source| EngineError::Malformed { what: format!("topic `{topic}`"), source })
        })
        .await
    };
    context.io(recovering).await?
}

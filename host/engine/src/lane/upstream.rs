//! What stands before a stream that looks its rows up: the table, which should be there first.

use std::sync::Arc;
use std::time::Duration;

use azenha_model::plan::{End, Plan, Task, changelog_topic};
use tokio::sync::watch;
use tokio::time::sleep;

use super::told;
use crate::end::{Definition, kept_under};
use crate::error::EngineError;
use crate::log::{Bounds, LaneId, Log, ReadLimit};
use crate::state::header_of;
use crate::task::TaskContext;

/// A lane that waits for others looks up so often how far they have come.
const PAUSE: Duration = Duration::from_millis(100);

/// Before the first rows of a stream are looked up: waits until everything that stands in the sources of the table now has
/// reached the lanes that look up, so that what rows find does not depend on which task was faster. False if the lane was
/// told to stop meanwhile.
pub async fn await_table(context: &Arc<TaskContext>, stop: &mut watch::Receiver<bool>) -> Result<bool, EngineError> {
    let End::Repartition { lookup, topic, .. } = &context.task().end else { return Ok(true) };
    tracing::info!(step = lookup.step, table = lookup.table.name, "the table is read before the stream's first rows");
    let (inside, topic) = (Arc::clone(context), topic.clone());
    let waiting = context.io(async move {
        for task in behind(&inside.program.plan, &topic, &inside.task().name) {
            read_through(&inside, task).await?;
        }
        Ok::<(), EngineError>(())
    });
    tokio::select! {
        biased;
        () = told(stop) => Ok(false),
        waited = waiting => waited?.map(|()| true),
    }
}

/// The tasks whose rows come into a topic, in the plan's order: each stands behind those that write what it reads. The
/// task `except`, and what only it reads, is not among them.
fn behind<'a>(plan: &'a Plan, topic: &str, except: &str) -> Vec<&'a Task> {
    let mut topics = vec![topic];
    let mut found = Vec::new();
    for task in plan.tasks.iter().rev().filter(|task| task.name != except) {
        if task.end.writes().any(|written| topics.contains(&written)) {
            topics.push(task.input.topic());
            found.push(task);
        }
    }
    found.reverse();
    found
}

/// Waits until the lanes of a task, on whatever host, have committed what stands in its input now, and have told it to all
/// who read it.
async fn read_through(context: &TaskContext, task: &Task) -> Result<(), EngineError> {
    let (input, plan) = (task.input.topic(), &context.program.plan);
    for partition in 0..context.program.partitions(input)? {
        let lane = LaneId { group: format!("{}.{}", plan.pipeline, task.name), input: input.to_owned(), partition };
        let Bounds { start, end } = context.log.bounds(input, partition).await?;
        while context.log.position(&lane).await?.unwrap_or(start) < end {
            sleep(PAUSE).await;
        }
        if let Some(wanted) = kept_under(&task.end) {
            let changelog = changelog_topic(&plan.pipeline, &task.name);
            while !has_told(context.log.as_ref(), &changelog, partition, &wanted).await? {
                sleep(PAUSE).await;
            }
        }
    }
    Ok(())
}

/// Whether all readers know what a lane of a table or relation keeps: one that is new has to be told first.
async fn has_told(log: &dyn Log, changelog: &str, partition: u32, wanted: &Definition) -> Result<bool, EngineError> {
    let Some(block) = last_record(log, changelog, partition).await? else { return Ok(true) };
    let what = || format!("topic `{changelog}`");
    let header = header_of(&block).map_err(|source| EngineError::Malformed { what: what(), source })?;
    Ok(Definition::read(&header.definition).is_known_to_all_of(wanted))
}

/// The value of the last record of a partition. Behind it there may be offsets without one.
async fn last_record(log: &dyn Log, topic: &str, partition: u32) -> Result<Option<Vec<u8>>, EngineError> {
    let Bounds { start, end } = log.bounds(topic, partition).await?;
    let (mut last, mut back) = (None, 1);
    loop {
        let from = end.saturating_sub(back).max(start);
        let mut next = from;
        while next < end {
            let limit = ReadLimit { records: 100, bytes: 16 << 20, wait: Duration::ZERO };
            let fetched = log.read(topic, partition, next, limit).await?;
            last = fetched.records.values.iter().flatten().last().map(<[u8]>::to_vec).or(last);
            if fetched.next == next {
                break;
            }
            next = fetched.next;
        }
        if last.is_some() || from == start {
            return Ok(last);
        }
        back *= 4;
    }
}

//! How a pipeline that runs live comes to what was kept before its log began: its past is announced, before all else, in the
//! log that it follows, and whatever kept that past goes on behind it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use azenha_engine::log::{LaneId, Log};
use azenha_engine::objects::Objects;
use azenha_model::Offset;
use azenha_model::plan::{Layout, Plan, Task};

use super::history::{self, Dates, Found};

/// Announces the past of sources whose topics are empty yet; how many objects. Where a task of the same pipeline writes those
/// objects, it is set to go on behind them first: after a crash between the two, all of it is found and done again.
pub async fn seed(
    log: &dyn Log,
    plan: &Plan,
    stores: &HashMap<String, Arc<dyn Objects>>,
    dates: Option<Dates>,
    now: i64,
) -> Result<usize> {
    let found = history::find(log, plan, stores, dates).await?;
    for found in &found {
        let writes = |task: &&Task| {
            let announced = task.end.objects().and_then(|output| output.announce.as_deref());
            announced == Some(found.history.topic.as_str())
        };
        if let Some(writer) = plan.tasks.iter().find(writes) {
            hand_over(log, plan, writer, found).await?;
        }
    }
    history::announce(log, &found, now).await?;
    Ok(found.iter().map(|found| found.announcements.len()).sum())
}

/// Sets the task that keeps a past to the offset behind the last of its objects.
async fn hand_over(log: &dyn Log, plan: &Plan, writer: &Task, found: &Found<'_>) -> Result<()> {
    let input = writer.input.topic();
    let spec = plan.topics.iter().find(|spec| spec.name == input);
    log.ensure_topic(spec.with_context(|| format!("topic `{input}` is not planned"))?).await?;
    for (partition, position) in behind(writer, found)? {
        let folder = &found.history.folder;
        let end = log.bounds(input, partition).await?.end;
        ensure!(
            position <= end,
            "the objects in `{folder}` were made of offsets up to {position} of {input}/{partition}, which ends at {end} \
             here: this is not the log that they were made of; let sink `{}` write to another folder",
            writer.name
        );
        let lane = LaneId { group: format!("{}.{}", plan.pipeline, writer.name), input: input.to_owned(), partition };
        if log.position(&lane).await?.is_none_or(|known| known < position) {
            log.set_position(&lane, position).await?;
        }
    }
    Ok(())
}

/// Of each partition the offset behind the last object.
fn behind(writer: &Task, found: &Found<'_>) -> Result<BTreeMap<u32, Offset>> {
    let mut behind = BTreeMap::new();
    for announcement in &found.announcements {
        if announcement.topic != writer.input.topic() || announcement.format != Layout::Record.to_string() {
            bail!(
                "object `{}` does not say up to which offset of topic `{}` it reaches, so sink `{}` cannot go on behind it: \
                 objects of one record each do (`format: record`); or let another pipeline write them",
                announcement.path,
                writer.input.topic(),
                writer.name
            );
        }
        let end = behind.entry(announcement.topic_partition).or_insert(0);
        *end = (*end).max(announcement.from + 1);
    }
    Ok(behind)
}

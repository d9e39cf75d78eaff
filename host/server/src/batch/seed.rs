//! How a pipeline that runs live comes to what was kept before its log began: its past is announced, before all else, in the
//! log that it follows, and whatever kept that past goes on behind it.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use azenha_connect::private;
use azenha_engine::log::{LaneId, Log};
use azenha_engine::objects::Objects;
use azenha_model::Offset;
use azenha_model::plan::{Layout, Plan, Task};

use super::history::{self, Dates, Found};
use crate::ingest::now;

/// A file that stands while a past is being announced. Until it is gone the pipeline must not run: it would go on behind a
/// past that nobody announced.
pub struct Marker(PathBuf);

impl Marker {
    /// That of a pipeline in a host's data directory.
    pub fn of(data: &Path, pipeline: &str) -> Self {
        Self(data.join("backfills").join(pipeline))
    }

    /// Whether a backfill was interrupted before the past was announced.
    pub fn is_set(&self) -> bool {
        self.0.exists()
    }

    fn set(&self) -> Result<()> {
        let folder = self.0.parent().unwrap_or(&self.0);
        let made = private::make_directory(folder).and_then(|()| File::create(&self.0)?.sync_all());
        made.and_then(|()| File::open(folder)?.sync_all()).with_context(|| self.0.display().to_string())
    }

    fn clear(&self) -> Result<()> {
        fs::remove_file(&self.0).with_context(|| self.0.display().to_string())
    }
}

/// Announces the past of sources whose topics are empty yet; how many objects. Where a task of the same pipeline writes those
/// objects, it is set to go on behind them first: after a crash between the two, all of it is found and done again.
pub async fn seed(
    log: &dyn Log,
    plan: &Plan,
    stores: &HashMap<String, Arc<dyn Objects>>,
    dates: Option<Dates>,
    marker: &Marker,
) -> Result<usize> {
    let found = history::find(log, plan, stores, dates).await?;
    marker.set()?;
    for found in &found {
        let writes = |task: &&Task| {
            let announced = task.end.objects().and_then(|output| output.announce.as_deref());
            announced == Some(found.history.topic.as_str())
        };
        if let Some(writer) = plan.tasks.iter().find(writes) {
            hand_over(log, plan, writer, found).await?;
        }
    }
    history::announce(log, &found, now()).await?;
    marker.clear()?;
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
        *end = (*end).max(announcement.from.saturating_add(1));
    }
    Ok(behind)
}

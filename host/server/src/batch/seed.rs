//! How a pipeline that runs live comes to what was kept before its log began: its past is announced, before all else, in the
//! log that it follows, and whatever kept that past goes on behind it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use azenha_engine::log::{Bounds, Commit, LaneId, Log};
use azenha_engine::objects::{Announcement, Objects};
use azenha_model::Offset;
use azenha_model::plan::{History, Layout, Plan, Task, changelog_topic};

use super::history::{self, Dates, Found, LIMIT, never_written};
use crate::ingest::now;
use crate::usage::Usage;

/// Whoever keeps records puts the objects of one cut in no order, and begins the next when all are there: a record may be
/// missing among so many of the last offsets, which is twice what a cut has at most.
const LOOK_BACK: Offset = 8_192;

/// Announces the past of sources whose topics are empty yet; how many objects.
pub async fn seed(
    log: &dyn Log,
    plan: &Plan,
    stores: &HashMap<String, Arc<dyn Objects>>,
    dates: Option<Dates>,
) -> Result<usize> {
    let mut announced = 0;
    for mut found in history::find(log, plan, stores, dates).await? {
        announced += announce_once(log, plan, &mut found).await?;
    }
    Ok(announced)
}

/// Announces the past of a source; how many objects. Counting them took long, so another process may have announced them
/// meanwhile: the topic holds them then, and whoever took this lane before, to which nobody else commits, finds itself fenced.
///
/// Where a task of the same pipeline writes those objects, it is set to go on behind them first: after a crash between the
/// two, both are done again.
async fn announce_once(log: &dyn Log, plan: &Plan, found: &mut Found<'_>) -> Result<usize> {
    let group = format!("{}.{}.backfill", plan.pipeline, found.history.source);
    let lane = LaneId { group, input: found.history.topic.clone(), partition: 0 };
    let mut owner = log.take_lane(&lane).await?;
    // A position alone may be from before the topic was made anew.
    if owner.position().is_some() && !history::never_written(log, &found.history.topic).await? {
        return Ok(0);
    }
    if let Some(writer) = writer(plan, found.history) {
        hand_over(log, plan, writer, found).await?;
    }
    let announced = found.announcements.len();
    if announced > 0 {
        let appends = history::appends(std::slice::from_ref(found), now())?;
        owner.commit(Commit { position: announced as Offset, appends }).await?;
    }
    Ok(announced)
}

/// Refuses to leave out what would never be read then, and to choose of a past that is announced already. `dates` and
/// `is_elsewhere` are what `--dates` and `--from` say.
///
/// # Errors
/// [`Usage`] that says what would be right; or if the log or a store does not answer.
pub async fn check_choice(
    log: &dyn Log,
    plan: &Plan,
    stores: &HashMap<String, Arc<dyn Objects>>,
    (dates, is_elsewhere): (Option<Dates>, bool),
) -> Result<()> {
    if dates.is_some() {
        check_dates(plan)?;
    }
    if dates.is_none() && !is_elsewhere {
        return Ok(());
    }
    for history in &plan.histories {
        if never_written(log, &history.topic).await? {
            continue;
        }
        let announced = history::announced_of(log, plan, history).await?;
        let announced: HashSet<&str> = announced.iter().map(|past| past.name.as_str()).collect();
        let wanted = history::paths(history, stores, dates).await?;
        let mut missing = wanted.iter().filter(|path| !announced.contains(path.as_str()));
        if let Some(first) = missing.next() {
            return Err(too_late(history, first, missing.count() + 1).into());
        }
    }
    Ok(())
}

/// Days are folders, and whoever keeps them himself goes on behind the last.
fn check_dates(plan: &Plan) -> Result<(), Usage> {
    let pipeline = &plan.pipeline;
    if plan.histories.is_empty() {
        return Err(Usage(format!(
            "--dates: days are folders, and no source of pipeline `{pipeline}` has a `folder`: it reads topics, from their \
             first record to the last; leave --dates out"
        )));
    }
    for history in &plan.histories {
        if let Some(writer) = writer(plan, history) {
            return Err(Usage(format!(
                "--dates: sink `{}` of pipeline `{pipeline}` keeps the objects of source `{}` itself and goes on behind the \
                 last of them, so days that are left out now would never be read; leave --dates out",
                writer.name, history.source
            )));
        }
    }
    Ok(())
}

fn too_late(History { source, topic, .. }: &History, first: &str, count: usize) -> Usage {
    Usage(format!(
        "--dates, --from: the past of source `{source}` is announced already, in topic `{topic}`, and {count} of the objects \
         that are asked for are not (`{first}`): it is announced once, in the order in which it came. To go on with what is \
         announced leave --dates and --from out; to read something else give the source another topic"
    ))
}

/// Whether a backfill was interrupted, or is under way, between handing over and announcing. Until the past is announced the
/// pipeline must not run: it would go on behind a past that nobody is told of. The log itself says so: a task stands behind
/// objects, but never committed anything, and nothing was announced.
pub async fn is_half_done(log: &dyn Log, plan: &Plan) -> Result<bool> {
    for history in &plan.histories {
        let Some(writer) = writer(plan, history) else { continue };
        let changelog = changelog_topic(&plan.pipeline, &writer.name);
        let Some(input) = log.topic(writer.input.topic()).await? else { continue };
        if !never_written(log, &history.topic).await? || !never_written(log, &changelog).await? {
            continue;
        }
        for partition in 0..input.spec.partitions {
            if log.position(&lane(plan, writer, partition)).await?.is_some_and(|position| position > 0) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The task of the pipeline that keeps the past of one of its sources, if one does.
fn writer<'a>(plan: &'a Plan, history: &History) -> Option<&'a Task> {
    let announced =
        |task: &&Task| task.end.objects().and_then(|output| output.announce.as_ref()) == Some(&history.topic);
    plan.tasks.iter().find(announced)
}

fn lane(plan: &Plan, task: &Task, partition: u32) -> LaneId {
    let group = format!("{}.{}", plan.pipeline, task.name);
    LaneId { group, input: task.input.topic().to_owned(), partition }
}

/// Sets the task that keeps a past to go on behind it, and leaves what it will come to itself to it.
async fn hand_over(log: &dyn Log, plan: &Plan, writer: &Task, found: &mut Found<'_>) -> Result<()> {
    check_records(writer, found)?;
    let input = writer.input.topic();
    let spec = plan.topics.iter().find(|spec| spec.name == input);
    log.ensure_topic(spec.with_context(|| format!("topic `{input}` is not planned"))?).await?;
    let mut behind = BTreeMap::new();
    for ((_, partition), kept) in found.kept.iter().filter(|((topic, _), _)| topic == input) {
        let Some(last) = kept.last() else { continue };
        let (folder, Bounds { start, end }) = (&found.history.folder, log.bounds(input, *partition).await?);
        ensure!(
            *last < end,
            "the objects in `{folder}` were made of offsets up to {} of {input}/{partition}, which ends at {end} here: \
             this is not the log that they were made of; let sink `{}` write to another folder",
            last + 1,
            writer.name
        );
        let from = start.max(last.saturating_sub(LOOK_BACK));
        let missing = missing(log, (input, *partition), from, kept).await?;
        behind.insert(*partition, missing.unwrap_or(last + 1));
    }
    let is_before =
        |announced: &Announcement| behind.get(&announced.topic_partition).is_some_and(|at| announced.from < *at);
    found.announcements.retain(is_before);
    if found.announcements.is_empty() {
        // Nobody is told of a past, so nobody goes on behind one.
        return Ok(());
    }
    for (partition, position) in behind {
        let lane = lane(plan, writer, partition);
        if log.position(&lane).await?.is_none_or(|known| known < position) {
            log.set_position(&lane, position).await?;
        }
    }
    Ok(())
}

/// The first record from an offset on of which no object is kept although there is one of a later record: somebody else keeps
/// them at this moment, or was killed over it.
async fn missing(
    log: &dyn Log,
    (topic, partition): (&str, u32),
    mut from: Offset,
    kept: &BTreeSet<Offset>,
) -> Result<Option<Offset>> {
    let last = kept.last().copied().unwrap_or_default();
    while from < last {
        let fetched = log.read(topic, partition, from, LIMIT).await?;
        ensure!(fetched.next > from, "{topic}/{partition} gave nothing at offset {from}");
        let mut before = fetched.offsets.into_iter().filter(|offset| *offset < last);
        if let Some(missing) = before.find(|offset| !kept.contains(offset)) {
            return Ok(Some(missing));
        }
        from = fetched.next;
    }
    Ok(None)
}

/// What stands before the topic in the name of an object that was made after offsets had been set: `g1-`.
fn set_back<'a>(named: &'a str, topic: &str) -> Option<&'a str> {
    let generation = named.strip_suffix(topic)?;
    let number = generation.strip_prefix('g')?.strip_suffix('-')?;
    number.bytes().all(|digit| digit.is_ascii_digit()).then_some(generation)
}

/// Refuses objects that do not say how far they reach.
fn check_records(writer: &Task, found: &Found<'_>) -> Result<()> {
    for announcement in &found.announcements {
        if let Some(generation) = set_back(&announcement.topic, writer.input.topic()) {
            bail!(
                "object `{}` was kept after the offsets of the pipeline had been set (`{generation}`): it may hold records that \
                 an object of before holds, too, so nobody can go on behind both. Backfill from a folder that holds each \
                 record once (`--from`), or let another pipeline write it",
                announcement.path
            );
        }
        if announcement.topic != writer.input.topic() || announcement.format != Layout::Record.to_string() {
            bail!(
                "object `{}` does not say up to which offset of topic `{}` it reaches, so sink `{}` cannot go on behind it: \
                 objects of one record each do (`format: record`); or let another pipeline write them",
                announcement.path,
                writer.input.topic(),
                writer.name
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_another_generation_are_told_from_those_of_another_topic() {
        assert_eq!(set_back("g1-shop.orders", "shop.orders"), Some("g1-"));
        assert_eq!(set_back("shop.orders", "shop.orders"), None);
        assert_eq!(set_back("my-shop.orders", "shop.orders"), None);
    }
}

//! Going back to code that cannot read the state that there is: the step goes on from the state that it had before, and
//! reads again what it has read since. Rows with a key take the place of those that other code made of the same records.

use std::sync::Arc;

use azenha_model::plan::{Aggregation, End, Input, Plan, Task, TopicKind, WriteMode, snapshots_topic};

use crate::aggregation::definition;
use crate::edition::{Version, Versions};
use crate::error::EngineError;
use crate::log::Log;
use crate::snapshot::{self, Between, Snapshot};

/// How a step can go on from the state before some versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The first version whose work is undone.
    pub from: Version,
    /// Records that are read again.
    pub records: u64,
}

/// Why a step cannot go on from an earlier state.
#[derive(Debug, thiserror::Error)]
pub enum NoWay {
    /// There is none that it could go on from, for people.
    #[error("{0}")]
    None(String),
    /// None is needed yet: no lane has written a state that the code cannot read. One that does so before it hears of it
    /// stands still, for this reason.
    #[error("{0}")]
    NotNeeded(String),
    /// It could not be found out.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What is known of a lane of the step.
struct Lane {
    name: String,
    /// The version that it began last.
    runs: Version,
    /// When its last snapshot was taken, if that was after the version to go back to.
    kept: Option<Between>,
}

/// How a step goes back to the code of a version, `target`, which has this plan.
pub async fn way(log: &Arc<dyn Log>, plan: &Plan, step: &str, target: Version) -> Result<Way, NoWay> {
    let is_of_it = |task: &&Task| task.end.aggregation().is_some() && task.end_step() == step;
    let tasks: Vec<&Task> = plan.tasks.iter().filter(is_of_it).collect();
    let is_repeatable = check_repeatable(plan, step, &tasks);
    snapshot::prepare(log.as_ref(), plan).await?;
    let versions = Versions::open(log, &plan.pipeline).await?;
    let (mut lanes, mut records) = (Vec::new(), 0);
    for task in tasks {
        let Some(aggregation) = task.end.aggregation() else { continue };
        for partition in 0..partitions(plan, task) {
            let begun = versions.last(&task.name, partition).await?;
            let topic = snapshots_topic(&plan.pipeline, &task.name);
            let snapshot = snapshot::last(log.as_ref(), &topic, partition).await?;
            let snapshot = snapshot.filter(|snapshot| snapshot.between.by > target);
            if let Some(snapshot) = &snapshot {
                check_fits(aggregation, snapshot)?;
                records += again(log.as_ref(), task, partition, snapshot).await?;
            }
            let name = format!("{} of partition {partition}", task.name);
            let runs = begun.map_or(0, |begun| begun.version);
            lanes.push(Lane { name, runs, kept: snapshot.map(|snapshot| snapshot.between) });
        }
    }
    let way = Way { from: first_undone(&lanes, target)?, records };
    match is_repeatable {
        Err(NoWay::None(reason)) if lanes.iter().all(|lane| lane.kept.is_none()) => Err(NoWay::NotNeeded(reason)),
        is_repeatable => is_repeatable.map(|()| way),
    }
}

/// Whether reading records again gives the same results, which take the place of those that there are.
fn check_repeatable(plan: &Plan, step: &str, tasks: &[&Task]) -> Result<(), NoWay> {
    for task in tasks {
        let is_internal = |input: &str| plan.topics.iter().any(|it| it.name == input && it.kind == TopicKind::Internal);
        if matches!(task.input, Input::Stream(_)) && is_internal(task.input.topic()) {
            return no("what it reads is deleted once it was read, and cannot be read again");
        }
        if let End::Exchange { aggregation, .. } = &task.end
            && !aggregation.plan.merges
        {
            return no(
                "its plugin does not merge: rows that are on their way to it do not say which version sent them",
            );
        }
        for output in task.end.outputs() {
            if output.key.is_empty() {
                return no(&format!("rows of topic `{}` have no key: it would get them twice", output.topic));
            }
            let counts_twice = |other: &&Task| other.input.topic() == output.topic && !replaces_rows(other);
            if let Some(reader) = plan.tasks.iter().find(counts_twice) {
                let reader = reader.end_step();
                return no(&format!("`{reader}` reads the results of `{step}` as a stream, and would get them twice"));
            }
        }
    }
    Ok(())
}

/// Whether a row that comes again takes the place of the one that came before.
fn replaces_rows(task: &Task) -> bool {
    match &task.end {
        End::Store(output) => output.mode == WriteMode::Upsert,
        End::Table { .. } => true,
        End::Topics(outputs) => outputs.iter().all(|output| !output.key.is_empty()),
        _ => false,
    }
}

fn check_fits(aggregation: &Aggregation, snapshot: &Snapshot) -> Result<(), NoWay> {
    let (header, of) = (snapshot.header()?, snapshot.between.of);
    if !aggregation.plan.reads(header.state_version) {
        return no(&format!(
            "the last snapshot is that of version {of} of the pipeline, with accumulators of version {}",
            header.state_version
        ));
    }
    let now = definition(aggregation);
    if header.definition != now {
        return no(&format!("the last snapshot, of version {of}, is of `{}`, not of `{now}`", header.definition));
    }
    Ok(())
}

/// How many records a lane reads again.
async fn again(log: &dyn Log, task: &Task, partition: u32, snapshot: &Snapshot) -> Result<u64, NoWay> {
    let Input::Stream(stream) = &task.input else { return Ok(0) };
    let position = snapshot.header()?.position;
    let bounds = log.bounds(&stream.topic, partition).await.map_err(EngineError::from)?;
    if position < bounds.start {
        let topic = &stream.topic;
        let gone = bounds.start - position;
        return no(&format!(
            "{gone} records of {topic}/{partition} would have to be read again and are gone: it begins at offset {}, \
             the snapshot ends at {position}",
            bounds.start
        ));
    }
    Ok(bounds.end.saturating_sub(position))
}

/// The first version whose work is undone: all lanes go back to before the same one.
fn first_undone(lanes: &[Lane], target: Version) -> Result<Version, NoWay> {
    let last = lanes.iter().filter_map(|lane| lane.kept).map(|between| between.of).max();
    let from = last.unwrap_or(target) + 1;
    let goes_back = |lane: &Lane| lane.kept.is_some_and(|kept| (kept.of + 1..=kept.by).contains(&from));
    match lanes.iter().find(|lane| lane.runs >= from && !goes_back(lane)) {
        Some(Lane { name, runs, .. }) => {
            no(&format!("{name} runs version {runs} and kept no snapshot from before version {from}"))
        }
        None => Ok(from),
    }
}

fn partitions(plan: &Plan, task: &Task) -> u32 {
    let input = plan.topics.iter().find(|topic| topic.name == task.input.topic());
    input.map_or(0, |topic| topic.partitions)
}

fn no<T>(reason: &str) -> Result<T, NoWay> {
    Err(NoWay::None(reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(runs: Version, kept: Option<(Version, Version)>) -> Lane {
        let kept = kept.map(|(of, by)| Between { of, by });
        Lane { name: format!("the lane at {runs}"), runs, kept }
    }

    fn from(lanes: &[Lane], target: Version) -> Result<Version, String> {
        first_undone(lanes, target).map_err(|reason| reason.to_string())
    }

    #[test]
    fn all_lanes_go_back_to_before_the_version_that_could_not_be_read_back() {
        assert_eq!(from(&[lane(2, Some((1, 2))), lane(2, Some((1, 2)))], 1), Ok(2));
        assert_eq!(from(&[lane(4, Some((2, 3))), lane(3, Some((1, 3)))], 1), Ok(3), "one was away when 2 began");
    }

    #[test]
    fn a_lane_that_has_not_gone_over_needs_no_snapshot() {
        assert_eq!(from(&[lane(1, None), lane(2, Some((1, 2)))], 1), Ok(2));
        assert_eq!(from(&[lane(3, None), lane(0, None)], 3), Ok(4), "nobody has");
    }

    #[test]
    fn a_lane_without_a_snapshot_from_before_is_not_gone_back_with() {
        assert!(from(&[lane(2, None), lane(2, Some((1, 2)))], 1).unwrap_err().contains("kept no snapshot"));
        assert!(from(&[lane(3, Some((1, 2))), lane(3, Some((2, 3)))], 1).is_err(), "of another swap");
        assert!(from(&[lane(4, None)], 3).is_err());
    }
}

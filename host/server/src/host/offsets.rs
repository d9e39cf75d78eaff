//! How far each lane of a pipeline has come, and how a paused pipeline is made to read from elsewhere.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use azenha_engine::log::{Bounds, LaneId, Log, LogError};
use azenha_engine::store::{Store, StoreError, StoreLaneId};
use azenha_model::Offset;
use azenha_model::plan::{End, Generation, Plan, Task};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::deployment::State;
use super::runner::Runner;
use super::settings::open_stores;

/// How far one lane has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LaneOffset {
    /// The step or sink that the task runs; with `.fold` the first half of an aggregation.
    pub task: String,
    /// The topic that it reads.
    pub topic: String,
    /// The partition of the topic.
    pub partition: u32,
    /// The next offset to read, as committed by whichever host; none before the first commit.
    pub position: Option<Offset>,
    /// The first offset that the partition holds.
    pub start: Offset,
    /// The offset of the partition's next record.
    pub end: Offset,
    /// Records that are not committed yet. Where this host does not read, an offset behind the last record that Kafka
    /// keeps for the end of a transaction counts as one.
    pub lag: u64,
}

/// Where a lane is to read on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOffset {
    /// A task without state.
    pub task: String,
    /// A partition of its input.
    pub partition: u32,
    /// The next offset to read: one that the partition holds, or its end.
    pub position: Offset,
}

/// Why positions cannot be told or set.
#[derive(Debug, thiserror::Error)]
pub enum OffsetError {
    /// Its tasks are not known here.
    #[error("pipeline `{pipeline}` is {state}, so its lanes are not known")]
    NotLoaded {
        /// The pipeline.
        pipeline: String,
        /// What it does instead.
        state: String,
    },
    /// A name that the pipeline does not have.
    #[error("the pipeline has no task `{task}` with a partition {partition}; it has {known}")]
    NoSuchLane {
        /// The task that was named.
        task: String,
        /// The partition that was named.
        partition: u32,
        /// The tasks and their partitions.
        known: String,
    },
    /// Nothing is to be set.
    #[error("no position is given")]
    Nothing,
    /// A lane cannot have two positions.
    #[error("partition {partition} of task `{task}` is given twice")]
    Twice {
        /// The task.
        task: String,
        /// The partition.
        partition: u32,
    },
    /// State and position belong together.
    #[error("task `{0}` keeps state, which belongs to its position: what it read would be counted again or never")]
    Stateful(String),
    /// The partition does not hold the offset.
    #[error("offset {position} is outside of {topic}/{partition}, which holds {start}..{end}")]
    Outside {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The offset that was asked for.
        position: Offset,
        /// The first that can be read.
        start: Offset,
        /// The one that the next record will have.
        end: Offset,
    },
    /// The log failed or refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A connection is missing.
    #[error("{0:#}")]
    Setup(anyhow::Error),
}

/// Where the lanes of a plan are: in the log, or beside the rows of a store.
struct Places<'a> {
    log: &'a dyn Log,
    stores: HashMap<String, Arc<dyn Store>>,
    plan: &'a Plan,
    generation: Generation,
}

impl<'a> Places<'a> {
    fn new(runner: &'a Runner, plan: &'a Plan, generation: Generation) -> Result<Self, OffsetError> {
        let stores = open_stores(&runner.config, plan).map_err(OffsetError::Setup)?;
        Ok(Self { log: &*runner.log, stores, plan, generation })
    }

    fn lane(&self, task: &Task, partition: u32) -> LaneId {
        let group = format!("{}.{}", self.plan.pipeline, task.name);
        LaneId { group, input: task.input.topic().to_owned(), partition }
    }

    fn partitions(&self, task: &Task) -> u32 {
        let spec = self.plan.topics.iter().find(|spec| spec.name == task.input.topic());
        spec.map_or(0, |spec| spec.partitions)
    }

    /// The store of a task that ends in one, and its lanes there.
    async fn in_store(&self, task: &Task) -> Result<Option<(&dyn Store, Vec<StoreLaneId>)>, OffsetError> {
        let End::Store(output) = &task.end else { return Ok(None) };
        let Some(store) = self.stores.get(&output.connection) else { return Ok(None) };
        store.prepare(output).await?;
        let topic = task.input.topic();
        let topic_id = self.log.topic(topic).await?.map(|found| found.id).unwrap_or_default();
        let lane = |partition| StoreLaneId {
            pipeline: self.plan.pipeline.clone(),
            sink: output.sink.clone(),
            topic: topic.to_owned(),
            topic_id: topic_id.clone(),
            partition,
            generation: self.generation,
        };
        Ok(Some((&**store, (0..self.partitions(task)).map(lane).collect())))
    }

    /// The committed positions of a task's lanes, by partition.
    async fn positions(&self, task: &Task) -> Result<Vec<Option<Offset>>, OffsetError> {
        let mut positions = Vec::new();
        if let Some((store, lanes)) = self.in_store(task).await? {
            for lane in &lanes {
                positions.push(store.position(lane).await?);
            }
            return Ok(positions);
        }
        for partition in 0..self.partitions(task) {
            positions.push(self.log.position(&self.lane(task, partition)).await?);
        }
        Ok(positions)
    }

    /// Where a lane stands.
    async fn offset(&self, task: &Task, partition: u32, position: Option<Offset>) -> Result<LaneOffset, OffsetError> {
        let topic = task.input.topic().to_owned();
        let Bounds { start, end } = self.log.bounds(&topic, partition).await?;
        let lag = end.saturating_sub(position.unwrap_or(start));
        Ok(LaneOffset { task: task.name.clone(), topic, partition, position, start, end, lag })
    }

    /// Sets those positions of a task that are wanted. All lanes in a store get the new generation: one that was left
    /// out would start over.
    async fn set(&self, task: &Task, wanted: &[&NewOffset]) -> Result<(), OffsetError> {
        let Some((store, lanes)) = self.in_store(task).await? else {
            for new in wanted {
                self.log.set_position(&self.lane(task, new.partition), new.position).await?;
            }
            return Ok(());
        };
        for lane in &lanes {
            let position = match wanted.iter().find(|new| new.partition == lane.partition) {
                Some(new) => Some(new.position),
                None => store.position(lane).await?,
            };
            if let Some(position) = position {
                store.set_position(lane, position).await?;
            }
        }
        Ok(())
    }

    async fn check(&self, new: &NewOffset) -> Result<(), OffsetError> {
        let NewOffset { task: name, partition, position } = new;
        let (partition, position) = (*partition, *position);
        let tasks = &self.plan.tasks;
        let found = tasks.iter().find(|task| task.name == *name).filter(|task| partition < self.partitions(task));
        let Some(task) = found else {
            let known = tasks.iter().map(|task| format!("`{}` with {}", task.name, self.partitions(task)));
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(OffsetError::NoSuchLane { task: name.clone(), partition, known });
        };
        if task.is_stateful() {
            return Err(OffsetError::Stateful(name.clone()));
        }
        let topic = task.input.topic().to_owned();
        let Bounds { start, end } = self.log.bounds(&topic, partition).await?;
        if position < start || position > end {
            return Err(OffsetError::Outside { topic, partition, position, start, end });
        }
        Ok(())
    }
}

/// Each lane is named once, and there is one.
fn check_once(wanted: &[NewOffset]) -> Result<(), OffsetError> {
    if wanted.is_empty() {
        return Err(OffsetError::Nothing);
    }
    let mut lanes = HashSet::new();
    match wanted.iter().find(|new| !lanes.insert((&new.task, new.partition))) {
        Some(NewOffset { task, partition, .. }) => {
            Err(OffsetError::Twice { task: task.clone(), partition: *partition })
        }
        None => Ok(()),
    }
}

/// How far the lanes of a pipeline have come, in the order of its tasks.
pub async fn lanes(runner: &Runner, pipeline: &str, state: &State) -> Result<Vec<LaneOffset>, OffsetError> {
    let not_loaded = |state: &str| OffsetError::NotLoaded { pipeline: pipeline.to_owned(), state: state.to_owned() };
    let (plan, statuses) = match state {
        State::Running(running) => match running.live() {
            Some(pipeline) => (pipeline.plan(), Some(pipeline.tasks())),
            None => return Ok(Vec::new()),
        },
        State::Paused(loaded) => (&loaded.plan, None),
        State::Starting => return Err(not_loaded("starting")),
        State::Failed(reason) => return Err(not_loaded(&format!("not running ({reason})"))),
        State::Deleted => return Err(not_loaded("deleted")),
    };
    let places = Places::new(runner, plan, 0)?;
    let mut offsets = Vec::new();
    for (index, task) in plan.tasks.iter().enumerate() {
        let lanes = statuses.and_then(|statuses| statuses.get(index)).map_or(&[][..], |status| &status.lanes);
        let known = |partition: usize| lanes.get(partition).and_then(|lane| lane.committed());
        let partitions = places.partitions(task) as usize;
        // Another host may read a partition; what it committed stands where this one would have found it.
        let is_elsewhere = (0..partitions).any(|partition| known(partition).is_none());
        let stored = if is_elsewhere { places.positions(task).await? } else { Vec::new() };
        for partition in 0..partitions {
            let position = known(partition).or(stored.get(partition).copied().flatten());
            offsets.push(places.offset(task, partition as u32, position).await?);
        }
    }
    Ok(offsets)
}

/// Sets positions of a paused pipeline, for what runs with `generation` from then on: one more than it had. May be
/// repeated until the definition with that generation is in force.
pub async fn set(
    runner: &Runner,
    plan: &Plan,
    generation: Generation,
    wanted: &[NewOffset],
) -> Result<(), OffsetError> {
    check_once(wanted)?;
    let places = Places::new(runner, plan, generation)?;
    for new in wanted {
        places.check(new).await?;
    }
    // The log first: it refuses while some host still reads, and then nothing is changed.
    let (of_stores, of_log): (Vec<&Task>, Vec<&Task>) =
        plan.tasks.iter().partition(|task| matches!(task.end, End::Store(_)));
    for task in of_log.into_iter().chain(of_stores) {
        let of_task: Vec<&NewOffset> = wanted.iter().filter(|new| new.task == task.name).collect();
        places.set(task, &of_task).await?;
    }
    Ok(())
}

//! Pipelines that run.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use azenha_model::plan::{Emit, Input, Plan, Window};
use azenha_sandbox::Plugin;
use tokio::sync::{broadcast, oneshot, watch};

use crate::edition::{Begun, Distrust, Version, Versions};
use crate::engine::{Prepared, RunningTask, TaskId};
use crate::error::EngineError;
use crate::group::{Commands, Lanes};
use crate::lane::CloseWindows;
use crate::log::{Bounds, Log};
use crate::objects::Objects;
use crate::shadow::Shadows;
use crate::status::{LaneState, LaneStatus, NO_TIME, TaskStatus};
use crate::tap::{Tap, Taps};
use crate::task::Program;
use crate::window::Assign;

/// What a drain did beside waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Windows that were still open were closed, because results are given once, at their end.
    pub closed_windows: bool,
}

/// A program that runs. Clones are handles of the same one.
#[derive(Debug, Clone)]
pub struct Pipeline(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    program: Arc<Program>,
    log: Arc<dyn Log>,
    taps: Arc<Taps>,
    shadows: Arc<Shadows>,
    status: Arc<Vec<TaskStatus>>,
    versions: Option<Arc<Versions>>,
    distrust: watch::Sender<Option<Distrust>>,
    /// Of each task, the lanes that run on this host.
    lanes: Vec<Arc<Lanes>>,
    /// What starts and ends lanes; none of them once another version has taken over.
    tasks: Mutex<Vec<RunningTask>>,
}

impl Pipeline {
    /// A pipeline of tasks that run, in the plan's order.
    pub(crate) fn new(prepared: Prepared, log: Arc<dyn Log>, tasks: Vec<RunningTask>) -> Self {
        let Prepared { program, taps, shadows, lanes: status, versions, distrust, .. } = prepared;
        let lanes = tasks.iter().map(|task| Arc::clone(&task.lanes)).collect();
        let tasks = Mutex::new(tasks);
        Self(Arc::new(Shared { program, log, taps, shadows, status, versions, distrust, lanes, tasks }))
    }

    /// What runs.
    pub fn plan(&self) -> &Plan {
        &self.0.program.plan
    }

    /// The object store of a connection, if the pipeline reads or writes objects there.
    pub fn objects(&self, connection: &str) -> Option<&Arc<dyn Objects>> {
        self.0.program.objects.get(connection)
    }

    /// How each task does, in the plan's order.
    pub fn tasks(&self) -> &[TaskStatus] {
        &self.0.status
    }

    /// Live rows of a step as JSON objects; none if there is no such step.
    pub fn tap(&self, step: &str) -> Option<broadcast::Receiver<Arc<str>>> {
        self.0.taps.get(step).map(Tap::listen)
    }

    /// Where candidates work beside its steps.
    pub fn shadows(&self) -> &Shadows {
        &self.0.shadows
    }

    /// Waits until everything that stands in the sources now has gone through every task. Windows of
    /// aggregations that give results at their end are closed; those of others stay open.
    pub async fn drain(&self) -> Result<Drained, EngineError> {
        self.pass_all(true).await
    }

    /// Waits like [`Pipeline::drain`], but for somebody who goes on later: no window is closed.
    pub async fn catch_up(&self) -> Result<(), EngineError> {
        self.pass_all(false).await.map(drop)
    }

    async fn pass_all(&self, closes_windows: bool) -> Result<Drained, EngineError> {
        let mut drained = Drained { closed_windows: false };
        for (index, status) in self.0.status.iter().enumerate() {
            self.pass(&self.0.lanes[index], status).await?;
            let task = &self.plan().tasks[index];
            let may_close = closes_windows && matches!(task.input, Input::Stream(_));
            let ending = task.end.aggregation().filter(|aggregation| may_close && aggregation.emit == Emit::Final);
            if let Some(window) = ending.and_then(|aggregation| aggregation.window) {
                drained.closed_windows |= self.close_windows(index, window).await?;
            }
        }
        match self.failure() {
            Some(failure) => Err(failure),
            None => Ok(drained),
        }
    }

    /// Waits until the lanes of a task have committed what stands in its input now, however much comes meanwhile.
    async fn pass(&self, lanes: &Lanes, status: &TaskStatus) -> Result<(), EngineError> {
        let mut ends = Vec::new();
        for lane in &status.lanes {
            let Bounds { end, .. } = self.0.log.bounds(&status.input, lane.partition).await?;
            ends.push(end);
        }
        lanes.wait_for(ends.as_slice().into());
        for (lane, end) in status.lanes.iter().zip(ends) {
            lane.reach(end).await.map_err(|reason| failure(status, lane, reason))?;
        }
        Ok(())
    }

    /// Closes every window that a row of any lane can have opened; says whether there was a row.
    async fn close_windows(&self, index: usize, window: Window) -> Result<bool, EngineError> {
        let status = &self.0.status[index];
        let highest = status.lanes.iter().map(|lane| lane.event_time.load(Relaxed)).max().unwrap_or(NO_TIME);
        if highest == NO_TIME {
            return Ok(false);
        }
        let until = highest.saturating_add(window.reach());
        let ask = |(partition, commands): (u32, Commands)| {
            let (answer, answered) = oneshot::channel();
            commands.close_windows(CloseWindows { until, answer });
            (partition, answered)
        };
        let asked: Vec<_> = self.0.lanes[index].commands().into_iter().map(ask).collect();
        for (partition, answered) in asked {
            if answered.await.is_err() {
                let reason = "its windows were not closed".to_owned();
                return Err(EngineError::Lane { task: status.task.clone(), partition, reason });
            }
        }
        Ok(true)
    }

    /// The version that runs; 0 for a file's.
    pub fn version(&self) -> Version {
        self.0.program.edition.version
    }

    /// The plugins that run, by their names in the plan.
    pub fn plugins(&self) -> &HashMap<String, Plugin> {
        &self.0.program.plugins
    }

    /// From which offset on each lane ran which version, in the order in which they began; nothing for a file's pipeline.
    pub async fn versions(&self) -> Result<Vec<Begun>, EngineError> {
        match &self.0.versions {
            Some(versions) => versions.all().await,
            None => Ok(Vec::new()),
        }
    }

    /// Says why a lane does not go on with this version, once one does not.
    pub fn distrust(&self) -> watch::Receiver<Option<Distrust>> {
        self.0.distrust.subscribe()
    }

    pub(crate) fn taps(&self) -> &Taps {
        &self.0.taps
    }

    /// Takes the tasks out, for another version.
    pub(crate) fn take_tasks(&self) -> HashMap<TaskId, RunningTask> {
        self.running_tasks().into_iter().map(|task| (task.id.clone(), task)).collect()
    }

    fn running_tasks(&self) -> Vec<RunningTask> {
        std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives a program the stores that are open already, where it has connections of the same names.
    pub(crate) fn lend_stores(&self, program: &mut Program) {
        for (connection, store) in &mut program.stores {
            if let Some(open) = self.0.program.stores.get(connection) {
                *store = Arc::clone(open);
            }
        }
    }

    /// Ends the connections that another version does not need.
    pub(crate) async fn close_stores(&self, next: Option<&Self>) {
        let is_needed = |connection| next.is_some_and(|next| next.0.program.stores.contains_key(connection));
        for (connection, store) in &self.0.program.stores {
            if !is_needed(connection) {
                store.close().await;
            }
        }
    }

    /// Asks every lane to commit what it has processed and to end, waits until they have, and leaves the groups.
    pub async fn stop(&self) {
        let tasks = self.running_tasks();
        tasks.iter().for_each(RunningTask::tell_to_stop);
        for task in tasks {
            task.ended().await;
        }
        self.close_stores(None).await;
    }

    /// What the first lane that cannot go on says.
    pub fn failure(&self) -> Option<EngineError> {
        let lanes = self.0.status.iter().flat_map(|task| task.lanes.iter().map(move |lane| (task, lane)));
        lanes.into_iter().find_map(|(task, lane)| match lane.state() {
            LaneState::Failed { error } => Some(failure(task, lane, error)),
            _ => None,
        })
    }
}

fn failure(status: &TaskStatus, lane: &LaneStatus, reason: String) -> EngineError {
    EngineError::Lane { task: status.task.clone(), partition: lane.partition, reason }
}

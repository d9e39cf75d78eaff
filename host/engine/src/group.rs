//! A task's place in its group: lanes start on the partitions that this host is given, and end on those that go
//! to another one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azenha_model::Offset;
use azenha_model::plan::End;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::error::EngineError;
use crate::failpoint;
use crate::lane::{self, CloseWindows, Orders, told};
use crate::log::{Change, Membership};
use crate::status::{LaneState, LaneStatus};
use crate::task::TaskContext;
use crate::worker::Workers;

/// First pause before a group is joined again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Longest pause before a group is joined again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Where a lane takes orders.
#[derive(Debug, Clone)]
pub struct Commands {
    stop: watch::Sender<bool>,
    windows: mpsc::UnboundedSender<CloseWindows>,
}

impl Commands {
    fn new(awaited: watch::Receiver<Arc<[Offset]>>, context: Contexts) -> (Self, Orders) {
        let (stop, told) = watch::channel(false);
        let (windows, asked) = mpsc::unbounded_channel();
        (Self { stop, windows }, Orders { stop: told, windows: asked, awaited, context })
    }

    /// Asks for windows to be closed. A lane that has ended drops the answer.
    pub fn close_windows(&self, windows: CloseWindows) {
        let _ = self.windows.send(windows);
    }

    /// Asks for a last commit; the lane ends with it, whether it succeeds or not.
    fn stop(&self) {
        self.stop.send_replace(true);
    }

    async fn ended(&self) {
        self.windows.closed().await;
    }
}

/// The lanes of one task that run on this host, by partition.
#[derive(Debug)]
pub struct Lanes {
    running: Mutex<BTreeMap<u32, Commands>>,
    awaited: watch::Sender<Arc<[Offset]>>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { running: Mutex::default(), awaited: watch::Sender::new(Arc::default()) }
    }
}

impl Lanes {
    /// Asks for what stands before an offset of each partition to be committed as soon as it is read, also of lanes that
    /// begin later: objects end there once, whatever comes behind.
    pub fn wait_for(&self, ends: Arc<[Offset]>) {
        self.awaited.send_replace(ends);
    }

    /// Where the lanes take orders.
    pub fn commands(&self) -> Vec<(u32, Commands)> {
        self.map().iter().map(|(partition, commands)| (*partition, commands.clone())).collect()
    }

    /// Asks lanes to commit what they have processed and to end, and waits until they have.
    async fn stop(&self, partitions: &[u32]) {
        let all = self.commands().into_iter();
        let stopping: Vec<(u32, Commands)> = all.filter(|(partition, _)| partitions.contains(partition)).collect();
        stopping.iter().for_each(|(_, commands)| commands.stop());
        for (partition, commands) in stopping {
            commands.ended().await;
            self.map().remove(&partition);
        }
    }

    async fn stop_all(&self) {
        let partitions: Vec<u32> = self.map().keys().copied().collect();
        self.stop(&partitions).await;
    }

    /// A panic elsewhere leaves the map whole: each change is one call.
    fn map(&self) -> MutexGuard<'_, BTreeMap<u32, Commands>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the lanes of a task share: another one when the pipeline has another version.
pub type Contexts = watch::Receiver<Arc<TaskContext>>;

/// A task on this host.
#[derive(Debug)]
pub struct Member {
    /// What all its lanes share now.
    pub contexts: Contexts,
    /// Where lanes run.
    pub workers: Arc<Workers>,
    /// The lanes that run.
    pub lanes: Arc<Lanes>,
}

impl Member {
    /// Runs the lanes that fall to this host until it is told to stop.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let (mut pause, mut failures) = (FIRST_PAUSE, 0);
        loop {
            let outcome = tokio::select! {
                outcome = self.follow(&mut pause) => outcome,
                () = told(&mut stop) => return self.lanes.stop_all().await,
            };
            self.lanes.stop_all().await;
            let Err(error) = outcome else { continue };
            let context = self.context();
            let (pipeline, task) = (&context.program.plan.pipeline, &context.task().name);
            if error.is_passing() {
                tracing::warn!(%pipeline, %task, %error, "the group is joined again in {pause:?}");
                failures = if pause == FIRST_PAUSE { 1 } else { failures + 1 };
                self.tell_all(&LaneState::Retrying { error: error.to_string(), failures });
            } else {
                tracing::error!(%pipeline, %task, %error, "the task cannot go on");
                self.tell_all(&LaneState::Failed { error: error.to_string() });
                tokio::select! {
                    // Another version may do better.
                    Ok(()) = self.contexts.changed() => continue,
                    () = told(&mut stop) => return,
                }
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = told(&mut stop) => return,
            }
        }
    }

    /// Joins the group and starts and stops lanes as it says.
    async fn follow(&self, pause: &mut Duration) -> Result<(), EngineError> {
        let context = self.context();
        if let End::Store(output) = &context.task().end {
            // Done already, unless the store could not be reached when the pipeline started.
            context.program.store(&output.connection)?.prepare(output).await?;
        }
        let group = format!("{}.{}", context.program.plan.pipeline, context.task().name);
        let membership = context.log.join(&group, context.task().input.topic()).await?;
        loop {
            match membership.changed().await? {
                Change::Assigned(partitions) => {
                    *pause = FIRST_PAUSE;
                    partitions.iter().for_each(|partition| self.start(&membership, *partition));
                    self.leave_to_others();
                }
                Change::Revoked(partitions) => {
                    failpoint::reach("group.revoked");
                    self.lanes.stop(&partitions).await;
                    failpoint::reach("group.stopped");
                    self.leave_to_others();
                    membership.release(&partitions).await;
                }
            }
        }
    }

    fn start(&self, membership: &Arc<dyn Membership>, partition: u32) {
        let context = self.context();
        let Some(status) = lanes_of(&context).iter().find(|lane| lane.partition == partition) else {
            let task = &context.task().name;
            return tracing::error!(%task, partition, "a partition that its topic did not have when the task started");
        };
        let (commands, orders) = Commands::new(self.lanes.awaited.subscribe(), self.contexts.clone());
        if self.lanes.map().insert(partition, commands).is_some() {
            tracing::warn!(partition, "a partition was assigned twice; its first lane ends");
        }
        status.set_state(LaneState::Restoring);
        let (membership, status) = (Arc::clone(membership), Arc::clone(status));
        self.workers.spawn(move || lane::run(membership, status, orders));
    }

    fn context(&self) -> Arc<TaskContext> {
        Arc::clone(&self.contexts.borrow())
    }

    /// Whatever partition has no lane here is another host's.
    fn leave_to_others(&self) {
        let here = self.lanes.map();
        let context = self.context();
        let others = lanes_of(&context).iter().filter(|lane| !here.contains_key(&lane.partition));
        others.for_each(|lane| lane.set_state(LaneState::Elsewhere));
    }

    fn tell_all(&self, state: &LaneState) {
        lanes_of(&self.context()).iter().for_each(|lane| lane.set_state(state.clone()));
    }
}

fn lanes_of(context: &TaskContext) -> &[Arc<LaneStatus>] {
    &context.lanes[context.index].lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_starts_after_somebody_waits_hears_of_it_too() {
        let lanes = Lanes::default();
        let before = lanes.awaited.subscribe();
        lanes.wait_for(Arc::from([7]));
        let after = lanes.awaited.subscribe();
        assert!(before.borrow()[..] == [7] && after.borrow()[..] == [7]);
    }
}

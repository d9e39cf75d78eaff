//! Pipelines that run.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use azenha_model::plan::{Emit, End as EndPlan, Input, Plan, StoreOutput, Task, Window};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, oneshot, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::error::EngineError;
use crate::group::{Commands, Lanes, Member};
use crate::lane::CloseWindows;
use crate::log::{Bounds, Log};
use crate::objects::Objects;
use crate::schemas::register_outputs;
use crate::status::{LaneState, LaneStatus, NO_TIME, TaskStatus};
use crate::tap::{Tap, Taps};
use crate::task::{EngineOptions, Program, TaskContext};
use crate::window::Assign;
use crate::worker::Workers;

/// Runs programs over one log. Clones share everything.
#[derive(Debug, Clone)]
pub struct Engine {
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    options: EngineOptions,
    workers: Arc<Workers>,
    io: Handle,
}

impl Engine {
    /// Starts the threads that lanes run on. Called inside of the tokio runtime on which logs and stores do
    /// their I/O.
    pub fn start(log: Arc<dyn Log>, clock: Arc<dyn Clock>, options: EngineOptions) -> Result<Self, EngineError> {
        let no_runtime = |error| EngineError::Setup(format!("an engine starts inside of a tokio runtime: {error}"));
        let io = Handle::try_current().map_err(no_runtime)?;
        let workers = Arc::new(Workers::start(options.workers)?);
        Ok(Self { log, clock, options, workers, io })
    }

    /// Makes the topics and tables that a program needs, and starts its lanes.
    pub async fn run(&self, program: Program) -> Result<Pipeline, EngineError> {
        let mut topic_ids = HashMap::new();
        for topic in &program.plan.topics {
            let found = self.log.ensure_topic(topic).await?;
            topic_ids.insert(found.spec.name, found.id);
        }
        let topic_ids = Arc::new(topic_ids);
        for task in &program.plan.tasks {
            if let EndPlan::Store(output) = &task.end {
                prepare(&program, output).await?;
            }
        }
        for (connection, objects) in &program.objects {
            if let Err(error) = objects.prepare().await.map_err(EngineError::from) {
                if !error.is_passing() {
                    return Err(error);
                }
                let pipeline = &program.plan.pipeline;
                tracing::warn!(%pipeline, %connection, %error, "objects wait until their store can be reached");
            }
        }
        let schema_ids = Arc::new(register_outputs(&program).await?);
        let record_limits = Arc::new(self.record_limits(&program.plan).await?);
        let program = Arc::new(program);
        let taps = Arc::new(taps(&program.plan));
        let tasks =
            Arc::new(program.plan.tasks.iter().map(|task| waiting(&program, task)).collect::<Result<Vec<_>, _>>()?);
        let (stop, told) = watch::channel(false);
        let (mut lanes, mut members) = (Vec::new(), Vec::new());
        for index in 0..program.plan.tasks.len() {
            let context = Arc::new(TaskContext {
                program: Arc::clone(&program),
                index,
                log: Arc::clone(&self.log),
                io: self.io.clone(),
                clock: Arc::clone(&self.clock),
                options: self.options.clone(),
                taps: Arc::clone(&taps),
                topic_ids: Arc::clone(&topic_ids),
                schema_ids: Arc::clone(&schema_ids),
                record_limits: Arc::clone(&record_limits),
                lanes: Arc::clone(&tasks),
            });
            let of_task = Arc::new(Lanes::default());
            lanes.push(Arc::clone(&of_task));
            let member = Member { context, workers: Arc::clone(&self.workers), lanes: of_task };
            members.push(self.io.spawn(member.run(told.clone())));
        }
        let members = Mutex::new(members);
        Ok(Pipeline(Arc::new(Shared { program, log: Arc::clone(&self.log), taps, tasks, lanes, members, stop })))
    }
}

impl Engine {
    /// What records of the topics that are written may have at most.
    async fn record_limits(&self, plan: &Plan) -> Result<HashMap<String, usize>, EngineError> {
        let mut limits = HashMap::new();
        for output in plan.tasks.iter().flat_map(|task| task.end.outputs()) {
            if let Some(limit) = self.log.record_limit(&output.topic).await? {
                limits.insert(output.topic.clone(), limit);
            }
        }
        Ok(limits)
    }
}

/// Makes or checks a sink's table. A store that cannot be reached now is tried again by the task itself.
async fn prepare(program: &Program, output: &StoreOutput) -> Result<(), EngineError> {
    match program.store(&output.connection)?.prepare(output).await.map_err(EngineError::from) {
        Err(error) if error.is_passing() => {
            let (pipeline, sink) = (&program.plan.pipeline, &output.sink);
            tracing::warn!(%pipeline, %sink, %error, "the sink begins when its store can be reached");
            Ok(())
        }
        prepared => prepared,
    }
}

/// The lanes of a task that has not started.
fn waiting(program: &Program, task: &Task) -> Result<TaskStatus, EngineError> {
    let input = task.input.topic();
    let lanes = (0..program.partitions(input)?).map(|partition| Arc::new(LaneStatus::new(partition))).collect();
    Ok(TaskStatus { task: task.name.clone(), input: input.to_owned(), lanes })
}

fn taps(plan: &Plan) -> Taps {
    let stages = plan.tasks.iter().flat_map(|task| &task.stages).map(|stage| &stage.plugin.step);
    let steps = plan.tasks.iter().filter_map(|task| match &task.end {
        EndPlan::Relate { relation, .. } => Some(&relation.step),
        EndPlan::Lookup { lookup, .. } => Some(&lookup.step),
        end => end.aggregation().map(|aggregation| &aggregation.plugin.step),
    });
    stages.chain(steps).map(|step| (step.clone(), Tap::default())).collect::<BTreeMap<_, _>>()
}

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
    tasks: Arc<Vec<TaskStatus>>,
    /// Of each task, those that run on this host.
    lanes: Vec<Arc<Lanes>>,
    /// What starts and ends lanes.
    members: Mutex<Vec<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
}

impl Pipeline {
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
        &self.0.tasks
    }

    /// Live rows of a step as JSON objects; none if there is no such step.
    pub fn tap(&self, step: &str) -> Option<broadcast::Receiver<Arc<str>>> {
        self.0.taps.get(step).map(Tap::listen)
    }

    /// Waits until everything that stands in the sources now has gone through every task. Windows of
    /// aggregations that give results at their end are closed; those of others stay open.
    pub async fn drain(&self) -> Result<Drained, EngineError> {
        let mut drained = Drained { closed_windows: false };
        for (index, status) in self.0.tasks.iter().enumerate() {
            self.0.lanes[index].hurry();
            self.catch_up(status).await?;
            let task = &self.plan().tasks[index];
            let reads_rows = matches!(task.input, Input::Stream(_));
            let ending = task.end.aggregation().filter(|aggregation| reads_rows && aggregation.emit == Emit::Final);
            if let Some(window) = ending.and_then(|aggregation| aggregation.window) {
                drained.closed_windows |= self.close_windows(index, window).await?;
            }
        }
        match self.failure() {
            Some(failure) => Err(failure),
            None => Ok(drained),
        }
    }

    /// Waits until the lanes of a task have committed what stands in its input now.
    async fn catch_up(&self, status: &TaskStatus) -> Result<(), EngineError> {
        for lane in &status.lanes {
            let Bounds { end, .. } = self.0.log.bounds(&status.input, lane.partition).await?;
            lane.reach(end).await.map_err(|reason| failure(status, lane, reason))?;
        }
        Ok(())
    }

    /// Closes every window that a row of any lane can have opened; says whether there was a row.
    async fn close_windows(&self, index: usize, window: Window) -> Result<bool, EngineError> {
        let status = &self.0.tasks[index];
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

    /// Asks every lane to commit what it has processed and to end, waits until they have, and leaves the groups.
    pub async fn stop(&self) {
        self.0.stop.send_replace(true);
        let members = std::mem::take(&mut *self.0.members.lock().unwrap_or_else(PoisonError::into_inner));
        for member in members {
            if let Err(error) = member.await {
                tracing::error!(%error, "a task did not end as it should");
            }
        }
        for store in self.0.program.stores.values() {
            store.close().await;
        }
    }

    /// What the first lane that cannot go on says.
    pub fn failure(&self) -> Option<EngineError> {
        let lanes = self.0.tasks.iter().flat_map(|task| task.lanes.iter().map(move |lane| (task, lane)));
        lanes.into_iter().find_map(|(task, lane)| match lane.state() {
            LaneState::Failed { error } => Some(failure(task, lane, error)),
            _ => None,
        })
    }
}

fn failure(status: &TaskStatus, lane: &LaneStatus, reason: String) -> EngineError {
    EngineError::Lane { task: status.task.clone(), partition: lane.partition, reason }
}

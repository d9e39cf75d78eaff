//! What pipelines run on. A pipeline is prepared before anything of it starts, or before anything of the version that
//! runs is touched.

use std::collections::HashMap;
use std::sync::Arc;

use azenha_model::plan::{End as EndPlan, Plan, StoreOutput, Task};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::edition::{Distrust, Versions};
use crate::error::EngineError;
use crate::group::{Lanes, Member};
use crate::log::Log;
use crate::pipeline::Pipeline;
use crate::schemas::register_outputs;
use crate::shadow::Shadows;
use crate::snapshot;
use crate::status::{LaneStatus, TaskStatus};
use crate::tap::Taps;
use crate::task::{EngineOptions, Program, TaskContext};
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

/// A task's name and the topic that it reads.
pub type TaskId = (String, String);

/// A task that runs on this host.
#[derive(Debug)]
pub struct RunningTask {
    /// What it is called and reads.
    pub id: TaskId,
    /// Its lanes.
    pub lanes: Arc<Lanes>,
    contexts: watch::Sender<Arc<TaskContext>>,
    stop: watch::Sender<bool>,
    member: JoinHandle<()>,
}

impl RunningTask {
    /// Asks every lane to commit what it has processed and to end.
    pub fn tell_to_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until it has ended and left its group.
    pub async fn ended(self) {
        if let Err(error) = self.member.await {
            tracing::error!(%error, "a task did not end as it should");
        }
    }
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
        let prepared = self.prepare(program, None).await?;
        let tasks = prepared.contexts.iter().map(|context| self.start_task(context)).collect();
        Ok(Pipeline::new(prepared, Arc::clone(&self.log), tasks))
    }

    /// Makes another version of a pipeline of the one that runs. Tasks that are the same go on untouched. Of the others,
    /// those that read the same topic under the same name stay in their groups, and each of their lanes goes over between
    /// two batches; the rest end or start. The handle of the version that ran is of no use afterwards.
    ///
    /// # Errors
    /// If the other version cannot be prepared: what runs goes on as it was.
    pub async fn swap(&self, running: &Pipeline, program: Program) -> Result<Pipeline, EngineError> {
        let prepared = self.prepare(program, Some(running)).await?;
        // What they were beside is no more, or they are it now.
        running.shadows().end_all();
        let mut before = running.take_tasks();
        let take = |context: &Arc<TaskContext>| before.remove(&identity(context.task()));
        let mut kept: Vec<Option<RunningTask>> = prepared.contexts.iter().map(take).collect();
        // One that goes may have the group of one that comes.
        before.values().for_each(RunningTask::tell_to_stop);
        for gone in before.into_values() {
            gone.ended().await;
        }
        // Readers first: they understand what their writers wrote before and after.
        for (context, task) in prepared.contexts.iter().zip(&mut kept).rev() {
            match task {
                Some(task) => drop(task.contexts.send_replace(Arc::clone(context))),
                None => *task = Some(self.start_task(context)),
            }
        }
        let tasks = kept.into_iter().flatten().collect();
        let swapped = Pipeline::new(prepared, Arc::clone(&self.log), tasks);
        running.close_stores(Some(&swapped)).await;
        Ok(swapped)
    }

    /// Prepares what the tasks of a program need. Of the version that runs, taps, counters and connections are kept.
    async fn prepare(&self, mut program: Program, running: Option<&Pipeline>) -> Result<Prepared, EngineError> {
        if let Some(running) = running {
            running.lend_stores(&mut program);
        }
        let mut topic_ids = HashMap::new();
        for topic in &program.plan.topics {
            let found = self.log.ensure_topic(topic).await?;
            topic_ids.insert(found.spec.name, found.id);
        }
        prepare_sinks(&program).await?;
        let versions = match program.edition.version {
            0 => None,
            _ => {
                snapshot::prepare(self.log.as_ref(), &program.plan).await?;
                Some(Arc::new(Versions::open(&self.log, &program.plan.pipeline).await?))
            }
        };
        let of_task = |task| lanes_of(&program, task, running);
        let lanes = Arc::new(program.plan.tasks.iter().map(of_task).collect::<Result<Vec<_>, _>>()?);
        let taps = Arc::new(taps(&program.plan, running));
        let beside = running.map(Pipeline::shadows);
        let shadows = Arc::new(Shadows::over(taps.keys(), beside, Arc::clone(&self.clock)));
        let schema_ids = Arc::new(register_outputs(&program).await?);
        let record_limits = Arc::new(self.record_limits(&program.plan).await?);
        let (program, topic_ids, distrust) = (Arc::new(program), Arc::new(topic_ids), watch::Sender::default());
        let context = |index| {
            Arc::new(TaskContext {
                program: Arc::clone(&program),
                index,
                log: Arc::clone(&self.log),
                io: self.io.clone(),
                clock: Arc::clone(&self.clock),
                options: self.options.clone(),
                taps: Arc::clone(&taps),
                shadows: Arc::clone(&shadows),
                topic_ids: Arc::clone(&topic_ids),
                schema_ids: Arc::clone(&schema_ids),
                record_limits: Arc::clone(&record_limits),
                lanes: Arc::clone(&lanes),
                versions: versions.clone(),
                distrust: distrust.clone(),
            })
        };
        let contexts = (0..program.plan.tasks.len()).map(context).collect();
        Ok(Prepared { contexts, program, taps, shadows, lanes, versions, distrust })
    }

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

    fn start_task(&self, context: &Arc<TaskContext>) -> RunningTask {
        let lanes = Arc::new(Lanes::default());
        let (contexts, now) = watch::channel(Arc::clone(context));
        let (stop, told) = watch::channel(false);
        let member = Member { contexts: now, workers: Arc::clone(&self.workers), lanes: Arc::clone(&lanes) };
        RunningTask { id: identity(context.task()), lanes, contexts, stop, member: self.io.spawn(member.run(told)) }
    }
}

/// What the tasks of a program need, before they start or go over to it.
pub struct Prepared {
    /// For each task, in the plan's order.
    pub contexts: Vec<Arc<TaskContext>>,
    /// The program.
    pub program: Arc<Program>,
    /// Where its steps show their rows.
    pub taps: Arc<Taps>,
    /// Where candidates work beside its steps.
    pub shadows: Arc<Shadows>,
    /// The lanes of each task.
    pub lanes: Arc<Vec<TaskStatus>>,
    /// Which version each lane ran, if the log counts them.
    pub versions: Option<Arc<Versions>>,
    /// Where lanes say that they do not go on with this version.
    pub distrust: watch::Sender<Option<Distrust>>,
}

/// A task of another version is the same member of the same group.
fn identity(task: &Task) -> TaskId {
    (task.name.clone(), task.input.topic().to_owned())
}

/// Makes or checks the sinks of a program.
async fn prepare_sinks(program: &Program) -> Result<(), EngineError> {
    for task in &program.plan.tasks {
        if let EndPlan::Store(output) = &task.end {
            prepare_table(program, output).await?;
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
    Ok(())
}

/// Makes or checks a sink's table. A store that cannot be reached now is tried again by the task itself.
async fn prepare_table(program: &Program, output: &StoreOutput) -> Result<(), EngineError> {
    match program.store(&output.connection)?.prepare(output).await.map_err(EngineError::from) {
        Err(error) if error.is_passing() => {
            let (pipeline, sink) = (&program.plan.pipeline, &output.sink);
            tracing::warn!(%pipeline, %sink, %error, "the sink begins when its store can be reached");
            Ok(())
        }
        prepared => prepared,
    }
}

/// The lanes of a task: those of the version that runs, if it has that task.
fn lanes_of(program: &Program, task: &Task, running: Option<&Pipeline>) -> Result<TaskStatus, EngineError> {
    let input = task.input.topic();
    let is_it = |status: &&TaskStatus| status.task == task.name && status.input == input;
    if let Some(known) = running.and_then(|running| running.tasks().iter().find(is_it)) {
        return Ok(known.clone());
    }
    let lanes = (0..program.partitions(input)?).map(|partition| Arc::new(LaneStatus::new(partition))).collect();
    Ok(TaskStatus { task: task.name.clone(), input: input.to_owned(), lanes })
}

/// The taps of all steps: those of the version that runs, which somebody may listen to, where it has the step.
fn taps(plan: &Plan, running: Option<&Pipeline>) -> Taps {
    let stages = plan.tasks.iter().flat_map(|task| &task.stages).map(|stage| &stage.plugin.step);
    let steps = plan.tasks.iter().filter_map(|task| match &task.end {
        EndPlan::Relate { relation, .. } => Some(&relation.step),
        EndPlan::Lookup { lookup, .. } => Some(&lookup.step),
        end => end.aggregation().map(|aggregation| &aggregation.plugin.step),
    });
    let known = |step: &String| running.and_then(|running| running.taps().get(step).cloned());
    stages.chain(steps).map(|step| (step.clone(), known(step).unwrap_or_default())).collect()
}

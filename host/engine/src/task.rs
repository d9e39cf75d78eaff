//! What all lanes of a task share.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use azenha_model::Offset;
use azenha_model::plan::{Generation, Input, Plan, StreamInput, Task, TopicKind};
use azenha_sandbox::Plugin;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::edition::{Begun, Code, Distrust, Edition, Versions};
use crate::end::cut_definition;
use crate::error::EngineError;
use crate::log::{LaneId, Log};
use crate::objects::{Objects, hexadecimal};
use crate::schemas::Schemas;
use crate::shadow::{Shadows, Slot};
use crate::status::TaskStatus;
use crate::store::{Store, StoreLaneId};
use crate::tap::{Tap, Taps};

/// How an engine runs.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Threads that lanes share.
    pub workers: usize,
    /// How long rows may wait for the commit that makes them durable and visible.
    pub commit_interval: Duration,
    /// Records a batch, at most: what a plugin sees in one call, before it makes more of them.
    pub batch_rows: usize,
    /// Bytes of state that a lane may hold.
    pub state_limit: usize,
    /// A folder that exists: where the contents of objects stand until they are put.
    pub spool: PathBuf,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            workers: 2,
            commit_interval: Duration::from_millis(100),
            batch_rows: 4096,
            state_limit: 1 << 30,
            spool: std::env::temp_dir(),
        }
    }
}

/// A plan with everything that it names.
#[derive(Debug)]
pub struct Program {
    /// What runs.
    pub plan: Plan,
    /// The plugins, by their names in the plan.
    pub plugins: HashMap<String, Plugin>,
    /// The stores, by the names of their connections.
    pub stores: HashMap<String, Arc<dyn Store>>,
    /// The object stores, by the names of their connections.
    pub objects: HashMap<String, Arc<dyn Objects>>,
    /// The schema registries, by the URLs that the plan has for them; none: the host's.
    pub registries: HashMap<Option<String>, Arc<dyn Schemas>>,
    /// The version of the pipeline's offsets and rows.
    pub generation: Generation,
    /// The version of its code.
    pub edition: Edition,
}

impl Program {
    /// A plugin of the plan.
    pub fn plugin(&self, name: &str) -> Result<&Plugin, EngineError> {
        self.plugins.get(name).ok_or_else(|| EngineError::Setup(format!("plugin `{name}` was not loaded")))
    }

    /// A store of the plan.
    pub fn store(&self, connection: &str) -> Result<&Arc<dyn Store>, EngineError> {
        let missing = || EngineError::Setup(format!("connection `{connection}` was not opened"));
        self.stores.get(connection).ok_or_else(missing)
    }

    /// An object store of the plan.
    pub fn objects(&self, connection: &str) -> Result<&Arc<dyn Objects>, EngineError> {
        let missing = || EngineError::Setup(format!("connection `{connection}` was not opened for objects"));
        self.objects.get(connection).ok_or_else(missing)
    }

    /// A schema registry of the plan; none: the host's.
    pub fn registry(&self, url: Option<&str>) -> Result<&Arc<dyn Schemas>, EngineError> {
        let missing = || EngineError::Setup("a schema registry was not opened".to_owned());
        self.registries.get(&url.map(str::to_owned)).ok_or_else(missing)
    }

    /// The partitions of a topic of the plan.
    pub fn partitions(&self, topic: &str) -> Result<u32, EngineError> {
        let spec = self.plan.topics.iter().find(|spec| spec.name == topic);
        spec.map(|spec| spec.partitions)
            .ok_or_else(|| EngineError::Setup(format!("the plan does not say how many partitions `{topic}` has")))
    }
}

/// One task of a running program.
#[derive(Debug)]
pub struct TaskContext {
    /// The program that it belongs to.
    pub program: Arc<Program>,
    /// Its index in the plan.
    pub index: usize,
    /// Where records come from and go to.
    pub log: Arc<dyn Log>,
    /// Where I/O runs: lanes only wait for it.
    pub io: Handle,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How the engine runs.
    pub options: EngineOptions,
    /// Where steps show their rows.
    pub taps: Arc<Taps>,
    /// Where candidates work beside steps.
    pub shadows: Arc<Shadows>,
    /// The identities of the program's topics, by name.
    pub topic_ids: Arc<HashMap<String, String>>,
    /// The ids of the schemas that the program's records are written with, by topic.
    pub schema_ids: Arc<HashMap<String, u32>>,
    /// The most bytes that key and value of a record may have, by topic; where the log does not say, nothing.
    pub record_limits: Arc<HashMap<String, usize>>,
    /// The lanes of all tasks of the program, in the plan's order.
    pub lanes: Arc<Vec<TaskStatus>>,
    /// Which version each lane ran; none if the pipeline is a file's, which has no versions.
    pub versions: Option<Arc<Versions>>,
    /// Where a lane says that it does not go on with a version.
    pub distrust: watch::Sender<Option<Distrust>>,
}

impl TaskContext {
    /// The task as the plan has it.
    pub fn task(&self) -> &Task {
        &self.program.plan.tasks[self.index]
    }

    /// The digests of the plugins that the task runs.
    fn digests(&self) -> impl Iterator<Item = Option<&str>> {
        let plugin = |name: &str| self.program.plugins.get(name).map(Plugin::digest);
        self.task().plugins().map(plugin)
    }

    /// Whether lanes do the same under both, so that nothing changes for them.
    pub fn runs_like(&self, other: &Self) -> bool {
        self.task() == other.task()
            && self.keeps_records() == other.keeps_records()
            && self.digests().eq(other.digests())
            && self.asked() == other.asked()
    }

    /// What the code of its lanes is known by. Hosts that plan otherwise have other code.
    pub fn code_digest(&self) -> String {
        let code = format!("{:?}", (self.task(), self.digests().collect::<Vec<_>>(), self.asked()));
        hexadecimal(&Sha256::digest(code))
    }

    /// What a lane runs that began something last and goes on with it.
    pub fn code_since(&self, begun: &Begun) -> Option<Code> {
        let code = begun.code();
        let is_same = begun.version == self.program.edition.version || code.digest == self.code_digest();
        is_same.then_some(code)
    }

    /// What was asked for of the state, at which versions.
    fn asked(&self) -> impl PartialEq + fmt::Debug {
        let (step, edition) = (self.task().end_step(), &self.program.edition);
        (edition.resets.get(step), edition.recomputes.get(step), edition.undone.get(step))
    }

    /// Whether the input lies between tasks of this program, and is deleted behind them.
    pub fn reads_internal(&self) -> bool {
        let input = self.task().input.topic();
        self.program.plan.topics.iter().any(|topic| topic.name == input && topic.kind == TopicKind::Internal)
    }

    /// Whether others write the input.
    pub fn reads_source(&self) -> bool {
        let input = self.task().input.topic();
        self.program.plan.topics.iter().any(|topic| topic.name == input && topic.kind == TopicKind::Source)
    }

    /// The lanes of all tasks that read a partition of the input: their names, and their positions if they are here.
    pub fn readers(&self, partition: u32) -> Vec<(LaneId, Option<Offset>)> {
        let input = self.task().input.topic();
        let tasks = self.lanes.iter().filter(|task| task.input == input);
        let reader = |task: &TaskStatus| {
            let lane = task.lanes.iter().find(|lane| lane.partition == partition);
            (self.lane_of(&task.task, partition), lane.and_then(|lane| lane.committed()))
        };
        tasks.map(reader).collect()
    }

    /// The lane's name in the log.
    pub fn lane_id(&self, partition: u32) -> LaneId {
        self.lane_of(&self.task().name, partition)
    }

    fn lane_of(&self, task: &str, partition: u32) -> LaneId {
        let group = format!("{}.{task}", self.program.plan.pipeline);
        LaneId { group, input: self.task().input.topic().to_owned(), partition }
    }

    /// What the cuts of a task that writes objects are kept under.
    pub fn cut_definition(&self) -> String {
        let topic = self.task().input.topic();
        cut_definition(topic, self.topic_ids.get(topic).map_or("", String::as_str))
    }

    /// The lane's name in a store.
    pub fn store_lane_id(&self, sink: &str, partition: u32) -> StoreLaneId {
        StoreLaneId {
            pipeline: self.program.plan.pipeline.clone(),
            sink: sink.to_owned(),
            topic: self.task().input.topic().to_owned(),
            topic_id: self.topic_ids.get(self.task().input.topic()).cloned().unwrap_or_default(),
            partition,
            generation: self.program.generation,
        }
    }

    /// Runs I/O where I/O runs.
    pub async fn io<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, EngineError> {
        let ended = |error| EngineError::Setup(format!("the runtime of logs and stores has ended: {error}"));
        self.io.spawn(work).await.map_err(ended)
    }

    /// The tap of a step; what tasks show that do not stand for it, nobody hears.
    pub fn tap(&self, step: &str) -> Tap {
        if self.stands_for(step) { self.taps.get(step).cloned().unwrap_or_default() } else { Tap::default() }
    }

    /// Where a candidate works beside a step; nowhere, in tasks that do not stand for it.
    pub fn shadow(&self, step: &str) -> Slot {
        if self.stands_for(step) { self.shadows.slot(step).unwrap_or_default() } else { Slot::default() }
    }

    /// Whether people see in this task what a step does. A transform that is fused into several tasks is seen in the one
    /// in which most of its columns are read.
    fn stands_for(&self, step: &str) -> bool {
        let columns = |task: &Task| {
            let stage = task.stages.iter().find(|stage| stage.plugin.step == step);
            stage.map(|stage| stage.needed.len())
        };
        let tasks = self.program.plan.tasks.iter().enumerate();
        let shown_by = tasks.filter_map(|(index, task)| Some((columns(task)?, Reverse(index)))).max();
        shown_by.is_none_or(|(_, Reverse(index))| index == self.index)
    }

    /// Whether dead letters may carry the original record: not if the source marks personal data in it, or another source
    /// of the same topic does.
    pub fn keeps_records(&self) -> bool {
        let Input::Stream(StreamInput { topic, .. }) = &self.task().input else { return false };
        let holds_personal = |task: &Task| match &task.input {
            Input::Stream(stream) => stream.topic == *topic && stream.columns.iter().any(|column| column.field.pii),
            Input::Exchange { .. } => false,
        };
        !self.program.plan.tasks.iter().any(holds_personal)
    }

    /// How long objects grow, if that is what the task writes.
    pub fn roll_interval(&self) -> Option<Duration> {
        let output = self.task().end.objects()?;
        Some(Duration::from_micros(output.roll.every.unsigned_abs()))
    }
}

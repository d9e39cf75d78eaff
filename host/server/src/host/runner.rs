//! Loads pipelines and starts them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail};
use azenha_connect::registry::Registries;
use azenha_engine::clock::SystemClock;
use azenha_engine::edition::Edition;
use azenha_engine::log::Log;
use azenha_engine::status::TaskStatus;
use azenha_engine::{Engine, EngineOptions, Pipeline, Program};
use azenha_model::Diagnostics;
use azenha_model::config::HostConfig;
use azenha_model::pipeline::{PipelineFile, PluginError};
use azenha_model::plan::{Generation, Plan};
use azenha_sandbox::{Plugin, Sandbox};
use tokio::task::{block_in_place, spawn_blocking};

use super::settings::{open_log, open_object_stores, open_stores, sandbox, spool};
use crate::batch::{Scheduled, is_half_done};
use crate::control::Control;
use crate::dead_letters;
use crate::ingest::SourceTopic;
use crate::program::{Loaded, Loader, Origin, Place, Plugins, pipeline_file};
use crate::queries::{Queries, Routes};

/// What runs of a pipeline.
pub enum Work {
    /// Lanes that follow topics.
    Live(Pipeline),
    /// A batch: each of its runs has lanes and a log of its own.
    Batch(Arc<Scheduled>),
}

/// A pipeline that runs.
pub struct Running {
    name: String,
    /// The file that defines it; none if the log does.
    pub file: Option<PathBuf>,
    /// What runs.
    pub work: Work,
    /// The topic of its dead letters.
    pub dead_letter_topic: String,
    /// Where records come in.
    pub sources: Vec<SourceTopic>,
    /// What is answered over HTTP.
    pub queries: Queries,
}

impl Running {
    fn of(loaded: &Loaded, file: Option<PathBuf>, work: Work, queries: Queries) -> Self {
        let (name, dead_letter_topic) = (loaded.plan.pipeline.clone(), loaded.plan.dead_letters.clone());
        Self { name, file, work, dead_letter_topic, sources: loaded.sources.clone(), queries }
    }

    /// The pipeline's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its lanes, unless it is a batch.
    pub fn live(&self) -> Option<&Pipeline> {
        match &self.work {
            Work::Live(pipeline) => Some(pipeline),
            Work::Batch(_) => None,
        }
    }

    /// Its runs, if it is a batch.
    pub fn batch(&self) -> Option<&Arc<Scheduled>> {
        match &self.work {
            Work::Live(_) => None,
            Work::Batch(batch) => Some(batch),
        }
    }

    /// What runs; of a batch, what each of its runs does.
    pub fn plan(&self) -> &Plan {
        match &self.work {
            Work::Live(pipeline) => pipeline.plan(),
            Work::Batch(batch) => batch.plan(),
        }
    }

    /// How its tasks do; a batch has none.
    pub fn tasks(&self) -> &[TaskStatus] {
        self.live().map_or(&[], Pipeline::tasks)
    }

    /// Lets it finish its commits, and ends it.
    pub async fn stop(&self) {
        match &self.work {
            Work::Live(pipeline) => pipeline.stop().await,
            Work::Batch(batch) => batch.stop().await,
        }
        self.queries.close().await;
    }

    /// Dead letters written since the host started.
    pub fn dead_letters(&self) -> u64 {
        let lanes = self.tasks().iter().flat_map(|task| &task.lanes);
        lanes.map(|lane| lane.counters.dead_letters.load(Relaxed)).sum()
    }
}

/// What pipelines run on: a log, an engine, a sandbox, and what the log says of definitions and plugins.
pub struct Runner {
    /// The host's configuration.
    pub config: Arc<HostConfig>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Definitions and plugins.
    pub control: Arc<Control>,
    /// Checks and loads plugins.
    pub sandbox: Sandbox,
    /// Where pipelines answer queries.
    routes: Routes,
    engine: Engine,
}

impl Runner {
    /// Opens the log and reads what it says; nothing runs yet.
    pub async fn start(config: HostConfig) -> Result<Self> {
        let log = open_log(&config).await?;
        let control = Arc::new(Control::open(&log).await?);
        let sandbox = sandbox(&config, Some(&config.data.join("compiled")))?;
        let options = EngineOptions {
            workers: available_parallelism().map_or(1, usize::from),
            commit_interval: config.commit_interval,
            batch_rows: config.limits.batch_rows as usize,
            state_limit: config.limits.state as usize,
            spool: spool(&config)?,
        };
        let engine = Engine::start(Arc::clone(&log), Arc::new(SystemClock::start()), options)?;
        Ok(Self { config: Arc::new(config), log, control, sandbox, routes: Routes::default(), engine })
    }

    /// The partitions of the topics that exist.
    async fn topics(&self) -> Result<BTreeMap<String, u32>> {
        let topics = self.log.topics().await?;
        Ok(topics.into_iter().map(|topic| (topic.spec.name, topic.spec.partitions)).collect())
    }

    /// Loads pipelines of this machine's files, each with its file.
    pub async fn load_files(&self, files: &[PathBuf]) -> Result<Vec<(PathBuf, Loaded)>> {
        let topics = self.topics().await?;
        block_in_place(|| {
            let mut loader = Loader::new(&self.config, &self.sandbox, topics);
            let mut loaded = Vec::new();
            for path in files {
                let file = pipeline_file(path);
                loaded.extend(loader.load(&file)?.into_iter().map(|pipeline| (file.clone(), pipeline)));
            }
            Ok(loaded)
        })
    }

    /// Checks a definition that somebody sends, with the plugins as their names are understood now; gives their digests,
    /// and what would run.
    /// Everything that is wrong with it is one error, [`Diagnostics`](azenha_model::Diagnostics).
    pub async fn check(&self, pipeline: &str, text: &str) -> Result<(BTreeMap<String, String>, Loaded)> {
        let file = parse(pipeline, text)?;
        let plugins = self.control.pin(file.plugins().map(|reference| reference.plugin.value)).await?;
        let loaded = self.load_pinned(file, &plugins).await?;
        Ok((plugins, loaded))
    }

    /// Loads a definition of the log, with the plugins that it pins.
    pub async fn load(&self, pipeline: &str, text: &str, plugins: &BTreeMap<String, String>) -> Result<Loaded> {
        // What the definition pins was written before it.
        self.control.plugins.catch_up().await?;
        self.load_pinned(parse(pipeline, text)?, plugins).await
    }

    async fn load_pinned(&self, file: PipelineFile, digests: &BTreeMap<String, String>) -> Result<Loaded> {
        let names: BTreeSet<String> = file.plugins().map(|reference| reference.plugin.value).collect();
        let mut plugins = Plugins::new();
        for name in names {
            let plugin = self.plugin(&name, digests.get(&name)).await;
            plugins.insert(name, plugin);
        }
        let (config, topics, routes) = (Arc::clone(&self.config), self.topics().await?, self.routes.clone());
        Ok(spawn_blocking(move || {
            Loaded::new(
                &file,
                plugins,
                &Place { topics: &topics, config: &config, routes: &routes, origin: Origin::Log },
            )
        })
        .await??)
    }

    async fn plugin(&self, name: &str, digest: Option<&String>) -> Result<Plugin, PluginError> {
        let Some(digest) = digest else {
            return Err(PluginError::Broken(format!(
                "hosts run what was uploaded; push it first: `azenha plugin push {} FILE`",
                if name.ends_with(".wasm") { "NAME" } else { name }
            )));
        };
        let broken = |error: String| PluginError::Broken(error);
        let bytes = self.control.plugins.bytes(digest).await.map_err(|error| broken(error.to_string()))?;
        let (sandbox, name) = (self.sandbox.clone(), name.to_owned());
        let loaded =
            spawn_blocking(move || sandbox.load(&name, &bytes)).await.map_err(|error| broken(error.to_string()))?;
        let plugin = loaded.map_err(|error| broken(error.reason.to_string()))?;
        if plugin.digest() != digest {
            return Err(broken(format!("the log holds other bytes than were uploaded with digest {digest}")));
        }
        Ok(plugin)
    }

    /// Makes the topics of a pipeline that does not run: its sources take records, and its lanes have offsets.
    pub async fn make_topics(&self, loaded: &Loaded) -> Result<()> {
        for topic in &loaded.plan.topics {
            self.log.ensure_topic(topic).await?;
        }
        Ok(())
    }

    /// Goes on with another version of a pipeline that runs: see [`Engine::swap`]. Not for a batch. The queries of what ran
    /// go on until they are closed.
    ///
    /// # Errors
    /// If the other version does not start: what runs goes on.
    pub async fn swap(
        &self,
        live: &Pipeline,
        loaded: &Loaded,
        generation: Generation,
        edition: Edition,
    ) -> Result<Running> {
        let program = program(&self.config, loaded.plan.clone(), &loaded.plugins, (generation, edition))?;
        let queries = Queries::open(&loaded.plan, &self.config, &self.routes)?;
        let pipeline = match self.engine.swap(live, program).await {
            Ok(pipeline) => pipeline,
            Err(error) => {
                queries.close().await;
                return Err(error.into());
            }
        };
        Ok(Running::of(loaded, None, Work::Live(pipeline), queries))
    }

    /// Starts a pipeline.
    pub async fn run(
        &self,
        file: Option<PathBuf>,
        loaded: &Loaded,
        generation: Generation,
        edition: Edition,
    ) -> Result<Running> {
        let name = &loaded.plan.pipeline;
        if is_half_done(&*self.log, &loaded.plan).await? {
            bail!(
                "a backfill of pipeline `{name}` was interrupted before its past was announced: run `azenha backfill` again"
            );
        }
        if file.is_some() {
            dead_letters::keep(&self.config.data, &loaded.plugins).context("the components cannot be kept")?;
        }
        let queries = Queries::open(&loaded.plan, &self.config, &self.routes)?;
        let work = match &loaded.plan.batch {
            None => {
                let program = program(&self.config, loaded.plan.clone(), &loaded.plugins, (generation, edition))?;
                Work::Live(self.engine.run(program).await?)
            }
            Some(_) => {
                // The hosts of a group agree over it on who keeps the schedule.
                let shared = loaded.plan.topics.iter().find(|topic| topic.name == loaded.plan.dead_letters);
                if let Some(shared) = shared {
                    self.log.ensure_topic(shared).await?;
                }
                Work::Batch(Scheduled::start(Arc::clone(&self.config), loaded, Arc::clone(&self.log)))
            }
        };
        Ok(Running::of(loaded, file, work, queries))
    }
}

/// A plan with everything that it names.
pub fn program(
    config: &HostConfig,
    plan: Plan,
    plugins: &HashMap<String, Plugin>,
    (generation, edition): (Generation, Edition),
) -> Result<Program> {
    Ok(Program {
        plugins: plugins.clone(),
        stores: open_stores(config, &plan)?,
        objects: open_object_stores(config, &plan)?,
        registries: Registries::new(config.registry.clone()).of_plan(&plan)?,
        plan,
        generation,
        edition,
    })
}

/// Reads a definition of the log. Variables of the host's environment do not reach it: whoever may write definitions
/// need not know the host's secrets, and all hosts must understand one definition in the same way.
fn parse(pipeline: &str, text: &str) -> Result<PipelineFile, Diagnostics> {
    let file = PipelineFile::parse(pipeline, text, &|_| None)?;
    file.must_be_called(pipeline)?;
    Ok(file)
}

//! A running host: its log, its stores, and the pipelines in it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use arrow_array::BinaryArray;
use azenha_connect::embedded::{EmbeddedLog, EmbeddedOptions};
use azenha_connect::open_store;
use azenha_engine::clock::SystemClock;
use azenha_engine::log::{Append, Log};
use azenha_engine::store::Store;
use azenha_engine::{Engine, EngineOptions, Pipeline, Program};
use azenha_model::config::{HostConfig, LogConfig};
use azenha_model::plan::{End, Plan};
use azenha_sandbox::{Limits, Sandbox};
use futures::future::join_all;
use tokio::task::block_in_place;
use tokio::time::timeout;

use crate::ingest::{Router, SourceTopic};
use crate::program::{Loaded, Loader, environment};
use crate::usage::Usage;

/// How long pipelines may take to finish their commits when the host stops.
const STOP_TIME: Duration = Duration::from_secs(8);

/// A log, an engine, and the pipelines that run on them.
pub struct Host {
    config: HostConfig,
    embedded: Arc<EmbeddedLog>,
    log: Arc<dyn Log>,
    running: Vec<Running>,
    inlets: Vec<Inlet>,
}

/// A pipeline that runs.
pub struct Running {
    /// The file that defines it.
    pub file: PathBuf,
    /// What runs.
    pub pipeline: Pipeline,
    /// Where records come in.
    pub sources: Vec<SourceTopic>,
}

impl Running {
    /// The pipeline's name.
    pub fn name(&self) -> &str {
        &self.pipeline.plan().pipeline
    }

    /// Dead letters written since the host started.
    pub fn dead_letters(&self) -> u64 {
        let lanes = self.pipeline.tasks().iter().flat_map(|task| &task.lanes);
        lanes.map(|lane| lane.counters.dead_letters.load(Relaxed)).sum()
    }
}

/// A source's topic, as requests write to it.
pub struct Inlet {
    source: SourceTopic,
    /// Requests so far: without a key, each goes to the next partition.
    requests: AtomicU64,
}

impl Inlet {
    /// The topic.
    pub fn topic(&self) -> &str {
        &self.source.topic
    }

    /// The appends for the records of one request.
    pub fn route(&self, values: &BinaryArray) -> Vec<Append> {
        Router::new(&self.source).route(values, self.requests.fetch_add(1, Relaxed) * Router::BATCH)
    }
}

/// Reads the host's configuration, or makes the default one. `data` is the data directory that the user names: by
/// default `data`, unless the file says where the log is.
pub fn configuration(file: Option<&Path>, data: Option<&Path>) -> Result<HostConfig> {
    let directory = data.unwrap_or(Path::new("data"));
    let Some(file) = file else { return Ok(HostConfig::default_for(directory)) };
    let name = file.display().to_string();
    let text = fs::read_to_string(file)
        .map_err(|error| Usage(format!("there is no configuration to read at {name}: {error}")))?;
    let config = HostConfig::parse(&name, &text, &environment, directory)?;
    let LogConfig::Embedded { directory: configured } = &config.log;
    if data.is_some_and(|data| data != configured) {
        let (configured, named) = (configured.display(), directory.display());
        let help = "leave out --data (and AZENHA_DATA), or `log` in the file";
        return Err(Usage(format!("{name} has the log in {configured}, but --data names {named}; {help}")).into());
    }
    Ok(config)
}

/// The sandbox of a host with this configuration.
pub fn sandbox(config: &HostConfig, cache: Option<&Path>) -> Result<Sandbox> {
    let limits = Limits {
        memory_bytes: config.limits.plugin_memory as usize,
        call_time: config.limits.plugin_time,
        ..Limits::default()
    };
    Ok(Sandbox::new(limits, cache)?)
}

impl Host {
    /// Opens the log, loads the pipelines and starts them.
    pub async fn start(config: HostConfig, pipelines: &[PathBuf]) -> Result<Self> {
        let LogConfig::Embedded { directory } = &config.log;
        let embedded = Arc::new(EmbeddedLog::open(directory, EmbeddedOptions::default()).await?);
        let log: Arc<dyn Log> = embedded.clone();
        let sandbox = sandbox(&config, Some(&directory.join("compiled")))?;
        let topics = log.topics().await?.into_iter().map(|topic| (topic.spec.name, topic.spec.partitions)).collect();
        let loaded = block_in_place(|| load_all(Loader::new(&config, &sandbox, topics), pipelines))?;
        let options = EngineOptions {
            workers: available_parallelism().map_or(1, usize::from),
            commit_interval: config.commit_interval,
            batch_rows: config.limits.batch_rows as usize,
            state_limit: config.limits.state as usize,
        };
        let engine = Engine::start(log.clone(), Arc::new(SystemClock::start()), options)?;
        let mut running = Vec::new();
        for Loaded { file, plan, plugins, sources } in loaded {
            let stores = open_stores(&config, &plan)?;
            let name = plan.pipeline.clone();
            let program = Program { plan, plugins, stores, generation: 0 };
            let pipeline = engine.run(program).await.with_context(|| format!("pipeline `{name}`"))?;
            running.push(Running { file, pipeline, sources });
        }
        let inlets = inlets(&running);
        Ok(Self { config, embedded, log, running, inlets })
    }

    /// The configuration.
    pub fn config(&self) -> &HostConfig {
        &self.config
    }

    /// The log.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// The pipelines, in the order in which they were given.
    pub fn running(&self) -> &[Running] {
        &self.running
    }

    /// The topics that records can be written to.
    pub fn inlets(&self) -> impl Iterator<Item = &Inlet> {
        self.inlets.iter()
    }

    /// The one with this name.
    pub fn inlet(&self, topic: &str) -> Option<&Inlet> {
        self.inlets().find(|inlet| inlet.topic() == topic)
    }

    /// Lets every pipeline finish its commit, ends them, and closes the log.
    pub async fn stop(&self) {
        let stopped = join_all(self.running.iter().map(|running| running.pipeline.stop()));
        match timeout(STOP_TIME, stopped).await {
            Ok(_) => tracing::info!("stopped; everything processed is committed"),
            Err(_) => tracing::warn!("some commits did not end in time; the next run begins before them"),
        }
        if let Err(error) = self.embedded.close().await {
            tracing::warn!(%error, "the log was not closed; nothing that was committed is lost");
        }
    }
}

fn load_all(mut loader: Loader<'_>, pipelines: &[PathBuf]) -> Result<Vec<Loaded>> {
    let mut loaded: Vec<Loaded> = Vec::new();
    for path in pipelines {
        let next = loader.load(path)?;
        if let Some(same) = loaded.iter().find(|other| other.plan.pipeline == next.plan.pipeline) {
            let (first, second) = (same.file.display(), next.file.display());
            bail!("{first} and {second} both define a pipeline `{}`; give one another name", next.plan.pipeline);
        }
        loaded.push(next);
    }
    Ok(loaded)
}

/// The stores that a plan writes to, by connection.
fn open_stores(config: &HostConfig, plan: &Plan) -> Result<HashMap<String, Arc<dyn Store>>> {
    let mut stores: HashMap<String, Arc<dyn Store>> = HashMap::new();
    for task in &plan.tasks {
        if let End::Store(output) = &task.end
            && !stores.contains_key(&output.connection)
        {
            let name = &output.connection;
            let url = config.connection(name).with_context(|| config.connection_help(name))?;
            stores.insert(name.clone(), open_store(name, &url)?);
        }
    }
    Ok(stores)
}

/// One inlet for each topic, even if several pipelines read it.
fn inlets(running: &[Running]) -> Vec<Inlet> {
    let mut sources: Vec<&SourceTopic> = running.iter().flat_map(|running| &running.sources).collect();
    // If one pipeline says how the topic is partitioned and another does not, the one that says so is right.
    sources.sort_by_key(|source| source.partitioned_by.len());
    let by_topic: BTreeMap<&str, &SourceTopic> =
        sources.into_iter().map(|source| (source.topic.as_str(), source)).collect();
    by_topic.into_values().map(|source| Inlet { source: source.clone(), requests: AtomicU64::new(0) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_in_one_place_or_the_user_is_told_of_both() {
        let folder = tempfile::tempdir().unwrap();
        let (file, data) = (folder.path().join("host.yaml"), Path::new("here"));
        fs::write(&file, "log: { embedded: ./there }").unwrap();
        let refused = configuration(Some(&file), Some(data)).unwrap_err();
        assert!(refused.is::<Usage>() && refused.to_string().contains("./there"), "{refused}");
        assert_ne!(configuration(Some(&file), None).unwrap(), HostConfig::default_for(data));

        fs::write(&file, "{}").unwrap();
        assert_eq!(configuration(Some(&file), Some(data)).unwrap(), HostConfig::default_for(data));
    }

    #[test]
    fn a_configuration_that_is_missing_is_wrong_usage() {
        assert!(configuration(Some(Path::new("no/such/host.yaml")), None).unwrap_err().is::<Usage>());
    }
}

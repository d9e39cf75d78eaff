//! A running host: its log, its stores, and the pipelines in it.

mod deployment;
mod offsets;
mod runner;
mod settings;
mod shadow;
mod swap;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use arrow_array::BinaryArray;
use azenha_engine::edition::Edition;
use azenha_engine::log::{Append, Log};
use azenha_model::Offset;
use azenha_model::config::HostConfig;
use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::{Change, ChangeError, Control, Definition};
use crate::ingest::{Router, SourceTopic};
pub use deployment::{Deployment, Origin, State};
pub use offsets::{LaneOffset, NewOffset, OffsetError, lanes, set};
pub use runner::{Runner, Running, program};
pub use settings::{configuration, open_log_beside, open_object_stores, open_stores, sandbox, spool};
pub use shadow::{Proposal, Proposals};
pub use swap::SwapPlan;

/// How long pipelines may take to finish their commits when the host stops.
const STOP_TIME: Duration = Duration::from_secs(8);

/// What a host runs.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Pipeline files, or their folders.
    pub files: &'a [PathBuf],
    /// Whether it runs what the log defines, too.
    pub definitions: bool,
}

/// A log, an engine, and the pipelines that run on them.
pub struct Host {
    deployer: Arc<Deployer>,
    /// Requests that wrote records: those without keys go to the next partition each.
    requests: AtomicU64,
    /// The definitions of candidates that work beside what runs here.
    pub proposals: Proposals,
}

impl Host {
    /// Opens the log, starts the pipelines of the files, and whatever else the log defines, if that is wanted. An error of a file is one
    /// of the host; a definition of the log that does not start is only shown.
    pub async fn start(config: HostConfig, wanted: Wanted<'_>) -> Result<Self> {
        let runner = Runner::start(config).await?;
        let loaded = runner.load_files(wanted.files).await?;
        let mut deployments = BTreeMap::new();
        for (file, loaded) in loaded {
            let name = loaded.plan.pipeline.clone();
            check_name_is_free(&name, &file, &deployments, &runner.control)?;
            let running = runner
                .run(Some(file.clone()), &loaded, 0, Edition::default())
                .await
                .with_context(|| format!("pipeline `{name}`"))?;
            deployments.insert(name, Arc::new(Deployment::of_file(file, running)));
        }
        let deployer = Arc::new(Deployer::new(runner, deployments, wanted.definitions));
        let changes = deployer.runner.control.definitions.changes();
        deployer.deploy_all();
        deployer.tasks.spawn(Arc::clone(&deployer).follow(changes));
        Ok(Self { deployer, requests: AtomicU64::new(0), proposals: Proposals::default() })
    }

    /// The configuration.
    pub fn config(&self) -> &HostConfig {
        &self.runner().config
    }

    /// The log.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.runner().log
    }

    /// What loads and starts pipelines.
    pub fn runner(&self) -> &Runner {
        &self.deployer.runner
    }

    /// What the log says of definitions and plugins.
    pub fn control(&self) -> &Control {
        &self.runner().control
    }

    /// Changes a definition of the log, as [`Followed::change`](crate::control::Followed::change) does, for this host
    /// at once.
    pub async fn change(
        &self,
        change: &Change,
        edit: impl Fn(&mut Definition),
    ) -> Result<Arc<Definition>, ChangeError> {
        let definition = self.control().definitions.change(change, edit).await?;
        self.deployer.deploy_all();
        Ok(definition)
    }

    /// Every pipeline, by name.
    pub fn deployments(&self) -> Vec<Arc<Deployment>> {
        let deployments = self.deployer.deployments.read().unwrap_or_else(PoisonError::into_inner);
        deployments.values().filter(|deployment| !deployment.is_deleted()).cloned().collect()
    }

    /// The pipeline of that name.
    pub fn deployment(&self, name: &str) -> Option<Arc<Deployment>> {
        self.deployments().into_iter().find(|deployment| deployment.name == name)
    }

    /// The pipelines that run, by name.
    pub fn running(&self) -> Vec<Arc<Running>> {
        self.deployments().iter().filter_map(|deployment| deployment.running()).collect()
    }

    /// Waits until every pipeline runs, is paused or has failed.
    pub async fn settled(&self) {
        for deployment in self.deployments() {
            deployment.settled().await;
        }
    }

    /// The topics that records can be written to: one for each topic, even if several pipelines read it.
    pub fn sources(&self) -> BTreeMap<String, SourceTopic> {
        let mut sources: Vec<SourceTopic> =
            self.deployments().iter().flat_map(|deployment| deployment.sources()).collect();
        // If one pipeline says how the topic is partitioned and another does not, the one that says so is right.
        sources.sort_by_key(|source| source.partitioned_by.len());
        sources.into_iter().map(|source| (source.topic.clone(), source)).collect()
    }

    /// The appends for the records of one request to a topic of [`Host::sources`].
    pub fn route(&self, source: &SourceTopic, values: &BinaryArray) -> Vec<Append> {
        Router::new(source).route(values, self.requests.fetch_add(1, Relaxed) * Router::BATCH)
    }

    /// Lets every pipeline finish its commit, ends them, and closes the log.
    pub async fn stop(&self) {
        self.deployer.stop.cancel();
        self.deployer.tasks.close();
        let of_files: Vec<_> =
            self.deployments().into_iter().filter(|deployment| deployment.definition().is_none()).collect();
        let stopped = async {
            tokio::join!(join_all(of_files.iter().map(|deployment| deployment.halt())), self.deployer.tasks.wait());
        };
        match timeout(STOP_TIME, stopped).await {
            Ok(()) => tracing::info!("stopped; everything processed is committed"),
            Err(_) => tracing::warn!("some commits did not end in time; the next run begins before them"),
        }
        if let Err(error) = self.log().close().await {
            tracing::warn!(%error, "the log was not closed; nothing that was committed is lost");
        }
    }
}

fn check_name_is_free(
    name: &str,
    file: &std::path::Path,
    deployments: &BTreeMap<String, Arc<Deployment>>,
    control: &Control,
) -> Result<()> {
    if let Some(Origin::File(first)) = deployments.get(name).map(|deployment| &deployment.origin) {
        let (first, second) = (first.display(), file.display());
        bail!("{first} and {second} both define a pipeline `{name}`; give one another name");
    }
    if control.definitions.look(|definitions| definitions.get(name)).is_some_and(|found| found.text.is_some()) {
        let file = file.display();
        bail!(
            "{file} defines a pipeline `{name}`, and so does the log: leave the file out, and while the host runs change \
             the log's with `azenha pipeline apply {file}` or delete it with `azenha pipeline delete {name}`; or give the \
             file's another name"
        );
    }
    Ok(())
}

/// Starts a deployment for each pipeline that the log defines, and tells it what is in force.
struct Deployer {
    runner: Arc<Runner>,
    /// Every pipeline of this host, by name.
    deployments: RwLock<BTreeMap<String, Arc<Deployment>>>,
    /// Whether anything that the log defines is started.
    definitions: bool,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Deployer {
    fn new(runner: Runner, of_files: BTreeMap<String, Arc<Deployment>>, definitions: bool) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Self { runner: Arc::new(runner), deployments: RwLock::new(of_files), definitions, tasks, stop }
    }

    /// Follows the log, and deploys what it defines, until the host stops.
    async fn follow(self: Arc<Self>, mut changes: watch::Receiver<Offset>) {
        let deploying = async {
            while changes.changed().await.is_ok() {
                self.deploy_all();
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.runner.control.follow() => {}
            () = deploying => {}
        }
    }

    fn deploy_all(&self) {
        if !self.definitions {
            return;
        }
        // What is looked at under the lock is never older than what was deployed before.
        let mut deployments = self.deployments.write().unwrap_or_else(PoisonError::into_inner);
        for definition in self.runner.control.definitions.look(|definitions| definitions.all()) {
            self.deploy(&mut deployments, definition);
        }
    }

    fn deploy(&self, deployments: &mut BTreeMap<String, Arc<Deployment>>, definition: Arc<Definition>) {
        let known = deployments.get(&definition.pipeline);
        match known.map(|deployment| (&deployment.origin, deployment)) {
            Some((Origin::Log(_), deployment)) => deployment.want(definition),
            Some((Origin::File(file), _)) if definition.text.is_some() => {
                let (pipeline, file) = (&definition.pipeline, file.display());
                tracing::error!(%pipeline, %file, "this host goes on with the file; other hosts run what the log defines");
            }
            None if definition.text.is_some() => {
                let deployment = Arc::new(Deployment::of_log(definition));
                deployments.insert(deployment.name.clone(), Arc::clone(&deployment));
                let (runner, stop) = (Arc::clone(&self.runner), self.stop.clone());
                self.tasks.spawn(async move { deployment.tend(&runner, &stop).await });
            }
            Some((Origin::File(_), _)) | None => {}
        }
    }
}

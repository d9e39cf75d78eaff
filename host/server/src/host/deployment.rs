//! A pipeline on this host: what is wanted of it, and what became of that.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::future::{Either, pending};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::runner::{Runner, Running};
use crate::control::{Definition, FORMAT};
use crate::ingest::SourceTopic;
use crate::program::Loaded;

/// A pipeline that does not start is tried again after pauses that grow from the first to the second: what it needs
/// may come back.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Who says what a pipeline is.
#[derive(Debug)]
pub enum Origin {
    /// A file of this machine; only this host runs it.
    File(PathBuf),
    /// The log: what is in force now.
    Log(watch::Sender<Arc<Definition>>),
}

/// What became of a pipeline on this host.
#[derive(Clone)]
pub enum State {
    /// It is being loaded.
    Starting,
    /// It runs.
    Running(Arc<Running>),
    /// It is loaded, and nothing runs.
    Paused(Arc<Loaded>),
    /// It cannot be loaded or started, for this reason.
    Failed(String),
    /// It was deleted.
    Deleted,
}

/// A pipeline on this host.
pub struct Deployment {
    /// Its name.
    pub name: String,
    /// Who says what it is.
    pub origin: Origin,
    state: watch::Sender<State>,
}

impl Deployment {
    /// A pipeline of a file, which runs already.
    pub fn of_file(file: PathBuf, running: Running) -> Self {
        let (name, state) = (running.name().to_owned(), State::Running(Arc::new(running)));
        Self { name, origin: Origin::File(file), state: watch::Sender::new(state) }
    }

    /// A pipeline of the log, which [`Deployment::tend`] starts.
    pub fn of_log(definition: Arc<Definition>) -> Self {
        let name = definition.pipeline.clone();
        let origin = Origin::Log(watch::Sender::new(definition));
        Self { name, origin, state: watch::Sender::new(State::Starting) }
    }

    /// What is in force, if the log says so.
    pub fn definition(&self) -> Option<Arc<Definition>> {
        match &self.origin {
            Origin::File(_) => None,
            Origin::Log(definition) => Some(Arc::clone(&definition.borrow())),
        }
    }

    /// Whether the log says that it is no more; it may be ending yet.
    pub fn is_deleted(&self) -> bool {
        self.definition().is_some_and(|definition| definition.text.is_none())
    }

    /// How it does now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// What runs, if something does.
    pub fn running(&self) -> Option<Arc<Running>> {
        match self.state() {
            State::Running(running) => Some(running),
            _ => None,
        }
    }

    /// Where records come in, also while it is paused.
    pub fn sources(&self) -> Vec<SourceTopic> {
        match self.state() {
            State::Running(running) => running.sources.clone(),
            State::Paused(loaded) => loaded.sources.clone(),
            _ => Vec::new(),
        }
    }

    /// Waits until it is no longer being loaded.
    pub async fn settled(&self) {
        // The sender lives as long as this.
        let _ = self.state.subscribe().wait_for(|state| !matches!(state, State::Starting)).await;
    }

    /// Does what the log says, until the host stops. What runs is stopped then.
    pub async fn tend(&self, runner: &Runner, stop: &CancellationToken) {
        stop.run_until_cancelled(self.follow(runner)).await;
        self.halt().await;
    }

    async fn follow(&self, runner: &Runner) {
        let Origin::Log(definition) = &self.origin else { return };
        let mut wanted = definition.subscribe();
        let mut pause = PAUSES.0;
        loop {
            let definition = Arc::clone(&wanted.borrow_and_update());
            let retry = match self.deploy(runner, &definition).await {
                Ok(state) => {
                    self.state.send_replace(state);
                    pause = PAUSES.0;
                    Either::Left(pending())
                }
                Err(error) => {
                    tracing::error!(pipeline = self.name, "it does not start: {error:#}");
                    self.halt().await;
                    self.state.send_replace(State::Failed(format!("{error:#}")));
                    let retry = sleep(pause);
                    pause = (pause * 2).min(PAUSES.1);
                    Either::Right(retry)
                }
            };
            tokio::select! {
                _ = wanted.changed() => pause = PAUSES.0,
                () = retry => {}
            }
        }
    }

    /// Loads what is wanted before it stops what runs, so that as little time as possible lies between.
    async fn deploy(&self, runner: &Runner, definition: &Definition) -> Result<State> {
        let (version, by) = (definition.version(), definition.by.as_deref());
        if definition.format > FORMAT {
            let found = definition.format;
            bail!("version {version} has format {found}, and this host knows formats up to {FORMAT}: upgrade it");
        }
        let Some(text) = &definition.text else {
            self.halt().await;
            tracing::info!(pipeline = self.name, version, by, "deleted");
            return Ok(State::Deleted);
        };
        let loaded = runner.load(&self.name, text, &definition.plugins).await?;
        self.halt().await;
        if definition.paused {
            runner.make_topics(&loaded).await?;
            tracing::info!(pipeline = self.name, version, by, "paused");
            return Ok(State::Paused(Arc::new(loaded)));
        }
        self.state.send_replace(State::Starting);
        let running = runner.run(None, &loaded, definition.generation).await?;
        tracing::info!(pipeline = self.name, version, by, "started");
        Ok(State::Running(Arc::new(running)))
    }

    /// Lets what runs finish its commit, and ends it.
    pub async fn halt(&self) {
        if let Some(running) = self.running() {
            running.stop().await;
        }
    }
}

//! A pipeline on this host: what is wanted of it, and what became of that.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use azenha_engine::difference::Side;
use azenha_engine::edition::Distrust;
use futures::future::{Either, pending};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::runner::{Runner, Running};
use super::swap::SwapPlan;
use crate::control::{Change, ChangeError, Condition, Definition, Entry, FORMAT};
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

/// Why what is wanted does not run.
struct NotDeployed {
    error: anyhow::Error,
    /// Whether what ran before goes on.
    goes_on: bool,
}

impl From<anyhow::Error> for NotDeployed {
    fn from(error: anyhow::Error) -> Self {
        Self { error, goes_on: false }
    }
}

/// Whether what runs can go over to another version of it without a pause.
fn can_go_over(runs: &Definition, wanted: &Definition) -> bool {
    let started = |definition: &Definition| (definition.generation, definition.restarts);
    wanted.format <= FORMAT && wanted.text.is_some() && !wanted.paused && started(runs) == started(wanted)
}

/// A pipeline on this host.
pub struct Deployment {
    /// Its name.
    pub name: String,
    /// Who says what it is.
    pub origin: Origin,
    state: watch::Sender<State>,
    /// Why the version in force does not run, while the one before it goes on.
    held_back: Mutex<Option<String>>,
}

impl Deployment {
    /// A pipeline of a file, which runs already.
    pub fn of_file(file: PathBuf, running: Running) -> Self {
        let (name, state) = (running.name().to_owned(), State::Running(Arc::new(running)));
        Self { name, origin: Origin::File(file), state: watch::Sender::new(state), held_back: Mutex::default() }
    }

    /// A pipeline of the log, which [`Deployment::tend`] starts.
    pub fn of_log(definition: Arc<Definition>) -> Self {
        let name = definition.pipeline.clone();
        let origin = Origin::Log(watch::Sender::new(definition));
        Self { name, origin, state: watch::Sender::new(State::Starting), held_back: Mutex::default() }
    }

    /// Has it run what is in force now, if the log says what that is. What does not run is starting from now on.
    pub fn want(&self, definition: Arc<Definition>) {
        let Origin::Log(wanted) = &self.origin else { return };
        let starts = definition.text.is_some() && !definition.paused;
        let is_new = wanted.send_if_modified(|wanted| std::mem::replace(wanted, Arc::clone(&definition)) != definition);
        self.state.send_if_modified(|state| {
            let is_down = matches!(state, State::Paused(_) | State::Failed(_) | State::Deleted);
            if is_new && starts && is_down {
                *state = State::Starting;
            }
            is_new && starts && is_down
        });
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

    /// Why the version in force does not run on this host, while the one before it goes on.
    pub fn held_back(&self) -> Option<String> {
        self.held_back.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold_back(&self, reason: Option<String>) {
        *self.held_back.lock().unwrap_or_else(PoisonError::into_inner) = reason;
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
        let mut runs: Option<Arc<Definition>> = None;
        loop {
            let definition = Arc::clone(&wanted.borrow_and_update());
            let retry = match self.deploy(runner, runs.as_deref(), &definition).await {
                Ok(state) => {
                    runs = matches!(state, State::Running(_)).then(|| Arc::clone(&definition));
                    let before = self.state.send_replace(state);
                    self.hold_back(None);
                    if let State::Running(before) = before {
                        // Nobody asks it any more.
                        before.queries.close().await;
                    }
                    pause = PAUSES.0;
                    Either::Left(pending())
                }
                Err(NotDeployed { error, goes_on }) => {
                    let version = definition.version();
                    tracing::error!(pipeline = self.name, version, goes_on, "it does not start: {error:#}");
                    self.hold_back(goes_on.then(|| format!("version {version} does not start: {error:#}")));
                    if !goes_on {
                        runs = None;
                        self.halt().await;
                        self.state.send_replace(State::Failed(format!("{error:#}")));
                    }
                    let retry = sleep(pause);
                    pause = (pause * 2).min(PAUSES.1);
                    Either::Right(retry)
                }
            };
            tokio::select! {
                _ = wanted.changed() => pause = PAUSES.0,
                () = retry => {}
                () = self.go_back_from(runner, &definition) => {}
            }
        }
    }

    /// Once a lane does not go on with the code of a version, has every host go back to what ran before. Never ends.
    async fn go_back_from(&self, runner: &Runner, definition: &Definition) {
        let distrusted = match self.running().as_deref().and_then(Running::live) {
            Some(pipeline) => pipeline.distrust().wait_for(Option::is_some).await.ok().and_then(|told| told.clone()),
            None => None,
        };
        let Some(distrust) = distrusted else { return pending().await };
        let reason = &distrust.reason;
        while let Err(error) = self.go_back(runner, definition, &distrust).await {
            tracing::error!(pipeline = self.name, "it does not go back: {error:#}");
            let version = definition.version();
            self.hold_back(Some(format!("version {version} does not go on: {reason}; it does not go back: {error:#}")));
            sleep(PAUSES.1).await;
        }
        pending().await
    }

    /// Goes back to what ran before the code that is not trusted, which later versions may have left as it was.
    async fn go_back(&self, runner: &Runner, definition: &Definition, distrust: &Distrust) -> Result<()> {
        let (version, Distrust { version: since, reason }) = (definition.version(), distrust.clone());
        let earlier = runner.control.definitions.look(|definitions| {
            let versions = definitions.versions(&self.name);
            let blamed = versions.iter().find(|blamed| blamed.version() == since);
            definitions.other_code_before(blamed.map_or(definition, Arc::as_ref))
        });
        let earlier = earlier.context("no version with other code is kept")?;
        let before = runner.load(&self.name, earlier.text.as_deref().unwrap_or_default(), &earlier.plugins).await?;
        let now = runner.load(&self.name, definition.text.as_deref().unwrap_or_default(), &definition.plugins).await?;
        let mut plan = SwapPlan::between(Side { plan: &now.plan, plugins: &now.plugins }, &before, &[]);
        let undone = plan.restore(&runner.log, (&before, earlier.version()), true).await?;
        let problems = plan.problems();
        if !problems.is_empty() {
            bail!("version {} cannot go on with the state: {}", earlier.version(), problems.join("; "));
        }
        let note = format!("back to version {} by itself, because of version {since}: {reason}", earlier.version());
        tracing::error!(pipeline = self.name, version, "{note}");
        let change = Change { pipeline: self.name.clone(), condition: Condition::Version(version), by: None };
        let control = Arc::clone(&runner.control);
        // In a task of its own: what is changed ends this one, perhaps before it is written down.
        let going_back = tokio::spawn(async move {
            let edit = |next: &mut Definition| {
                next.go_back_to(&earlier, &undone, note.clone());
                next.distrusted.extend(since..=version);
            };
            let changed = control.definitions.change(&change, edit).await?;
            control.audit.write(&Entry::by_itself(&changed, earlier.version())).await;
            Ok::<_, ChangeError>(())
        });
        match going_back.await? {
            // Another host was quicker, or a person.
            Ok(()) | Err(ChangeError::NotMet { .. } | ChangeError::Overtaken(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Loads what is wanted before it touches what runs, and lets that go over where it can: `runs` is its definition.
    async fn deploy(
        &self,
        runner: &Runner,
        runs: Option<&Definition>,
        definition: &Definition,
    ) -> Result<State, NotDeployed> {
        if let Some((running, runs)) = self.running().zip(runs).filter(|(_, runs)| can_go_over(runs, definition)) {
            let text = definition.text.as_deref().unwrap_or_default();
            let goes_on = |error| NotDeployed { error, goes_on: true };
            let loaded = runner.load(&self.name, text, &definition.plugins).await.map_err(goes_on)?;
            if let Some(live) = running.live().filter(|_| loaded.plan.batch.is_none()) {
                let (before, version, by) = (runs.version(), definition.version(), definition.by.as_deref());
                let swapped = runner.swap(live, &loaded, definition.generation, definition.edition()).await;
                let swapped = swapped.map_err(goes_on)?;
                tracing::info!(pipeline = self.name, before, version, by, "swapped");
                return Ok(State::Running(Arc::new(swapped)));
            }
        }
        Ok(self.replace(runner, definition).await?)
    }

    /// Ends what runs, and starts what is wanted.
    async fn replace(&self, runner: &Runner, definition: &Definition) -> Result<State> {
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
        let running = runner.run(None, &loaded, definition.generation, definition.edition()).await?;
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

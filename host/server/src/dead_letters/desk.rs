//! Where dead letters are asked for and decided on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use azenha_engine::log::{Append, LogError};
use azenha_model::Offset;
use azenha_model::dead_letter::{Basis, DeadLetter};
use azenha_model::plan::Plan;
use tokio::sync::{Mutex, MutexGuard, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::decisions::{DecideError, Decision, Decisions};
use super::index::{Entry, Filter, Index};
use super::name::{Name, id_of_ordinal, id_of_step};
use super::pack::{PackError, Told, gather, pack};
use super::put_back::{NotPutBack, Reader, check};
use super::replay::{Means, Other, ReplayError, Replayed, replay};
use super::reveal::reveal;
use super::shelf::{Shelf, Shelves, record_at};
use crate::control::LibraryError;
use crate::host::{Deployment, Host, State};
use crate::ingest::SourceTopic;

/// Replays are made one at a time: what they take is taken from what runs. So long the next one waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// Why something was not done with a letter.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// There is none with this id, or none any more.
    #[error("pipeline `{pipeline}` has no dead letter `{id}`")]
    NoLetter {
        /// The pipeline.
        pipeline: String,
        /// The id.
        id: String,
    },
    /// It was decided on before.
    #[error("the letter, or another one about the same record, was {} already", .0.verdict)]
    Decided(Decision),
    /// Its pipeline is not loaded.
    #[error("pipeline `{0}` neither runs nor is paused: what it reads is not known")]
    NotLoaded(String),
    /// It is a batch's.
    #[error("pipeline `{0}` is a batch: run it again, and it reads everything again")]
    Batch(String),
    /// Its record is not put back.
    #[error(transparent)]
    NotPutBack(#[from] NotPutBack),
    /// There is no bundle.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// Nothing can be decided once more.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The plugin to try is not there.
    #[error("no plugin `{0}` was uploaded")]
    NoPlugin(String),
    /// Others replay.
    #[error("other letters are being replayed, one after the other")]
    Busy,
    /// The letters of a batch's last run cannot be read.
    #[error("the letters of the last run cannot be read: {0}")]
    OfRun(#[from] std::io::Error),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A letter as the topic holds it.
#[derive(Debug)]
pub struct Found {
    /// The whole letter.
    pub json: Vec<u8>,
    /// Of the record that it is about, in microseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
    /// What was decided.
    pub decision: Option<Decision>,
}

/// Letters, and where the next ones stand.
#[derive(Debug)]
pub struct Page {
    /// The latest first.
    pub letters: Vec<Found>,
    /// Letters before this offset of the topic were not looked at; none: there are no more.
    pub next: Option<Offset>,
}

/// The dead letters of a host's pipelines.
pub struct Desk {
    host: Arc<Host>,
    decisions: Mutex<Decisions>,
    shelves: Shelves,
    replays: Arc<Semaphore>,
}

impl Desk {
    /// Nothing is read yet.
    pub fn new(host: Arc<Host>) -> Self {
        let decisions = Mutex::new(Decisions::new(host.log()));
        Self { host, decisions, shelves: Shelves::default(), replays: Arc::new(Semaphore::new(1)) }
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Up to `most` letters of a pipeline, the latest first; `all`: those that were decided on, too.
    pub async fn list(&self, pipeline: &str, filter: &Filter, all: bool, most: usize) -> Result<Page, DeskError> {
        let shelf = self.shelf(pipeline).await?;
        let (wanted, next) = self.select(shelf.index(), filter, all, most).await?;
        let mut letters = Vec::with_capacity(wanted.len());
        for (entry, decision) in wanted {
            if let Some(records) = shelf.read(entry.at).await? {
                letters.push(Found { json: records.values.value(0).to_vec(), timestamp: entry.timestamp, decision });
            }
        }
        Ok(Page { letters, next })
    }

    async fn select(
        &self,
        index: &Index,
        filter: &Filter,
        all: bool,
        most: usize,
    ) -> Result<(Vec<(Entry, Option<Decision>)>, Option<Offset>), DeskError> {
        let decisions = self.decisions().await?;
        let decided = |entry: &Entry| (entry.clone(), decisions.on(entry.name, entry.record).cloned());
        let letters = index.latest(filter).map(decided).filter(|(_, decision)| all || decision.is_none());
        let mut wanted: Vec<_> = letters.take(most + 1).collect();
        let is_more = wanted.len() > most;
        wanted.truncate(most);
        let next = wanted.last().filter(|_| is_more).map(|(entry, _)| entry.at);
        Ok((wanted, next))
    }

    /// The letter with an id.
    pub async fn find(&self, pipeline: &str, id: &str) -> Result<Found, DeskError> {
        let found = self.look(pipeline, id).await?;
        let decisions = self.decisions().await?;
        let letter = parsed(&found)?;
        let record = if letter.group { None } else { Name::of_record(id) };
        Ok(Found { decision: decisions.on(Name::of_letter(id), record).cloned(), ..found })
    }

    /// The bundle of a letter.
    pub async fn bundle(&self, pipeline: &str, id: &str) -> Result<Vec<u8>, DeskError> {
        Ok(pack(&self.host, self.told(pipeline, id).await?).await?)
    }

    /// The same with personal data, as far as its source still has it.
    pub async fn personal_bundle(&self, deployment: &Deployment, id: &str) -> Result<Vec<u8>, DeskError> {
        let pipeline = deployment.name.as_str();
        let mut told = self.told(pipeline, id).await?;
        let state = deployment.state();
        let plan = plan(&state).ok_or_else(|| DeskError::NotLoaded(pipeline.to_owned()))?;
        // The topics of a batch go with its run.
        if told.leaves_out() && plan.batch.is_none() {
            let DeadLetter { topic, partition, offset, .. } = &told.letter;
            let record = record_at(self.host.log().as_ref(), topic, *partition, *offset).await?;
            told = reveal(told, &record.ok_or(PackError::NoRecord)?, plan)?;
        }
        Ok(pack(&self.host, told).await?)
    }

    /// Decides once more what a letter is about, and with another plugin that was uploaded. Plugins are called as ever,
    /// with the host's bounds, but apart from all that runs: what they make goes nowhere else. Variables have only their
    /// defaults here: whoever uploads plugins is not told of the host's secrets.
    pub async fn replay(&self, pipeline: &str, id: &str, with: Option<&str>) -> Result<Replayed, DeskError> {
        let turn = timeout(TURN, Arc::clone(&self.replays).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(DeskError::Busy)?;
        let bundle = gather(&self.host, self.told(pipeline, id).await?).await?;
        let other = match with {
            Some(name) => Some(self.uploaded(name).await?),
            None => None,
        };
        let sandbox = self.host.runner().sandbox.clone();
        let replaying = spawn_blocking(move || {
            // Also if whoever asked does not wait for it.
            let _turn = turn;
            replay(&bundle, &Means { sandbox: &sandbox, environment: &|_| None }, other.as_ref())
        });
        Ok(replaying.await.map_err(|error| ReplayError::Unplayable(error.into()))??)
    }

    /// A plugin of the log.
    async fn uploaded(&self, name: &str) -> Result<Other, DeskError> {
        let plugins = &self.host.control().plugins;
        plugins.catch_up().await?;
        let digest = plugins.look(|library| library.names().get(name).map(|named| named.digest.clone()));
        let digest = digest.ok_or_else(|| DeskError::NoPlugin(name.to_owned()))?;
        match plugins.bytes(&digest).await {
            Ok(bytes) => Ok(Other { name: name.to_owned(), bytes }),
            Err(LibraryError::Log(error)) => Err(error.into()),
            // It was removed in this moment.
            Err(LibraryError::Incomplete(_)) => Err(DeskError::NoPlugin(name.to_owned())),
        }
    }

    async fn told(&self, pipeline: &str, id: &str) -> Result<Told, DeskError> {
        let letter = parsed(&self.look(pipeline, id).await?)?;
        let like = match &letter.basis {
            Some(Basis::Call(call)) => call.like,
            _ => None,
        };
        let like = match like {
            Some(ordinal) => Some(parsed(&self.look(pipeline, &id_of_ordinal(id, ordinal)).await?)?),
            None => None,
        };
        Ok(Told::of(letter, like)?)
    }

    /// Puts the record of a letter back at the end of its source; with `repeat`, also if something had come of it.
    pub async fn retry(
        &self,
        deployment: &Deployment,
        id: &str,
        repeat: bool,
        by: Option<String>,
    ) -> Result<Decision, DeskError> {
        let pipeline = deployment.name.as_str();
        let letter = parsed(&self.look(pipeline, id).await?)?;
        self.check(deployment, &letter, repeat).await?;
        let log = self.host.log().as_ref();
        let record = record_at(log, &letter.topic, letter.partition, letter.offset).await?;
        let records = record.ok_or(NotPutBack::Gone)?;
        let put_back = Append { topic: letter.topic, partition: letter.partition, records };
        self.decide(id, Some(put_back), by).await
    }

    /// Hides a letter.
    pub async fn discard(&self, pipeline: &str, id: &str, by: Option<String>) -> Result<Decision, DeskError> {
        self.look(pipeline, id).await?;
        self.decide(id, None, by).await
    }

    async fn decide(&self, id: &str, put_back: Option<Append>, by: Option<String>) -> Result<Decision, DeskError> {
        let mut decisions = self.decisions.lock().await;
        decisions.decide(id, put_back, by).await.map_err(|error| match error {
            DecideError::Decided(decision) => DeskError::Decided(decision),
            DecideError::Log(error) => error.into(),
        })
    }

    async fn check(&self, deployment: &Deployment, letter: &DeadLetter, repeat: bool) -> Result<(), DeskError> {
        let pipeline = deployment.name.as_str();
        let Some(sources) = sources(deployment) else { return Err(DeskError::NotLoaded(pipeline.to_owned())) };
        let others = self.host.deployments();
        let states: Vec<State> = others.iter().map(|deployment| deployment.state()).collect();
        let plans = || states.iter().filter_map(plan);
        if plans().any(|plan| plan.pipeline == pipeline && plan.batch.is_some()) {
            return Err(DeskError::Batch(pipeline.to_owned()));
        }
        let readers: Vec<Reader<'_>> = plans().flat_map(|plan| Reader::of(plan, &letter.topic)).collect();
        let shelf = self.shelf(pipeline).await?;
        let has_letter = |step: &str| shelf.index().find(&id_of_step(letter, step)).is_some();
        let edition = deployment.definition().map(|definition| definition.edition()).unwrap_or_default();
        Ok(check(letter, pipeline, &sources, &readers, &edition, has_letter, repeat)?)
    }

    async fn look(&self, pipeline: &str, id: &str) -> Result<Found, DeskError> {
        let missing = || DeskError::NoLetter { pipeline: pipeline.to_owned(), id: id.to_owned() };
        let shelf = self.shelf(pipeline).await?;
        let at = shelf.index().find(id).ok_or_else(missing)?;
        let records = shelf.read(at).await?;
        let records = records.filter(|records| records.keys.value(0) == id.as_bytes()).ok_or_else(missing)?;
        let json = records.values.value(0).to_vec();
        Ok(Found { json, timestamp: records.timestamps[0], decision: None })
    }

    /// The letters of a pipeline, up to now.
    async fn shelf(&self, pipeline: &str) -> Result<Shelf, DeskError> {
        let state = self.host.deployment(pipeline).map(|deployment| deployment.state());
        if state.as_ref().and_then(plan).is_some_and(|plan| plan.batch.is_some()) {
            let (data, pipeline) = (self.host.config().data.clone(), pipeline.to_owned());
            let reading = spawn_blocking(move || Shelf::of_run(&data, &pipeline)).await;
            return Ok(reading.map_err(io::Error::other)??);
        }
        Ok(self.shelves.of_topic(self.host.log(), pipeline).await?)
    }

    /// What was decided up to now.
    async fn decisions(&self) -> Result<MutexGuard<'_, Decisions>, LogError> {
        let mut decisions = self.decisions.lock().await;
        decisions.catch_up().await?;
        Ok(decisions)
    }
}

fn parsed(found: &Found) -> Result<DeadLetter, DeskError> {
    let unreadable = |error: serde_json::Error| PackError::Failed(format!("the letter cannot be read: {error}"));
    Ok(serde_json::from_slice(&found.json).map_err(unreadable)?)
}

fn sources(deployment: &Deployment) -> Option<Vec<SourceTopic>> {
    matches!(deployment.state(), State::Running(_) | State::Paused(_)).then(|| deployment.sources())
}

fn plan(state: &State) -> Option<&Plan> {
    match state {
        State::Running(running) => Some(running.plan()),
        State::Paused(loaded) => Some(&loaded.plan),
        _ => None,
    }
}

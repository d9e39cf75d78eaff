//! Where dead letters are asked for and decided on.

use std::collections::HashMap;
use std::sync::Arc;

use azenha_engine::log::{Append, Log, LogError, ReadLimit};
use azenha_model::plan::{Plan, dead_letters_topic};
use azenha_model::{Offset, Records};
use tokio::sync::{Mutex, MutexGuard};

use super::decisions::{DecideError, Decision, Decisions};
use super::index::{Entry, Filter, Index, MOST};
use super::letter::{Letter, Name};
use super::pack::{PackError, pack};
use super::put_back::{NotPutBack, Reader, check};
use super::tail::Tail;
use crate::host::{Deployment, Host, State};
use crate::ingest::SourceTopic;

/// Letters are looked for among so many of the last offsets: some are repeated, and logs keep more than records.
const LOOKED_AT: Offset = 2 * MOST as Offset;

/// One record.
const ONE: ReadLimit = ReadLimit { records: 1, bytes: 1, wait: std::time::Duration::from_secs(1) };

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

/// The letters of one pipeline, which several requests read on.
type Shared = Arc<Mutex<Tail<Index>>>;

/// The dead letters of a host's pipelines.
pub struct Desk {
    host: Arc<Host>,
    decisions: Mutex<Decisions>,
    indexes: Mutex<HashMap<String, Shared>>,
}

impl Desk {
    /// Nothing is read yet.
    pub fn new(host: Arc<Host>) -> Self {
        let decisions = Mutex::new(Decisions::new(host.log()));
        Self { host, decisions, indexes: Mutex::default() }
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Up to `most` letters of a pipeline, the latest first; `all`: those that were decided on, too.
    pub async fn list(&self, pipeline: &str, filter: &Filter, all: bool, most: usize) -> Result<Page, DeskError> {
        let (wanted, next) = self.select(pipeline, filter, all, most).await?;
        let topic = dead_letters_topic(pipeline);
        let mut letters = Vec::with_capacity(wanted.len());
        for (entry, decision) in wanted {
            if let Some(records) = record_at(self.host.log().as_ref(), &topic, 0, entry.at).await? {
                letters.push(Found { json: records.values.value(0).to_vec(), timestamp: entry.timestamp, decision });
            }
        }
        Ok(Page { letters, next })
    }

    async fn select(
        &self,
        pipeline: &str,
        filter: &Filter,
        all: bool,
        most: usize,
    ) -> Result<(Vec<(Entry, Option<Decision>)>, Option<Offset>), DeskError> {
        let index = self.index(pipeline).await?;
        let index = index.lock().await;
        let decisions = self.decisions().await?;
        let decided = |entry: &Entry| (entry.clone(), decisions.on(entry.name, entry.record).cloned());
        let letters = index.kept.latest(filter).map(decided).filter(|(_, decision)| all || decision.is_none());
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
        let letter = parsed(&self.look(pipeline, id).await?)?;
        let like = match letter.call.as_ref().and_then(|call| call.like) {
            Some(ordinal) => {
                let of_step = id.rsplit_once('/').map_or(id, |(of_step, _)| of_step);
                Some(parsed(&self.look(pipeline, &format!("{of_step}/{ordinal}")).await?)?)
            }
            None => None,
        };
        Ok(pack(&self.host, letter, like).await?)
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

    async fn check(&self, deployment: &Deployment, letter: &Letter, repeat: bool) -> Result<(), DeskError> {
        let pipeline = deployment.name.as_str();
        let Some(sources) = sources(deployment) else { return Err(DeskError::NotLoaded(pipeline.to_owned())) };
        let others = self.host.deployments();
        let states: Vec<State> = others.iter().map(|deployment| deployment.state()).collect();
        let plans = || states.iter().filter_map(plan);
        if plans().any(|plan| plan.pipeline == pipeline && plan.batch.is_some()) {
            return Err(DeskError::Batch(pipeline.to_owned()));
        }
        let readers: Vec<Reader<'_>> = plans().flat_map(|plan| Reader::of(plan, &letter.topic)).collect();
        let index = self.index(pipeline).await?;
        let index = index.lock().await;
        let has_letter = |step: &str| index.kept.find(&letter.of_step(step)).is_some();
        Ok(check(letter, pipeline, &sources, &readers, has_letter, repeat)?)
    }

    async fn look(&self, pipeline: &str, id: &str) -> Result<Found, DeskError> {
        let missing = || DeskError::NoLetter { pipeline: pipeline.to_owned(), id: id.to_owned() };
        let index = self.index(pipeline).await?;
        let at = index.lock().await.kept.find(id).ok_or_else(missing)?;
        let records = record_at(self.host.log().as_ref(), &dead_letters_topic(pipeline), 0, at).await?;
        let records = records.filter(|records| records.keys.value(0) == id.as_bytes()).ok_or_else(missing)?;
        let json = records.values.value(0).to_vec();
        Ok(Found { json, timestamp: records.timestamps[0], decision: None })
    }

    /// The letters of a pipeline, up to now.
    async fn index(&self, pipeline: &str) -> Result<Shared, LogError> {
        let new = || Arc::new(Mutex::new(Tail::new(self.host.log(), dead_letters_topic(pipeline))));
        let index = Arc::clone(self.indexes.lock().await.entry(pipeline.to_owned()).or_insert_with(new));
        index.lock().await.catch_up(LOOKED_AT).await?;
        Ok(index)
    }

    /// What was decided up to now.
    async fn decisions(&self) -> Result<MutexGuard<'_, Decisions>, LogError> {
        let mut decisions = self.decisions.lock().await;
        decisions.catch_up().await?;
        Ok(decisions)
    }
}

fn parsed(found: &Found) -> Result<Letter, DeskError> {
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

/// The record at an offset, if the log still holds it.
async fn record_at(log: &dyn Log, topic: &str, partition: u32, offset: Offset) -> Result<Option<Records>, LogError> {
    match log.read(topic, partition, offset, ONE).await {
        Ok(fetched) if fetched.offsets.first() == Some(&offset) => Ok(Some(fetched.records.slice(0, 1))),
        Ok(_) | Err(LogError::OutOfRange { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

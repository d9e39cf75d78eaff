//! Where the letters of a pipeline stand: in their topic, or, of a batch, beside the host's log.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use azenha_engine::log::{Log, LogError, ReadLimit};
use azenha_model::plan::dead_letters_topic;
use azenha_model::{Fetched, Offset, Records};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::index::{Index, MOST};
use super::tail::{Kept, Tail};
use crate::batch::letters_of;

/// Letters are looked for among so many of the last offsets: some are repeated, and logs keep more than records.
const LOOKED_AT: Offset = 2 * MOST as Offset;

/// One record.
const ONE: ReadLimit = ReadLimit { records: 1, bytes: 1, wait: std::time::Duration::from_secs(1) };

/// The letters of pipelines whose topics were looked at.
#[derive(Default)]
pub struct Shelves(Mutex<HashMap<String, Arc<Mutex<Tail<Index>>>>>);

impl Shelves {
    /// The letters in the topic of a pipeline, up to now.
    ///
    /// # Errors
    /// If the log fails.
    pub async fn of_topic(&self, log: &Arc<dyn Log>, pipeline: &str) -> Result<Shelf, LogError> {
        let topic = dead_letters_topic(pipeline);
        let new = || Arc::new(Mutex::new(Tail::new(log, topic.clone())));
        let tail = Arc::clone(self.0.lock().await.entry(pipeline.to_owned()).or_insert_with(new));
        let mut tail = tail.lock_owned().await;
        tail.catch_up(LOOKED_AT).await?;
        Ok(Shelf::Topic(tail, Arc::clone(log), topic))
    }
}

/// The letters of one pipeline, which nobody else reads on meanwhile.
pub enum Shelf {
    /// Those in a topic.
    Topic(OwnedMutexGuard<Tail<Index>>, Arc<dyn Log>, String),
    /// Those of a batch's last run: what finds them, and where there are any, they.
    Run(Box<(Index, Option<Fetched>)>),
}

impl Shelf {
    /// The letters of a batch's last run on this machine.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn of_run(data: &Path, pipeline: &str) -> std::io::Result<Self> {
        let fetched = letters_of(data, pipeline)?;
        let mut index = Index::default();
        fetched.iter().for_each(|fetched| index.take(fetched));
        Ok(Self::Run(Box::new((index, fetched))))
    }

    /// What they are found by.
    pub fn index(&self) -> &Index {
        match self {
            Self::Topic(tail, ..) => &tail.kept,
            Self::Run(run) => &run.0,
        }
    }

    /// The letter at a place of the index, as a record; none if it is gone.
    ///
    /// # Errors
    /// If the log fails.
    pub async fn read(&self, at: Offset) -> Result<Option<Records>, LogError> {
        match self {
            Self::Topic(_, log, topic) => record_at(log.as_ref(), topic, 0, at).await,
            Self::Run(run) => Ok(run.1.as_ref().map(|fetched| fetched.records.slice(at as usize, 1))),
        }
    }
}

/// The record at an offset, if the log still holds it.
///
/// # Errors
/// If the log fails.
pub async fn record_at(
    log: &dyn Log,
    topic: &str,
    partition: u32,
    offset: Offset,
) -> Result<Option<Records>, LogError> {
    match log.read(topic, partition, offset, ONE).await {
        Ok(fetched) if fetched.offsets.first() == Some(&offset) => Ok(Some(fetched.records.slice(0, 1))),
        Ok(_) | Err(LogError::OutOfRange { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

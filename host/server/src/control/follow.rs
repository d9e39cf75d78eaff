//! Follows a topic of the log: every host reads all of it and keeps what it says in memory.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use arrow_array::{Array, BinaryArray};
use azenha_engine::log::{Append, Log, LogError, ReadLimit};
use azenha_model::plan::{TopicKind, TopicSpec};
use azenha_model::{Offset, Records};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::ingest::now;

/// What is read at once, and how long the end of the topic is watched at a time.
const LIMIT: ReadLimit = ReadLimit { records: 1_000, bytes: 4 << 20, wait: Duration::from_secs(1) };

/// Pauses after failures grow from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// What is kept of a topic: the same on every host, because it follows from the records and their order alone.
pub trait Table: std::fmt::Debug + Default + Send + Sync + 'static {
    /// The topic.
    const TOPIC: &'static str;

    /// Applies the next record; without a value it is a tombstone.
    fn apply(&mut self, offset: Offset, key: &str, value: Option<&[u8]>);
}

/// A topic that is followed.
#[derive(Debug)]
pub struct Followed<T> {
    log: Arc<dyn Log>,
    table: RwLock<T>,
    /// The offset that is read next.
    position: watch::Sender<Offset>,
}

impl<T: Table> Followed<T> {
    /// Makes the topic if it is missing, and reads it to its end.
    pub async fn open(log: &Arc<dyn Log>) -> Result<Self, LogError> {
        let topic = TopicSpec { name: T::TOPIC.to_owned(), partitions: 1, kind: TopicKind::Compacted };
        log.ensure_topic(&topic).await?;
        let bounds = log.bounds(T::TOPIC, 0).await?;
        let position = watch::Sender::new(bounds.start);
        let followed = Self { log: Arc::clone(log), table: RwLock::default(), position };
        while *followed.position.borrow() < bounds.end {
            followed.read_on().await?;
        }
        Ok(followed)
    }

    /// Reads what comes, and never ends.
    pub async fn follow(&self) {
        let mut pause = PAUSES.0;
        loop {
            match self.read_on().await {
                Ok(()) => pause = PAUSES.0,
                Err(error) => {
                    tracing::warn!(%error, "topic `{}` cannot be followed; trying again", T::TOPIC);
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    async fn read_on(&self) -> Result<(), LogError> {
        let from = *self.position.borrow();
        let fetched = self.log.read(T::TOPIC, 0, from, LIMIT).await?;
        let (keys, values) = (&fetched.records.keys, &fetched.records.values);
        {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            for (row, offset) in fetched.offsets.iter().enumerate() {
                let key = String::from_utf8_lossy(keys.value(row));
                table.apply(*offset, &key, values.is_valid(row).then(|| values.value(row)));
            }
        }
        self.position.send_if_modified(|position| std::mem::replace(position, fetched.next) != fetched.next);
        Ok(())
    }

    /// Waits until everything that stands in the topic now is in the table.
    pub async fn catch_up(&self) -> Result<(), LogError> {
        let end = self.log.bounds(T::TOPIC, 0).await?.end;
        // The sender lives as long as this.
        let _ = self.position.subscribe().wait_for(|position| *position >= end).await;
        Ok(())
    }

    /// Tells of every change.
    pub fn changes(&self) -> watch::Receiver<Offset> {
        self.position.subscribe()
    }

    /// Looks into the table.
    pub fn look<R>(&self, at: impl FnOnce(&T) -> R) -> R {
        at(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Appends records, keys and values; a record without a value is a tombstone. They are in the table once
    /// [`Followed::catch_up`] returns.
    pub async fn append(&self, records: &[(String, Option<Vec<u8>>)]) -> Result<(), LogError> {
        let keys = BinaryArray::from_iter_values(records.iter().map(|(key, _)| key));
        let values = BinaryArray::from_iter(records.iter().map(|(_, value)| value.as_deref()));
        let records = Records { timestamps: vec![now(); records.len()], keys, values };
        self.log.append(vec![Append { topic: T::TOPIC.to_owned(), partition: 0, records }]).await
    }

    /// The value of one record.
    pub async fn value_at(&self, offset: Offset) -> Result<Option<Vec<u8>>, LogError> {
        let fetched = self.log.read(T::TOPIC, 0, offset, ReadLimit { records: 1, bytes: 1, ..LIMIT }).await?;
        let values = &fetched.records.values;
        let is_there = fetched.offsets.first() == Some(&offset) && values.is_valid(0);
        Ok(is_there.then(|| values.value(0).to_vec()))
    }
}

//! A topic of one partition that is read on whenever somebody asks, and what is kept of it.

use std::sync::Arc;
use std::time::Duration;

use azenha_engine::log::{Log, LogError, ReadLimit};
use azenha_model::{Fetched, Offset};

/// What is read at once.
const LIMIT: ReadLimit = ReadLimit { records: 10_000, bytes: 4 << 20, wait: Duration::from_secs(1) };

/// Reads that bring nothing before the end is given up: a log whose end moves by what is no record has one soon.
const EMPTY_READS: u32 = 5;

/// What follows from the records of a topic and their order.
pub trait Kept: Default + Send {
    /// Takes what comes next.
    fn take(&mut self, fetched: &Fetched);
}

/// The topic up to where it was read.
pub struct Tail<T> {
    log: Arc<dyn Log>,
    topic: String,
    position: Option<Offset>,
    /// What is kept.
    pub kept: T,
}

impl<T: Kept> Tail<T> {
    /// Nothing is read yet.
    pub fn new(log: &Arc<dyn Log>, topic: String) -> Self {
        Self { log: Arc::clone(log), topic, position: None, kept: T::default() }
    }

    /// The offset that is read next.
    pub fn position(&self) -> Offset {
        self.position.unwrap_or(0)
    }

    /// Reads up to the topic's end, beginning with its last `most` offsets; nothing if there is no topic.
    ///
    /// # Errors
    /// If the log fails.
    pub async fn catch_up(&mut self, most: Offset) -> Result<(), LogError> {
        let bounds = match self.log.bounds(&self.topic, 0).await {
            Err(LogError::NoSuchTopic(_)) => return Ok(()),
            bounds => bounds?,
        };
        let first = bounds.start.max(bounds.end.saturating_sub(most));
        let position = self.position.get_or_insert(first);
        *position = (*position).max(bounds.start);
        self.read_to(bounds.end).await
    }

    /// Reads up to an offset.
    ///
    /// # Errors
    /// If the log fails.
    pub async fn read_to(&mut self, end: Offset) -> Result<(), LogError> {
        let mut empty = 0;
        while self.position() < end && empty < EMPTY_READS {
            let from = self.position();
            let fetched = self.log.read(&self.topic, 0, from, LIMIT).await?;
            empty = if fetched.next == from { empty + 1 } else { 0 };
            self.kept.take(&fetched);
            self.position = Some(fetched.next);
        }
        Ok(())
    }
}

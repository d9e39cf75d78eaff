//! Where partitions begin and end.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use azenha_engine::log::{Bounds, LogError};
use azenha_model::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::client::{Context, Kept};
use super::error::{Failure, storage};
use super::lifeline::look_around;
use super::runtime::Runtime;
use super::topics::Topics;

/// How long it may take until there is an answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How often the brokers are asked for something that is about to change.
const ASK_EACH: Duration = Duration::from_millis(20);
const SETTLE_EACH: Duration = Duration::from_millis(3);
/// How long what this process committed may take to be seen. Others' open transactions may keep it longer.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

type Queries = Arc<Kept<BaseConsumer<Context>>>;

/// Asks for offsets.
pub(super) struct Offsets {
    /// Sees the ends of partitions as readers of committed records do.
    pub committed: Queries,
    /// Sees what open transactions wrote, too.
    pub uncommitted: Queries,
    /// Where this process committed, and has not yet seen it.
    pub unseen: Mutex<HashSet<(String, u32)>>,
    pub topics: Arc<Topics>,
    pub runtime: Runtime,
    /// How long open transactions may take to end.
    pub settle_within: Duration,
}

impl Offsets {
    /// Says where a commit went: readers see it a moment after it is durable.
    pub fn wrote(&self, places: Vec<(String, u32)>) {
        self.unseen.lock().unwrap_or_else(PoisonError::into_inner).extend(places);
    }

    /// What readers see of a partition, with all that this process has committed to it.
    pub async fn bounds(&self, topic: &str, partition: u32) -> Result<Bounds, LogError> {
        self.topics.check_partition(topic, partition).await?;
        let place = (topic.to_owned(), partition);
        if self.unseen.lock().unwrap_or_else(PoisonError::into_inner).remove(&place) {
            let end = self.watermarks(&self.uncommitted, topic, partition).await?.end;
            return self.settled(topic, partition, end, SEEN_WITHIN).await;
        }
        self.watermarks(&self.committed, topic, partition).await
    }

    /// An error for an offset that the partition does not hold.
    pub async fn check(&self, topic: &str, partition: u32, offset: Offset) -> Result<Bounds, LogError> {
        let bounds = self.bounds(topic, partition).await?;
        if (bounds.start..=bounds.end).contains(&offset) {
            return Ok(bounds);
        }
        let Bounds { start, end } = bounds;
        Err(LogError::OutOfRange { topic: topic.to_owned(), partition, offset, start, end })
    }

    pub async fn settled_end(&self, topic: &str, partition: u32) -> Result<Offset, LogError> {
        self.topics.check_partition(topic, partition).await?;
        let end = self.watermarks(&self.uncommitted, topic, partition).await?.end;
        let seen = self.settled(topic, partition, end, self.settle_within).await?.end;
        if seen >= end {
            return Ok(seen);
        }
        let what = format!("waiting for the transactions of {topic}/{partition}");
        Err(storage(&what, format!("one is still open after {} s", self.settle_within.as_secs())))
    }

    /// What readers see once they see up to `end`, or when the time is over.
    async fn settled(&self, topic: &str, partition: u32, end: Offset, within: Duration) -> Result<Bounds, LogError> {
        let begun = Instant::now();
        loop {
            let bounds = self.watermarks(&self.committed, topic, partition).await?;
            if bounds.end >= end || begun.elapsed() > within {
                return Ok(bounds);
            }
            self.runtime.sleep(SETTLE_EACH).await;
        }
    }

    pub async fn purge(&self, topic: &str, partition: u32, before: Offset) -> Result<(), LogError> {
        let Bounds { start, end } = self.bounds(topic, partition).await?;
        if before > end {
            return Err(LogError::OutOfRange { topic: topic.to_owned(), partition, offset: before, start, end });
        }
        if before <= start {
            return Ok(());
        }
        let deleted = self.topics.delete_records(topic, partition, before).await;
        deleted.map_err(|failure| failure.into_log(format!("purging {topic}/{partition}")))
    }

    /// What a failure to read a partition is.
    pub fn failed(&self, failure: Failure, topic: &str, partition: u32) -> LogError {
        let what = format!("reading {topic}/{partition}");
        if failure.is_unknown() {
            // A broker that has just become the leader may not know the topic. Whoever tries again asks first whether
            // there is one.
            self.topics.forget();
            return storage(&what, failure);
        }
        failure.into_log(what)
    }

    async fn watermarks(&self, queries: &Queries, topic: &str, partition: u32) -> Result<Bounds, LogError> {
        let begun = Instant::now();
        loop {
            let (queries, asked) = (Arc::clone(queries), topic.to_owned());
            let found = self.runtime.blocking(move || {
                let found = queries.fetch_watermarks(&asked, partition as i32, ANSWER_WITHIN).map_err(Failure::from);
                if found.as_ref().is_err_and(Failure::is_silence) {
                    look_around(&**queries, &asked);
                }
                // Log lines and errors that stand for themselves.
                queries.poll(Duration::ZERO);
                found
            });
            let failure = match found.await? {
                Ok((start, end)) => return Ok(Bounds { start: start.max(0) as Offset, end: end.max(0) as Offset }),
                Err(failure) => failure,
            };
            if failure.is_unknown() {
                // Not every broker knows a topic at the moment when it is made.
                self.topics.forget();
                self.topics.check_partition(topic, partition).await?;
            }
            if !(failure.is_unknown() || failure.is_passing() || failure.is_silence()) || begun.elapsed() > TIMEOUT {
                return Err(self.failed(failure, topic, partition));
            }
            self.runtime.sleep(ASK_EACH).await;
        }
    }
}

//! The one writer. Whatever is waiting when it becomes free goes into one transaction: a sync to disk costs
//! the same for one commit as for a hundred.

use std::collections::HashMap;
use std::sync::Arc;

use azenha_engine::log::{LaneId, LogError};
use azenha_model::Offset;
use azenha_model::plan::TopicSpec;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

use super::batch::Batch;
use super::catalog::{Catalog, LaneEntry, Partition, TopicEntry};
use super::lock::DirectoryLock;
use super::{database, storage};

/// Requests that may wait before callers do.
pub(super) const QUEUE: usize = 256;
/// Bytes after which a transaction takes no further commit, so that the first of them need not wait for ever.
const GROUP_BYTES: usize = 32 << 20;

type Reply<T> = oneshot::Sender<Result<T, LogError>>;

/// What the writer is asked to do. A reply that nobody waits for any more is dropped.
pub(super) enum Request {
    Write(Write),
    CreateTopic { spec: TopicSpec, reply: Reply<Arc<TopicEntry>> },
    TakeLane { lane: LaneId, reply: Reply<LaneEntry> },
    Purge { partition: Arc<Partition>, before: Offset, reply: Reply<()> },
    Close { reply: Reply<()> },
}

/// Batches for a partition.
pub(super) struct Encoded {
    pub partition: Arc<Partition>,
    pub batches: Vec<Batch>,
    /// Where the partition ends behind them, once they are stored.
    pub end: Offset,
}

/// Batches to append, and the lane on whose behalf.
pub(super) struct Write {
    pub claim: Option<Claim>,
    pub appends: Vec<Encoded>,
    pub reply: Reply<()>,
}

/// The right to commit, as the lane's owner remembers it, and the position to commit.
pub(super) struct Claim {
    pub lane: LaneId,
    pub epoch: u64,
    pub position: Offset,
}

impl Write {
    fn bytes(&self) -> usize {
        self.appends.iter().flat_map(|append| &append.batches).map(|batch| batch.blob.len()).sum()
    }
}

pub(super) struct Writer {
    pub connection: SqliteConnection,
    pub catalog: Arc<Catalog>,
    pub requests: mpsc::Receiver<Request>,
    /// Held until the last write is done.
    pub lock: DirectoryLock,
}

impl Writer {
    /// Serves requests until it is asked to close, or nobody is left to ask.
    pub async fn run(mut self) {
        let mut next = self.requests.recv().await;
        while let Some(request) = next {
            next = match request {
                Request::Write(first) => {
                    let (group, other) = self.gather(first);
                    self.commit(group).await;
                    other
                }
                Request::CreateTopic { spec, reply } => {
                    let _ = reply.send(self.create_topic(spec).await);
                    None
                }
                Request::TakeLane { lane, reply } => {
                    let _ = reply.send(Ok(self.catalog.take_lane(lane)));
                    None
                }
                Request::Purge { partition, before, reply } => {
                    let _ = reply.send(self.purge(&partition, before).await);
                    None
                }
                Request::Close { reply } => return self.close(reply).await,
            };
            if next.is_none() {
                next = self.requests.recv().await;
            }
        }
    }

    /// The writes that wait behind `first`, up to the first request of another kind.
    fn gather(&mut self, first: Write) -> (Vec<Write>, Option<Request>) {
        let mut bytes = first.bytes();
        let mut group = vec![first];
        while bytes < GROUP_BYTES {
            match self.requests.try_recv() {
                Ok(Request::Write(write)) => {
                    bytes += write.bytes();
                    group.push(write);
                }
                Ok(other) => return (group, Some(other)),
                Err(_) => break,
            }
        }
        (group, None)
    }

    async fn commit(&mut self, group: Vec<Write>) {
        let mut accepted = Vec::with_capacity(group.len());
        for write in group {
            match write.claim.as_ref().filter(|claim| self.catalog.lane(&claim.lane).epoch != claim.epoch) {
                Some(claim) => {
                    let fenced = LogError::Fenced(claim.lane.clone());
                    let _ = write.reply.send(Err(fenced));
                }
                None => accepted.push(write),
            }
        }
        let stored = self.store(&mut accepted).await;
        match stored {
            Ok(()) => self.publish(accepted),
            Err(error) => {
                self.roll_back().await;
                let message = error.to_string();
                for write in accepted {
                    let _ = write.reply.send(Err(storage(failure(&error), message.clone())));
                }
            }
        }
    }

    /// Writes everything in one transaction.
    async fn store(&mut self, writes: &mut [Write]) -> Result<(), sqlx::Error> {
        // By the row ids of the partitions.
        let mut ends = HashMap::new();
        self.execute("BEGIN IMMEDIATE").await?;
        for write in writes {
            for Encoded { partition, batches, end } in &mut write.appends {
                let reached = ends.entry(partition.id).or_insert_with(|| partition.bounds.borrow().end);
                for batch in batches.drain(..) {
                    let records = batch.records;
                    self.insert(partition.id, *reached, batch).await?;
                    *reached += records;
                }
                *end = *reached;
            }
            if let Some(claim) = &write.claim {
                self.store_position(claim).await?;
            }
        }
        self.execute("COMMIT").await
    }

    async fn insert(&mut self, partition: i64, base: Offset, batch: Batch) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT INTO batches (partition_id, base_offset, records, data) VALUES (?, ?, ?, ?)")
            .bind(partition)
            .bind(base as i64)
            .bind(batch.records as i64)
            .bind(batch.blob)
            .execute(&mut self.connection)
            .await
            .map(drop)
    }

    async fn store_position(&mut self, claim: &Claim) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO lanes (lane_group, input, partition, position) VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET position = excluded.position",
        )
        .bind(&claim.lane.group)
        .bind(&claim.lane.input)
        .bind(claim.lane.partition)
        .bind(claim.position as i64)
        .execute(&mut self.connection)
        .await
        .map(drop)
    }

    /// Makes visible what was committed, wakes readers, and tells the callers. Append by append: who sees a record finds
    /// what was appended before it, in whichever topic.
    fn publish(&self, writes: Vec<Write>) {
        for write in writes {
            for Encoded { partition, end, .. } in &write.appends {
                partition.bounds.send_if_modified(|bounds| std::mem::replace(&mut bounds.end, *end) != *end);
            }
            if let Some(claim) = write.claim {
                self.catalog.move_lane(claim.lane, claim.position);
            }
            let _ = write.reply.send(Ok(()));
        }
    }

    /// The topic, made now if it is not there: another caller may have been quicker.
    async fn create_topic(&mut self, spec: TopicSpec) -> Result<Arc<TopicEntry>, LogError> {
        if let Some(entry) = self.catalog.topic(&spec.name) {
            return Ok(entry);
        }
        let created = self.create_topic_rows(&spec).await;
        let entry = self.settle(created).await?;
        self.catalog.insert_topic(Arc::clone(&entry));
        Ok(entry)
    }

    async fn create_topic_rows(&mut self, spec: &TopicSpec) -> Result<Arc<TopicEntry>, sqlx::Error> {
        self.execute("BEGIN IMMEDIATE").await?;
        let entry = database::create_topic(&mut self.connection, spec).await?;
        self.execute("COMMIT").await?;
        Ok(entry)
    }

    async fn purge(&mut self, partition: &Partition, before: Offset) -> Result<(), LogError> {
        let bounds = *partition.bounds.borrow();
        if before > bounds.end {
            return Err(partition.out_of_range(before));
        }
        if before <= bounds.start {
            return Ok(());
        }
        // Said before they are gone: a reader that finds nothing is told where the partition begins now.
        partition.bounds.send_modify(|bounds| bounds.start = before);
        let purged = self.purge_rows(partition.id, before).await;
        let settled = self.settle(purged).await;
        if settled.is_err() {
            partition.bounds.send_modify(|now| now.start = bounds.start);
        }
        settled
    }

    async fn purge_rows(&mut self, partition: i64, before: Offset) -> Result<(), sqlx::Error> {
        self.execute("BEGIN IMMEDIATE").await?;
        // The first condition is what the index can find, the second what is meant.
        sqlx::query("DELETE FROM batches WHERE partition_id = ?1 AND base_offset < ?2 AND base_offset + records <= ?2")
            .bind(partition)
            .bind(before as i64)
            .execute(&mut self.connection)
            .await?;
        sqlx::query("UPDATE partitions SET start_offset = ?2 WHERE id = ?1")
            .bind(partition)
            .bind(before as i64)
            .execute(&mut self.connection)
            .await?;
        self.execute("COMMIT").await
    }

    async fn execute(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(sql).execute(&mut self.connection).await.map(drop)
    }

    /// Rolls back what failed.
    async fn settle<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, LogError> {
        match result {
            Ok(done) => Ok(done),
            Err(error) => {
                self.roll_back().await;
                Err(storage(failure(&error), error))
            }
        }
    }

    /// SQLite has already rolled back after some errors, and says so; then there is nothing to do.
    async fn roll_back(&mut self) {
        if let Err(error) = self.execute("ROLLBACK").await {
            tracing::debug!(%error, "nothing to roll back");
        }
    }

    async fn close(self, reply: Reply<()>) {
        let closed = self.connection.close().await;
        drop(self.lock);
        let _ = reply.send(closed.map_err(|error| storage("closing the log", error)));
    }
}

/// What to tell people: a full disk by name.
fn failure(error: &sqlx::Error) -> &'static str {
    const SQLITE_FULL: &str = "13";
    match error.as_database_error().and_then(|error| error.code()) {
        Some(code) if code == SQLITE_FULL => "writing the log: the disk is full, or the log's size limit is reached",
        _ => "writing the log",
    }
}

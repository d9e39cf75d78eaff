//! The embedded log: topics and positions in one SQLite file of a data directory, for a host that needs
//! nothing else to run.
//!
//! Callers encode and decode batches on their own threads; what is written goes through one writer task,
//! which commits all that waits at once. Nothing here needs the caller's runtime: channels carry requests and
//! answers, and timers run on the runtime where the log was opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use azenha_engine::log::{Append, Bounds, Commit, LaneId, LaneLog, Log, LogError, Membership, ReadLimit, Topic};
use azenha_model::plan::TopicSpec;
use azenha_model::{Fetched, Offset};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use self::catalog::{Catalog, Partition};
use self::lock::DirectoryLock;
pub use self::read_only::EmbeddedReader;
use self::reader::Readers;
use self::writer::{Claim, Encoded, Request, Write, Writer};
use crate::private;

mod batch;
mod catalog;
mod database;
mod lock;
mod member;
mod read_only;
mod reader;
mod writer;

/// The database file in the data directory.
const FILE: &str = "log.db";

/// How an embedded log is run.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Connections that read; at least one is made.
    pub readers: usize,
    /// Bytes that the database file may reach; writing beyond fails as it does on a full disk. None: the disk
    /// is the limit.
    pub size_limit: Option<u64>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { readers: 4, size_limit: None }
    }
}

/// Why the log of a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nobody ever wrote one there.
    #[error("there is no log in {}", dir.display())]
    Missing {
        /// The data directory.
        dir: PathBuf,
    },
    /// Another process has it open.
    #[error("the data directory {} is in use by {owner}; stop it, or choose another directory", dir.display())]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// `process` and its id.
        owner: String,
    },
    /// Written by another version of this program, or by another program.
    #[error(
        "{} has format {found}, but this version knows formats up to {known}: run the version that wrote it, or a \
         newer one",
        file.display()
    )]
    Format {
        /// The database file.
        file: PathBuf,
        /// The format that it has.
        found: i64,
        /// The newest format that is known.
        known: i64,
    },
    /// The directory or its lock file cannot be made.
    #[error("{}: {source}", path.display())]
    Io {
        /// What could not be made or opened.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database cannot be opened.
    #[error("{}: {source}", file.display())]
    Storage {
        /// The database file.
        file: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
}

impl OpenError {
    fn storage(file: &Path, source: sqlx::Error) -> Self {
        Self::Storage { file: file.to_owned(), source }
    }
}

/// The log of one data directory. Clones are handles of the same one.
#[derive(Debug, Clone)]
pub struct EmbeddedLog {
    catalog: Arc<Catalog>,
    readers: Arc<Readers>,
    requests: mpsc::Sender<Request>,
    /// Whose timers end a reader's wait.
    runtime: Handle,
}

impl EmbeddedLog {
    /// Opens the log in `dir`, which is made if it is missing. Must be called on a tokio runtime with timers;
    /// the log works as long as that runtime runs.
    pub async fn open(dir: &Path, options: EmbeddedOptions) -> Result<Self, OpenError> {
        private::make_directory(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
        let lock = DirectoryLock::acquire(dir)?;
        let file = dir.join(FILE);
        let settings = database::read_write(&file, &options);
        let mut connection = database::connect(&file, &settings).await?;
        if !database::has_tables(&mut connection, &file).await? {
            database::make_tables(&mut connection, &file).await?;
        }
        let loaded = database::load(&mut connection).await;
        let catalog = Arc::new(loaded.map_err(|source| OpenError::storage(&file, source))?);

        let first = database::connect(&file, &settings).await?;
        let mut others = Vec::new();
        for _ in 1..options.readers {
            others.push(database::connect(&file, &settings).await?);
        }
        let (requests, receiver) = mpsc::channel(writer::QUEUE);
        let writer = Writer { connection, catalog: Arc::clone(&catalog), requests: receiver, lock };
        let runtime = Handle::current();
        runtime.spawn(writer.run());
        Ok(Self { catalog, readers: Arc::new(Readers::new(first, others)), requests, runtime })
    }

    /// Finishes what is being written and gives the directory free; later calls fail. A log that is dropped
    /// without this loses nothing, but its directory stays locked until its last lane is dropped too.
    pub async fn close(&self) -> Result<(), LogError> {
        ask(&self.requests, |reply| Request::Close { reply }).await
    }

    /// Waits until the partition holds more than `offset`, or until the time is over.
    async fn wait_beyond(&self, partition: &Partition, offset: Offset, limit: ReadLimit) {
        let timer = {
            let _entered = self.runtime.enter();
            tokio::time::sleep(limit.wait)
        };
        let mut bounds = partition.bounds.subscribe();
        tokio::select! {
            _ = bounds.wait_for(|bounds| bounds.end > offset) => {}
            () = timer => {}
        }
    }
}

/// Sends a request to the writer and waits for the answer.
async fn ask<T>(
    requests: &mpsc::Sender<Request>,
    request: impl FnOnce(oneshot::Sender<Result<T, LogError>>) -> Request,
) -> Result<T, LogError> {
    let (reply, answer) = oneshot::channel();
    let gone = || storage("using the log", "it is closed");
    requests.send(request(reply)).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

fn storage(what: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LogError {
    LogError::Storage { what: what.to_owned(), source: source.into() }
}

/// Looks up the partitions and encodes the records.
fn encode(catalog: &Catalog, appends: &[Append]) -> Result<Vec<Encoded>, LogError> {
    let encode_one = |append: &Append| {
        let partition = catalog.partition(&append.topic, append.partition)?;
        Ok(Encoded { partition, batches: batch::encode(&append.topic, &append.records)?, end: 0 })
    };
    appends.iter().map(encode_one).collect()
}

#[async_trait]
impl Log for EmbeddedLog {
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<Topic, LogError> {
        let entry = match self.catalog.topic(&spec.name) {
            Some(entry) => entry,
            None => ask(&self.requests, |reply| Request::CreateTopic { spec: spec.clone(), reply }).await?,
        };
        let found = entry.topic.spec.partitions;
        if found != spec.partitions {
            return Err(LogError::PartitionsDiffer { topic: spec.name.clone(), found, wanted: spec.partitions });
        }
        Ok(entry.topic.clone())
    }

    async fn topic(&self, name: &str) -> Result<Option<Topic>, LogError> {
        Ok(self.catalog.topic(name).map(|entry| entry.topic.clone()))
    }

    async fn topics(&self) -> Result<Vec<Topic>, LogError> {
        Ok(self.catalog.topics())
    }

    async fn record_limit(&self, _: &str) -> Result<Option<usize>, LogError> {
        Ok(Some(batch::MAX_RECORD))
    }

    async fn bounds(&self, topic: &str, partition: u32) -> Result<Bounds, LogError> {
        Ok(*self.catalog.partition(topic, partition)?.bounds.borrow())
    }

    async fn append(&self, appends: Vec<Append>) -> Result<(), LogError> {
        let appends = encode(&self.catalog, &appends)?;
        ask(&self.requests, |reply| Request::Write(Write { claim: None, appends, reply })).await
    }

    async fn read(&self, topic: &str, partition: u32, from: Offset, limit: ReadLimit) -> Result<Fetched, LogError> {
        let partition = self.catalog.partition(topic, partition)?;
        if from == partition.bounds_around(from)?.end && !limit.wait.is_zero() {
            self.wait_beyond(&partition, from, limit).await;
        }
        self.readers.read(&partition, from, limit).await
    }

    async fn purge(&self, topic: &str, partition: u32, before: Offset) -> Result<(), LogError> {
        let partition = self.catalog.partition(topic, partition)?;
        ask(&self.requests, |reply| Request::Purge { partition, before, reply }).await
    }

    async fn take_lane(&self, lane: &LaneId) -> Result<Box<dyn LaneLog>, LogError> {
        let entry = ask(&self.requests, |reply| Request::TakeLane { lane: lane.clone(), reply }).await?;
        Ok(Box::new(EmbeddedLane {
            catalog: Arc::clone(&self.catalog),
            requests: self.requests.clone(),
            lane: lane.clone(),
            epoch: entry.epoch,
            position: entry.position,
        }))
    }

    async fn position(&self, lane: &LaneId) -> Result<Option<Offset>, LogError> {
        Ok(self.catalog.lane(lane).position)
    }

    async fn settled_end(&self, topic: &str, partition: u32) -> Result<Offset, LogError> {
        // A lane asks for the right to commit through the writer's queue, so what was before it is published.
        Ok(self.bounds(topic, partition).await?.end)
    }

    async fn join(&self, group: &str, topic: &str) -> Result<Arc<dyn Membership>, LogError> {
        let entry = self.catalog.topic(topic).ok_or_else(|| LogError::NoSuchTopic(topic.to_owned()))?;
        Ok(Arc::new(member::OnlyMember::new(self.clone(), group, &entry.topic.spec)))
    }

    async fn set_position(&self, lane: &LaneId, position: Offset) -> Result<(), LogError> {
        self.take_lane(lane).await?.commit(Commit { position, appends: Vec::new() }).await
    }

    async fn close(&self) -> Result<(), LogError> {
        Self::close(self).await
    }
}

/// A lane of the embedded log, as its owner holds it.
struct EmbeddedLane {
    catalog: Arc<Catalog>,
    requests: mpsc::Sender<Request>,
    lane: LaneId,
    epoch: u64,
    position: Option<Offset>,
}

#[async_trait]
impl LaneLog for EmbeddedLane {
    fn position(&self) -> Option<Offset> {
        self.position
    }

    async fn commit(&mut self, commit: Commit) -> Result<(), LogError> {
        let appends = encode(&self.catalog, &commit.appends)?;
        let claim = Some(Claim { lane: self.lane.clone(), epoch: self.epoch, position: commit.position });
        ask(&self.requests, |reply| Request::Write(Write { claim, appends, reply })).await
    }
}

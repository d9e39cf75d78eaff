//! Looking into a log that may be another process's: what is read is looked up each time.

use std::path::Path;
use std::sync::Arc;

use azenha_engine::log::{Bounds, LogError, ReadLimit, Topic};
use azenha_model::{Fetched, Offset};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::Mutex;

use super::catalog::TopicEntry;
use super::{FILE, OpenError, database, reader, storage};

const LOOKING: &str = "looking into the log";

/// Reads the log of a data directory, whether or not a host runs on it: no lock is taken, and nothing written.
#[derive(Debug)]
pub struct EmbeddedReader {
    connection: Mutex<SqliteConnection>,
}

impl EmbeddedReader {
    /// Opens the log in `dir`.
    pub async fn open(dir: &Path) -> Result<Self, OpenError> {
        let missing = || OpenError::Missing { dir: dir.to_owned() };
        let file = dir.join(FILE);
        if !file.exists() {
            return Err(missing());
        }
        let mut connection = database::connect(&file, &database::read_only(&file)).await?;
        if !database::has_tables(&mut connection, &file).await? {
            return Err(missing());
        }
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// All topics by name, each with what its partitions hold.
    pub async fn topics(&self) -> Result<Vec<(Topic, Vec<Bounds>)>, LogError> {
        let topics = load(&mut *self.connection.lock().await, None).await?;
        let bounds = |entry: &TopicEntry| entry.partitions.iter().map(|partition| *partition.bounds.borrow()).collect();
        Ok(topics.iter().map(|entry| (entry.topic.clone(), bounds(entry))).collect())
    }

    /// What [`Log::read`](azenha_engine::log::Log::read) gives, but at once: nobody tells this process of new
    /// records, so a limit's wait is none.
    pub async fn read(&self, topic: &str, partition: u32, from: Offset, limit: ReadLimit) -> Result<Fetched, LogError> {
        let mut connection = self.connection.lock().await;
        // One snapshot, so that nothing is purged between a look at the bounds and one at the records.
        let mut snapshot = connection.begin().await.map_err(|error| storage(LOOKING, error))?;
        let entry = load(&mut snapshot, Some(topic)).await?.pop();
        let entry = entry.ok_or_else(|| LogError::NoSuchTopic(topic.to_owned()))?;
        reader::read(&mut snapshot, entry.partition(partition)?, from, limit).await
    }
}

async fn load(connection: &mut SqliteConnection, topic: Option<&str>) -> Result<Vec<Arc<TopicEntry>>, LogError> {
    database::load_topics(connection, topic).await.map_err(|error| storage(LOOKING, error))
}

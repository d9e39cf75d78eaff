//! The database file of the log: its tables, its settings, and what it holds when it is opened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use azenha_engine::log::{Bounds, LaneId, Topic};
use azenha_model::plan::{TopicKind, TopicSpec};
use futures::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::sync::watch;

use super::catalog::{Catalog, Partition, TopicEntry};
use super::{EmbeddedOptions, OpenError};

/// The version of the tables below.
const FORMAT: i64 = 1;

/// Identifiers are AUTOINCREMENT, so none is ever given twice. A batch's index entry is small and beside those
/// of its neighbours; its blob is appended at the end of the table.
const SCHEMA: &str = "
    BEGIN IMMEDIATE;
    CREATE TABLE topics (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL
    );
    CREATE TABLE partitions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        topic_id INTEGER NOT NULL REFERENCES topics (id),
        number INTEGER NOT NULL,
        start_offset INTEGER NOT NULL DEFAULT 0,
        UNIQUE (topic_id, number)
    );
    CREATE TABLE batches (
        id INTEGER PRIMARY KEY,
        partition_id INTEGER NOT NULL,
        base_offset INTEGER NOT NULL,
        records INTEGER NOT NULL,
        data BLOB NOT NULL
    );
    CREATE UNIQUE INDEX batches_by_offset ON batches (partition_id, base_offset);
    CREATE TABLE lanes (
        lane_group TEXT NOT NULL,
        input TEXT NOT NULL,
        partition INTEGER NOT NULL,
        position INTEGER NOT NULL,
        PRIMARY KEY (lane_group, input, partition)
    ) WITHOUT ROWID;
    PRAGMA user_version = 1;
    COMMIT;
";

/// Bytes of a database page: large, because most of what is stored is blobs of tens of kilobytes.
const PAGE: u32 = 16 << 10;

/// How every connection to the file is made. Durability is `synchronous=FULL`: each commit is on the disk
/// before it is acknowledged.
pub(super) fn connect_options(file: &Path, options: &EmbeddedOptions) -> SqliteConnectOptions {
    let settings = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .page_size(PAGE)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(false)
        .busy_timeout(Duration::from_secs(10))
        // Pages and bytes of the write-ahead log: 64 MiB each, so that checkpoints are few and it stays small.
        .pragma("wal_autocheckpoint", "4096")
        .pragma("journal_size_limit", "67108864")
        // Kibibytes.
        .pragma("cache_size", "-16384")
        .row_buffer_size(2)
        .disable_statement_logging();
    match options.size_limit {
        Some(bytes) => settings.pragma("max_page_count", (bytes / u64::from(PAGE)).max(1).to_string()),
        None => settings,
    }
}

/// Makes the tables of a new file, or checks that this version knows those of an existing one.
pub(super) async fn prepare(connection: &mut SqliteConnection, file: &Path) -> Result<(), OpenError> {
    let storage = |source| OpenError::Storage { file: file.to_owned(), source };
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(storage)?;
    match found {
        FORMAT => Ok(()),
        0 => sqlx::raw_sql(SCHEMA).execute(connection).await.map(drop).map_err(storage),
        _ => Err(OpenError::Format { file: file.to_owned(), found, known: FORMAT }),
    }
}

/// Reads topics, bounds and positions.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Catalog, sqlx::Error> {
    let catalog = Catalog::default();
    let mut partitions = load_partitions(connection).await?;
    let mut topics = sqlx::query("SELECT id, name, kind FROM topics").fetch(&mut *connection);
    while let Some(row) = topics.try_next().await? {
        let id: i64 = row.try_get(0)?;
        let kind = kind_named(row.try_get(2)?)?;
        catalog.insert_topic(entry(id, row.try_get(1)?, kind, partitions.remove(&id).unwrap_or_default()));
    }
    drop(topics);
    let mut lanes = sqlx::query("SELECT lane_group, input, partition, position FROM lanes").fetch(connection);
    while let Some(row) = lanes.try_next().await? {
        let lane = LaneId { group: row.try_get(0)?, input: row.try_get(1)?, partition: row.try_get(2)? };
        catalog.move_lane(lane, row.try_get::<i64, _>(3)? as u64);
    }
    drop(lanes);
    Ok(catalog)
}

/// The end of a partition follows from its last batch; one without any was purged up to its end.
const SELECT_PARTITIONS: &str = "
    SELECT topic_id, id, start_offset, coalesce((
        SELECT base_offset + records FROM batches WHERE partition_id = partitions.id ORDER BY base_offset DESC LIMIT 1
    ), 0)
    FROM partitions ORDER BY topic_id, number";

/// Row ids and bounds of partitions, in order, by topic id.
async fn load_partitions(connection: &mut SqliteConnection) -> Result<BTreeMap<i64, Vec<(i64, Bounds)>>, sqlx::Error> {
    let mut partitions: BTreeMap<i64, Vec<_>> = BTreeMap::new();
    let mut rows = sqlx::query(SELECT_PARTITIONS).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let (start, stored_end): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        let bounds = Bounds { start: start as u64, end: stored_end.max(start) as u64 };
        partitions.entry(row.try_get(0)?).or_default().push((row.try_get(1)?, bounds));
    }
    Ok(partitions)
}

fn entry(id: i64, name: String, kind: TopicKind, partitions: Vec<(i64, Bounds)>) -> Arc<TopicEntry> {
    let spec = TopicSpec { name, partitions: partitions.len() as u32, kind };
    let partition = |(number, (id, bounds)): (usize, (i64, Bounds))| {
        let bounds = watch::Sender::new(bounds);
        Arc::new(Partition { id, topic: spec.name.clone(), number: number as u32, bounds })
    };
    let partitions = partitions.into_iter().enumerate().map(partition).collect();
    Arc::new(TopicEntry { topic: Topic { spec, id: id.to_string() }, partitions })
}

/// Writes a new topic, inside of a transaction.
pub(super) async fn create_topic(
    connection: &mut SqliteConnection,
    spec: &TopicSpec,
) -> Result<Arc<TopicEntry>, sqlx::Error> {
    let id: i64 = sqlx::query_scalar("INSERT INTO topics (name, kind) VALUES (?, ?) RETURNING id")
        .bind(&spec.name)
        .bind(kind_name(spec.kind))
        .fetch_one(&mut *connection)
        .await?;
    let mut partitions = Vec::with_capacity(spec.partitions as usize);
    for number in 0..spec.partitions {
        let partition = sqlx::query_scalar("INSERT INTO partitions (topic_id, number) VALUES (?, ?) RETURNING id")
            .bind(id)
            .bind(number)
            .fetch_one(&mut *connection)
            .await?;
        partitions.push((partition, Bounds { start: 0, end: 0 }));
    }
    Ok(entry(id, spec.name.clone(), spec.kind, partitions))
}

const KINDS: [(TopicKind, &str); 4] = [
    (TopicKind::Source, "source"),
    (TopicKind::Output, "output"),
    (TopicKind::Internal, "internal"),
    (TopicKind::Changelog, "changelog"),
];

fn kind_name(kind: TopicKind) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == kind).map_or("", |(_, name)| name)
}

fn kind_named(name: &str) -> Result<TopicKind, sqlx::Error> {
    let kind = KINDS.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind);
    kind.ok_or_else(|| sqlx::Error::Protocol(format!("a topic of unknown kind `{name}`")))
}

/// Opens a connection.
pub(super) async fn connect(file: &Path, settings: &SqliteConnectOptions) -> Result<SqliteConnection, OpenError> {
    let connected = SqliteConnection::connect_with(settings).await;
    connected.map_err(|source| OpenError::Storage { file: file.to_owned(), source })
}

//! The database file of the log: its tables, its settings, and what it holds when it is opened.

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
    -- Topics of two logs have different ids, also if they have the same names.
    INSERT INTO sqlite_sequence (name, seq) VALUES ('topics', (random() & 0x3ffffffffff) << 16);
    PRAGMA user_version = 1;
    COMMIT;
";

/// Bytes of a database page: large, because most of what is stored is blobs of tens of kilobytes.
const PAGE: u32 = 16 << 10;

/// How a connection to the file is made, if it only reads.
pub(super) fn read_only(file: &Path) -> SqliteConnectOptions {
    any_access(file).read_only(true)
}

fn any_access(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .foreign_keys(false)
        .busy_timeout(Duration::from_secs(10))
        // Kibibytes.
        .pragma("cache_size", "-16384")
        .row_buffer_size(2)
        .disable_statement_logging()
}

/// How a connection to the file is made by the process that writes it. Durability is `synchronous=FULL`: each
/// commit is on the disk before it is acknowledged.
pub(super) fn read_write(file: &Path, options: &EmbeddedOptions) -> SqliteConnectOptions {
    let settings = any_access(file)
        .create_if_missing(true)
        .page_size(PAGE)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // Pages and bytes of the write-ahead log: 64 MiB each, so that checkpoints are few and it stays small.
        .pragma("wal_autocheckpoint", "4096")
        .pragma("journal_size_limit", "67108864");
    match options.size_limit {
        Some(bytes) => settings.pragma("max_page_count", (bytes / u64::from(PAGE)).max(1).to_string()),
        None => settings,
    }
}

/// Opens a connection.
pub(super) async fn connect(file: &Path, settings: &SqliteConnectOptions) -> Result<SqliteConnection, OpenError> {
    SqliteConnection::connect_with(settings).await.map_err(|source| OpenError::storage(file, source))
}

/// Makes the tables of a new file.
pub(super) async fn make_tables(connection: &mut SqliteConnection, file: &Path) -> Result<(), OpenError> {
    let made = sqlx::raw_sql(SCHEMA).execute(connection).await;
    made.map(drop).map_err(|source| OpenError::storage(file, source))
}

/// Whether the file has tables, if this version knows them.
pub(super) async fn has_tables(connection: &mut SqliteConnection, file: &Path) -> Result<bool, OpenError> {
    let found = sqlx::query_scalar("PRAGMA user_version").fetch_one(connection).await;
    match found.map_err(|source| OpenError::storage(file, source))? {
        0 => Ok(false),
        FORMAT => Ok(true),
        found => Err(OpenError::Format { file: file.to_owned(), found, known: FORMAT }),
    }
}

/// Reads topics, bounds and positions.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Catalog, sqlx::Error> {
    let catalog = Catalog::default();
    for topic in load_topics(connection, None).await? {
        catalog.insert_topic(topic);
    }
    let mut lanes = sqlx::query("SELECT lane_group, input, partition, position FROM lanes").fetch(connection);
    while let Some(row) = lanes.try_next().await? {
        let lane = LaneId { group: row.try_get(0)?, input: row.try_get(1)?, partition: row.try_get(2)? };
        catalog.move_lane(lane, row.try_get::<i64, _>(3)? as u64);
    }
    drop(lanes);
    Ok(catalog)
}

/// The end of a partition follows from its last batch; one without any was purged up to its end.
const SELECT_TOPICS: &str = "
    SELECT topics.id, name, kind, partitions.id, start_offset, max(start_offset, coalesce((
        SELECT base_offset + records FROM batches WHERE partition_id = partitions.id ORDER BY base_offset DESC LIMIT 1
    ), 0))
    FROM topics JOIN partitions ON topic_id = topics.id
    WHERE ?1 IS NULL OR name = ?1 ORDER BY name, number";

/// The columns of `SELECT_TOPICS`.
type TopicRow = (i64, String, String, i64, i64, i64);

/// All topics by name, or the one of this name.
pub(super) async fn load_topics(
    connection: &mut SqliteConnection,
    name: Option<&str>,
) -> Result<Vec<Arc<TopicEntry>>, sqlx::Error> {
    let rows: Vec<TopicRow> = sqlx::query_as(SELECT_TOPICS).bind(name).fetch_all(connection).await?;
    let topic = |rows: &[TopicRow]| {
        let (id, name, kind, ..) = &rows[0];
        let bounds =
            |(.., partition, start, end): &TopicRow| (*partition, Bounds { start: *start as u64, end: *end as u64 });
        Ok(entry(*id, name.clone(), kind_named(kind)?, rows.iter().map(bounds).collect()))
    };
    rows.chunk_by(|left, right| left.0 == right.0).map(topic).collect()
}

/// A topic from its columns, and the row ids and bounds of its partitions, in order.
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

const KINDS: [(TopicKind, &str); 5] = [
    (TopicKind::Source, "source"),
    (TopicKind::Output, "output"),
    (TopicKind::Internal, "internal"),
    (TopicKind::Changelog, "changelog"),
    (TopicKind::Compacted, "compacted"),
];

fn kind_name(kind: TopicKind) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == kind).map_or("", |(_, name)| name)
}

fn kind_named(name: &str) -> Result<TopicKind, sqlx::Error> {
    let kind = KINDS.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind);
    kind.ok_or_else(|| sqlx::Error::Protocol(format!("a topic of unknown kind `{name}`")))
}

//! The embedded log keeps the promises of every log, and those of its own: offsets without gaps, one process
//! at a time, and that it survives being closed, killed, damaged, and out of space.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

use std::path::Path;

use azenha_conformance::log_conformance;
use azenha_conformance::log_helpers::*;
use azenha_connect::embedded::{EmbeddedLog, EmbeddedOptions, OpenError};
use azenha_engine::log::{Commit, Log, LogError};
use sqlx::Connection;
use tempfile::TempDir;

struct Fixture {
    log: EmbeddedLog,
    _dir: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Self { log: open(dir.path()).await, _dir: dir }
    }

    fn log(&self) -> &dyn Log {
        &self.log
    }
}

async fn open(dir: &Path) -> EmbeddedLog {
    EmbeddedLog::open(dir, EmbeddedOptions::default()).await.unwrap()
}

log_conformance!(async { Some(Fixture::new().await) });

#[tokio::test]
async fn offsets_begin_at_zero_and_have_no_gaps() {
    let fixture = Fixture::new().await;
    let log = fixture.log();
    topic(log, "dense", 1).await;
    let mut owner = log.take_lane(&lane("dense")).await.unwrap();
    for size in [1, 999, 1000, 1001, 2500] {
        let commit = commit(size as u64, to("dense", 0, values(&vec!["x"; size])));
        owner.commit(commit).await.unwrap();
    }
    let offsets: Vec<u64> = read_all(log, "dense", 0).await.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (0..5501).collect::<Vec<u64>>());
}

#[tokio::test]
async fn what_is_committed_but_not_yet_published_is_not_read() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).await;
    topic(&log, "published", 1).await;
    log.append(vec![to("published", 0, values(&["a", "b"]))]).await.unwrap();
    // As it is between a commit to the file and its publication.
    execute(
        dir.path(),
        "INSERT INTO batches (partition_id, base_offset, records, data)
         SELECT partition_id, base_offset + records, records, data FROM batches",
    )
    .await;
    let read = read_once(&log, "published", 0, 0, ALL).await;
    assert_eq!(texts(&read), ["a", "b"]);
    assert!(read_once(&log, "published", 0, 2, ALL).await.is_empty());
}

#[tokio::test]
async fn everything_is_there_after_it_was_opened_again() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).await;
    topic(&log, "kept", 2).await;
    topic(&log, "empty", 1).await;
    topic(&log, "purged", 1).await;
    let mut owner = log.take_lane(&lane("kept")).await.unwrap();
    let appends = vec![to("kept", 1, values(&["a", "b"])), to("purged", 0, values(&["c", "d", "e"]))];
    owner.commit(Commit { position: 42, appends }).await.unwrap();
    log.purge("purged", 0, 3).await.unwrap();
    log.purge("kept", 1, 1).await.unwrap();
    let topics = log.topics().await.unwrap();
    let read = read_all(&log, "kept", 1).await;
    log.close().await.unwrap();

    let log = open(dir.path()).await;
    assert_eq!(log.topics().await.unwrap(), topics);
    assert_eq!(read_all(&log, "kept", 1).await, read);
    assert_eq!(log.position(&lane("kept")).await.unwrap(), Some(42));
    assert_eq!(log.take_lane(&lane("kept")).await.unwrap().position(), Some(42));
    log.append(vec![to("purged", 0, values(&["f"])), to("kept", 1, values(&["c"]))]).await.unwrap();
    assert_eq!(read_from(&log, "purged", 0, 3).await[0].offset, 3);
    assert_eq!(texts(&read_all(&log, "kept", 1).await), ["b", "c"]);
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_files_without_a_close() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).await;
    topic(&log, "killed", 1).await;
    let mut owner = log.take_lane(&lane("killed")).await.unwrap();
    owner.commit(commit(7, to("killed", 0, values(&["safe"])))).await.unwrap();
    // A copy of the files at this moment is what a killed process leaves behind.
    let copy = TempDir::new().unwrap();
    for file in ["log.db", "log.db-wal"] {
        std::fs::copy(dir.path().join(file), copy.path().join(file)).unwrap();
    }
    let log = open(copy.path()).await;
    assert_eq!(texts(&read_all(&log, "killed", 0).await), ["safe"]);
    assert_eq!(log.position(&lane("killed")).await.unwrap(), Some(7));
}

#[tokio::test]
async fn a_second_opener_is_refused_and_told_who_has_it() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).await;
    let error = EmbeddedLog::open(dir.path(), EmbeddedOptions::default()).await.unwrap_err();
    let owner = format!("process {}", std::process::id());
    assert!(error.to_string().contains(&owner), "{error}");
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    log.close().await.unwrap();
    open(dir.path()).await;
}

#[tokio::test]
async fn a_closed_log_says_so() {
    let fixture = Fixture::new().await;
    topic(fixture.log(), "closed", 1).await;
    fixture.log.close().await.unwrap();
    let error = fixture.log.append(vec![to("closed", 0, values(&["late"]))]).await.unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
}

#[tokio::test]
async fn a_newer_format_is_refused_by_its_number() {
    let dir = TempDir::new().unwrap();
    open(dir.path()).await.close().await.unwrap();
    execute(dir.path(), "PRAGMA user_version = 77").await;
    let error = EmbeddedLog::open(dir.path(), EmbeddedOptions::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::Format { found: 77, .. }), "{error}");
    assert!(error.to_string().contains("log.db has format 77"), "{error}");
}

#[tokio::test]
async fn a_damaged_batch_is_an_error_and_not_a_record() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).await;
    topic(&log, "damaged", 1).await;
    log.append(vec![to("damaged", 0, values(&["one", "two"]))]).await.unwrap();
    log.close().await.unwrap();
    execute(dir.path(), "UPDATE batches SET data = substr(data, 1, length(data) - 1) || x'00'").await;
    let log = open(dir.path()).await;
    let error = log.read("damaged", 0, 0, ALL).await.unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("checksum"), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_named_and_leaves_nothing_half_written() {
    let dir = TempDir::new().unwrap();
    let options = EmbeddedOptions { size_limit: Some(1 << 20), ..EmbeddedOptions::default() };
    let log = EmbeddedLog::open(dir.path(), options).await.unwrap();
    topic(&log, "full", 2).await;
    let mut owner = log.take_lane(&lane("full")).await.unwrap();
    let noise: Vec<u8> = (0..200_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut committed = 0;
    let error = loop {
        let appends = vec![to("full", 0, values(&["small"])), to("full", 1, values(&[&noise]))];
        match owner.commit(Commit { position: committed + 1, appends }).await {
            Ok(()) => committed += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LogError::Storage { .. }));
    assert!(error.to_string().contains("disk is full"), "{error}");
    assert!(committed > 0 && committed < 100, "{committed}");
    for partition in [0, 1] {
        assert_eq!(read_all(&log, "full", partition).await.len() as u64, committed);
    }
    assert_eq!(log.position(&lane("full")).await.unwrap(), Some(committed));
    // Space that is purged is used again.
    log.purge("full", 1, committed).await.unwrap();
    let appends = vec![to("full", 1, values(&[&noise]))];
    owner.commit(Commit { position: 100, appends }).await.unwrap();
}

/// Runs SQL on the file of a log.
async fn execute(dir: &Path, sql: &'static str) {
    let url = format!("sqlite://{}", dir.join("log.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

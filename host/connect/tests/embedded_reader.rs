//! A log can be looked into beside the process that has it open, and when nobody has.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

use std::path::Path;

use azenha_conformance::log_helpers::*;
use azenha_connect::embedded::{EmbeddedLog, EmbeddedOptions, EmbeddedReader, OpenError};
use azenha_engine::log::{Bounds, Log, LogError, ReadLimit};
use sqlx::Connection;
use tempfile::TempDir;

async fn open(dir: &Path) -> EmbeddedLog {
    EmbeddedLog::open(dir, EmbeddedOptions::default()).await.unwrap()
}

/// The topics, and what the first partition of each holds.
async fn first_bounds(reader: &EmbeddedReader) -> Vec<(String, Bounds)> {
    let topics = reader.topics().await.unwrap();
    topics.into_iter().map(|(topic, bounds)| (topic.spec.name, bounds[0])).collect()
}

fn holds(topic: &str, start: u64, end: u64) -> (String, Bounds) {
    (topic.to_owned(), Bounds { start, end })
}

#[tokio::test]
async fn topics_and_ends_are_looked_up_afresh() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).await;
    let reader = EmbeddedReader::open(dir.path()).await.unwrap();
    assert!(reader.topics().await.unwrap().is_empty());

    topic(&log, "second", 2).await;
    topic(&log, "first", 1).await;
    log.append(vec![to("second", 0, values(&["a", "b", "c"]))]).await.unwrap();
    assert_eq!(first_bounds(&reader).await, [holds("first", 0, 0), holds("second", 0, 3)]);
    assert_eq!(reader.topics().await.unwrap()[1].0, log.topic("second").await.unwrap().unwrap());
    assert_eq!(reader.read("second", 0, 1, ALL).await.unwrap().offsets, [1, 2]);
    assert!(reader.read("second", 0, 3, ALL).await.unwrap().offsets.is_empty());

    log.append(vec![to("second", 0, values(&["d"])), to("first", 0, values(&["e"]))]).await.unwrap();
    log.purge("second", 0, 3).await.unwrap();
    assert_eq!(first_bounds(&reader).await, [holds("first", 0, 1), holds("second", 3, 4)]);
    assert_eq!(reader.read("second", 0, 3, ALL).await.unwrap().offsets, [3]);
}

#[tokio::test]
async fn a_log_that_nobody_has_open_can_be_read_and_opened_again() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).await;
    topic(&log, "closed", 1).await;
    log.append(vec![to("closed", 0, pairs(&[(Some(b"key"), None)]))]).await.unwrap();
    log.close().await.unwrap();
    drop(log);
    let reader = EmbeddedReader::open(dir.path()).await.unwrap();
    let fetched = reader.read("closed", 0, 0, ALL).await.unwrap();
    assert_eq!((fetched.records.keys.value(0), fetched.records.values.iter().next()), (&b"key"[..], Some(None)));

    let log = open(dir.path()).await;
    log.append(vec![to("closed", 0, values(&["on"]))]).await.unwrap();
    assert_eq!(reader.read("closed", 0, 1, ALL).await.unwrap().offsets, [1]);
}

#[tokio::test]
async fn a_read_never_waits_and_its_limit_holds() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).await;
    topic(&log, "limited", 1).await;
    log.append(vec![to("limited", 0, values(&vec!["x"; 5000]))]).await.unwrap();
    let reader = EmbeddedReader::open(dir.path()).await.unwrap();
    let limit = ReadLimit { records: 10, wait: std::time::Duration::MAX, ..ALL };
    assert_eq!(reader.read("limited", 0, 0, limit).await.unwrap().offsets.len(), 1000, "one stored batch");
    assert!(reader.read("limited", 0, 5000, limit).await.unwrap().offsets.is_empty());
}

#[tokio::test]
async fn what_is_not_there_is_an_error_by_its_name() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).await;
    topic(&log, "known", 2).await;
    log.append(vec![to("known", 0, values(&["a", "b", "c"]))]).await.unwrap();
    log.purge("known", 0, 1).await.unwrap();
    let reader = EmbeddedReader::open(dir.path()).await.unwrap();
    let error = reader.read("unknown", 0, 0, ALL).await.unwrap_err();
    assert!(matches!(&error, LogError::NoSuchTopic(topic) if topic == "unknown"), "{error}");
    let error = reader.read("known", 2, 0, ALL).await.unwrap_err();
    assert!(matches!(error, LogError::NoSuchPartition { partition: 2, .. }), "{error}");
    for outside in [0, 4] {
        let error = reader.read("known", 0, outside, ALL).await.unwrap_err();
        assert!(matches!(error, LogError::OutOfRange { offset, start: 1, end: 3, .. } if offset == outside), "{error}");
    }
    assert_eq!(reader.read("known", 0, 1, ALL).await.unwrap().offsets, [1, 2], "errors leave it usable");
}

#[tokio::test]
async fn a_directory_without_a_log_is_named_and_stays_empty() {
    let dir = TempDir::new().unwrap();
    let error = EmbeddedReader::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    // A host that is starting has made the file, but not its tables.
    std::fs::File::create(dir.path().join("log.db")).unwrap();
    let error = EmbeddedReader::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
}

#[tokio::test]
async fn a_newer_format_is_refused_by_its_number() {
    let dir = TempDir::new().unwrap();
    open(dir.path()).await.close().await.unwrap();
    let url = format!("sqlite://{}", dir.path().join("log.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 77").execute(&mut connection).await.unwrap();
    let error = EmbeddedReader::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Format { found: 77, .. }), "{error}");
}

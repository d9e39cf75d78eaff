//! A process that is killed loses nothing that was acknowledged, and leaves nothing half-written; while it
//! lives, others can read what it writes.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use azenha_conformance::log_helpers::*;
use azenha_connect::embedded::{EmbeddedLog, EmbeddedOptions, EmbeddedReader, OpenError};
use azenha_engine::log::{Commit, Log};
use tempfile::TempDir;

/// The directory that the process to be killed works on; without it `commit_until_killed` does nothing.
const DIRECTORY: &str = "AZENHA_KILLED_LOG";
const ACKNOWLEDGED: &str = "acknowledged ";
const KILLS: usize = 10;

async fn open(dir: &Path) -> EmbeddedLog {
    EmbeddedLog::open(dir, EmbeddedOptions::default()).await.unwrap()
}

/// Not a test of its own: the process that is killed. Commit `n` moves the position to `n + 1` and appends
/// record `n` to two topics.
#[tokio::test]
async fn commit_until_killed() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let log = open(Path::new(&dir)).await;
    topic(&log, "left", 1).await;
    topic(&log, "right", 1).await;
    let mut owner = log.take_lane(&lane("killed")).await.unwrap();
    for number in owner.position().unwrap_or(0).. {
        let records = values(&[number.to_string()]);
        let appends = vec![to("left", 0, records.clone()), to("right", 0, records)];
        owner.commit(Commit { position: number + 1, appends }).await.unwrap();
        println!("{ACKNOWLEDGED}{}", number + 1);
    }
}

/// Starts the process; with it come the positions that it acknowledges.
fn start(dir: &Path) -> (Child, impl Iterator<Item = u64>) {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "commit_until_killed", "--nocapture"])
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    // The first line stands behind the test's name.
    let acknowledged =
        lines.filter_map(|line| line.split_once(ACKNOWLEDGED).and_then(|(_, position)| position.parse().ok()));
    (process, acknowledged)
}

/// Runs the process until it acknowledged some commits, kills it, and gives the last acknowledged position.
fn run_and_kill(dir: &Path, commits: usize) -> u64 {
    let (mut process, mut acknowledged) = start(dir);
    let seen = acknowledged.nth(commits).unwrap();
    process.kill().unwrap();
    let last = acknowledged.last().unwrap_or(seen);
    process.wait().unwrap();
    last
}

#[tokio::test]
async fn acknowledged_commits_survive_a_kill() {
    let dir = TempDir::new().unwrap();
    for kill in 0..KILLS {
        let acknowledged = run_and_kill(dir.path(), kill * 7);
        let log = open(dir.path()).await;
        let position = log.position(&lane("killed")).await.unwrap().unwrap();
        assert!(position >= acknowledged, "position {position}, but {acknowledged} was acknowledged");
        let wanted: Vec<String> = (0..position).map(|number| number.to_string()).collect();
        for topic in ["left", "right"] {
            assert_eq!(texts(&read_all(&log, topic, 0).await), wanted);
        }
        log.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_another_process_acknowledged_can_be_read_while_it_writes() {
    let dir = TempDir::new().unwrap();
    let (mut process, mut acknowledged) = start(dir.path());
    acknowledged.next().unwrap();
    let in_use = EmbeddedLog::open(dir.path(), EmbeddedOptions::default()).await.unwrap_err();
    assert!(matches!(in_use, OpenError::InUse { .. }), "{in_use}");
    let reader = EmbeddedReader::open(dir.path()).await.unwrap();
    let mut read = Vec::new();
    for position in acknowledged.by_ref().take(50) {
        let fetched = reader.read("left", 0, read.len() as u64, ALL).await.unwrap();
        read.extend(fetched.records.values.iter().map(|value| String::from_utf8(value.unwrap().to_vec()).unwrap()));
        assert!(read.len() as u64 >= position, "{} records, but {position} are acknowledged", read.len());
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let wanted: Vec<String> = (0..read.len()).map(|number| number.to_string()).collect();
    assert_eq!(read, wanted);
}

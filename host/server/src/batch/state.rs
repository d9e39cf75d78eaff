//! How far a run has come, kept beside its log: a run that was interrupted goes on.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use azenha_connect::private;
use azenha_model::civil::format_timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Dates;
use super::history::Past;
use super::report::Report;

/// The file of a run's folder that says how far it has come.
const FILE: &str = "run.json";

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Its name: when it began, and what tells it from one that began at the same time.
    pub run: String,
    /// When it began: microseconds since 1970.
    pub started: i64,
    /// What it reads; none: everything.
    pub dates: Option<Dates>,
    /// Identifies what is run: another pipeline, or other plugins, begin anew.
    pub digest: String,
    /// What was copied of topics, once that is done.
    pub copied: Vec<Past>,
    /// How far it has come.
    pub stage: Stage,
}

/// How far a run has come. What a stage does can be done again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its log and its tables are being made.
    Beginning,
    /// Its log holds everything that is to be read, and its tables are there; rows are on their way.
    Reading,
    /// Every check has passed, and tables are put in place.
    Replacing(Box<Report>),
}

/// The folder of a pipeline's runs: there is one at a time.
#[derive(Debug)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// The folder of a pipeline in a host's data directory.
    pub fn of(data: &Path, pipeline: &str) -> Self {
        Self(data.join("batches").join(pipeline))
    }

    /// Keeps other processes from running the pipeline as long as the file is open: they share the folder.
    pub fn lock(&self) -> Result<File> {
        let file = self.0.with_extension("lock");
        private::make_directory(file.parent().unwrap_or(&self.0)).with_context(|| file.display().to_string())?;
        let opened = File::create(&file).with_context(|| file.display().to_string())?;
        match opened.try_lock() {
            Ok(()) => Ok(opened),
            Err(TryLockError::WouldBlock) => bail!("another process runs this batch now: it holds {}", file.display()),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| file.display().to_string()),
        }
    }

    /// Where the run's log is.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The run that was interrupted, if there is one.
    pub fn interrupted(&self) -> Result<Option<RunState>> {
        let file = self.0.join(FILE);
        match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).map(Some).with_context(|| file.display().to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| file.display().to_string()),
        }
    }

    /// Begins a run, and forgets the one before.
    pub fn begin(&self, started: i64, dates: Option<Dates>, digest: String) -> Result<RunState> {
        self.end()?;
        private::make_directory(&self.0).with_context(|| self.0.display().to_string())?;
        self.0.parent().map_or(Ok(()), sync)?;
        let state =
            RunState { run: name(started), started, dates, digest, copied: Vec::new(), stage: Stage::Beginning };
        self.keep(&state)?;
        Ok(state)
    }

    /// Remembers how far the run has come, as a whole or not at all.
    pub fn keep(&self, state: &RunState) -> Result<()> {
        let (file, new) = (self.0.join(FILE), self.0.join(format!("{FILE}.new")));
        let kept = File::create(&new).and_then(|mut opened| {
            serde_json::to_writer(&mut opened, state)?;
            opened.sync_all()?;
            fs::rename(&new, &file)
        });
        kept.with_context(|| file.display().to_string())?;
        sync(&self.0)
    }

    /// Forgets the run.
    pub fn end(&self) -> Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| self.0.display().to_string())
            }
            _ => Ok(()),
        }
    }
}

/// Makes the names in a folder outlast a loss of power.
fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|opened| opened.sync_all()).with_context(|| folder.display().to_string())
}

/// `20240131T030000.123456Z-1a2b3c4d`: in the order in which runs began, and another for each, wherever it began.
fn name(started: i64) -> String {
    let text = format_timestamp(started);
    let digits: String = text.chars().filter(char::is_ascii_digit).take(14).collect();
    let (day, time) = digits.split_at(8.min(digits.len()));
    let (micros, place) = (started.rem_euclid(1_000_000), Uuid::new_v4().simple().to_string());
    format!("{day}T{time}.{micros:06}Z-{}", &place[..8])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_called_by_the_time_at_which_it_began_and_is_never_taken_for_another() {
        let first = name(1_706_670_000_123_456);
        assert!(first.starts_with("20240131T030000.123456Z-"), "{first}");
        assert_ne!(first, name(1_706_670_000_123_456));
    }

    #[test]
    fn what_was_kept_is_what_was_interrupted() {
        let data = tempfile::tempdir().unwrap();
        let folder = RunFolder::of(data.path(), "warehouse");
        assert_eq!(folder.interrupted().unwrap(), None);
        let mut state = folder.begin(1_706_670_000_000_000, None, "abc".to_owned()).unwrap();
        state.stage = Stage::Reading;
        folder.keep(&state).unwrap();
        assert_eq!(folder.interrupted().unwrap(), Some(state));
        folder.end().unwrap();
        assert_eq!(folder.interrupted().unwrap(), None);
    }
}

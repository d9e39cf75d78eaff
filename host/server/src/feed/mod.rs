//! Feeds a file of records, one JSON object a line, to a source's topic, once: how far it got is committed
//! together with the records, so that a run that was killed goes on where it ended.

mod lines;
mod pace;
mod progress;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arrow_array::Array;
use arrow_array::builder::BinaryBuilder;
use azenha_engine::log::{Commit, LaneId, LaneLog, Log, LogError};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::ingest::{Router, SourceTopic, now};
use lines::{Lines, head};
pub use pace::Pace;
use progress::{HEAD_BYTES, History, Progress};

/// Bytes of records that are committed at once.
const COMMIT_BYTES: usize = 8 << 20;

/// Portions that are read ahead while one is committed.
const READ_AHEAD: usize = 3;

/// Why a file is not fed.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not the one of which a part was fed.
    #[error(
        "{} was fed to source `{to}` before, and it has changed since: {how}; \
         if this is another file, give it another name", path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// The source that it was fed to.
        to: String,
        /// What is different.
        how: String,
    },
    /// Two feeds of one file.
    #[error("{} is being fed by somebody else", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// A record about feeds that nobody but a feed writes.
    #[error("what is known about earlier feeds cannot be understood: {0}")]
    Progress(String),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Records that were fed, by earlier runs too; whoever shows progress reads it.
pub type Fed = AtomicU64;

/// Feeds what was not fed yet of the file at `path`, up to its end.
pub async fn feed(
    log: &Arc<dyn Log>,
    source: &SourceTopic,
    path: &Path,
    pace: &Pace,
    fed: &Fed,
) -> Result<(), FeedError> {
    let Some((progress, lines)) = open(log.as_ref(), source, path).await? else {
        return Ok(());
    };
    let mut lane = take_lane(log.as_ref(), &progress, path).await?;
    fed.fetch_add(progress.records, Relaxed);
    let (sender, mut portions) = mpsc::channel(READ_AHEAD);
    let reader = Reader { path: path.to_owned(), lines, progress, router: Router::new(source), stride: pace.stride() };
    spawn_blocking(move || reader.read_into(&sender));
    while let Some(portion) = portions.recv().await {
        let portion = portion?;
        pace.admit(portion.records).await;
        lane.commit(portion.commit).await?;
        fed.fetch_add(portion.records as u64, Relaxed);
    }
    Ok(())
}

/// How many records a file holds.
pub fn count_records(path: &Path) -> Result<u64, FeedError> {
    let unreadable = |source| FeedError::Unreadable { path: path.to_owned(), source };
    let mut lines = Lines::open(path).map_err(unreadable)?;
    let (mut records, mut line) = (0, Vec::new());
    while lines.next(&mut line).map_err(unreadable)? {
        records += u64::from(is_record(&line));
    }
    Ok(records)
}

/// Lines with nothing in them are no records.
fn is_record(line: &[u8]) -> bool {
    !line.trim_ascii().is_empty()
}

/// Recognises the file and opens it where the last feed ended. None if it has nothing in it.
async fn open(log: &dyn Log, source: &SourceTopic, path: &Path) -> Result<Option<(Progress, Lines)>, FeedError> {
    let unreadable = |source| FeedError::Unreadable { path: path.to_owned(), source };
    let head = head(path, HEAD_BYTES).map_err(unreadable)?;
    if head.is_empty() {
        return Ok(None);
    }
    let place = path.canonicalize().map_err(unreadable)?.display().to_string();
    let history = History::read(log, &source.pipeline, &source.source).await?;
    let mut progress = match (history.of_file(&head), history.of_path(&place)) {
        (Some(known), _) => known.clone(),
        (None, Some(_)) => {
            let how = "it begins with other bytes".to_owned();
            return Err(FeedError::Changed { path: path.to_owned(), to: source.source.clone(), how });
        }
        (None, None) => Progress::start(&source.pipeline, &source.source, &place, &head),
    };
    let lines = progress.resume(path)?;
    progress.path = place;
    Ok(Some((progress, lines)))
}

async fn take_lane(log: &dyn Log, progress: &Progress, path: &Path) -> Result<Box<dyn LaneLog>, FeedError> {
    let group = format!("feed.{}.{}", progress.pipeline, progress.source);
    let lane = log.take_lane(&LaneId { group, input: progress.head.sha256.clone(), partition: 0 }).await?;
    if lane.position().unwrap_or(0) != progress.position {
        return Err(FeedError::Taken { path: path.to_owned() });
    }
    Ok(lane)
}

/// Records that are committed together.
struct Portion {
    commit: Commit,
    records: usize,
}

/// Reads a file ahead of its commits.
struct Reader {
    path: PathBuf,
    lines: Lines,
    progress: Progress,
    router: Router,
    /// Records a portion, if the pace sets it.
    stride: Option<usize>,
}

impl Reader {
    /// Reads until the file ends or nobody wants its portions any more.
    fn read_into(mut self, portions: &mpsc::Sender<Result<Portion, FeedError>>) {
        while let Some(portion) = self.next().transpose() {
            let failed = portion.is_err();
            if portions.blocking_send(portion).is_err() || failed {
                return;
            }
        }
    }

    fn next(&mut self) -> Result<Option<Portion>, FeedError> {
        let unreadable = |source| FeedError::Unreadable { path: self.path.clone(), source };
        let most = self.stride.unwrap_or(usize::MAX);
        let (mut values, mut line) = (BinaryBuilder::new(), Vec::new());
        while values.values_slice().len() < COMMIT_BYTES && values.offsets_slice().len() <= most {
            if !self.lines.next(&mut line).map_err(unreadable)? {
                break;
            }
            if is_record(&line) {
                values.append_value(&line);
            }
        }
        if self.lines.position() == self.progress.position {
            return Ok(None);
        }
        let values = values.finish();
        let mut appends = self.router.route(&values, self.progress.records);
        self.progress.position = self.lines.position();
        self.progress.checksum = self.lines.checksum();
        self.progress.terminated = self.lines.terminated();
        self.progress.records += values.len() as u64;
        appends.push(self.progress.append(now())?);
        let commit = Commit { position: self.progress.position, appends };
        Ok(Some(Portion { commit, records: values.len() }))
    }
}

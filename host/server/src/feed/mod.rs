//! Feeds a file of records, one JSON object a line, to a source's topic, once: how far it got is committed
//! together with the records, so that a run that was killed goes on where it ended.

mod batch;
mod lines;
mod pace;
mod progress;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use azenha_engine::log::{Commit, LaneId, LaneLog, Log, LogError};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::ingest::{Router, SourceTopic, now};
use crate::results::grouped;
use batch::Batch;
pub use lines::Lines;
use lines::head;
pub use pace::Pace;
use progress::{HEAD_BYTES, Head, History, Progress};

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
    /// The file ends in the middle of what gzip made.
    #[error(
        "{}: the gzip file is cut off; what came before the cut was fed, the whole file later goes on from there",
        path.display()
    )]
    CutOff {
        /// The file.
        path: PathBuf,
    },
    /// The file is not the one of which a part was fed.
    #[error("{} was fed to source `{to}` before, and it has changed since: {how}", path.display())]
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

impl FeedError {
    /// What a failure to read the file at `path` is. Only compressed files have an end that they must not end before.
    fn reading(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::CutOff { path: path.to_owned() },
            _ => Self::Unreadable { path: path.to_owned(), source },
        }
    }
}

/// Records that were fed, by earlier runs too; whoever shows progress reads it.
pub type Fed = AtomicU64;

/// A file that is fed up to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FedFile {
    /// The file.
    pub path: PathBuf,
    /// Records fed now.
    pub records: u64,
    /// Records fed by earlier runs.
    pub before: u64,
}

impl fmt::Display for FedFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, records, before) = (self.path.display(), grouped(self.records), grouped(self.before));
        write!(formatter, "{path}: fed {records} records; {before} were fed before")
    }
}

/// Feeds what was not fed yet of the file at `path`, up to its end.
pub async fn feed(
    log: &Arc<dyn Log>,
    source: &SourceTopic,
    path: &Path,
    pace: &Pace,
    fed: &Fed,
) -> Result<FedFile, FeedError> {
    let mut done = FedFile { path: path.to_owned(), records: 0, before: 0 };
    let Some((progress, lines)) = open(log.as_ref(), source, path).await? else {
        return Ok(done);
    };
    done.before = progress.records;
    let mut lane = take_lane(log.as_ref(), &source.topic, &progress, path).await?;
    fed.fetch_add(progress.records, Relaxed);
    let (sender, mut portions) = mpsc::channel(READ_AHEAD);
    let (router, stride) = (Router::new(source), pace.stride());
    let reader = Reader { path: path.to_owned(), lines, progress, router, stride, failure: None };
    spawn_blocking(move || reader.read_into(&sender));
    while let Some(portion) = portions.recv().await {
        let portion = portion?;
        pace.admit(portion.records).await;
        lane.commit(portion.commit).await?;
        fed.fetch_add(portion.records as u64, Relaxed);
        done.records += portion.records as u64;
    }
    Ok(done)
}

/// How many records a file holds.
pub fn count_records(path: &Path) -> Result<u64, FeedError> {
    let unreadable = FeedError::reading(path);
    let mut lines = Lines::open(path).map_err(&unreadable)?;
    let (mut records, mut line) = (0, Vec::new());
    while lines.next(&mut line).map_err(&unreadable)? {
        records += u64::from(is_record(&line));
    }
    Ok(records)
}

/// Lines with nothing in them are no records.
pub fn is_record(line: &[u8]) -> bool {
    !line.trim_ascii().is_empty()
}

/// Recognises the file and opens it where the last feed ended. None if it has nothing in it.
async fn open(log: &dyn Log, source: &SourceTopic, path: &Path) -> Result<Option<(Progress, Lines)>, FeedError> {
    let unreadable = FeedError::reading(path);
    let head = head(path, HEAD_BYTES).map_err(&unreadable)?;
    if head.is_empty() {
        return Ok(None);
    }
    let place = path.canonicalize().map_err(&unreadable)?.display().to_string();
    let history = History::read(log, &source.pipeline, &source.source).await?;
    let mut progress = match (history.of_file(&head), history.of_path(&place)) {
        (Some(known), _) => known.clone(),
        (None, Some(_)) => {
            let how = "it begins otherwise; if this is another file, give it another name".to_owned();
            return Err(FeedError::Changed { path: path.to_owned(), to: source.source.clone(), how });
        }
        (None, None) => Progress::start(&source.pipeline, &source.source, history.files(), &place, &head),
    };
    let lines = progress.resume(path)?;
    progress.path = place;
    progress.head = Head::of(&head);
    Ok(Some((progress, lines)))
}

async fn take_lane(
    log: &dyn Log,
    topic: &str,
    progress: &Progress,
    path: &Path,
) -> Result<Box<dyn LaneLog>, FeedError> {
    let group = format!("feed.{}.{}.{}", progress.pipeline, progress.source, progress.lane);
    let lane = log.take_lane(&LaneId { group, input: topic.to_owned(), partition: 0 }).await?;
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
    /// Why the file cannot be read any further; said when everything before is fed.
    failure: Option<io::Error>,
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
        let from = self.progress.position;
        let mut batch = Batch::of_file(&self.path);
        self.fill(&mut batch);
        if self.progress.position == from {
            return self.failure.take().map_or(Ok(None), |error| Err(FeedError::reading(&self.path)(error)));
        }
        let records = batch.len();
        let mut appends = batch.route(&mut self.router, self.progress.records);
        self.progress.records += records as u64;
        appends.push(self.progress.append(now())?);
        let commit = Commit { position: self.progress.position, appends };
        Ok(Some(Portion { commit, records }))
    }

    /// Reads lines until there are enough, or no more that can be read.
    fn fill(&mut self, batch: &mut Batch) {
        let (most, mut line) = (self.stride.unwrap_or(usize::MAX), Vec::new());
        while batch.bytes() < COMMIT_BYTES && batch.len() < most {
            match self.read(batch, &mut line) {
                Ok(true) => self.progress.reached(&self.lines),
                Ok(false) => return,
                Err(error) => {
                    self.failure = Some(error);
                    return;
                }
            }
        }
    }

    /// Reads a line into the batch. False at the end of the file, and behind a line that could not be read.
    fn read(&mut self, batch: &mut Batch, line: &mut Vec<u8>) -> io::Result<bool> {
        if self.failure.is_some() || !self.lines.next(line)? {
            return Ok(false);
        }
        if is_record(line) {
            let place = self.progress.position;
            let wrong =
                |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("the line at byte {place} {why}"));
            batch.push(line).map_err(wrong)?;
        }
        Ok(true)
    }
}

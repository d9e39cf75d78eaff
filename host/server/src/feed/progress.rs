//! What a feed remembers of a file: enough to go on where it ended, and to notice that the file is not the
//! one that it was. It is kept in a topic and committed together with the records that it speaks of.

use std::path::Path;

use arrow_array::BinaryArray;
use azenha_engine::log::{Append, Log, LogError, ReadLimit};
use azenha_model::Records;
use azenha_model::plan::{TopicKind, TopicSpec};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::FeedError;
use super::lines::Lines;

/// The topic of every feed's progress.
const TOPIC: &str = "azenha.feeds";

/// By so many of its first bytes a file is known.
pub const HEAD_BYTES: usize = 64 << 10;

/// How far a file was fed to a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The pipeline that the source belongs to.
    pub pipeline: String,
    /// The source's name.
    pub source: String,
    /// Where the file was when it was fed last.
    pub path: String,
    /// Names the feed in the log; it stays the same while the file grows.
    pub lane: String,
    /// What the file is known by.
    pub head: Head,
    /// Bytes fed, decompressed.
    pub position: u64,
    /// CRC-32 of these bytes.
    pub checksum: u32,
    /// Records made of them.
    pub records: u64,
    /// False if the last line that was fed had no end, because the file ended there.
    pub terminated: bool,
}

/// The beginning of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// How many bytes: fewer than [`HEAD_BYTES`] if the file was shorter when it was last fed.
    pub bytes: usize,
    /// Their SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl Head {
    /// The head of a file that begins with `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = Sha256::digest(bytes);
        Self { bytes: bytes.len(), sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    fn matches(&self, head: &[u8]) -> bool {
        head.get(..self.bytes).is_some_and(|bytes| Self::of(bytes) == *self)
    }
}

impl Progress {
    /// Nothing was fed of a file that begins with `head`. It is the feed with this number of the source's: files may
    /// have begun with the same bytes and have grown apart.
    pub fn start(pipeline: &str, source: &str, number: usize, path: &str, head: &[u8]) -> Self {
        let head = Head::of(head);
        Self {
            lane: format!("{}.{number}", head.sha256),
            head,
            pipeline: pipeline.to_owned(),
            source: source.to_owned(),
            path: path.to_owned(),
            position: 0,
            checksum: 0,
            records: 0,
            terminated: true,
        }
    }

    /// Opens the file at the place that was reached, if it is still the same up to there.
    pub fn resume(&self, path: &Path) -> Result<Lines, FeedError> {
        let unreadable = FeedError::reading(path);
        let changed = |how: String| FeedError::Changed { path: path.to_owned(), to: self.source.clone(), how };
        let mut lines = Lines::open(path).map_err(&unreadable)?;
        lines.skip(self.position).map_err(&unreadable)?;
        if lines.position() < self.position {
            return Err(changed(format!("it had {} bytes and has only {} now", self.position, lines.position())));
        }
        if lines.checksum() != self.checksum {
            return Err(changed(format!("its first {} bytes, which were fed, are others now", self.position)));
        }
        if !self.terminated && !matches!(lines.peek().map_err(&unreadable)?, None | Some(b'\n' | b'\r')) {
            return Err(changed("the line that was its last and was fed as it stood now goes on".to_owned()));
        }
        Ok(lines)
    }

    /// Everything that was read of `lines` is fed.
    pub fn reached(&mut self, lines: &Lines) {
        self.position = lines.position();
        self.checksum = lines.checksum();
        self.terminated = lines.terminated();
    }

    /// The record of this progress.
    pub fn append(&self, timestamp: i64) -> Result<Append, FeedError> {
        let value = serde_json::to_vec(self).map_err(|error| FeedError::Progress(error.to_string()))?;
        let records = Records::unkeyed(BinaryArray::from_iter_values([value]), timestamp);
        Ok(Append { topic: TOPIC.to_owned(), partition: 0, records })
    }
}

/// Everything that was ever fed to one source, the latest progress of each file.
#[derive(Debug, Default)]
pub struct History(Vec<Progress>);

impl History {
    /// Reads the progress of the files of one source.
    pub async fn read(log: &dyn Log, pipeline: &str, source: &str) -> Result<Self, FeedError> {
        log.ensure_topic(&TopicSpec { name: TOPIC.to_owned(), partitions: 1, kind: TopicKind::Internal }).await?;
        let mut history = Self::default();
        for value in all_values(log).await? {
            let progress: Progress =
                serde_json::from_slice(&value).map_err(|error| FeedError::Progress(error.to_string()))?;
            if progress.pipeline == pipeline && progress.source == source {
                history.note(progress);
            }
        }
        Ok(history)
    }

    fn note(&mut self, progress: Progress) {
        match self.0.iter_mut().find(|known| known.lane == progress.lane) {
            Some(known) => *known = progress,
            None => self.0.push(progress),
        }
    }

    /// How many files were fed.
    pub fn files(&self) -> usize {
        self.0.len()
    }

    /// The progress of the file that begins with `head`; of several that fit, the one known best.
    pub fn of_file(&self, head: &[u8]) -> Option<&Progress> {
        self.0.iter().filter(|known| known.head.matches(head)).max_by_key(|known| known.head.bytes)
    }

    /// The progress of whatever file was at `path`.
    pub fn of_path(&self, path: &str) -> Option<&Progress> {
        self.0.iter().find(|known| known.path == path)
    }
}

async fn all_values(log: &dyn Log) -> Result<Vec<Vec<u8>>, LogError> {
    let bounds = log.bounds(TOPIC, 0).await?;
    let limit = ReadLimit { records: 10_000, bytes: 8 << 20, wait: std::time::Duration::ZERO };
    let (mut offset, mut values) = (bounds.start, Vec::new());
    while offset < bounds.end {
        let fetched = log.read(TOPIC, 0, offset, limit).await?;
        if fetched.next == offset {
            break;
        }
        offset = fetched.next;
        values.extend(fetched.records.values.iter().flatten().map(<[u8]>::to_vec));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn fed(content: &[u8], position: usize) -> Progress {
        let mut progress = Progress::start("shop", "clicks", 0, "/clicks", &content[..content.len().min(HEAD_BYTES)]);
        let mut checksum = flate2::Crc::new();
        checksum.update(&content[..position]);
        progress.position = position as u64;
        progress.checksum = checksum.sum();
        progress.terminated = content[..position].ends_with(b"\n");
        progress
    }

    fn refusal(progress: &Progress, content: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clicks");
        fs::write(&path, content).unwrap();
        progress.resume(&path).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn a_grown_file_is_the_same_and_goes_on() {
        let progress = fed(b"one\n", 4);
        let mut history = History::default();
        history.note(progress.clone());
        assert_eq!(history.of_file(b"one\ntwo\n"), Some(&progress));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clicks");
        fs::write(&path, b"one\ntwo\n").unwrap();
        let mut line = Vec::new();
        assert!(progress.resume(&path).unwrap().next(&mut line).unwrap());
        assert_eq!(line, b"two");
    }

    #[test]
    fn another_file_is_another_and_the_better_known_of_two_is_taken() {
        let mut history = History::default();
        history.note(fed(b"one\n", 4));
        history.note(Progress { lane: "another".into(), ..fed(b"one\ntwo\n", 8) });
        assert_eq!(history.of_file(b"two\n"), None);
        assert_eq!(history.of_file(b"one\ntwo\nthree\n").map(|known| known.position), Some(8));
    }

    #[test]
    fn a_file_that_grew_is_known_by_all_of_it_and_not_by_what_it_began_with() {
        let mut history = History::default();
        let first = fed(b"one\n", 4);
        history.note(first.clone());
        history.note(Progress { lane: first.lane, ..fed(b"one\ntwo\n", 8) });
        assert_eq!(history.files(), 1);
        assert_eq!(history.of_file(b"one\nother\n"), None, "another file with the same first line");
        assert_eq!(history.of_file(b"one\ntwo\nthree\n").map(|known| known.position), Some(8));
    }

    #[test]
    fn a_changed_file_is_refused_with_what_changed() {
        assert!(refusal(&fed(b"one\ntwo\n", 8), b"one\nTWO\n").contains("first 8 bytes"));
        assert!(refusal(&fed(b"one\ntwo\n", 8), b"one\n").contains("only 4 now"));
        assert!(refusal(&fed(b"one\ntwo", 7), b"one\ntwo more\n").contains("now goes on"));
    }
}

//! Where a load's records come from: threads that make batches ahead, taken in turn, so that the order of records
//! does not depend on how many threads there are.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow_array::builder::BinaryBuilder;
use arrow_array::{Array, BinaryArray};
use azenha_model::Records;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::spawn_blocking;

use super::keys::keys_of;
use super::{BATCH, Generator};
use crate::feed::{Lines, is_record};

/// Batches that each thread makes ahead.
const AHEAD: usize = 8;

/// Bytes of a batch that is read from a file.
const BATCH_BYTES: usize = 1 << 20;

/// The most that goes together: enough that the cost of a call does not matter, little enough for one request.
const PORTION_RECORDS: u64 = 20_000;
const PORTION_BYTES: usize = 4 << 20;

/// Batches in order, cut as they are wanted.
#[derive(Debug)]
pub struct Source {
    threads: Vec<Receiver<Result<Records>>>,
    /// The thread whose batch comes next.
    turn: usize,
    /// What was received and not taken.
    rest: Option<Result<Records>>,
}

impl Source {
    /// Records without end, from so many threads. They are keyed by the field `key`, if there is one.
    pub fn generated(generator: &Arc<dyn Generator>, key: Option<&str>, threads: usize) -> Self {
        let thread = |first: usize| {
            let (sender, receiver) = mpsc::channel(AHEAD);
            let (generator, key) = (Arc::clone(generator), key.map(str::to_owned));
            spawn_blocking(move || {
                let batches = (first as u64..).step_by(threads).map(|number| generator.batch(number));
                send_all(batches.map(Ok), key.as_deref(), &sender);
            });
            receiver
        };
        Self { threads: (0..threads).map(thread).collect(), turn: 0, rest: None }
    }

    /// The lines of a file, from its beginning to its end.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn file(path: &Path, key: Option<&str>) -> Result<Self> {
        let name = path.display().to_string();
        let lines = Lines::open(path).with_context(|| name.clone())?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let key = key.map(str::to_owned);
        spawn_blocking(move || send_all(FileBatches { name, lines, failure: None }, key.as_deref(), &sender));
        Ok(Self { threads: vec![receiver], turn: 0, rest: None })
    }

    /// Waits for the next records, and takes what else is ready, but no more than `most`. None at the end.
    ///
    /// # Errors
    /// If what comes next cannot be read; everything before was taken.
    pub async fn take(&mut self, most: u64) -> Result<Option<Vec<Records>>> {
        let most = most.min(PORTION_RECORDS) as usize;
        let (mut portion, mut count, mut bytes) = (Vec::new(), 0, 0);
        while count < most && bytes < PORTION_BYTES {
            let next = if portion.is_empty() { self.next().await } else { self.ready() };
            let records = match next {
                Some(Ok(records)) => records,
                Some(failed) if portion.is_empty() => return failed.map(|_| None),
                rest => {
                    self.rest = rest;
                    break;
                }
            };
            let length = records.len().min(most - count);
            if length < records.len() {
                self.rest = Some(Ok(records.slice(length, records.len() - length)));
            }
            let records = records.slice(0, length);
            count += length;
            bytes += records.bytes();
            portion.push(records);
        }
        Ok((!portion.is_empty()).then_some(portion))
    }

    async fn next(&mut self) -> Option<Result<Records>> {
        match self.rest.take() {
            Some(rest) => Some(rest),
            None => {
                let next = self.threads[self.turn].recv().await;
                self.advance(next)
            }
        }
    }

    fn ready(&mut self) -> Option<Result<Records>> {
        match self.rest.take() {
            Some(rest) => Some(rest),
            None => {
                let next = self.threads[self.turn].try_recv().ok();
                self.advance(next)
            }
        }
    }

    fn advance(&mut self, received: Option<Result<Records>>) -> Option<Result<Records>> {
        if received.is_some() {
            self.turn = (self.turn + 1) % self.threads.len();
        }
        received
    }
}

/// Sends batches until there are no more, one is a failure, or nobody wants them.
fn send_all(batches: impl Iterator<Item = Result<BinaryArray>>, key: Option<&str>, sender: &Sender<Result<Records>>) {
    for batch in batches {
        let records = batch.map(|values| {
            let keys = key.map(|key| keys_of(&values, key));
            let records = Records::unkeyed(values, 0);
            Records { keys: keys.unwrap_or_else(|| records.keys.clone()), ..records }
        });
        let failed = records.is_err();
        if sender.blocking_send(records).is_err() || failed {
            return;
        }
    }
}

/// The records of a file, in batches.
struct FileBatches {
    name: String,
    lines: Lines,
    /// Why the file cannot be read any further; said when everything before was given.
    failure: Option<io::Error>,
}

impl Iterator for FileBatches {
    type Item = Result<BinaryArray>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut values, mut line) = (BinaryBuilder::new(), Vec::new());
        while self.failure.is_none()
            && values.offsets_slice().len() <= BATCH as usize
            && values.values_slice().len() < BATCH_BYTES
        {
            match self.lines.next(&mut line) {
                Ok(true) if is_record(&line) => values.append_value(&line),
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.failure = Some(error),
            }
        }
        let values = values.finish();
        if values.is_empty() {
            return self.failure.take().map(|error| Err(anyhow::Error::new(error).context(self.name.clone())));
        }
        Some(Ok(values))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::Clicks;
    use super::*;

    /// The first `count` records (key, value), taken `most` at once.
    async fn records(mut source: Source, count: usize, most: u64) -> Vec<(Option<String>, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut all = Vec::new();
        while all.len() < count
            && let Some(portion) = source.take(most).await.unwrap()
        {
            assert!(portion.iter().map(Records::len).sum::<usize>() <= most as usize);
            for records in portion {
                let rows = records.keys.iter().zip(&records.values);
                all.extend(rows.map(|(key, value)| (key.map(text), text(value.unwrap()))));
            }
        }
        all.truncate(count);
        all
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_same_seed_gives_the_same_records_from_any_number_of_threads() {
        let clicks: Arc<dyn Generator> = Arc::new(Clicks::new(7, 0, 10.0));
        let source = |threads| Source::generated(&clicks, Some("campaignId"), threads);
        let one = records(source(1), 12_345, 1_000).await;
        assert_eq!(one.len(), 12_345);
        for (threads, most) in [(2, 20_000), (3, 700), (8, 1)] {
            assert!(one == records(source(threads), 12_345, most).await, "{threads} threads, {most} at once");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_gives_its_lines_in_order_and_ends() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for number in 0..2_500 {
            write!(file, "{{\"n\":{number}}}\n\n").unwrap();
        }
        let read = records(Source::file(file.path(), Some("n")).unwrap(), usize::MAX, 900).await;
        let key = |number| format!("{{\"n\":{number}}}");
        assert!(read == (0..2_500).map(|number| (Some(key(number)), key(number))).collect::<Vec<_>>());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_stands_before_the_unreadable_part_of_a_file_is_taken_first() {
        let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for number in 0..50_000 {
            writeln!(compressed, "{number} {}", number * 7_919 % 10_007).unwrap();
        }
        let compressed = compressed.finish().unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&compressed[..compressed.len() / 2]).unwrap();
        let (mut source, mut taken) = (Source::file(file.path(), None).unwrap(), 0);
        let error = loop {
            match source.take(u64::MAX).await {
                Ok(portion) => taken += portion.unwrap().iter().map(Records::len).sum::<usize>(),
                Err(error) => break error,
            }
        };
        assert!(taken >= 1_000, "{taken}");
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error:#}");
    }
}

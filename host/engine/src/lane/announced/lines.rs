//! Lines of objects as records, and where they stood.

use std::sync::Arc;

use arrow_array::BinaryArray;
use azenha_model::{Fetched, Offset, Records};
use bytes::{Buf, Bytes};
use memchr::memchr;

use crate::rows::{ObjectLine, Source};

/// Lines that are decoded at once, at most about so many bytes.
const BATCH_BYTES: usize = 8 << 20;

/// An object of which some lines are not read yet.
pub struct Unread {
    /// The index of the record that announces it.
    pub record: u32,
    content: Bytes,
    /// If not, all of it is one record.
    has_lines: bool,
    /// Where its last line stood.
    at: ObjectLine,
}

impl Unread {
    /// An object that is unpacked and has not been read.
    pub fn new(record: u32, path: &str, content: Bytes, has_lines: bool) -> Self {
        Self { record, content, has_lines, at: ObjectLine { path: path.into(), number: 0 } }
    }

    /// The next line, and where it stands.
    pub fn next_line(&mut self) -> Option<(Bytes, ObjectLine)> {
        if self.content.is_empty() {
            return None;
        }
        self.at.number += 1;
        let end = if self.has_lines { memchr(b'\n', &self.content) } else { None };
        let line = self.content.split_to(end.unwrap_or(self.content.len()));
        if end.is_some() {
            self.content.advance(1);
        }
        Some((line, self.at.clone()))
    }
}

/// Lines that become records.
#[derive(Default)]
pub struct Lines {
    values: Vec<Bytes>,
    offsets: Vec<Offset>,
    timestamps: Vec<i64>,
    places: Vec<ObjectLine>,
    bytes: usize,
}

impl Lines {
    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether there is room for one more, of at most `most` lines.
    pub fn has_room(&self, most: usize) -> bool {
        self.values.len() < most && self.bytes < BATCH_BYTES
    }

    /// Adds a line; `offset` and `timestamp` are those of the announcement.
    pub fn push(&mut self, (line, place): (Bytes, ObjectLine), offset: Offset, timestamp: i64) {
        self.bytes += line.len();
        self.values.push(line);
        self.places.push(place);
        self.offsets.push(offset);
        self.timestamps.push(timestamp);
    }

    /// The lines as records, at the offsets of their announcements.
    pub fn into_source(self, announcements: &Source) -> Source {
        let Self { values, offsets, timestamps, places, .. } = self;
        let records = Records {
            keys: BinaryArray::new_null(values.len()),
            values: BinaryArray::from_iter_values(values),
            timestamps,
        };
        let fetched = Fetched { offsets, records, next: announcements.fetched.next };
        Source { places, ..Source::new(Arc::clone(&announcements.topic), announcements.partition, fetched) }
    }
}

/// The rows `from..from + count` of a file as records without key and value, at the offset of the announcement with this
/// index: so each row has a time and a place of its own.
pub fn source_of_rows(announcements: &Source, record: u32, path: &Arc<str>, from: u64, count: usize) -> Source {
    let Source { topic, partition, fetched, .. } = announcements;
    let index = record as usize;
    let records = Records {
        keys: BinaryArray::new_null(count),
        values: BinaryArray::new_null(count),
        timestamps: vec![fetched.records.timestamps[index]; count],
    };
    let fetched = Fetched { offsets: vec![fetched.offsets[index]; count], records, next: fetched.next };
    let place = |row: usize| ObjectLine { path: Arc::clone(path), number: from + row as u64 + 1 };
    Source { places: (0..count).map(place).collect(), ..Source::new(Arc::clone(topic), *partition, fetched) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_1_and_empty_ones_too() {
        let mut unread = Unread::new(0, "a.ndjson", Bytes::from_static(b"a\n\nb"), true);
        let read: Vec<_> = std::iter::from_fn(|| unread.next_line()).map(|(line, at)| (line, at.number)).collect();
        assert_eq!(read, [("a".into(), 1), ("".into(), 2), ("b".into(), 3)]);
    }

    #[test]
    fn an_object_that_is_one_record_is_not_cut() {
        let mut unread = Unread::new(0, "a.json", Bytes::from_static(b"{\n}\n"), false);
        assert_eq!(unread.next_line().map(|(line, _)| line), Some(Bytes::from_static(b"{\n}\n")));
        assert!(unread.next_line().is_none());
    }
}

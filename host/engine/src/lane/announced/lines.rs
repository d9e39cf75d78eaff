//! Lines of objects as records, and where they stood.

use std::sync::Arc;

use arrow_array::BinaryArray;
use azenha_formats::objects::TextRecords;
use azenha_model::{Fetched, Offset, Records};
use bytes::Bytes;

use super::unreadable;
use crate::dead_letter::Complaint;
use crate::objects::Announcement;
use crate::rows::{ObjectLine, Source};
use crate::spool::Content;

/// Lines that are decoded at once, at most about so many bytes.
const BATCH_BYTES: usize = 8 << 20;

/// An object of which some lines are not read yet.
pub struct Unread {
    /// The index of the record that announces it.
    pub record: u32,
    records: TextRecords,
    /// Where its last line stood.
    at: ObjectLine,
}

impl Unread {
    /// An object of which nothing has been read; or why it cannot be.
    pub fn open(record: u32, announcement: &Announcement, content: Content) -> Result<Self, Box<Complaint>> {
        let path = &announcement.path;
        let records = TextRecords::open(path, announcement.text_layout(), Arc::new(content));
        let records = records.map_err(|error| unreadable(path, &error))?;
        Ok(Self { record, records, at: ObjectLine { path: path.as_str().into(), number: 0 } })
    }

    /// The next line, and where it stands; or why there are no more although the object has not ended.
    pub fn next_line(&mut self) -> Option<Result<(Bytes, ObjectLine), Box<Complaint>>> {
        let line = self.records.next()?;
        self.at.number += 1;
        Some(line.map(|line| (line, self.at.clone())).map_err(|error| unreadable(&self.at.path, &error)))
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

    fn announcement(value: &str) -> Announcement {
        serde_json::from_str(value).unwrap()
    }

    #[test]
    fn lines_are_counted_from_1_and_empty_ones_too() {
        let content = Content::from(Bytes::from_static(b"a\n\nb"));
        let mut unread = Unread::open(0, &announcement(r#"{"path":"a.ndjson"}"#), content).unwrap();
        let read: Vec<_> =
            std::iter::from_fn(|| unread.next_line()).map(Result::unwrap).map(|(line, at)| (line, at.number)).collect();
        assert_eq!(read, [("a".into(), 1), ("".into(), 2), ("b".into(), 3)]);
    }

    #[test]
    fn an_object_that_is_one_record_is_not_cut() {
        let content = Bytes::from_static(b"{\n}\n");
        let announcement = announcement(r#"{"path":"a.json","format":"record"}"#);
        let mut unread = Unread::open(0, &announcement, content.clone().into()).unwrap();
        assert_eq!(unread.next_line().unwrap().unwrap().0, content);
        assert!(unread.next_line().is_none());
    }

    #[test]
    fn an_object_that_is_not_what_its_name_says_is_told_once_with_its_path() {
        let content = Content::from(Bytes::from_static(b"no gzip"));
        let mut unread = Unread::open(0, &announcement(r#"{"path":"a.ndjson.gz"}"#), content).unwrap();
        let reason = unread.next_line().unwrap().unwrap_err().reason;
        assert!(reason.starts_with("object `a.ndjson.gz`: "), "{reason}");
        assert!(unread.next_line().is_none());
    }
}

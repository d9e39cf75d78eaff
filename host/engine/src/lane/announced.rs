//! Objects that records announce: fetched before they are processed, because processing cannot wait.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{BinaryArray, UInt32Array};
use azenha_formats::objects::{ParquetRows, lines_of};
use azenha_model::plan::{Layout, ObjectsInput, StreamInput};
use azenha_model::{Fetched, Offset, Records};
use bytes::{Buf, Bytes};
use futures::{StreamExt, stream};

use crate::error::EngineError;
use crate::objects::{Announcement, Objects, is_path, sha256};
use crate::rows::{Rows, Source};
use crate::task::TaskContext;

/// Objects that are fetched at once.
const FETCHES: usize = 16;

/// Objects that are held at once, at most.
const HELD: usize = 1_024;

/// Bytes of objects that are held at once; a larger one is held alone.
const HELD_BYTES: u64 = 64 << 20;

/// What an object counts for whose size was not announced.
const UNKNOWN_BYTES: u64 = 16 << 20;

/// Lines that are decoded at once, at most about so many bytes.
const BATCH_BYTES: usize = 8 << 20;

/// An object's content, or why its rows cannot be had.
type Content = Result<(Announcement, Bytes), String>;

/// Reads the rows of announced objects.
pub struct AnnouncedReader {
    input: StreamInput,
    layout: Layout,
    connection: String,
    batch_rows: usize,
    /// Those of the records that are processed next, with the index of each record.
    fetched: VecDeque<(u32, Content)>,
    /// The file whose rows come next.
    open: Option<(u32, ParquetRows)>,
    /// The object whose lines come next.
    unread: Option<Unread>,
}

/// What an object gives: records to decode, or rows.
pub enum Piece {
    /// Lines, as records at the offset of their announcement.
    Records(Source),
    /// Rows of the announcement with this index.
    Rows(Rows),
    /// The announcement with this index gives nothing, for a reason.
    Refused(u32, String),
}

impl AnnouncedReader {
    /// A reader of the objects that a stream stands in, in batches of at most `batch_rows`.
    pub fn new(input: &StreamInput, objects: &ObjectsInput, batch_rows: usize) -> Self {
        Self {
            input: input.clone(),
            layout: objects.layout,
            connection: objects.connection.clone(),
            batch_rows,
            fetched: VecDeque::new(),
            open: None,
            unread: None,
        }
    }

    /// Fetches the objects that the first of some records announce; says of how many.
    pub async fn fetch(&mut self, context: &TaskContext, records: &Records) -> Result<usize, EngineError> {
        let announced = announced(records);
        let count = announced.len();
        let objects = Arc::clone(context.program.objects(&self.connection)?);
        let gets = async move {
            let gets = announced.into_iter().map(|announced| get(announced, Arc::clone(&objects)));
            stream::iter(gets).buffered(FETCHES).collect::<Vec<_>>().await
        };
        let fetched = context.io(gets).await?.into_iter().collect::<Result<Vec<Content>, _>>()?;
        self.fetched = fetched.into_iter().enumerate().map(|(record, content)| (record as u32, content)).collect();
        Ok(count)
    }

    /// What the next of the fetched objects gives: some of its rows, or the lines of several; none if all are read.
    pub fn next_piece(&mut self, source: &Source) -> Option<Piece> {
        match self.layout {
            Layout::Parquet => self.next_rows(),
            Layout::Record | Layout::Lines | Layout::Json => self.next_lines(source),
        }
    }

    fn next_rows(&mut self) -> Option<Piece> {
        loop {
            if let Some((record, rows)) = &mut self.open {
                let record = *record;
                match rows.next() {
                    Some(Ok((columns, rows))) => {
                        let origin = UInt32Array::from(vec![record; rows]);
                        return Some(Piece::Rows(Rows { columns, origin, deletes: None, changes: None }));
                    }
                    Some(Err(error)) => {
                        self.open = None;
                        return Some(Piece::Refused(record, error.to_string()));
                    }
                    None => self.open = None,
                }
            }
            let (record, content) = self.fetched.pop_front()?;
            let StreamInput { columns, needed, .. } = &self.input;
            let opened = content.and_then(|(announcement, content)| {
                ParquetRows::open(content, columns, needed, announcement.partition, self.batch_rows)
                    .map_err(|error| format!("object `{}`: {error}", announcement.path))
            });
            match opened {
                Ok(rows) => self.open = Some((record, rows)),
                Err(reason) => return Some(Piece::Refused(record, reason)),
            }
        }
    }

    /// Lines of several small objects together, so that they are decoded at once, or some of a large one's.
    fn next_lines(&mut self, source: &Source) -> Option<Piece> {
        let mut lines = Lines::default();
        while lines.offsets.len() < self.batch_rows && lines.bytes < BATCH_BYTES {
            if self.unread.is_none() {
                let Some((record, content)) = self.fetched.pop_front() else { break };
                let unpacked = content.and_then(|(announcement, content)| {
                    let unpacked = lines_of(&announcement.path, content);
                    let unpacked = unpacked.map_err(|error| format!("object `{}`: {error}", announcement.path));
                    unpacked.map(|content| (announcement.has_lines(), content))
                });
                match unpacked {
                    Ok((has_lines, content)) => self.unread = Some(Unread { record, content, has_lines }),
                    // What was collected comes first, and this object again.
                    Err(reason) if lines.offsets.is_empty() => return Some(Piece::Refused(record, reason)),
                    Err(reason) => {
                        self.fetched.push_front((record, Err(reason)));
                        break;
                    }
                }
            }
            let Some(unread) = &mut self.unread else { break };
            let at = unread.record as usize;
            match unread.next_line() {
                None => self.unread = None,
                // A record without a value was kept as `null`; where rows are only added, it says nothing.
                Some(line) if line.is_empty() || &line[..] == b"null" => {}
                Some(line) => lines.push(line, source.fetched.offsets[at], source.fetched.records.timestamps[at]),
            }
        }
        (!lines.offsets.is_empty()).then(|| Piece::Records(lines.into_source(source)))
    }
}

/// An object of which some lines are not read yet.
struct Unread {
    record: u32,
    content: Bytes,
    has_lines: bool,
}

impl Unread {
    fn next_line(&mut self) -> Option<Bytes> {
        if self.content.is_empty() {
            return None;
        }
        let end = self.content.iter().position(|byte| self.has_lines && *byte == b'\n');
        let line = self.content.split_to(end.unwrap_or(self.content.len()));
        if end.is_some() {
            self.content.advance(1);
        }
        Some(line)
    }
}

/// The announcements among the first of some records whose objects can be held at once; at least one.
fn announced(records: &Records) -> Vec<Result<Announcement, String>> {
    let mut announced = Vec::new();
    let mut bytes = 0;
    for value in &records.values {
        let read = serde_json::from_slice::<Announcement>(value.unwrap_or_default());
        let announcement = read.map_err(|error| format!("this is no announcement of an object: {error}"));
        let announced_bytes = announcement.as_ref().map_or(0, |announcement| match announcement.bytes {
            0 => UNKNOWN_BYTES,
            known => known,
        });
        bytes = HELD_BYTES.min(bytes).saturating_add(announced_bytes);
        if !announced.is_empty() && (bytes > HELD_BYTES || announced.len() >= HELD) {
            break;
        }
        announced.push(announcement);
    }
    announced
}

async fn get(announced: Result<Announcement, String>, objects: Arc<dyn Objects>) -> Result<Content, EngineError> {
    let announcement = match announced {
        Ok(announcement) => announcement,
        Err(reason) => return Ok(Err(reason)),
    };
    let path = &announcement.path;
    if !is_path(path) {
        return Ok(Err(format!("`{}` is no path of an object", path.escape_debug())));
    }
    Ok(match objects.get(path).await? {
        None => Err(format!("object `{path}` is not there")),
        Some(found) if !announcement.sha256.is_empty() && sha256(&found.content) != announcement.sha256 => {
            Err(format!("object `{path}` holds something else than was announced: it was replaced since"))
        }
        Some(found) => Ok((announcement, found.content)),
    })
}

/// Lines that become records.
#[derive(Default)]
struct Lines {
    values: Vec<Bytes>,
    offsets: Vec<Offset>,
    timestamps: Vec<i64>,
    bytes: usize,
}

impl Lines {
    fn push(&mut self, line: Bytes, offset: Offset, timestamp: i64) {
        self.bytes += line.len();
        self.values.push(line);
        self.offsets.push(offset);
        self.timestamps.push(timestamp);
    }

    fn into_source(self, source: &Source) -> Source {
        let Self { values, offsets, timestamps, .. } = self;
        let records = Records {
            keys: BinaryArray::new_null(values.len()),
            values: BinaryArray::from_iter_values(values),
            timestamps,
        };
        let fetched = Fetched { offsets, records, next: source.fetched.next };
        Source::new(Arc::clone(&source.topic), source.partition, fetched)
    }
}

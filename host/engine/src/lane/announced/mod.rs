//! Objects that records announce: fetched before they are processed, because processing cannot wait.

mod lines;

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::UInt32Array;
use azenha_formats::objects::{FilePiece, ObjectError, ParquetRows, says_something};
use azenha_model::Records;
use azenha_model::dead_letter::{Announced, Basis, Cause, Found};
use azenha_model::plan::{Layout, ObjectsInput, StreamInput};
use futures::{StreamExt, stream};

use crate::dead_letter::{Complaint, reasons};
use crate::error::EngineError;
use crate::objects::{Announcement, Object, Objects};
use crate::rows::{Rows, Source};
use crate::spool::Content;
use crate::store::StoreError;
use crate::task::TaskContext;
use lines::{Lines, Unread, source_of_rows};

/// Objects that are fetched at once.
const FETCHES: usize = 16;

/// Objects that are held at once, at most.
const HELD: usize = 1_024;

/// Bytes of objects that are held at once; a larger one is held alone. Only the small ones are held in memory.
const HELD_BYTES: u64 = 64 << 20;

/// What an object counts for whose size was not announced.
const UNKNOWN_BYTES: u64 = 16 << 20;

/// An object's content, or why its rows cannot be had.
type Fetched = Result<(Announcement, Content), Box<Complaint>>;

/// Reads the rows of announced objects.
pub struct AnnouncedReader {
    input: StreamInput,
    layout: Layout,
    connection: String,
    batch_rows: usize,
    /// Those of the records that are processed next, with the index of each record.
    fetched: VecDeque<(u32, Fetched)>,
    /// The file whose rows come next.
    open: Option<OpenFile>,
    /// The object whose lines come next.
    unread: Option<Unread>,
    /// Those of them that are read from a file.
    on_disk: Vec<Content>,
}

/// A file of which some rows are not read yet.
struct OpenFile {
    /// The index of the record that announces it.
    record: u32,
    path: Arc<str>,
    rows: ParquetRows,
    /// Rows that were read.
    read: u64,
}

impl OpenFile {
    /// What comes behind the rows that were read.
    fn piece(&mut self, next: FilePiece, announcements: &Source) -> Piece {
        let count = match &next {
            FilePiece::Rows((_, count)) => *count,
            FilePiece::Refused(_) => 1,
        };
        let source = Box::new(source_of_rows(announcements, self.record, &self.path, self.read, count));
        self.read += count as u64;
        match next {
            FilePiece::Rows((columns, _)) => {
                let origin = UInt32Array::from_iter_values(0..count as u32);
                Piece::Rows(source, Box::new(Rows { columns, origin, deletes: None, changes: None }))
            }
            FilePiece::Refused(error) => Piece::RefusedRow(source, unreadable(&self.path, &error)),
        }
    }
}

/// What an object gives: records to decode, or rows.
pub enum Piece {
    /// Lines, as records at the offset of their announcement.
    Records(Box<Source>),
    /// Rows, and what stands for the records that they came from.
    Rows(Box<Source>, Box<Rows>),
    /// The row of a file that this stands for is none, for a reason.
    RefusedRow(Box<Source>, Box<Complaint>),
    /// The announcement with this index gives nothing, for a reason.
    Refused(u32, Box<Complaint>),
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
            on_disk: Vec::new(),
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
        let fetched = context.io(gets).await?.into_iter().collect::<Result<Vec<Fetched>, _>>()?;
        let contents = fetched.iter().flatten().map(|(_, content)| content);
        self.on_disk = contents.filter(|content| !content.is_in_memory()).cloned().collect();
        self.fetched = fetched.into_iter().enumerate().map(|(record, content)| (record as u32, content)).collect();
        Ok(count)
    }

    /// What the next of the fetched objects gives: some of its rows, or the lines of several; none if all are read.
    ///
    /// # Errors
    /// If the host's own disk fails, which is no fault of an object.
    pub fn next_piece(&mut self, announcements: &Source) -> Result<Option<Piece>, EngineError> {
        let piece = match self.layout {
            Layout::Parquet => self.next_rows(announcements),
            Layout::Record | Layout::Lines | Layout::Json => self.next_lines(announcements),
        };
        if let Some(failure) = self.on_disk.iter().find_map(Content::failure) {
            let what = "reading an object from the data directory".to_owned();
            return Err(StoreError::Unavailable { what, source: failure.into() }.into());
        }
        if piece.is_none() {
            self.on_disk.clear();
        }
        Ok(piece)
    }

    fn next_rows(&mut self, announcements: &Source) -> Option<Piece> {
        loop {
            if let Some(file) = &mut self.open {
                match file.rows.next() {
                    Some(Ok(next)) => return Some(file.piece(next, announcements)),
                    Some(Err(error)) => {
                        let refused = Piece::Refused(file.record, unreadable(&file.path, &error));
                        self.open = None;
                        return Some(refused);
                    }
                    None => self.open = None,
                }
            }
            let (record, content) = self.fetched.pop_front()?;
            match content.and_then(|(announcement, content)| self.file(record, announcement, content)) {
                Ok(file) => self.open = Some(file),
                Err(reason) => return Some(Piece::Refused(record, reason)),
            }
        }
    }

    fn file(&self, record: u32, announcement: Announcement, content: Content) -> Result<OpenFile, Box<Complaint>> {
        let Announcement { path, partition, .. } = announcement;
        let StreamInput { columns, needed, .. } = &self.input;
        let opened = ParquetRows::open(Arc::new(content), columns, needed, partition, self.batch_rows);
        let rows = opened.map_err(|error| unreadable(&path, &error))?;
        Ok(OpenFile { record, path: path.into(), rows, read: 0 })
    }

    /// Lines of several small objects together, so that they are decoded at once, or some of a large one's.
    fn next_lines(&mut self, announcements: &Source) -> Option<Piece> {
        let mut lines = Lines::default();
        while lines.has_room(self.batch_rows) {
            if self.unread.is_none() {
                let Some((record, content)) = self.fetched.pop_front() else { break };
                match content.and_then(|(announcement, content)| Unread::open(record, &announcement, content)) {
                    Ok(unread) => self.unread = Some(unread),
                    // What was collected comes first, and this object again.
                    Err(reason) if lines.is_empty() => return Some(Piece::Refused(record, reason)),
                    Err(reason) => {
                        self.fetched.push_front((record, Err(reason)));
                        break;
                    }
                }
            }
            let Some(unread) = &mut self.unread else { break };
            let (at, fetched) = (unread.record as usize, &announcements.fetched);
            match unread.next_line() {
                None => self.unread = None,
                // A record without a value was kept as `null`; where rows are only added, it says nothing.
                Some(Ok((line, _))) if !says_something(&line) => {}
                Some(Ok(line)) => lines.push(line, fetched.offsets[at], fetched.records.timestamps[at]),
                // It is broken from here on.
                Some(Err(reason)) => {
                    self.fetched.push_front((unread.record, Err(reason)));
                    self.unread = None;
                }
            }
        }
        (!lines.is_empty()).then(|| Piece::Records(Box::new(lines.into_source(announcements))))
    }
}

/// What is said of an announcement, after a look at what stands at its path.
fn refused(reason: String, found: Found) -> Box<Complaint> {
    Box::new(Complaint::new(Cause::Decode, reason).on(Basis::Announced(Announced { found })))
}

/// What is said of an object that is the announced one, but gives no rows, no more of them, or not this one.
fn unreadable(path: &str, error: &ObjectError) -> Box<Complaint> {
    refused(format!("object `{path}`: {error}"), Found::Announced)
}

/// The announcements among the first of some records whose objects can be held at once; at least one.
fn announced(records: &Records) -> Vec<Result<Announcement, String>> {
    let mut announced = Vec::new();
    let mut bytes = 0;
    for value in &records.values {
        let announcement = Announcement::read(value.unwrap_or_default());
        bytes = HELD_BYTES.min(bytes).saturating_add(announcement.as_ref().map_or(0, bytes_of));
        if !announced.is_empty() && (bytes > HELD_BYTES || announced.len() >= HELD) {
            break;
        }
        announced.push(announcement);
    }
    announced
}

/// What an object counts for.
fn bytes_of(announcement: &Announcement) -> u64 {
    if announcement.bytes == 0 { UNKNOWN_BYTES } else { announcement.bytes }
}

/// The size of the object that a record announces; 0 if it announces none.
pub fn announced_bytes(value: Option<&[u8]>) -> u64 {
    serde_json::from_slice::<Announcement>(value.unwrap_or_default()).as_ref().map_or(0, bytes_of)
}

async fn get(announced: Result<Announcement, String>, objects: Arc<dyn Objects>) -> Result<Fetched, EngineError> {
    let announcement = match announced {
        Ok(announcement) => announcement,
        Err(reason) => return Ok(Err(refused(reason, Found::NotSought))),
    };
    let object = objects.get(&announcement.path).await?;
    let found = match &object {
        None => Found::Absent,
        Some(Object { content, .. }) if ![0, content.bytes()].contains(&announcement.bytes) => {
            Found::Sized(content.bytes())
        }
        Some(_) if announcement.sha256.is_empty() => Found::Announced,
        Some(object) => Found::Other(object.content.sha256().to_owned()),
    };
    let reason = reasons::not_there(&announcement, &found);
    Ok(match (object, reason) {
        (Some(object), None) => Ok((announcement, object.content)),
        (_, reason) => Err(refused(reason.unwrap_or_default(), found)),
    })
}

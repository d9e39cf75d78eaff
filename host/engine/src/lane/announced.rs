//! Objects that records announce: fetched before they are processed, because processing cannot wait.

use std::sync::Arc;

use arrow_array::{BinaryArray, UInt32Array};
use azenha_formats::objects::{lines_of, parquet_rows};
use azenha_model::plan::{Layout, ObjectsInput, StreamInput};
use azenha_model::{Fetched, Offset, Records};
use bytes::Bytes;
use futures::{StreamExt, stream};

use crate::error::EngineError;
use crate::objects::{Announcement, Objects, sha256};
use crate::rows::{Rows, Source};
use crate::task::TaskContext;

/// Objects that are fetched at once.
const FETCHES: usize = 16;

/// Objects that are held at once, at most.
const HELD: usize = 1_024;

/// Bytes of objects that are held at once; a larger one is held alone.
const HELD_BYTES: u64 = 64 << 20;

/// An object's content, or why its rows cannot be had.
type Content = Result<(Announcement, Bytes), String>;

/// Reads the rows of announced objects.
pub struct AnnouncedReader {
    input: StreamInput,
    layout: Layout,
    connection: String,
    batch_rows: usize,
    /// Those of the records that are processed next.
    fetched: Vec<Content>,
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
            fetched: Vec::new(),
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
        self.fetched = context.io(gets).await?.into_iter().collect::<Result<_, _>>()?;
        Ok(count)
    }

    /// What the fetched objects give, in the order of their announcements.
    pub fn pieces(&mut self, source: &Source) -> Vec<Piece> {
        let fetched = std::mem::take(&mut self.fetched);
        match self.layout {
            Layout::Parquet => self.rows(fetched),
            Layout::Record | Layout::Lines | Layout::Json => self.lines(fetched, source),
        }
    }

    fn rows(&self, fetched: Vec<Content>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (record, content) in fetched.into_iter().enumerate() {
            let record = record as u32;
            let StreamInput { columns, needed, .. } = &self.input;
            let read = content.and_then(|(announcement, content)| {
                parquet_rows(content, columns, needed, &announcement.partition, self.batch_rows)
                    .map_err(|error| format!("object `{}`: {error}", announcement.path))
            });
            match read {
                Ok(batches) => pieces.extend(batches.into_iter().map(|(columns, rows)| {
                    let origin = UInt32Array::from(vec![record; rows]);
                    Piece::Rows(Rows { columns, origin, deletes: None, changes: None })
                })),
                Err(reason) => pieces.push(Piece::Refused(record, reason)),
            }
        }
        pieces
    }

    /// Lines of all objects together, so that many small ones are decoded at once.
    fn lines(&self, fetched: Vec<Content>, source: &Source) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut lines = Lines::default();
        for (record, content) in fetched.into_iter().enumerate() {
            let unpacked = content.and_then(|(announcement, content)| {
                let unpacked = lines_of(&announcement.path, content);
                unpacked
                    .map_err(|error| format!("object `{}`: {error}", announcement.path))
                    .map(|content| (announcement, content))
            });
            let (announcement, content) = match unpacked {
                Ok(unpacked) => unpacked,
                Err(reason) => {
                    pieces.push(Piece::Refused(record as u32, reason));
                    continue;
                }
            };
            let (offset, timestamp) = (source.fetched.offsets[record], source.fetched.records.timestamps[record]);
            let all = if announcement.has_lines() {
                content.split(|byte| *byte == b'\n').collect()
            } else {
                vec![&content[..]]
            };
            // A record without a value was kept as `null`; where rows are only added, it says nothing.
            for line in all.into_iter().filter(|line| !line.is_empty() && *line != b"null") {
                lines.push(line, offset, timestamp);
                if lines.offsets.len() >= self.batch_rows {
                    pieces.push(Piece::Records(lines.take(source)));
                }
            }
        }
        if !lines.offsets.is_empty() {
            pieces.push(Piece::Records(lines.take(source)));
        }
        pieces
    }
}

/// The announcements among the first of some records whose objects can be held at once; at least one.
fn announced(records: &Records) -> Vec<Result<Announcement, String>> {
    let mut announced = Vec::new();
    let mut bytes = 0;
    for value in &records.values {
        let read = serde_json::from_slice::<Announcement>(value.unwrap_or_default());
        let announcement = read.map_err(|error| format!("this is no announcement of an object: {error}"));
        bytes += announcement.as_ref().map_or(0, |announcement| announcement.bytes);
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
    values: Vec<Vec<u8>>,
    offsets: Vec<Offset>,
    timestamps: Vec<i64>,
}

impl Lines {
    fn push(&mut self, line: &[u8], offset: Offset, timestamp: i64) {
        self.values.push(line.to_vec());
        self.offsets.push(offset);
        self.timestamps.push(timestamp);
    }

    fn take(&mut self, source: &Source) -> Source {
        let Self { values, offsets, timestamps } = std::mem::take(self);
        let records = Records {
            keys: BinaryArray::new_null(values.len()),
            values: BinaryArray::from_iter_values(values),
            timestamps,
        };
        let fetched = Fetched { offsets, records, next: source.fetched.next };
        Source::new(Arc::clone(&source.topic), source.partition, fetched)
    }
}

//! Objects of text back to records, some of them at a time.

use std::io::{BufReader, Read};
use std::sync::Arc;

use azenha_model::plan::Layout;
use bytes::{Buf, Bytes};
use memchr::memchr;

use super::ObjectError;
use super::stored::{Stored, StoredReader};

/// Bytes that are read at once from where the object stands.
const READ: usize = 64 << 10;

/// Bytes that are unpacked at once, and looked through for ends of lines.
const CHUNK: usize = 1 << 20;

/// A line, or an object that is one record, may have so many bytes.
pub const LONGEST_RECORD: usize = 64 << 20;

/// The records of an object: its lines, empty ones too, or all of it as one. After an error there are no more.
pub struct TextRecords {
    unpacked: Box<dyn Read + Send>,
    /// What was unpacked and is not given yet.
    rest: Bytes,
    /// Whether nothing is left to unpack.
    is_unpacked: bool,
    has_lines: bool,
}

impl TextRecords {
    /// Opens an object, and unpacks it if its name says so.
    ///
    /// # Errors
    /// If its compression cannot be begun at all. What is broken behind that is told where it is met.
    pub fn open(path: &str, layout: Layout, content: Arc<dyn Stored>) -> Result<Self, ObjectError> {
        let content = BufReader::with_capacity(READ, StoredReader::new(content, 0));
        let unpacked: Box<dyn Read + Send> = if path.ends_with(".gz") {
            Box::new(flate2::bufread::MultiGzDecoder::new(content))
        } else if path.ends_with(".zst") {
            Box::new(zstd::Decoder::with_buffer(content).map_err(ObjectError::of)?)
        } else {
            Box::new(content)
        };
        Ok(Self { unpacked, rest: Bytes::new(), is_unpacked: false, has_lines: layout != Layout::Record })
    }

    /// Unpacks more: a chunk, or as much again as there is of a line that has not ended.
    fn unpack(&mut self) -> Result<(), ObjectError> {
        let room = (LONGEST_RECORD + 1).saturating_sub(self.rest.len());
        if room == 0 {
            return Err(ObjectError(format!("a record of it is longer than {LONGEST_RECORD} bytes")));
        }
        let (mut rest, wanted) = (self.rest.to_vec(), self.rest.len().max(CHUNK).min(room));
        let more = self.unpacked.by_ref().take(wanted as u64).read_to_end(&mut rest).map_err(ObjectError::of)?;
        self.is_unpacked = more < wanted;
        self.rest = rest.into();
        Ok(())
    }

    fn next_record(&mut self) -> Result<Option<Bytes>, ObjectError> {
        // Where no end of a line was found before.
        let mut searched = 0;
        loop {
            let end = if self.has_lines { memchr(b'\n', &self.rest[searched..]) } else { None };
            if let Some(end) = end {
                let line = self.rest.split_to(searched + end);
                self.rest.advance(1);
                return Ok(Some(line));
            }
            if self.is_unpacked {
                let last = std::mem::take(&mut self.rest);
                return Ok((!last.is_empty()).then_some(last));
            }
            searched = self.rest.len();
            self.unpack()?;
        }
    }
}

impl Iterator for TextRecords {
    type Item = Result<Bytes, ObjectError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_record();
        if next.is_err() {
            (self.rest, self.is_unpacked) = (Bytes::new(), true);
        }
        next.transpose()
    }
}

/// Whether a record says something: it is not empty, and not a `null` that was kept for a record without a value.
pub fn says_something(record: &[u8]) -> bool {
    !matches!(record, b"" | b"null")
}

//! Contents of objects, which need not be in memory as a whole.

use std::io::{self, BufReader, ErrorKind, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// What is read for the header of a page, whose length nobody tells.
const HEADER: usize = 8 << 10;

/// Bytes that stand somewhere, and of which any part can be read.
pub trait Stored: Send + Sync + 'static {
    /// How many bytes there are.
    fn length(&self) -> u64;

    /// Some of them, counted from 0; may block.
    ///
    /// # Errors
    /// `UnexpectedEof` if there are fewer; whatever the disk says if they cannot be read.
    fn part(&self, range: Range<u64>) -> io::Result<Bytes>;
}

impl Stored for Bytes {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn part(&self, range: Range<u64>) -> io::Result<Bytes> {
        within(&range, self.length())?;
        Ok(self.slice(range.start as usize..range.end as usize))
    }
}

/// Fails unless a content of this length has such a part: a damaged file speaks of any.
///
/// # Errors
/// `UnexpectedEof`
pub fn within(range: &Range<u64>, length: u64) -> io::Result<()> {
    let is_there = range.start <= range.end && range.end <= length;
    if is_there { Ok(()) } else { Err(io::Error::new(ErrorKind::UnexpectedEof, "it ends too early")) }
}

/// Reads a content from a place to its end.
pub struct StoredReader {
    stored: Arc<dyn Stored>,
    at: u64,
}

impl StoredReader {
    /// Reads from an offset on.
    pub fn new(stored: Arc<dyn Stored>, at: u64) -> Self {
        Self { stored, at }
    }
}

impl Read for StoredReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.stored.length();
        let from = self.at.min(length);
        let part = self.stored.part(from..length.min(from + buffer.len() as u64))?;
        buffer[..part.len()].copy_from_slice(&part);
        self.at = from + part.len() as u64;
        Ok(part.len())
    }
}

/// A content as the Parquet library reads it: page by page.
pub struct Pages(pub Arc<dyn Stored>);

impl Length for Pages {
    fn len(&self) -> u64 {
        self.0.length()
    }
}

impl ChunkReader for Pages {
    type T = BufReader<StoredReader>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::with_capacity(HEADER, StoredReader::new(Arc::clone(&self.0), start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let part = self.0.part(start..start.saturating_add(length as u64));
        part.map_err(|error| ParquetError::External(Box::new(error)))
    }
}

//! The content of objects, between their first row and the put, and while they are read: in memory if it is small, else in a
//! file of the host's, which has no name and so is gone with its process. Objects may grow, and memory does not grow with
//! them.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use azenha_formats::objects::{Stored, within};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tempfile::{SpooledData, SpooledTempFile};

use crate::objects::hexadecimal;

/// A larger content stands in a file.
const IN_MEMORY: usize = 256 << 10;

/// Bytes that are copied at once.
const CHUNK: u64 = 1 << 20;

/// Where a content is written.
///
/// A disk that fails is told by [`Spool::finish`] and not where it is met: whoever writes may be a library that makes another
/// error of it, and a disk that is full is none of the rows'.
pub struct Spool {
    file: SpooledTempFile,
    digest: Sha256,
    bytes: u64,
    failed: Option<io::Error>,
}

impl Spool {
    /// An empty one, whose file will stand in a folder that exists.
    pub fn new(folder: &Path) -> Self {
        let file = SpooledTempFile::new_in(IN_MEMORY, folder);
        Self { file, digest: Sha256::new(), bytes: 0, failed: None }
    }

    /// What was written.
    ///
    /// # Errors
    /// If the disk failed.
    pub fn finish(self) -> io::Result<Content> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let body = match self.file.into_inner() {
            SpooledData::InMemory(written) => Body::Memory(Bytes::from(written.into_inner())),
            SpooledData::OnDisk(file) => Body::File(Arc::new(OnDisk { file, failed: OnceLock::new() })),
        };
        Ok(Content { body, bytes: self.bytes, sha256: hexadecimal(&self.digest.finalize()) })
    }

    /// Adds to it; may block.
    pub fn put(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        if self.failed.is_none() {
            self.failed = self.file.write_all(bytes).err();
        }
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is in an object. Two are equal if they have the same digest and size.
#[derive(Debug, Clone)]
pub struct Content {
    body: Body,
    bytes: u64,
    sha256: String,
}

#[derive(Debug, Clone)]
enum Body {
    Memory(Bytes),
    File(Arc<OnDisk>),
}

#[derive(Debug)]
struct OnDisk {
    file: File,
    /// How the disk failed first, if it did.
    failed: OnceLock<String>,
}

impl Content {
    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// SHA-256 of it, in hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Whether it takes memory now, and not only where it is read.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.body, Body::Memory(_))
    }

    /// How the host's disk failed while this was read, if it did: whoever read may be a library that made another error of
    /// it, and it says nothing of what is in the object.
    pub fn failure(&self) -> Option<&str> {
        match &self.body {
            Body::Memory(_) => None,
            Body::File(on_disk) => on_disk.failed.get().map(String::as_str),
        }
    }

    /// A part of it; may block.
    ///
    /// # Errors
    /// If the disk fails, or there is no such part.
    pub fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        within(&range, self.bytes)?;
        match &self.body {
            Body::Memory(bytes) => Ok(bytes.slice(range.start as usize..range.end as usize)),
            Body::File(on_disk) => {
                let OnDisk { file, failed } = on_disk.as_ref();
                let mut part = vec![0; (range.end - range.start) as usize];
                file.read_exact_at(&mut part, range.start).inspect_err(|error| {
                    failed.get_or_init(|| error.to_string());
                })?;
                Ok(Bytes::from(part))
            }
        }
    }

    /// All of it in memory; may block.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn whole(&self) -> io::Result<Bytes> {
        self.read(0..self.bytes)
    }

    /// Writes it elsewhere, some of it at a time; may block.
    ///
    /// # Errors
    /// If a disk fails.
    pub fn copy_to(&self, target: &mut impl Write) -> io::Result<()> {
        let mut from = 0;
        while from < self.bytes {
            let to = self.bytes.min(from + CHUNK);
            target.write_all(&self.read(from..to)?)?;
            from = to;
        }
        Ok(())
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        (self.bytes, &self.sha256) == (other.bytes, &other.sha256)
    }
}

impl Eq for Content {}

impl Stored for Content {
    fn length(&self) -> u64 {
        self.bytes
    }

    fn part(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.read(range)
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self { bytes: bytes.len() as u64, sha256: crate::objects::sha256(&bytes), body: Body::Memory(bytes) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn spooled(folder: &Path, content: &[u8]) -> io::Result<Content> {
        let mut spool = Spool::new(folder);
        content.chunks(1_000).for_each(|chunk| spool.write_all(chunk).unwrap());
        spool.finish()
    }

    #[test]
    fn a_content_is_the_same_in_memory_and_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 1, IN_MEMORY, IN_MEMORY + 1, 3 * CHUNK as usize + 5] {
            let bytes: Vec<u8> = (0..length).map(|index| (index * index / 7) as u8).collect();
            let (spooled, held) = (spooled(folder.path(), &bytes).unwrap(), Content::from(Bytes::from(bytes.clone())));
            assert_eq!(spooled.is_in_memory(), length <= IN_MEMORY, "{length}");
            assert_eq!((spooled.bytes(), spooled.sha256()), (held.bytes(), held.sha256()));
            assert!(spooled == held && spooled.whole().unwrap() == bytes);
            let mut copy = Vec::new();
            spooled.copy_to(&mut copy).unwrap();
            assert!(copy == bytes, "{length}");
            let middle = length as u64 / 2..length as u64;
            assert_eq!(spooled.read(middle.clone()).unwrap(), held.read(middle).unwrap());
            for beyond in [0..length as u64 + 1, u64::MAX - 1..u64::MAX] {
                assert!(spooled.read(beyond.clone()).is_err() && held.read(beyond).is_err());
            }
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "a file without a name is gone by itself");
    }

    #[test]
    fn a_disk_that_fails_is_told_at_the_end() {
        let nowhere = Path::new("/nowhere/at/all");
        assert!(spooled(nowhere, &vec![1; IN_MEMORY + 1]).is_err());
        assert!(spooled(nowhere, b"small").is_ok(), "it needs no disk");
    }

    #[test]
    fn a_disk_that_fails_while_it_is_read_is_told_apart_from_a_content_that_ends_too_early() {
        let folder = tempfile::tempdir().unwrap();
        let content = spooled(folder.path(), &vec![1; IN_MEMORY + 1]).unwrap();
        assert!(content.read(0..content.bytes() + 1).is_err() && content.failure().is_none());
        let Body::File(on_disk) = &content.body else { panic!("it is in memory") };
        on_disk.file.set_len(1).unwrap();
        assert!(content.clone().whole().is_err() && content.failure().is_some());
    }
}

//! The bytes of what the engine keeps in topics for itself: state blocks and messages between the halves of
//! an aggregation. A frame is LZ4 with a checksum; inside it numbers are little endian, and byte strings
//! have their length before them.

use std::io::{Read as _, Write as _};

use lz4_flex::frame::{FrameDecoder, FrameEncoder, FrameInfo};

/// Bytes that are not what they should be: the log was damaged, or a newer host wrote them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// Writes one frame.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// A frame that starts with its version and kind.
    pub fn new(version: u8, kind: u8) -> Self {
        Self(vec![version, kind])
    }

    /// Bytes so far, before compression.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn bytes(&mut self, value: &[u8]) {
        self.u32(value.len() as u32);
        self.0.extend_from_slice(value);
    }

    /// The compressed, checksummed frame.
    pub fn seal(self) -> Result<Vec<u8>, Malformed> {
        let info = FrameInfo::new().content_checksum(true);
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::with_capacity(self.0.len() / 2));
        encoder.write_all(&self.0).map_err(|error| Malformed(format!("cannot compress: {error}")))?;
        encoder.finish().map_err(|error| Malformed(format!("cannot compress: {error}")))
    }
}

/// The content of a frame, decompressed and verified.
#[derive(Debug)]
pub struct Frame(Vec<u8>);

impl Frame {
    /// Opens a frame. `what` names it in errors.
    pub fn open(sealed: &[u8], what: &str, version: u8) -> Result<Self, Malformed> {
        let mut content = Vec::new();
        FrameDecoder::new(sealed)
            .read_to_end(&mut content)
            .map_err(|error| Malformed(format!("a {what} is damaged: {error}")))?;
        match content.first() {
            Some(found) if *found == version => Ok(Self(content)),
            Some(found) if *found > version => Err(Malformed(format!(
                "a {what} has format version {found}, but this host reads up to {version}: a newer host wrote it"
            ))),
            _ => Err(Malformed(format!("a {what} has no known format version"))),
        }
    }

    /// Reads from the kind byte on.
    pub fn reader(&self) -> Reader<'_> {
        Reader(&self.0[1..])
    }
}

/// Reads a frame's content from its start; every read is checked.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) =
            self.0.split_at_checked(length).ok_or_else(|| Malformed("a frame ends too early".to_owned()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Vec<u8> {
        let mut writer = Writer::new(1, 7);
        writer.u32(42);
        writer.bytes(b"key");
        writer.i64(-1);
        writer.seal().unwrap()
    }

    #[test]
    fn a_frame_gives_back_what_was_put_in() {
        let frame = Frame::open(&sealed(), "block", 1).unwrap();
        let mut reader = frame.reader();
        assert_eq!(reader.u8().unwrap(), 7);
        assert_eq!(reader.u32().unwrap(), 42);
        assert_eq!(reader.bytes().unwrap(), b"key");
        assert_eq!(reader.i64().unwrap(), -1);
        assert!(reader.is_empty());
        assert!(reader.u8().is_err());
    }

    #[test]
    fn a_damaged_frame_is_refused() {
        let whole = sealed();
        for index in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 0x10;
            if let Ok(frame) = Frame::open(&damaged, "block", 1) {
                assert_eq!(frame.0, Frame::open(&whole, "block", 1).unwrap().0, "byte {index}");
            }
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_its_version() {
        let frame = Writer::new(2, 0).seal().unwrap();
        let error = Frame::open(&frame, "state block", 1).unwrap_err();
        assert!(error.0.contains("format version 2"), "{error}");
    }
}

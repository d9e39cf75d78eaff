//! Objects of lines, each a JSON object or a record as it came.

use std::io::{self, Write};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use azenha_model::plan::{Compression, OutputColumn};
use bytes::Bytes;
use flate2::write::GzEncoder;
use memchr::memchr2;

use super::text::LONGEST_RECORD;
use super::{ObjectError, RefusedRow};
use crate::json::{JsonEncoder, is_json};

/// Bytes that are compressed at once: always as many, so that the outcome does not depend on batches.
const CHUNK: usize = 256 << 10;

const ZSTD_LEVEL: i32 = 3;

/// Writes lines.
pub struct LineWriter<W: Write> {
    /// None: records stand as they came.
    encoder: Option<JsonEncoder>,
    packer: Packer<W>,
    /// What is not compressed yet.
    waiting: Vec<u8>,
}

impl<W: Write> LineWriter<W> {
    /// A line for each row.
    pub fn of_rows(target: W, columns: &[OutputColumn], compression: Compression) -> Result<Self, ObjectError> {
        let encoder = Some(JsonEncoder::new(columns, &[]));
        Ok(Self { encoder, packer: Packer::new(target, compression)?, waiting: Vec::new() })
    }

    /// A line for each record; the only column is the records' values.
    pub fn of_records(target: W, compression: Compression) -> Result<Self, ObjectError> {
        Ok(Self { encoder: None, packer: Packer::new(target, compression)?, waiting: Vec::new() })
    }

    pub fn write(&mut self, arrays: &[ArrayRef], rows: usize) -> Result<Vec<RefusedRow>, ObjectError> {
        let mut refused = Vec::new();
        let encoded = self.encoder.as_mut().map(|encoder| encoder.encode(arrays, rows, None).1);
        let values = match &encoded {
            Some(values) => values,
            None => arrays[0].as_binary::<i32>(),
        };
        for row in 0..rows {
            let value: &[u8] = if values.is_null(row) { b"null" } else { values.value(row) };
            if let Err(reason) = push_line(&mut self.waiting, value) {
                refused.push((row, reason));
            }
        }
        let whole = self.waiting.len() / CHUNK * CHUNK;
        for chunk in self.waiting[..whole].chunks(CHUNK) {
            self.packer.write(chunk)?;
        }
        self.waiting.drain(..whole);
        Ok(refused)
    }

    /// Bytes that are not compressed yet.
    pub fn held_bytes(&self) -> usize {
        self.waiting.len()
    }

    pub fn bytes(&self) -> usize {
        self.waiting.len() + self.packer.bytes()
    }

    pub fn finish(mut self) -> Result<W, ObjectError> {
        self.packer.write(&self.waiting)?;
        self.packer.finish()
    }
}

/// A record is one line: of JSON that stands on several, the line ends are only space between its parts; what is no JSON, as
/// when it was cut off, is the text of a string.
fn push_line(lines: &mut Vec<u8>, value: &[u8]) -> Result<(), String> {
    let begin = lines.len();
    if memchr2(b'\n', b'\r', value).is_none() {
        lines.extend(value);
    } else if str::from_utf8(value).is_ok_and(is_json) {
        lines.extend(value.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    } else {
        push_quoted(lines, value);
    }
    let bytes = lines.len() - begin;
    if bytes > LONGEST_RECORD {
        // Nobody could read the lines behind it.
        lines.truncate(begin);
        return Err(format!("it would be a line of {bytes} bytes, but one of an object may have {LONGEST_RECORD}"));
    }
    lines.push(b'\n');
    Ok(())
}

/// A JSON string byte by byte: what is no UTF-8 in it can be told as it came, too.
fn push_quoted(lines: &mut Vec<u8>, text: &[u8]) {
    lines.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => lines.extend([b'\\', *byte]),
            b'\n' => lines.extend(b"\\n"),
            b'\r' => lines.extend(b"\\r"),
            ..b' ' => lines.extend(format!("\\u{byte:04x}").into_bytes()),
            _ => lines.push(*byte),
        }
    }
    lines.push(b'"');
}

/// The content of an object that is compressed as a whole.
///
/// # Errors
/// If the compression fails.
pub fn compressed(content: &[u8], compression: Compression) -> Result<Bytes, ObjectError> {
    let mut packer = Packer::new(Vec::new(), compression)?;
    packer.write(content)?;
    packer.finish().map(Bytes::from)
}

/// Counts what is written.
struct Counted<W> {
    target: W,
    bytes: usize,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.target.write(bytes)?;
        self.bytes += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}

enum Packer<W: Write> {
    Plain(Counted<W>),
    Gzip(GzEncoder<Counted<W>>),
    Zstd(zstd::Encoder<'static, Counted<W>>),
}

impl<W: Write> Packer<W> {
    fn new(target: W, compression: Compression) -> Result<Self, ObjectError> {
        let target = Counted { target, bytes: 0 };
        Ok(match compression {
            Compression::None => Self::Plain(target),
            // No name and no time go into the header, so that the same lines make the same bytes.
            Compression::Gzip => Self::Gzip(GzEncoder::new(target, flate2::Compression::default())),
            Compression::Zstd => Self::Zstd(zstd::Encoder::new(target, ZSTD_LEVEL).map_err(ObjectError::of)?),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ObjectError> {
        match self {
            Self::Plain(packed) => packed.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
        .map_err(ObjectError::of)
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Plain(packed) => packed.bytes,
            Self::Gzip(encoder) => encoder.get_ref().bytes,
            Self::Zstd(encoder) => encoder.get_ref().bytes,
        }
    }

    fn finish(self) -> Result<W, ObjectError> {
        match self {
            Self::Plain(packed) => Ok(packed),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
        .map(|packed| packed.target)
        .map_err(ObjectError::of)
    }
}

//! Reads a file line by line, compressed or not, and knows at every line how far it got.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::Crc;
use flate2::bufread::MultiGzDecoder;

/// The longest line that is read, in bytes.
const LONGEST_LINE: u64 = 16 << 20;

/// How files that gzip made begin.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The byte order mark, with which some programs begin a file. It is no part of the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file of lines. Positions count decompressed bytes.
pub struct Lines {
    reader: Box<dyn BufRead + Send>,
    position: u64,
    checksum: Crc,
    terminated: bool,
}

impl Lines {
    /// Opens a file; one that starts as gzip's do is decompressed.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(256 << 10, File::open(path)?);
        let reader: Box<dyn BufRead + Send> = if file.fill_buf()?.starts_with(&GZIP_MAGIC) {
            Box::new(BufReader::with_capacity(256 << 10, MultiGzDecoder::new(file)))
        } else {
            Box::new(file)
        };
        Ok(Self { reader, position: 0, checksum: Crc::new(), terminated: true })
    }

    /// Bytes read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// CRC-32 of the bytes read.
    pub fn checksum(&self) -> u32 {
        self.checksum.sum()
    }

    /// Whether what was read ends with the end of a line.
    pub fn terminated(&self) -> bool {
        self.terminated
    }

    /// Reads the next line into `line`, without its end. False at the end of the file. After an error, position and
    /// checksum are those of the lines before it.
    pub fn next(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        let mut bounded = (&mut self.reader).take(LONGEST_LINE);
        let length = bounded.read_until(b'\n', line)? as u64;
        if length == 0 {
            return Ok(false);
        }
        let terminated = line.ends_with(b"\n");
        if !terminated && length == LONGEST_LINE {
            let message = format!("the line at byte {} is longer than {LONGEST_LINE} bytes", self.position);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let first = self.position == 0;
        self.consumed(line);
        self.terminated = terminated;
        if first && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        if self.terminated {
            line.pop();
        }
        if line.ends_with(b"\r") {
            line.pop();
        }
        Ok(true)
    }

    /// Reads `bytes` bytes, or up to the end of the file if that comes first.
    pub fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let end = self.position + bytes;
        while self.position < end {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            let length = buffer.len().min((end - self.position) as usize);
            self.checksum.update(&buffer[..length]);
            self.terminated = buffer[length - 1] == b'\n';
            self.reader.consume(length);
            self.position += length as u64;
        }
        Ok(())
    }

    /// The next byte, if the file goes on.
    pub fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.reader.fill_buf()?.first().copied())
    }

    fn consumed(&mut self, bytes: &[u8]) {
        self.checksum.update(bytes);
        self.position += bytes.len() as u64;
    }
}

/// The first bytes of a file, decompressed, at most `length`; those before the cut, if the file is cut off.
pub fn head(path: &Path, length: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(length);
    match Lines::open(path)?.reader.take(length as u64).read_to_end(&mut head) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof || head.is_empty() => Err(error),
        _ => Ok(head),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn lines(path: &Path) -> Vec<(Vec<u8>, u64)> {
        let mut reader = Lines::open(path).unwrap();
        let (mut line, mut lines) = (Vec::new(), Vec::new());
        while reader.next(&mut line).unwrap() {
            lines.push((line.clone(), reader.position()));
        }
        lines
    }

    #[test]
    fn a_compressed_file_gives_the_same_lines_and_positions_as_the_plain_one() {
        let content = b"one\r\n\ntwo\nlast";
        let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
        compressed.write_all(content).unwrap();
        let plain = lines(file(content).path());
        assert_eq!(plain, lines(file(&compressed.finish().unwrap()).path()));
        let expected: [(&[u8], u64); 4] = [(b"one", 5), (b"", 6), (b"two", 10), (b"last", 14)];
        assert_eq!(plain, expected.map(|(line, position)| (line.to_vec(), position)));
    }

    #[test]
    fn skipping_gives_the_checksum_that_reading_gave() {
        let file = file(b"one\ntwo\nthree");
        let mut read = Lines::open(file.path()).unwrap();
        let mut line = Vec::new();
        read.next(&mut line).unwrap();
        read.next(&mut line).unwrap();
        let mut skipped = Lines::open(file.path()).unwrap();
        skipped.skip(read.position()).unwrap();
        assert_eq!((skipped.checksum(), skipped.terminated()), (read.checksum(), true));
        assert_eq!(skipped.peek().unwrap(), Some(b't'));
        skipped.skip(100).unwrap();
        assert_eq!((skipped.position(), skipped.terminated()), (13, false));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let lines = lines(file(b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n").path());
        assert_eq!(lines, [(b"one".to_vec(), 7), (b"\xef\xbb\xbftwo".to_vec(), 14)]);
    }

    #[test]
    fn a_file_that_is_cut_off_gives_what_stands_before_the_cut() {
        let content: String =
            (0..20_000).map(|number: u32| format!("{}\n", number.wrapping_mul(2_654_435_761))).collect();
        let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
        compressed.write_all(content.as_bytes()).unwrap();
        let compressed = compressed.finish().unwrap();
        let cut = file(&compressed[..compressed.len() / 2]);

        let mut lines = Lines::open(cut.path()).unwrap();
        let mut line = Vec::new();
        let error = loop {
            match lines.next(&mut line) {
                Ok(more) => assert!(more, "the cut is no end"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let position = lines.position() as usize;
        assert!(position > 0 && content[..position].ends_with('\n'), "{position}");
        assert!(content.as_bytes().starts_with(&head(cut.path(), 1_000_000).unwrap()));
    }

    #[test]
    fn a_damaged_archive_is_an_error() {
        let file = file(&[0x1f, 0x8b, 8, 0, 1, 2, 3]);
        assert!(Lines::open(file.path()).unwrap().next(&mut Vec::new()).is_err());
    }
}

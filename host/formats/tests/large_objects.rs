//! Objects that are much larger than what their readers hold of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::{ArrayRef, Int64Array, StringArray};
use azenha_formats::objects::{
    FilePiece, LONGEST_RECORD, ObjectWriter, ParquetRows, Parts, Stored, TextRecords, compressed, within,
};
use azenha_model::plan::{Compression, Layout, OutputColumn, ReaderHints, StreamColumn, TimeFormat};
use azenha_model::{DataType, Field};
use bytes::Bytes;

/// What a reader may hold at once of any object.
const MOST_HELD: usize = 4 << 20;

/// Bytes that were taken, those of them that somebody holds now, and the most that anybody held.
#[derive(Default)]
struct Held {
    taken: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A part that was given away, until it is dropped.
struct Part(Vec<u8>, Arc<Held>);

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.1.now.fetch_sub(self.0.len(), Ordering::SeqCst);
    }
}

impl Held {
    fn part(self: &Arc<Self>, content: Vec<u8>) -> Bytes {
        let now = self.now.fetch_add(content.len(), Ordering::SeqCst) + content.len();
        self.most.fetch_max(now, Ordering::SeqCst);
        self.taken.fetch_add(content.len(), Ordering::SeqCst);
        Bytes::from_owner(Part(content, Arc::clone(self)))
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

/// A content whose parts are counted while somebody holds them.
struct Counted {
    length: u64,
    part: Box<dyn Fn(Range<u64>) -> Vec<u8> + Send + Sync>,
    held: Arc<Held>,
}

impl Counted {
    fn of(content: Bytes) -> Self {
        let length = content.len() as u64;
        let part = move |range: Range<u64>| content[range.start as usize..range.end as usize].to_vec();
        Self { length, part: Box::new(part), held: Arc::default() }
    }
}

impl Stored for Counted {
    fn length(&self) -> u64 {
        self.length
    }

    fn part(&self, range: Range<u64>) -> io::Result<Bytes> {
        within(&range, self.length)?;
        Ok(self.held.part((self.part)(range)))
    }
}

/// Reads lines of one length, none of which is read long before its turn.
fn check_lines(name: &str, content: Counted, lines: usize) {
    let (length, held) = (content.length as usize, Arc::clone(&content.held));
    assert!(length > 4 * MOST_HELD, "{name}: an object of {length} bytes proves nothing");
    let mut given = 0;
    for line in TextRecords::open(name, Layout::Lines, Arc::new(content)).unwrap() {
        assert_eq!(line.unwrap().len(), LINE - 1);
        given += 1;
        let ahead = held.taken() - length * given / lines;
        assert!(ahead < MOST_HELD, "{name}: {ahead} bytes are held behind line {given}");
    }
    assert_eq!(given, lines);
}

/// The length of a line with its end.
const LINE: usize = 1 << 8;

#[test]
fn lines_are_read_as_they_are_wanted() {
    let part =
        |range: Range<u64>| range.map(|at| if at % LINE as u64 == LINE as u64 - 1 { b'\n' } else { b'x' }).collect();
    let content = Counted { length: 256 << 20, part: Box::new(part), held: Arc::default() };
    check_lines("a.ndjson", content, 1 << 20);
}

#[test]
fn packed_lines_are_unpacked_as_they_are_wanted() {
    for (compression, name) in [(Compression::Gzip, "a.ndjson.gz"), (Compression::Zstd, "a.ndjson.zst")] {
        let packed = compressed(&random_lines(160_000), compression).unwrap();
        check_lines(name, Counted::of(packed), 160_000);
    }
}

/// Lines that do not get much smaller when they are packed.
fn random_lines(count: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(3);
    let mut lines: Vec<u8> = (0..count * LINE).map(|_| random.alphanumeric() as u8).collect();
    lines.iter_mut().skip(LINE - 1).step_by(LINE).for_each(|end| *end = b'\n');
    lines
}

#[test]
fn lines_longer_than_what_is_unpacked_at_once_are_whole() {
    let lines = ["x".repeat(5 << 20), "y".repeat(2 << 20), "z".to_owned()];
    let read: Result<Vec<Bytes>, _> =
        TextRecords::open("a", Layout::Lines, Arc::new(Bytes::from(lines.join("\n")))).unwrap().collect();
    assert!(read.unwrap() == lines, "other lines were read");
}

#[test]
fn a_record_without_an_end_is_refused_once_before_it_fills_the_memory() {
    let content = Counted {
        length: u64::MAX,
        part: Box::new(|range| vec![b'x'; (range.end - range.start) as usize]),
        held: Arc::default(),
    };
    let mut records = TextRecords::open("a", Layout::Record, Arc::new(content)).unwrap();
    let reason = records.next().unwrap().unwrap_err().to_string();
    assert!(reason.contains(&LONGEST_RECORD.to_string()), "{reason}");
    assert!(records.next().is_none());
}

#[test]
fn an_object_that_ends_midway_gives_what_stands_before_and_says_so_once() {
    let lines = random_lines(40_000);
    for (compression, name) in [(Compression::Gzip, "a.gz"), (Compression::Zstd, "a.zst")] {
        let packed = compressed(&lines, compression).unwrap();
        let half = packed.slice(..packed.len() / 2);
        let read: Vec<_> = TextRecords::open(name, Layout::Lines, Arc::new(half)).unwrap().collect();
        let (last, good) = read.split_last().unwrap();
        assert!(last.is_err() && (1..40_000).contains(&good.len()), "{name}: {} lines", good.len());
        assert!(good.iter().zip(lines.chunks(LINE)).all(|(read, line)| **read.as_ref().unwrap() == line[..LINE - 1]));
    }
}

#[test]
fn the_pages_of_a_parquet_file_are_read_one_after_the_other() {
    let fields = [Field::new("id", DataType::Int64, false), Field::new("text", DataType::Text, false)];
    let output =
        |(input, field): (usize, &Field)| OutputColumn { input, field: field.clone(), time_format: TimeFormat::Iso };
    let columns: Vec<OutputColumn> = fields.iter().enumerate().map(output).collect();
    let mut writer =
        ObjectWriter::new(Vec::new(), Layout::Parquet, Compression::None, &columns, &ReaderHints::default()).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for from in (0..600_000_i64).step_by(10_000) {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 10_000));
        let texts = (0..10_000).map(|_| format!("{:0100}", random.u64(..)));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        assert_eq!(writer.write(&[ids, texts], 10_000).unwrap(), []);
    }
    let file = Counted::of(writer.finish().unwrap().into());
    let (length, held) = (file.length as usize, Arc::clone(&file.held));
    let stream = |field: Field| StreamColumn { path: vec![field.name.clone()], field, time_format: TimeFormat::Iso };
    let rows = ParquetRows::open(Arc::new(file), &fields.map(stream), &[0, 1], Parts::new(), 4_096).unwrap();
    let rows = rows.map(|piece| match piece.unwrap() {
        FilePiece::Rows((_, rows)) => rows,
        FilePiece::Refused(error) => panic!("{error}"),
    });
    assert_eq!(rows.sum::<usize>(), 600_000);
    assert!(length > 8 * MOST_HELD, "a file of {length} bytes proves nothing");
    assert!(held.most() < MOST_HELD, "{} of {length} bytes were held at once", held.most());
}

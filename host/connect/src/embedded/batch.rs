//! How records are stored: batches, each one blob that is read without parsing.
//!
//! ```text
//! header   version u8 | flags u8 | zero u16 | records u32 | body length u32 | checksum u32
//! body     timestamps i64 × n | key offsets i32 × (n + 1) | value offsets i32 × (n + 1)
//!          | key validity bits | value validity bits | key bytes | value bytes
//! ```
//!
//! All numbers are little-endian. A validity bitmap stands only where a flag says that there are nulls. The
//! body is compressed with LZ4 where that makes it smaller; its length is the uncompressed one. The checksum
//! (CRC-32) covers the header before it and the body as stored.

use arrow_array::{Array, BinaryArray};
use arrow_buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use azenha_engine::log::LogError;
use azenha_model::Records;

/// The version of this layout.
const VERSION: u8 = 1;
const HEADER: usize = 16;
const CHECKSUM_AT: usize = 12;

const COMPRESSED: u8 = 1;
const NULL_KEYS: u8 = 2;
const NULL_VALUES: u8 = 4;

/// A batch is closed at this many records, or before the record that would lift it over `TARGET_BYTES`.
const MAX_RECORDS: usize = 1000;
const TARGET_BYTES: usize = 4 << 20;
/// Of a record's key and value. SQLite holds no blob above 1,000,000,000 bytes; the rest is room for what is
/// stored beside them.
pub(super) const MAX_RECORD: usize = 990_000_000;

/// Consecutive records as they are stored.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub records: u64,
    pub blob: Vec<u8>,
}

/// Why a batch cannot be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BatchError {
    #[error("the stored batch is damaged: {0}")]
    Damaged(&'static str),
    #[error("the stored batch has format {0}, this version knows formats up to {VERSION}")]
    NewerFormat(u8),
}

/// Cuts records for a topic into batches.
pub(super) fn encode(topic: &str, records: &Records) -> Result<Vec<Batch>, LogError> {
    let mut batches = Vec::with_capacity(records.len() / MAX_RECORDS + 1);
    let mut from = 0;
    while from < records.len() {
        let length = batch_length(records, from);
        let batch = records.slice(from, length);
        // Only a record that is a batch of its own can be so large.
        if batch.bytes() > MAX_RECORD {
            return Err(LogError::TooLarge { topic: topic.to_owned(), bytes: batch.bytes(), limit: MAX_RECORD });
        }
        batches.push(Batch { records: length as u64, blob: encode_batch(&batch) });
        from += length;
    }
    Ok(batches)
}

/// How many of the records from `from` on make up one batch.
fn batch_length(records: &Records, from: usize) -> usize {
    let (keys, values) = (records.keys.value_offsets(), records.values.value_offsets());
    let bytes_to = |end: usize| (keys[end] - keys[from]) as usize + (values[end] - values[from]) as usize;
    let most = MAX_RECORDS.min(records.len() - from);
    (1..=most).take_while(|length| *length == 1 || bytes_to(from + length) <= TARGET_BYTES).last().unwrap_or(most)
}

fn encode_batch(records: &Records) -> Vec<u8> {
    let (body, flags) = body(records);
    let mut blob = vec![0; HEADER + lz4_flex::block::get_maximum_output_size(body.len())];
    let compressed = lz4_flex::block::compress_into(&body, &mut blob[HEADER..]).unwrap_or(body.len());
    let is_smaller = compressed < body.len();
    if is_smaller {
        blob.truncate(HEADER + compressed);
    } else {
        blob.truncate(HEADER);
        blob.extend_from_slice(&body);
    }
    blob[0] = VERSION;
    blob[1] = flags | if is_smaller { COMPRESSED } else { 0 };
    blob[4..8].copy_from_slice(&(records.len() as u32).to_le_bytes());
    blob[8..CHECKSUM_AT].copy_from_slice(&(body.len() as u32).to_le_bytes());
    let checksum = checksum(&blob);
    blob[CHECKSUM_AT..HEADER].copy_from_slice(&checksum.to_le_bytes());
    blob
}

fn checksum(blob: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&blob[..CHECKSUM_AT]);
    hasher.update(&blob[HEADER..]);
    hasher.finalize()
}

/// The uncompressed body, and the flags that say which bitmaps it has.
fn body(records: &Records) -> (Vec<u8>, u8) {
    let count = records.len();
    let mut body = Vec::with_capacity(16 * count + 8 + 2 * count.div_ceil(8) + records.bytes());
    body.extend(records.timestamps.iter().flat_map(|timestamp| timestamp.to_le_bytes()));
    for column in [&records.keys, &records.values] {
        let base = column.value_offsets()[0];
        body.extend(column.value_offsets().iter().flat_map(|offset| (offset - base).to_le_bytes()));
    }
    let mut flags = 0;
    for (column, flag) in [(&records.keys, NULL_KEYS), (&records.values, NULL_VALUES)] {
        if let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) {
            flags |= flag;
            body.extend_from_slice(&nulls.inner().sliced()[..count.div_ceil(8)]);
        }
    }
    for column in [&records.keys, &records.values] {
        let offsets = column.value_offsets();
        body.extend_from_slice(&column.value_data()[offsets[0] as usize..offsets[count] as usize]);
    }
    (body, flags)
}

/// The records of a stored batch.
pub(super) fn decode(blob: &[u8]) -> Result<Records, BatchError> {
    let (flags, count, body) = open(blob)?;
    let mut parts = Parts { body: &body, at: 0 };
    let timestamps = parts.take(count * 8)?;
    let timestamps = ScalarBuffer::<i64>::from(timestamps).to_vec();
    let key_offsets = parts.offsets(count)?;
    let value_offsets = parts.offsets(count)?;
    let key_nulls = parts.nulls(count, flags & NULL_KEYS != 0)?;
    let value_nulls = parts.nulls(count, flags & NULL_VALUES != 0)?;
    let keys = parts.column(key_offsets, key_nulls)?;
    let values = parts.column(value_offsets, value_nulls)?;
    Ok(Records { timestamps, keys, values })
}

/// Checks the header and uncompresses the body: flags, number of records, body.
fn open(blob: &[u8]) -> Result<(u8, usize, Buffer), BatchError> {
    if blob.len() < HEADER {
        return Err(BatchError::Damaged("it is shorter than its header"));
    }
    if blob[0] > VERSION {
        return Err(BatchError::NewerFormat(blob[0]));
    }
    let number = |at: usize| u32::from_le_bytes([blob[at], blob[at + 1], blob[at + 2], blob[at + 3]]);
    if checksum(blob) != number(CHECKSUM_AT) {
        return Err(BatchError::Damaged("its checksum differs"));
    }
    // The buffer is aligned for every type that is read from it, which the blob need not be.
    let mut body = MutableBuffer::from_len_zeroed(number(8) as usize);
    let stored = &blob[HEADER..];
    if blob[1] & COMPRESSED == 0 {
        if stored.len() != body.len() {
            return Err(BatchError::Damaged("its length differs"));
        }
        body.as_slice_mut().copy_from_slice(stored);
    } else if lz4_flex::block::decompress_into(stored, body.as_slice_mut()).ok() != Some(body.len()) {
        return Err(BatchError::Damaged("it cannot be uncompressed"));
    }
    Ok((blob[1], number(4) as usize, body.into()))
}

/// The parts of a body, in order.
struct Parts<'a> {
    body: &'a Buffer,
    at: usize,
}

impl Parts<'_> {
    fn take(&mut self, length: usize) -> Result<Buffer, BatchError> {
        if length > self.body.len() - self.at {
            return Err(BatchError::Damaged("it ends too early"));
        }
        let part = self.body.slice_with_length(self.at, length);
        self.at += length;
        Ok(part)
    }

    fn offsets(&mut self, count: usize) -> Result<OffsetBuffer<i32>, BatchError> {
        let offsets = ScalarBuffer::<i32>::from(self.take((count + 1) * 4)?);
        if offsets[0] != 0 || !offsets.is_sorted() {
            return Err(BatchError::Damaged("its offsets run backwards"));
        }
        Ok(OffsetBuffer::new(offsets))
    }

    fn nulls(&mut self, count: usize, present: bool) -> Result<Option<NullBuffer>, BatchError> {
        if !present {
            return Ok(None);
        }
        let bits = self.take(count.div_ceil(8))?;
        Ok(Some(NullBuffer::new(BooleanBuffer::new(bits, 0, count))))
    }

    fn column(&mut self, offsets: OffsetBuffer<i32>, nulls: Option<NullBuffer>) -> Result<BinaryArray, BatchError> {
        let bytes = self.take(offsets.last() as usize)?;
        BinaryArray::try_new(offsets, bytes, nulls).map_err(|_| BatchError::Damaged("its columns do not fit"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed() -> Records {
        let keys: Vec<Option<&[u8]>> = vec![None, Some(b""), Some(b"key"), Some(&[0, 255, 128])];
        let values: Vec<Option<&[u8]>> = vec![Some(b"value"), None, Some(b""), Some(&[0; 500])];
        let (keys, values) = (BinaryArray::from(keys), BinaryArray::from(values));
        Records { timestamps: vec![i64::MIN, -1, 0, i64::MAX], keys, values }
    }

    fn encoded(records: &Records) -> Vec<Batch> {
        encode("topic", records).unwrap()
    }

    fn assert_same(found: &Records, wanted: &Records) {
        assert_eq!(found.timestamps, wanted.timestamps);
        assert_eq!(found.keys, wanted.keys);
        assert_eq!(found.values, wanted.values);
    }

    #[test]
    fn records_come_back_as_they_were() {
        let batches = encoded(&mixed());
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].records, 4);
        assert_same(&decode(&batches[0].blob).unwrap(), &mixed());
    }

    #[test]
    fn a_slice_is_stored_without_its_neighbours() {
        let slice = mixed().slice(1, 2);
        let batches = encoded(&slice);
        assert_same(&decode(&batches[0].blob).unwrap(), &slice);
        assert!(batches[0].blob.len() < 100);
    }

    #[test]
    fn batches_are_cut_by_records_and_by_bytes() {
        let small = Records::unkeyed(BinaryArray::from(vec![b"x".as_slice(); 2500]), 7);
        let lengths: Vec<u64> = encoded(&small).iter().map(|batch| batch.records).collect();
        assert_eq!(lengths, [1000, 1000, 500]);

        let big = vec![0_u8; TARGET_BYTES / 2 + 1];
        let big = Records::unkeyed(BinaryArray::from(vec![big.as_slice(); 3]), 7);
        let lengths: Vec<u64> = encoded(&big).iter().map(|batch| batch.records).collect();
        assert_eq!(lengths, [1, 1, 1]);
    }

    #[test]
    fn a_record_that_sqlite_cannot_hold_is_refused_with_its_topic() {
        // Never looked at, these zeros take no memory.
        let values = |length: usize| {
            let offsets = OffsetBuffer::from_lengths([2, length]);
            BinaryArray::new(offsets, MutableBuffer::from_len_zeroed(length + 2).into(), None)
        };
        let error = encode("uploads", &Records::unkeyed(values(MAX_RECORD + 1), 7)).unwrap_err();
        let (bytes, limit) = (MAX_RECORD + 1, MAX_RECORD);
        assert!(matches!(&error, LogError::TooLarge { bytes: found, .. } if *found == bytes), "{error}");
        assert!(!error.is_passing());
        for part in ["`uploads`".to_owned(), bytes.to_string(), limit.to_string()] {
            assert!(error.to_string().contains(&part), "{error}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_found() {
        let blob = encoded(&mixed()).remove(0).blob;
        for bit in 0..blob.len() * 8 {
            let mut damaged = blob.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit}");
        }
        for length in 0..blob.len() {
            assert!(decode(&blob[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number() {
        let mut blob = encoded(&mixed()).remove(0).blob;
        blob[0] = 9;
        assert_eq!(decode(&blob).unwrap_err(), BatchError::NewerFormat(9));
    }
}

//! Records as they stand in a topic: columns of bytes, not yet decoded.

use arrow_array::{Array, BinaryArray};

/// A record's place in a topic partition. The *position* of a reader is the offset that it reads next.
pub type Offset = u64;

/// Records to append to a topic partition, or read from one, in order. All columns are equally long.
#[derive(Debug, Clone)]
pub struct Records {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub timestamps: Vec<i64>,
    /// Null where a record has no key.
    pub keys: BinaryArray,
    /// Null is a tombstone: the row with this key is deleted.
    pub values: BinaryArray,
}

impl Records {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Records without keys, all with one timestamp (microseconds).
    pub fn unkeyed(values: BinaryArray, timestamp: i64) -> Self {
        let rows = values.len();
        Self { timestamps: vec![timestamp; rows], keys: BinaryArray::new_null(rows), values }
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        let held = |column: &BinaryArray| {
            let offsets = column.value_offsets();
            (offsets[column.len()] - offsets[0]) as usize
        };
        held(&self.keys) + held(&self.values)
    }

    /// Rows `from..from + length`, sharing their bytes with these.
    pub fn slice(&self, from: usize, length: usize) -> Self {
        Self {
            timestamps: self.timestamps[from..from + length].to_vec(),
            keys: self.keys.slice(from, length),
            values: self.values.slice(from, length),
        }
    }
}

/// Records that were read from a topic partition, with their offsets: ascending, perhaps with gaps.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// One for each record.
    pub offsets: Vec<Offset>,
    /// The records.
    pub records: Records,
    /// Where to read on: behind the last record, and behind what a log keeps beside records.
    pub next: Offset,
}

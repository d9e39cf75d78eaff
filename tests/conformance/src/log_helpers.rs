//! Records in a form that checks can write down and compare.

use std::time::Duration;

use arrow_array::{Array, BinaryArray};
use azenha_engine::log::{Append, Change, Commit, LaneId, Log, LogError, Membership, ReadLimit, read_settled};
use azenha_model::plan::{TopicKind, TopicSpec};
use azenha_model::{Fetched, Offset, Records};

/// The timestamp of records whose time does not matter, in microseconds.
pub const TIMESTAMP: i64 = 1_700_000_000_000_000;

/// A record as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Its offset.
    pub offset: Offset,
    /// Microseconds.
    pub timestamp: i64,
    /// None is null.
    pub key: Option<Vec<u8>>,
    /// None is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// A limit that takes everything and waits for nothing.
pub const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX, wait: Duration::ZERO };

/// Makes a topic of kind `Output`.
pub async fn topic(log: &dyn Log, name: &str, partitions: u32) {
    log.ensure_topic(&spec(name, partitions)).await.unwrap();
}

/// A topic of kind `Output`.
pub fn spec(name: &str, partitions: u32) -> TopicSpec {
    TopicSpec { name: name.to_owned(), partitions, kind: TopicKind::Output }
}

/// Keyless records with these values.
pub fn values<V: AsRef<[u8]>>(values: &[V]) -> Records {
    Records::unkeyed(BinaryArray::from_iter_values(values), TIMESTAMP)
}

/// A key and a value.
pub type Pair<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Records with these keys and values.
pub fn pairs(pairs: &[Pair<'_>]) -> Records {
    Records {
        timestamps: vec![TIMESTAMP; pairs.len()],
        keys: pairs.iter().map(|pair| pair.0).collect(),
        values: pairs.iter().map(|pair| pair.1).collect(),
    }
}

/// Records for a partition.
pub fn to(topic: &str, partition: u32, records: Records) -> Append {
    Append { topic: topic.to_owned(), partition, records }
}

/// A commit of one append.
pub fn commit(position: Offset, append: Append) -> Commit {
    Commit { position, appends: vec![append] }
}

/// The lane of partition 0 of `input`, for a group of the same name.
pub fn lane(input: &str) -> LaneId {
    LaneId { group: format!("{input}.task"), input: input.to_owned(), partition: 0 }
}

/// Everything from `from` to the end, however many reads it takes.
pub async fn read_from(log: &dyn Log, topic: &str, partition: u32, mut from: Offset) -> Vec<Read> {
    let mut read = Vec::new();
    while from < log.bounds(topic, partition).await.unwrap().end {
        let piece = read_once(log, topic, partition, from, ALL).await;
        let Some(last) = piece.last() else { break };
        from = last.offset + 1;
        read.extend(piece);
    }
    read
}

/// Everything that a partition holds.
pub async fn read_all(log: &dyn Log, topic: &str, partition: u32) -> Vec<Read> {
    let start = log.bounds(topic, partition).await.unwrap().start;
    read_from(log, topic, partition, start).await
}

/// The values, as text, of what a partition holds from `next` on, which goes along.
pub async fn settled_texts(log: &dyn Log, topic: &str, partition: u32, next: &mut Offset) -> Vec<String> {
    let mut texts = Vec::new();
    let take = |fetched: &Fetched| {
        let values = fetched.records.values.iter().flatten();
        texts.extend(values.map(|value| String::from_utf8(value.to_vec()).unwrap()));
        Ok::<_, LogError>(())
    };
    read_settled(log, topic, partition, next, take).await.unwrap();
    texts
}

/// The partitions that a member is given, once it is given any.
pub async fn assigned(member: &dyn Membership) -> Vec<u32> {
    loop {
        match member.changed().await.unwrap() {
            Change::Assigned(partitions) if !partitions.is_empty() => return partitions,
            Change::Assigned(_) => {}
            Change::Revoked(partitions) => member.release(&partitions).await,
        }
    }
}

/// What one read gives.
pub async fn read_once(log: &dyn Log, topic: &str, partition: u32, from: Offset, limit: ReadLimit) -> Vec<Read> {
    let fetched = log.read(topic, partition, from, limit).await.unwrap();
    let records = &fetched.records;
    assert_eq!(fetched.offsets.len(), records.len(), "as many offsets as records");
    let bytes = |column: &BinaryArray, row: usize| column.is_valid(row).then(|| column.value(row).to_vec());
    let read = |(row, offset): (usize, &Offset)| Read {
        offset: *offset,
        timestamp: records.timestamps[row],
        key: bytes(&records.keys, row),
        value: bytes(&records.values, row),
    };
    fetched.offsets.iter().enumerate().map(read).collect()
}

/// The values as text, `-` for tombstones.
pub fn texts(read: &[Read]) -> Vec<String> {
    let text = |value: &Option<Vec<u8>>| {
        value.as_ref().map_or("-".to_owned(), |value| String::from_utf8(value.clone()).unwrap())
    };
    read.iter().map(|record| text(&record.value)).collect()
}

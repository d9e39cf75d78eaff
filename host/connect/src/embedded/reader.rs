//! Reading: several connections, so that readers wait neither for the writer nor for each other.

use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::{Array, BinaryArray};
use arrow_select::concat::concat;
use azenha_engine::log::{LogError, ReadLimit};
use azenha_model::{Fetched, Offset, Records};
use futures::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Mutex, MutexGuard};

use super::catalog::Partition;
use super::{batch, storage};

/// The batch that holds an offset, and those after it that begin before the limit. Offsets have no gaps, so
/// a limit in records is one in offsets.
const SELECT: &str = "
    SELECT base_offset, data FROM batches
    WHERE partition_id = ?1 AND base_offset < ?3 AND base_offset >=
        (SELECT max(base_offset) FROM batches WHERE partition_id = ?1 AND base_offset <= ?2)
    ORDER BY base_offset";

const READING: &str = "reading the log";

/// No read goes on behind so many bytes: with one more batch, 32 bits still count those of a column.
const MAX_BYTES: usize = 1 << 30;

/// The connections of readers.
///
/// This is not `sqlx::Pool`, whose timers need the caller's runtime: lanes call from threads of their own.
#[derive(Debug)]
pub(super) struct Readers {
    connections: Vec<Mutex<SqliteConnection>>,
    /// Counts the readers that found no free connection, to spread them.
    waits: AtomicUsize,
}

impl Readers {
    /// Of at least one connection.
    pub fn new(first: SqliteConnection, others: Vec<SqliteConnection>) -> Self {
        let connections = std::iter::once(first).chain(others).map(Mutex::new).collect();
        Self { connections, waits: AtomicUsize::new(0) }
    }

    async fn connection(&self) -> MutexGuard<'_, SqliteConnection> {
        if let Some(free) = self.connections.iter().find_map(|connection| connection.try_lock().ok()) {
            return free;
        }
        let turn = self.waits.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        self.connections[turn].lock().await
    }

    /// Records from offset `from` on, up to the end of the partition as it is published now.
    pub async fn read(&self, partition: &Partition, from: Offset, limit: ReadLimit) -> Result<Fetched, LogError> {
        read(&mut *self.connection().await, partition, from, limit).await
    }
}

/// Records from offset `from` on, up to the end of the partition. Behind it there may be batches that are
/// committed but not yet published: who read them could not go on, because their end would be out of range.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    partition: &Partition,
    from: Offset,
    limit: ReadLimit,
) -> Result<Fetched, LogError> {
    let failed = |error| storage(READING, error);
    let end = partition.bounds_around(from)?.end;
    if from == end {
        return joined(from, Vec::new());
    }
    let until = from.saturating_add(limit.records.max(1) as u64).min(end);
    let query = sqlx::query(SELECT).bind(partition.id).bind(from as i64).bind(until as i64);
    let mut rows = query.fetch(connection);
    let (mut batches, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        let base = row.try_get::<i64, _>(0).map_err(failed)? as u64;
        let records = batch::decode(row.try_get(1).map_err(failed)?).map_err(|error| storage(READING, error))?;
        let skipped = from.saturating_sub(base) as usize;
        if skipped >= records.len() {
            break;
        }
        bytes += records.bytes();
        batches.push(if skipped == 0 { records } else { records.slice(skipped, records.len() - skipped) });
        if bytes >= limit.bytes.min(MAX_BYTES) {
            break;
        }
    }
    if batches.is_empty() {
        // What was there when the bounds were looked at can only be gone because it was purged since.
        return Err(partition.out_of_range(from));
    }
    joined(from, batches)
}

/// The records of consecutive batches, the first of which has offset `from`.
fn joined(from: Offset, mut batches: Vec<Records>) -> Result<Fetched, LogError> {
    let records = match batches.len() {
        0 => Records::unkeyed(BinaryArray::new_null(0), 0),
        1 => batches.remove(0),
        _ => Records {
            timestamps: batches.iter().flat_map(|batch| batch.timestamps.iter().copied()).collect(),
            keys: concat_binary(batches.iter().map(|batch| &batch.keys))?,
            values: concat_binary(batches.iter().map(|batch| &batch.values))?,
        },
    };
    let next = from + records.len() as u64;
    Ok(Fetched { offsets: (from..next).collect(), records, next })
}

fn concat_binary<'a>(columns: impl Iterator<Item = &'a BinaryArray>) -> Result<BinaryArray, LogError> {
    let columns: Vec<&dyn Array> = columns.map(|column| column as &dyn Array).collect();
    let joined = concat(&columns).map_err(|error| storage(READING, error))?;
    Ok(joined.as_binary().clone())
}

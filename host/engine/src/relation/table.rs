//! The rows of a table, as its change stream tells them.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray};
use arrow_row::{RowConverter, Rows as RowBytes};
use arrow_schema::ArrowError;
use arrow_select::zip::zip;
use azenha_formats::{ChangeKind, ChangePosition};
use azenha_model::Offset;
use azenha_model::relation::{OnTruncate, Table};

use super::change::{RowChange, Version};
use super::row_codec;
use crate::state::GroupTable;
use crate::wire::Malformed;

/// Keeps the rows of one partition of a table.
///
/// It knows what single events do not say: how a row stood before, values that the database left out because they did
/// not change, and whether an event was seen before, which a capture that starts again repeats. Of a deleted row its
/// last position stays, so that a repeated event does not bring it back.
pub struct KeyedTable {
    table: Table,
    keys: RowConverter,
    rows: RowConverter,
    entries: GroupTable,
    /// The row that the last event deleted: the tombstone that follows says the same again.
    deleted: Option<Box<[u8]>>,
}

/// An event, with its row as bytes.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// What it says.
    pub kind: ChangeKind,
    /// Where it stands in the database's log, if it says so.
    pub position: Option<ChangePosition>,
    /// Where it stands in its topic.
    pub offset: Offset,
    /// The columns that identify the row; empty where the kind is about all rows.
    pub key: &'a [u8],
    /// All columns; of no meaning where a row is deleted.
    pub row: &'a [u8],
    /// Columns whose values the database left out.
    pub unavailable: &'a [usize],
}

/// Why an event is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It is a dead letter.
    #[error("{0}")]
    Refused(String),
    /// A person has to decide.
    #[error("{0}")]
    Stopped(String),
    /// The state cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The state cannot be read.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

impl KeyedTable {
    /// A table whose entries were restored, or an empty one.
    pub fn over(table: Table, entries: GroupTable) -> Result<Self, Trouble> {
        let deleted = entries.find(DELETED).and_then(|slot| entries.get(slot));
        let deleted =
            deleted.filter(|entry| !entry.accumulator.is_empty()).map(|entry| entry.accumulator.as_slice().into());
        let keys = row_codec(table.key.iter().map(|column| &table.fields[*column]))?;
        Ok(Self { keys, rows: row_codec(&table.fields)?, table, entries, deleted })
    }

    /// What is kept.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The state, for the changelog.
    pub fn entries(&mut self) -> &mut GroupTable {
        &mut self.entries
    }

    /// The state, to look at.
    pub fn held(&self) -> &GroupTable {
        &self.entries
    }

    /// The keys and the rows of columns, as bytes.
    pub fn bytes_of(&self, columns: &[ArrayRef]) -> Result<(RowBytes, RowBytes), ArrowError> {
        let key: Vec<ArrayRef> = self.table.key.iter().map(|column| Arc::clone(&columns[*column])).collect();
        Ok((self.keys.convert_columns(&key)?, self.rows.convert_columns(columns)?))
    }

    /// The columns of rows.
    pub fn columns_of<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, ArrowError> {
        let parser = self.rows.parser();
        self.rows.convert_rows(rows.map(|row| parser.parse(row)))
    }

    /// Takes an event in; `changes` gets what follows from it.
    pub fn take(&mut self, arrival: &Arrival<'_>, changes: &mut Vec<RowChange>) -> Result<(), Trouble> {
        let deleted = self.deleted.take();
        match arrival.kind {
            ChangeKind::Upsert => self.put(arrival, changes),
            ChangeKind::Delete => {
                self.deleted = Some(arrival.key.into());
                self.delete(arrival, changes)
            }
            // It says once more what the event before it said. Alone it stands where compaction removed that one.
            ChangeKind::Tombstone if deleted.as_deref() == Some(arrival.key) => Ok(()),
            ChangeKind::Tombstone => self.delete(arrival, changes),
            ChangeKind::Snapshot { last, .. } => self.snapshot(arrival, last, changes),
            ChangeKind::Truncate => self.truncate(arrival.offset, changes),
        }
    }

    /// Puts what is known beside rows into the state, before it is committed.
    pub fn settle(&mut self) {
        let deleted = self.deleted.as_deref().unwrap_or_default();
        let (slot, _) = self.entries.slot_of(DELETED);
        if self.entries.get(slot).is_some_and(|entry| entry.accumulator != deleted) {
            self.entries.put(slot, deleted);
        }
    }

    fn entry(&self, key: &[u8]) -> Result<Option<Entry<'_>>, Malformed> {
        self.entries
            .find(key)
            .and_then(|slot| self.entries.get(slot))
            .map(|entry| Entry::read(&entry.accumulator))
            .transpose()
    }

    /// Where the row with a key was deleted, if that is known: an event up to there was seen before.
    pub fn deleted_at(&self, key: &[u8]) -> Result<Option<ChangePosition>, Malformed> {
        let deleted = self.entry(key)?.filter(|entry| entry.row.is_none() && !entry.is_snapshot);
        Ok(deleted.and_then(|entry| entry.position))
    }

    fn put(&mut self, arrival: &Arrival<'_>, changes: &mut Vec<RowChange>) -> Result<(), Trouble> {
        let before = self.entry(arrival.key)?;
        let is_snapshot = matches!(arrival.kind, ChangeKind::Snapshot { .. });
        if before.is_some_and(|before| before.covers(arrival.position, is_snapshot)) {
            return Ok(());
        }
        let old: Option<Box<[u8]>> = before.and_then(|entry| entry.row).map(Into::into);
        let new: Box<[u8]> = match arrival.unavailable {
            [] => arrival.row.into(),
            _ => self.completed(arrival, old.as_deref())?,
        };
        self.keep(arrival.key, &Entry { position: arrival.position, is_snapshot, row: Some(&new) });
        self.tell(arrival, old, Some(new), changes);
        Ok(())
    }

    fn delete(&mut self, arrival: &Arrival<'_>, changes: &mut Vec<RowChange>) -> Result<(), Trouble> {
        let before = self.entry(arrival.key)?;
        if before.is_some_and(|before| before.covers(arrival.position, false)) {
            return Ok(());
        }
        let old: Option<Box<[u8]>> = before.and_then(|entry| entry.row).map(Into::into);
        // A tombstone says no position: the one before it goes on.
        let (position, is_snapshot) = match (arrival.position, before) {
            (None, Some(before)) => (before.position, before.is_snapshot),
            (position, _) => (position, false),
        };
        match position {
            Some(_) => self.keep(arrival.key, &Entry { position, is_snapshot, row: None }),
            // Without positions nobody can tell a repeated event from a new one anyway.
            None => {
                if let Some(slot) = self.entries.find(arrival.key) {
                    self.entries.remove(slot);
                }
            }
        }
        self.tell(arrival, old, None, changes);
        Ok(())
    }

    fn snapshot(&mut self, arrival: &Arrival<'_>, last: bool, changes: &mut Vec<RowChange>) -> Result<(), Trouble> {
        self.put(arrival, changes)?;
        // All rows of a snapshot stand at its position: what stands before it was not there any more. Only a whole
        // table can tell, because the rows of other partitions may not have been read yet.
        let Some(position) = arrival.position.filter(|_| last && self.table.is_whole) else { return Ok(()) };
        self.delete_all(arrival.offset, |entry| entry.position.is_some_and(|known| known < position), changes)
    }

    fn truncate(&mut self, offset: Offset, changes: &mut Vec<RowChange>) -> Result<(), Trouble> {
        match (self.table.on_truncate, self.table.is_whole) {
            (OnTruncate::Apply, true) => self.delete_all(offset, |_| true, changes),
            (OnTruncate::Apply, false) => Err(Trouble::Stopped(
                "the captured table was truncated, but its topic has several partitions, of which only this one says so: \
                 capture it anew with a single partition, and give the pipeline another name"
                    .to_owned(),
            )),
            (OnTruncate::Stop, _) => Err(Trouble::Stopped(format!(
                "the captured table was truncated: to delete all its rows here too, write `on_truncate: apply` at \
                 source `{}`",
                self.table.name
            ))),
        }
    }

    /// Deletes every row that is picked.
    fn delete_all(
        &mut self,
        offset: Offset,
        is_picked: impl Fn(&Entry<'_>) -> bool,
        changes: &mut Vec<RowChange>,
    ) -> Result<(), Trouble> {
        let mut picked = Vec::new();
        for (slot, group) in self.entries.iter().filter(|(_, group)| is_row(&group.key)) {
            let entry = Entry::read(&group.accumulator)?;
            if let Some(row) = entry.row
                && is_picked(&entry)
            {
                let gone = Entry { row: None, ..entry }.write();
                let (key, version) = (group.key.clone(), Version::of(offset));
                picked.push((slot, gone, RowChange { key, version, old: Some(row.into()), new: None }));
            }
        }
        // In the order of keys, so that a restored table does the same as one that was never away.
        picked.sort_unstable_by(|(_, _, one), (_, _, other)| one.key.cmp(&other.key));
        for (slot, gone, change) in picked {
            self.entries.put(slot, &gone);
            changes.push(change);
        }
        Ok(())
    }

    fn keep(&mut self, key: &[u8], entry: &Entry<'_>) {
        let (slot, _) = self.entries.slot_of(key);
        self.entries.put(slot, &entry.write());
    }

    fn tell(
        &self,
        arrival: &Arrival<'_>,
        old: Option<Box<[u8]>>,
        new: Option<Box<[u8]>>,
        changes: &mut Vec<RowChange>,
    ) {
        if old != new {
            changes.push(RowChange { key: arrival.key.into(), version: Version::of(arrival.offset), old, new });
        }
    }

    /// The row with the values that the database left out, as they stood before.
    fn completed(&self, arrival: &Arrival<'_>, old: Option<&[u8]>) -> Result<Box<[u8]>, Trouble> {
        let Some(old) = old else {
            let names: Vec<&str> =
                arrival.unavailable.iter().map(|column| self.table.fields[*column].name.as_str()).collect();
            return Err(Trouble::Refused(format!(
                "the database left out {} because nothing changed there, but the row before is not known: capture the \
                 table with a new snapshot",
                names.join(", ")
            )));
        };
        let (old, mut new) = (self.columns_of(std::iter::once(old))?, self.columns_of(std::iter::once(arrival.row))?);
        let from_old = BooleanArray::from(vec![true]);
        for column in arrival.unavailable {
            new[*column] = zip(&from_old, &old[*column], &new[*column])?;
        }
        Ok(self.rows.convert_columns(&new)?.row(0).data().into())
    }
}

/// The key of the entry that says which row the last event deleted: no row has an empty one.
const DELETED: &[u8] = &[];

/// Whether an entry is a row's, and not what is known beside rows.
fn is_row(key: &[u8]) -> bool {
    key != DELETED && key != told::TOLD
}

/// What is kept of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry<'a> {
    /// Where its last event stands in the database's log.
    position: Option<ChangePosition>,
    /// Whether that event was of a snapshot.
    is_snapshot: bool,
    /// None: it was deleted.
    row: Option<&'a [u8]>,
}

impl<'a> Entry<'a> {
    /// Whether an event was seen before.
    ///
    /// After a snapshot no change was: PostgreSQL's snapshot stands at a point of the log, and lacks what a transaction
    /// wrote before it that committed behind it. A capture that takes a snapshot and then repeats what came before goes
    /// on to what came after, so the row ends right. A snapshot itself is believed where it stands, and one at the same
    /// position is news to nobody and harms nobody.
    fn covers(&self, position: Option<ChangePosition>, is_snapshot: bool) -> bool {
        self.position.zip(position).is_some_and(|(known, position)| match (self.is_snapshot, is_snapshot) {
            (true, false) => false,
            (_, true) => position < known,
            (false, false) => position <= known,
        })
    }

    fn write(&self) -> Vec<u8> {
        let flags = [self.position.is_some(), self.row.is_some(), self.is_snapshot];
        let mut bytes = vec![(0..).zip(flags).map(|(bit, flag)| u8::from(flag) << bit).sum()];
        for word in self.position.iter().flat_map(|position| position.0) {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(self.row.unwrap_or_default());
        bytes
    }

    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let too_short = || Malformed("a row in the state of a table ends too early".to_owned());
        let (flags, mut rest) = bytes.split_first().ok_or_else(too_short)?;
        let mut position = None;
        if flags & 1 != 0 {
            let mut words = [0; 3];
            for word in &mut words {
                let (bytes, behind) = rest.split_first_chunk::<8>().ok_or_else(too_short)?;
                (*word, rest) = (u64::from_le_bytes(*bytes), behind);
            }
            position = Some(ChangePosition(words));
        }
        Ok(Self { position, row: (flags & 2 != 0).then_some(rest), is_snapshot: flags & 4 != 0 })
    }
}

mod told;

pub use told::Telling;

#[cfg(test)]
mod tests;

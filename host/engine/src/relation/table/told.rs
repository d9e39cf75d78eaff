//! Rows that stand in a table, told to who begins to read them.

use azenha_model::Offset;

use super::super::change::{RowChange, Version};
use super::{Entry, KeyedTable, is_row};
use crate::state::Slot;
use crate::wire::Malformed;

/// The key of the entry that says how far telling has come. The bytes of a row's key begin with less.
pub(super) const TOLD: &[u8] = &[u8::MAX];

/// What stands between the names of readers, of which none has it, and the key of the last row that they were told.
const END_OF_NAMES: u8 = b'\n';

/// The rows that are left to be told, in the order of their keys. They do not change meanwhile.
pub struct Telling {
    /// Who is told.
    readers: String,
    rows: std::vec::IntoIter<Slot>,
}

impl KeyedTable {
    /// All rows, or those behind the last one that these readers were told before a crash.
    pub fn telling(&self, readers: &[String]) -> Telling {
        let readers = readers.join(", ");
        let noted = self.entries.find(TOLD).and_then(|slot| self.entries.get(slot));
        let noted = noted.map(|entry| entry.accumulator.as_slice()).unwrap_or_default();
        let last = noted.strip_prefix(readers.as_bytes()).and_then(|rest| rest.strip_prefix(&[END_OF_NAMES]));
        let rows = self.entries.iter().filter(|(_, entry)| is_row(&entry.key));
        let is_left = |key: &[u8]| last.is_none_or(|last| key > last);
        let mut rows: Vec<(&[u8], Slot)> =
            rows.map(|(slot, entry)| (&*entry.key, slot)).filter(|(key, _)| is_left(key)).collect();
        rows.sort_unstable();
        Telling { readers, rows: rows.into_iter().map(|(_, slot)| slot).collect::<Vec<_>>().into_iter() }
    }

    /// The next rows that are left, of about so many bytes, as changes from nothing; none if all were told. How far it
    /// has come is part of the state. `place` is that of the last change: later ones have later versions.
    pub fn tell_next(
        &mut self,
        telling: &mut Telling,
        bytes: usize,
        place: Offset,
    ) -> Result<Option<Vec<RowChange>>, Malformed> {
        let mut changes = Vec::new();
        let (mut taken, mut last) = (0, None);
        while taken < bytes
            && let Some(slot) = telling.rows.next()
        {
            let Some(entry) = self.entries.get(slot) else { continue };
            let row = Entry::read(&entry.accumulator)?.row;
            if let Some(row) = row {
                let version = Version::of(place);
                changes.push(RowChange { key: entry.key.clone(), version, old: None, new: Some(row.into()) });
            }
            taken += entry.key.len() + entry.accumulator.len();
            last = Some(entry.key.clone());
        }
        let (slot, _) = self.entries.slot_of(TOLD);
        let Some(last) = last else {
            self.entries.remove(slot);
            return Ok(None);
        };
        let noted = [telling.readers.as_bytes(), &[END_OF_NAMES], &last].concat();
        self.entries.put(slot, &noted);
        Ok(Some(changes))
    }
}

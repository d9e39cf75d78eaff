//! The state of a relation's lane: rows of several tables, by group.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::change::{Sent, Version};
use crate::state::{GroupTable, Slot};
use crate::wire::Malformed;

/// A group's place among those of a lane; given to another group once this one has no rows.
pub type GroupId = usize;

/// What stands in place of a table's number in the entry of a group's result.
const RESULT: u8 = u8::MAX;

/// Rows by group, table and key. A row that was taken back leaves its version behind where changes of one row may
/// come from several lanes, so that an older change that comes late does not bring it back.
pub struct Related {
    /// How many numbers a version of each table has.
    versions: Vec<u8>,
    /// What the changelog holds: see [`entry_key`] and [`entry`].
    entries: GroupTable,
    ids: HashMap<Box<[u8]>, GroupId, FixedState>,
    groups: Vec<Group>,
    free: Vec<GroupId>,
}

/// The entries of one group.
#[derive(Debug, Clone, Default)]
struct Group {
    key: Box<[u8]>,
    /// Of each table.
    rows: Vec<Vec<Slot>>,
    result: Option<Slot>,
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The group.
    pub group: GroupId,
    /// The row before, if there was one.
    pub old: Option<Box<[u8]>>,
}

/// A row of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'a> {
    /// The columns that identify it.
    pub key: &'a [u8],
    /// The version of its last change.
    pub version: Version,
    /// The row; none if it was taken back.
    pub row: Option<&'a [u8]>,
}

impl Related {
    /// Groups whose entries were restored, or none.
    pub fn over(entries: GroupTable, versions: Vec<u8>) -> Result<Self, Malformed> {
        let mut related = Self { versions, entries, ids: HashMap::default(), groups: Vec::new(), free: Vec::new() };
        let slots: Vec<Slot> = related.entries.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let key = related.entries.get(slot).map(|entry| entry.key.clone()).unwrap_or_default();
            let (group, table, _) = parse_key(&key)?;
            let id = related.id_of(group);
            related.list(id, table, slot);
        }
        Ok(related)
    }

    /// The state, for the changelog.
    pub fn entries(&mut self) -> &mut GroupTable {
        &mut self.entries
    }

    /// The state's size.
    pub fn table(&self) -> &GroupTable {
        &self.entries
    }

    /// The columns of a group.
    pub fn key(&self, group: GroupId) -> &[u8] {
        &self.groups[group].key
    }

    /// The group of a key, if there is one.
    pub fn find(&self, key: &[u8]) -> Option<GroupId> {
        self.ids.get(key).copied()
    }

    /// Every group.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        self.ids.values().copied()
    }

    /// Takes a change in; none if a later one was taken before, or if it changes nothing.
    pub fn apply(&mut self, group: &[u8], sent: &Sent<'_>) -> Result<Option<Applied>, Malformed> {
        let Some(numbers) = self.versions.get(usize::from(sent.table)).copied() else {
            return Err(Malformed(format!("there is no table {} in this relation", sent.table)));
        };
        let key = entry_key(group, sent.table, sent.key);
        let found = self.entries.find(&key);
        let before = found.and_then(|slot| self.entries.get(slot)).map(|entry| parse(&entry.accumulator, numbers));
        let before = before.transpose()?;
        let is_late = before.as_ref().is_some_and(|(version, _)| match sent.row {
            Some(_) => sent.version < *version,
            // The row may have moved here again with the same change that took it from elsewhere.
            None => sent.version <= *version,
        });
        let old: Option<Box<[u8]>> = before.and_then(|(_, row)| row).map(Into::into);
        if is_late {
            return Ok(None);
        }
        let keeps = sent.row.is_some() || numbers > 1;
        if found.is_none() && !keeps {
            return Ok(None);
        }
        let id = self.id_of(group);
        match found {
            Some(slot) if !keeps => self.remove(id, sent.table, slot),
            found => {
                let slot = found.unwrap_or_else(|| {
                    let (slot, _) = self.entries.slot_of(&key);
                    self.list(id, sent.table, slot);
                    slot
                });
                self.entries.put(slot, &entry(&sent.version, sent.row));
            }
        }
        Ok((old.as_deref() != sent.row).then_some(Applied { group: id, old }))
    }

    /// The rows of one table in a group, those that were taken back among them, in no particular order.
    pub fn members(&self, group: GroupId, table: u8) -> impl Iterator<Item = Member<'_>> {
        let numbers = self.versions[usize::from(table)];
        let slots = self.groups[group].rows[usize::from(table)].iter();
        slots.filter_map(move |slot| {
            let entry = self.entries.get(*slot)?;
            let (_, _, key) = parse_key(&entry.key).ok()?;
            let (version, row) = parse(&entry.accumulator, numbers).ok()?;
            Some(Member { key, version, row })
        })
    }

    /// Notes what was given for a group last; says whether it is something else than before. None: nothing, or that it
    /// was deleted.
    pub fn note_result(&mut self, group: GroupId, result: Option<u128>) -> bool {
        let before = self.groups[group].result;
        match (before, result) {
            (None, None) => false,
            (Some(slot), None) => {
                self.entries.remove(slot);
                self.groups[group].result = None;
                true
            }
            (before, Some(result)) => {
                let slot = before.unwrap_or_else(|| {
                    let (slot, _) = self.entries.slot_of(&entry_key(&self.groups[group].key, RESULT, &[]));
                    self.groups[group].result = Some(slot);
                    slot
                });
                let result = result.to_le_bytes();
                let is_new = self.entries.get(slot).is_none_or(|entry| entry.accumulator != result);
                if is_new {
                    self.entries.put(slot, &result);
                }
                is_new
            }
        }
    }

    /// Forgets a group that has no entry any more.
    pub fn release(&mut self, id: GroupId) {
        let group = &mut self.groups[id];
        if group.result.is_none() && group.rows.iter().all(Vec::is_empty) && self.ids.remove(&group.key).is_some() {
            group.key = Box::default();
            self.free.push(id);
        }
    }

    fn id_of(&mut self, key: &[u8]) -> GroupId {
        if let Some(id) = self.ids.get(key) {
            return *id;
        }
        let group = Group { key: key.into(), rows: vec![Vec::new(); self.versions.len()], result: None };
        let id = self.free.pop().unwrap_or(self.groups.len());
        match self.groups.get_mut(id) {
            Some(place) => *place = group,
            None => self.groups.push(group),
        }
        self.ids.insert(key.into(), id);
        id
    }

    fn list(&mut self, group: GroupId, table: u8, slot: Slot) {
        let group = &mut self.groups[group];
        match group.rows.get_mut(usize::from(table)) {
            Some(rows) => rows.push(slot),
            None => group.result = Some(slot),
        }
    }

    fn remove(&mut self, group: GroupId, table: u8, slot: Slot) {
        self.entries.remove(slot);
        self.groups[group].rows[usize::from(table)].retain(|listed| *listed != slot);
    }
}

/// The key of an entry: the group with its length before it, the table, the row's key.
fn entry_key(group: &[u8], table: u8, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5 + group.len() + key.len());
    bytes.extend((group.len() as u32).to_le_bytes());
    bytes.extend(group);
    bytes.push(table);
    bytes.extend(key);
    bytes
}

fn parse_key(bytes: &[u8]) -> Result<(&[u8], u8, &[u8]), Malformed> {
    let too_short = || Malformed("the key of a row in a state ends too early".to_owned());
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(too_short)?;
    let (group, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(too_short)?;
    let (table, key) = rest.split_first().ok_or_else(too_short)?;
    Ok((group, *table, key))
}

/// An entry: the version, whether the row is there, and the row.
fn entry(version: &Version, row: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = version.bytes().to_vec();
    bytes.push(row.is_some().into());
    bytes.extend(row.unwrap_or_default());
    bytes
}

fn parse(bytes: &[u8], numbers: u8) -> Result<(Version, Option<&[u8]>), Malformed> {
    let too_short = || Malformed("a row in a state ends too early".to_owned());
    let (version, rest) = bytes.split_at_checked(usize::from(numbers) * size_of::<u64>()).ok_or_else(too_short)?;
    let (is_there, row) = rest.split_first().ok_or_else(too_short)?;
    Ok((Version::read(version), (*is_there != 0).then_some(row)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn related(numbers: u8) -> Related {
        Related::over(GroupTable::default(), vec![numbers]).unwrap()
    }

    fn sent(own: u64, beside: u64, row: Option<&[u8]>) -> Sent<'_> {
        Sent { table: 0, version: Version::of(own).beside(&Version::of(beside)), key: b"k", row }
    }

    fn row(related: &Related) -> Option<Vec<u8>> {
        related.members(0, 0).find_map(|member| member.row.map(<[u8]>::to_vec))
    }

    #[test]
    fn changes_of_one_row_converge_in_any_order() {
        // A row that appears, moves to another lane of a join, changes there, and is deleted there. The first two come
        // from one lane and the others from another: only the order between lanes is open.
        let first = [sent(1, 5, Some(b"a")), sent(2, 0, None)];
        let second = [sent(2, 9, Some(b"b")), sent(2, 10, Some(b"c")), sent(3, 0, None)];
        for cut in [2, 3] {
            let second = &second[..cut];
            for mask in 0_u32..(1 << (first.len() + second.len())) {
                if mask.count_ones() as usize != first.len() {
                    continue;
                }
                let (mut firsts, mut seconds) = (first.iter(), second.iter());
                let mut related = related(2);
                for place in 0..first.len() + second.len() {
                    let from = if mask >> place & 1 == 1 { &mut firsts } else { &mut seconds };
                    related.apply(b"g", from.next().unwrap()).unwrap();
                }
                assert_eq!(row(&related).as_deref(), (cut == 2).then_some(&b"c"[..]), "{mask:b}");
            }
        }
    }

    #[test]
    fn a_change_that_changes_nothing_is_not_told() {
        let mut related = related(2);
        assert!(related.apply(b"g", &sent(1, 1, Some(b"a"))).unwrap().is_some());
        assert!(related.apply(b"g", &sent(1, 2, Some(b"a"))).unwrap().is_none());
        assert!(related.apply(b"g", &sent(2, 0, None)).unwrap().is_some());
        assert!(related.apply(b"g", &sent(3, 0, None)).unwrap().is_none());
    }

    #[test]
    fn where_changes_come_in_order_a_row_that_is_taken_back_leaves_nothing_behind() {
        let mut related = related(1);
        let at = |own, row| Sent { version: Version::of(own), ..sent(0, 0, row) };
        related.apply(b"g", &at(1, Some(b"a"))).unwrap();
        let applied = related.apply(b"g", &at(2, None)).unwrap().unwrap();
        related.release(applied.group);
        assert_eq!((related.entries.len(), related.ids.len()), (0, 0));
    }

    #[test]
    fn groups_are_the_same_after_a_restore() {
        let mut before = related(2);
        before.apply(b"g", &sent(1, 1, Some(b"a"))).unwrap();
        before.apply(b"h", &sent(1, 1, None)).unwrap();
        assert!(before.note_result(0, Some(7)));
        let mut after = Related::over(before.entries, vec![2]).unwrap();
        assert_eq!(row(&after).as_deref(), Some(&b"a"[..]));
        assert!(!after.note_result(0, Some(7)));
        assert!(after.apply(b"h", &sent(0, 9, Some(b"late"))).unwrap().is_none());
    }
}

//! Groups and their accumulators, in memory, owned by one lane.

use std::hash::{BuildHasher, Hasher as _};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// A group's place in its table; given to another group once this one is removed.
pub type Slot = u32;

/// One group of an aggregation: a key, and its window's bounds if there are windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The key's columns as `arrow-row` writes them, then the window's bounds.
    pub key: Box<[u8]>,
    /// The plugin's own bytes; empty if nothing was folded yet.
    pub accumulator: Vec<u8>,
    /// Whether a row of this group stands in the output: it is deleted there if the group has none any more.
    pub emitted: bool,
    /// Rows folded since the group was made or restored.
    pub rows: u64,
    /// The group's place in the list of changed ones.
    listed: Option<usize>,
}

/// What one group costs beside its key and accumulator: its slot, its place in the index, two allocations.
const OVERHEAD: usize = size_of::<Option<Group>>() + 40;

/// Groups by key, with a list of those that changed since it was last taken.
#[derive(Debug, Default)]
pub struct GroupTable {
    index: HashTable<Slot>,
    hasher: FixedState,
    slots: Vec<Option<Group>>,
    free: Vec<Slot>,
    dirty: Vec<Slot>,
    removed: Vec<Box<[u8]>>,
    bytes: usize,
}

impl GroupTable {
    fn hash(hasher: &FixedState, key: &[u8]) -> u64 {
        let mut state = hasher.build_hasher();
        state.write(key);
        state.finish()
    }

    /// The number of groups.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Bytes of memory held, closely.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The slots that exist: a scan over `0..capacity` meets every group.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The group in a slot.
    pub fn get(&self, slot: Slot) -> Option<&Group> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// The slot of a key, if there is such a group.
    pub fn find(&self, key: &[u8]) -> Option<Slot> {
        let is_it = |slot: &Slot| self.get(*slot).is_some_and(|group| &*group.key == key);
        self.index.find(Self::hash(&self.hasher, key), is_it).copied()
    }

    /// The slot of a key; a new group with an empty accumulator if there was none. The flag says whether
    /// it is new.
    pub fn slot_of(&mut self, key: &[u8]) -> (Slot, bool) {
        let Self { index, hasher, slots, free, .. } = self;
        let key_in = |slot: &Slot| slots[*slot as usize].as_ref().map_or(&[][..], |group| &group.key);
        let hash = Self::hash(hasher, key);
        match index.entry(hash, |slot| key_in(slot) == key, |slot| Self::hash(hasher, key_in(slot))) {
            Entry::Occupied(entry) => (*entry.get(), false),
            Entry::Vacant(entry) => {
                let group =
                    Some(Group { key: key.into(), accumulator: Vec::new(), emitted: false, rows: 0, listed: None });
                let slot = free.pop().unwrap_or(slots.len() as Slot);
                entry.insert(slot);
                match slots.get_mut(slot as usize) {
                    Some(place) => *place = group,
                    None => slots.push(group),
                }
                self.bytes += key.len() + OVERHEAD;
                (slot, true)
            }
        }
    }

    /// Replaces a group's accumulator and marks the group as changed.
    pub fn put(&mut self, slot: Slot, accumulator: &[u8]) {
        let Some(group) = self.slots[slot as usize].as_mut() else { return };
        self.bytes = self.bytes + accumulator.len() - group.accumulator.len();
        group.accumulator.clear();
        group.accumulator.extend_from_slice(accumulator);
        self.touch(slot);
    }

    /// Counts rows that were folded into a group.
    pub fn add_rows(&mut self, slot: Slot, rows: u64) {
        if let Some(group) = self.slots[slot as usize].as_mut() {
            group.rows += rows;
        }
    }

    /// Records whether a row of the group stands in the output.
    pub fn set_emitted(&mut self, slot: Slot, emitted: bool) {
        let Some(group) = self.slots[slot as usize].as_mut() else { return };
        if group.emitted != emitted {
            group.emitted = emitted;
            self.touch(slot);
        }
    }

    /// Marks a group as changed.
    pub fn touch(&mut self, slot: Slot) {
        if let Some(group) = self.slots[slot as usize].as_mut()
            && group.listed.is_none()
        {
            group.listed = Some(self.dirty.len());
            self.dirty.push(slot);
        }
    }

    /// Removes a group.
    pub fn remove(&mut self, slot: Slot) -> Option<Group> {
        let group = self.slots.get_mut(slot as usize)?.take()?;
        if let Ok(entry) = self.index.find_entry(Self::hash(&self.hasher, &group.key), |other| *other == slot) {
            entry.remove();
        }
        self.free.push(slot);
        self.bytes -= group.key.len() + group.accumulator.len() + OVERHEAD;
        self.removed.push(group.key.clone());
        Some(group)
    }

    /// The slots of groups that changed since the changes were last forgotten, in the order of their change.
    pub fn dirty(&self) -> impl Iterator<Item = Slot> {
        // A slot stands here twice if its group was removed and the one that took its place changed too.
        let is_live =
            |(place, slot): &(usize, &Slot)| self.get(**slot).is_some_and(|group| group.listed == Some(*place));
        self.dirty.iter().enumerate().filter(is_live).map(|(_, slot)| *slot)
    }

    /// The keys that were removed since the changes were last forgotten.
    pub fn removed(&self) -> &[Box<[u8]>] {
        &self.removed
    }

    /// Forgets what changed: it is on its way to the changelog.
    pub fn settle(&mut self) {
        for slot in std::mem::take(&mut self.dirty) {
            if let Some(group) = self.slots[slot as usize].as_mut() {
                group.listed = None;
            }
        }
        self.removed.clear();
    }

    /// All groups with their slots.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Group)> {
        self.slots.iter().enumerate().filter_map(|(slot, group)| Some((slot as Slot, group.as_ref()?)))
    }

    /// All groups, in the order of their slots.
    pub fn into_groups(self) -> impl Iterator<Item = Group> {
        self.slots.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_slot_until_it_is_removed() {
        let mut table = GroupTable::default();
        let (first, new) = table.slot_of(b"a");
        assert!(new);
        assert_eq!(table.slot_of(b"a"), (first, false));
        let (second, _) = table.slot_of(b"b");
        assert_ne!(first, second);
        table.remove(first);
        assert_eq!(table.slot_of(b"c"), (first, true));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn each_changed_group_is_listed_once() {
        let mut table = GroupTable::default();
        let (slot, _) = table.slot_of(b"a");
        table.put(slot, b"1");
        table.put(slot, b"2");
        assert_eq!(table.dirty().collect::<Vec<_>>(), [slot]);
        table.settle();
        assert_eq!(table.dirty().count(), 0);
        table.put(slot, b"3");
        assert_eq!(table.dirty().collect::<Vec<_>>(), [slot]);
    }

    #[test]
    fn a_group_that_took_a_removed_ones_place_is_listed_once() {
        let mut table = GroupTable::default();
        let (slot, _) = table.slot_of(b"a");
        table.put(slot, b"1");
        table.remove(slot);
        let (again, _) = table.slot_of(b"b");
        assert_eq!(slot, again);
        assert_eq!(table.dirty().count(), 0, "a new group is not dirty before something is put");
        table.put(again, b"2");
        assert_eq!(table.dirty().collect::<Vec<_>>(), [again]);
        assert_eq!(table.removed(), [Box::from(*b"a")]);
    }

    #[test]
    fn memory_goes_back_to_nothing_when_all_groups_are_removed() {
        let mut table = GroupTable::default();
        let slots: Vec<Slot> = (0..1000u32)
            .map(|number| {
                let (slot, _) = table.slot_of(&number.to_le_bytes());
                table.put(slot, &vec![0; number as usize % 17]);
                slot
            })
            .collect();
        assert!(table.bytes() > 4000);
        for slot in slots {
            table.remove(slot);
        }
        assert_eq!((table.bytes(), table.len()), (0, 0));
    }
}

//! The changelog of a stateful lane. Each commit appends the groups that changed (a *delta*) and the next
//! slice of a *rolling snapshot* of all groups. Once a cycle of slices has gone round, everything before
//! its first block can be deleted; blocks applied in the log's order give the state back.

use azenha_model::Offset;

use super::groups::{Group, GroupTable, Slot};
use crate::end::Moment;
use crate::watermark::Progress;
use crate::wire::{Frame, Malformed, Reader, Writer};

const VERSION: u8 = 1;
const DELTA: u8 = 0;
const SLICE: u8 = 1;

/// A block is closed once it holds so many bytes before compression: brokers bound a record's size.
const BLOCK_BYTES: usize = 512 * 1024;

/// A slice has at least so many slots, so that a small state is snapshotted at once.
const LEAST_SLICE: usize = 64;

/// What every block says beside groups: how far its commit went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateHeader {
    /// The next offset to read; must equal the lane's own position when the state is restored.
    pub position: Offset,
    /// What the groups are groups of; a state is not read back under another definition.
    pub definition: String,
    /// The version of the accumulators.
    pub state_version: u32,
    /// The timestamp of the last record, in microseconds.
    pub timestamp: i64,
    /// Highest event time read, in microseconds.
    pub event_time: i64,
    /// The watermark reached, in microseconds.
    pub watermark: i64,
    /// What each sender of an exchange said last.
    pub senders: Vec<(u32, Progress)>,
}

impl StateHeader {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.position);
        writer.bytes(self.definition.as_bytes());
        writer.u32(self.state_version);
        writer.i64(self.timestamp);
        writer.i64(self.event_time);
        writer.i64(self.watermark);
        writer.u32(self.senders.len() as u32);
        for (sender, progress) in &self.senders {
            writer.u32(*sender);
            progress.write(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let position = reader.u64()?;
        let definition = String::from_utf8_lossy(reader.bytes()?).into_owned();
        let (state_version, timestamp) = (reader.u32()?, reader.i64()?);
        let (event_time, watermark) = (reader.i64()?, reader.i64()?);
        let count = reader.u32()?;
        let senders =
            (0..count).map(|_| Ok((reader.u32()?, Progress::read(reader)?))).collect::<Result<_, Malformed>>()?;
        Ok(Self { position, definition, state_version, timestamp, event_time, watermark, senders })
    }
}

impl Progress {
    /// Writes it as a tag and a time.
    pub(crate) fn write(self, writer: &mut Writer) {
        match self {
            Self::Idle => writer.u8(0),
            Self::At(time) => {
                writer.u8(1);
                writer.i64(time);
            }
        }
    }

    /// Reads what `write` wrote.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.u8()? {
            0 => Ok(Self::Idle),
            1 => Ok(Self::At(reader.i64()?)),
            other => Err(Malformed(format!("{other} is no kind of progress"))),
        }
    }
}

/// One entry of a block: a group's new content, or none if it was removed.
type Change<'a> = (&'a [u8], Option<&'a Group>);

/// Cuts changes into sealed blocks. There is at least one, if only for its header.
fn blocks<'a>(
    kind: u8,
    header: &StateHeader,
    changes: impl Iterator<Item = Change<'a>>,
) -> Result<Vec<Vec<u8>>, Malformed> {
    let start = || {
        let mut writer = Writer::new(VERSION, kind);
        header.write(&mut writer);
        writer
    };
    let mut sealed = Vec::new();
    let mut writer = start();
    for (key, group) in changes {
        if writer.len() > BLOCK_BYTES {
            sealed.push(std::mem::replace(&mut writer, start()).seal()?);
        }
        writer.bytes(key);
        match group {
            None => writer.u8(0),
            Some(group) => {
                writer.u8(if group.emitted { 2 } else { 1 });
                writer.bytes(&group.accumulator);
            }
        }
    }
    sealed.push(writer.seal()?);
    Ok(sealed)
}

/// Applies one block; gives its header.
fn apply(sealed: &[u8], table: &mut GroupTable) -> Result<StateHeader, Malformed> {
    let frame = Frame::open(sealed, "state block", VERSION)?;
    let mut reader = frame.reader();
    match reader.u8()? {
        DELTA | SLICE => {}
        other => return Err(Malformed(format!("{other} is no kind of state block"))),
    }
    let header = StateHeader::read(&mut reader)?;
    while !reader.is_empty() {
        let key = reader.bytes()?;
        let (slot, _) = table.slot_of(key);
        match reader.u8()? {
            0 => {
                table.remove(slot);
            }
            tag => {
                table.put(slot, reader.bytes()?);
                table.set_emitted(slot, tag == 2);
            }
        }
    }
    Ok(header)
}

/// All groups, in blocks that give them back.
pub fn whole(header: &StateHeader, table: &GroupTable) -> Result<Vec<Vec<u8>>, Malformed> {
    blocks(SLICE, header, table.iter().map(|(_, group)| (&*group.key, Some(group))))
}

/// What a block says beside groups.
pub fn header_of(sealed: &[u8]) -> Result<StateHeader, Malformed> {
    apply(sealed, &mut GroupTable::default())
}

/// What a changelog gave back.
#[derive(Debug, Default)]
pub struct Restored {
    /// The groups, none of them marked as changed.
    pub table: GroupTable,
    /// The last block's header; none if the changelog is empty.
    pub header: Option<StateHeader>,
    /// Whether every group gives its result anew.
    pub gives_all: bool,
    /// Keys of groups that stand in the output, and are none any more.
    pub gone: Vec<Box<[u8]>>,
}

impl Restored {
    /// Gives all groups up; what is kept from now on has this version. That they are gone goes out with the next commit.
    pub fn give_up(&mut self, state_version: u32) {
        let slots: Vec<Slot> = self.table.iter().map(|(slot, _)| slot).collect();
        slots.into_iter().for_each(|slot| drop(self.table.remove(slot)));
        if let Some(header) = &mut self.header {
            header.state_version = state_version;
        }
    }

    /// Takes the place of another state of the lane, all of it with the next commit. Groups that only the other one has are
    /// gone.
    pub fn in_place_of(self, mut other: Self) -> Self {
        let all: Vec<Slot> = other.table.iter().map(|(slot, _)| slot).collect();
        let removed: Vec<Group> = all.into_iter().filter_map(|slot| other.table.remove(slot)).collect();
        let is_gone = |group: &Group| group.emitted && self.table.find(&group.key).is_none();
        let gone = removed.into_iter().filter(is_gone).map(|group| group.key).collect();
        for (_, group) in self.table.iter() {
            let (slot, _) = other.table.slot_of(&group.key);
            other.table.put(slot, &group.accumulator);
            other.table.set_emitted(slot, group.emitted);
        }
        Self { table: other.table, header: self.header, gives_all: true, gone }
    }

    /// What a lane without state has reached.
    pub fn without_state(moment: &Moment) -> Self {
        let header = StateHeader {
            position: moment.position,
            definition: String::new(),
            state_version: 0,
            timestamp: moment.timestamp,
            event_time: moment.event_time,
            watermark: moment.watermark,
            senders: Vec::new(),
        };
        Self { header: Some(header), ..Self::default() }
    }
}

/// Applies blocks in the order of the log.
pub fn restore<'a>(into: &mut Restored, blocks: impl Iterator<Item = &'a [u8]>) -> Result<(), Malformed> {
    for block in blocks {
        into.header = Some(apply(block, &mut into.table)?);
        into.table.settle();
    }
    Ok(())
}

/// A cycle has at least so many commits: a small state goes round often, but is not worth a deletion each time.
const LEAST_CYCLE: u32 = 32;

/// Writes a lane's changelog: deltas, and the slices of the rolling snapshot.
#[derive(Debug, Default)]
pub struct StateLog {
    /// The next slot of the cycle.
    cursor: Slot,
    /// The offset before which nothing is needed once this cycle is complete.
    cycle_start: Option<Offset>,
    /// Commits since the cycle began.
    commits: u32,
}

impl StateLog {
    /// Whether the next commit begins a cycle: then [`StateLog::begin_cycle`] wants the changelog's end.
    pub fn needs_start(&self) -> bool {
        self.cycle_start.is_none()
    }

    /// Begins a cycle at the changelog's end (or anything before it).
    pub fn begin_cycle(&mut self, end: Offset) {
        self.cycle_start = Some(end);
        self.commits = 0;
    }

    /// The block of a commit that changes no group.
    pub fn unchanged(header: &StateHeader) -> Result<Vec<Vec<u8>>, Malformed> {
        blocks(DELTA, header, std::iter::empty())
    }

    /// The blocks of one commit: the delta, then a slice as long as the delta, so that a cycle costs about
    /// as much as the changes it follows. The offset says what can be deleted after this commit.
    pub fn commit(
        &mut self,
        header: &StateHeader,
        table: &mut GroupTable,
    ) -> Result<(Vec<Vec<u8>>, Option<Offset>), Malformed> {
        let removed = table.removed().iter().map(|key| (&**key, None));
        let changed = table.dirty().filter_map(|slot| table.get(slot)).map(|group| (&*group.key, Some(group)));
        let mut sealed = blocks(DELTA, header, removed.chain(changed))?;

        let changes = table.removed().len() + table.dirty().count();
        let end = table.capacity().min(self.cursor as usize + changes.max(LEAST_SLICE)) as Slot;
        if self.cursor < end {
            let slice = (self.cursor..end).filter_map(|slot| table.get(slot));
            sealed.extend(blocks(SLICE, header, slice.map(|group| (&*group.key, Some(group))))?);
        }
        table.settle();
        self.cursor = end;
        self.commits += 1;
        if (end as usize) < table.capacity() {
            return Ok((sealed, None));
        }
        self.cursor = 0;
        Ok((sealed, if self.commits < LEAST_CYCLE { None } else { self.cycle_start.take() }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::status::NO_TIME;

    fn header(position: Offset) -> StateHeader {
        StateHeader {
            position,
            definition: "by a".to_owned(),
            state_version: 1,
            timestamp: 7,
            event_time: 5,
            watermark: NO_TIME,
            senders: vec![(0, Progress::Idle), (3, Progress::At(-9))],
        }
    }

    fn content(table: &GroupTable) -> BTreeMap<Vec<u8>, (Vec<u8>, bool)> {
        table.iter().map(|(_, group)| (group.key.to_vec(), (group.accumulator.clone(), group.emitted))).collect()
    }

    /// Runs seeded random changes; after each commit the changelog, without what may be deleted, must give
    /// the same groups back.
    #[test]
    fn the_state_comes_back_from_whatever_part_of_the_changelog_must_be_kept() {
        let mut table = GroupTable::default();
        let mut log = StateLog::default();
        let mut changelog: Vec<Vec<u8>> = Vec::new();
        let (mut start, mut seed, mut cycles) = (0, 7u64, 0);
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for position in 0..400 {
            for _ in 0..random(40) {
                let key = (random(3_000) as u32).to_le_bytes();
                let (slot, _) = table.slot_of(&key);
                if random(4) == 0 {
                    table.remove(slot);
                } else {
                    table.put(slot, &random(1_000_000).to_le_bytes());
                    table.set_emitted(slot, random(2) == 0);
                }
            }
            if log.needs_start() {
                log.begin_cycle(changelog.len() as Offset);
            }
            let (sealed, purge) = log.commit(&header(position), &mut table).unwrap();
            changelog.extend(sealed);
            if let Some(before) = purge {
                start = before as usize;
                cycles += 1;
            }
            let mut restored = Restored::default();
            restore(&mut restored, changelog[start..].iter().map(Vec::as_slice)).unwrap();
            assert_eq!(content(&restored.table), content(&table), "after commit {position}");
            assert_eq!(restored.header, Some(header(position)));
        }
        assert!(cycles > 3, "the snapshot went round {cycles} times");
    }

    #[test]
    fn a_state_that_takes_the_place_of_another_is_whole_in_the_changelog_and_says_what_is_gone() {
        let state = |keys: &[(&str, &str, bool)]| {
            let mut restored = Restored { header: Some(header(1)), ..Restored::default() };
            for (key, accumulator, emitted) in keys {
                let (slot, _) = restored.table.slot_of(key.as_bytes());
                restored.table.put(slot, accumulator.as_bytes());
                restored.table.set_emitted(slot, *emitted);
            }
            restored
        };
        let later = state(&[("a", "3", true), ("new", "1", true), ("untold", "1", false)]);
        let mut changelog = whole(&header(2), &later.table).unwrap();
        let earlier = state(&[("a", "2", false), ("closed", "7", true)]);
        let wanted = content(&earlier.table);

        let mut taken = earlier.in_place_of(later);
        assert_eq!(taken.gone, [Box::from(&b"new"[..])]);
        let (blocks, _) = StateLog::default().commit(&header(3), &mut taken.table).unwrap();
        changelog.extend(blocks);
        let mut restored = Restored::default();
        restore(&mut restored, changelog.iter().map(Vec::as_slice)).unwrap();
        assert_eq!((content(&restored.table), content(&taken.table)), (wanted.clone(), wanted));
    }

    #[test]
    fn large_changes_are_split_into_blocks_of_bounded_size() {
        let mut table = GroupTable::default();
        for number in 0..40u32 {
            let (slot, _) = table.slot_of(&number.to_le_bytes());
            table.put(slot, &vec![number as u8; 100_000]);
        }
        let (sealed, _) = StateLog::default().commit(&header(1), &mut table).unwrap();
        assert!(sealed.len() > 8, "{} blocks", sealed.len());
        let mut restored = Restored::default();
        restore(&mut restored, sealed.iter().map(Vec::as_slice)).unwrap();
        assert_eq!(content(&restored.table), content(&table));
    }
}

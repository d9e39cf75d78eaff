//! Sessions: windows that grow as rows arrive. Two sessions of a group that overlap are one.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;

use super::keys::KeyCodec;
use crate::state::{GroupTable, Slot};
use crate::window::Span;

/// Sessions of one group by their starts. They do not overlap, so their ends have the same order.
type Open = BTreeMap<i64, (i64, Slot)>;

/// The open sessions of each group.
#[derive(Debug, Default)]
pub struct Sessions {
    of_group: HashMap<Box<[u8]>, Open, FixedState>,
    absorbed: Vec<Box<[u8]>>,
}

impl Sessions {
    /// The sessions of a restored table.
    pub fn over(table: &GroupTable, keys: &KeyCodec) -> Self {
        let mut sessions = Self::default();
        for (slot, group) in table.iter() {
            if let Some(span) = keys.span(&group.key) {
                sessions
                    .of_group
                    .entry(keys.group(&group.key).into())
                    .or_default()
                    .insert(span.start, (span.end, slot));
            }
        }
        sessions
    }

    /// The sessions that a session with this key overlaps.
    pub fn touched(&self, keys: &KeyCodec, key: &[u8]) -> Vec<Slot> {
        let (Some(span), Some(open)) = (keys.span(key), self.of_group.get(keys.group(key))) else { return Vec::new() };
        overlapping(open, span).map(|(_, slot)| slot).collect()
    }

    /// Makes one session out of this one and all that it overlaps. Gives its slot, and the accumulators of
    /// those that it took the place of.
    pub fn place(&mut self, table: &mut GroupTable, keys: &KeyCodec, key: &[u8]) -> (Slot, Vec<Vec<u8>>) {
        let Some(span) = keys.span(key) else { return (table.slot_of(key).0, Vec::new()) };
        let open = self.of_group.entry(keys.group(key).into()).or_default();
        let touched: Vec<(Span, Slot)> = overlapping(open, span).collect();
        let union = touched.iter().fold(span, |union, (other, _)| Span {
            start: union.start.min(other.start),
            end: union.end.max(other.end),
        });
        if let [(same, slot)] = touched.as_slice()
            && *same == union
        {
            return (*slot, Vec::new());
        }
        let mut accumulators = Vec::new();
        for (span, slot) in touched {
            open.remove(&span.start);
            if let Some(group) = table.remove(slot) {
                accumulators.push(group.accumulator);
                if group.emitted {
                    self.absorbed.push(group.key);
                }
            }
        }
        let mut whole = Vec::with_capacity(key.len());
        keys.write(keys.group(key), Some(union), &mut whole);
        let (slot, _) = table.slot_of(&whole);
        open.insert(union.start, (union.end, slot));
        (slot, accumulators)
    }

    /// Forgets a session that closed.
    pub fn forget(&mut self, keys: &KeyCodec, key: &[u8]) {
        let Some(span) = keys.span(key) else { return };
        if let Some(open) = self.of_group.get_mut(keys.group(key)) {
            open.remove(&span.start);
            if open.is_empty() {
                self.of_group.remove(keys.group(key));
            }
        }
    }

    /// Keys of absorbed sessions that stand in the output, since this was last asked.
    pub fn take_absorbed(&mut self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut self.absorbed)
    }
}

fn overlapping(open: &Open, span: Span) -> impl Iterator<Item = (Span, Slot)> {
    let before_its_end = open.range(..span.end).rev();
    let reaches_in = move |(_, (end, _)): &(&i64, &(i64, Slot))| *end > span.start;
    before_its_end.take_while(reaches_in).map(|(start, (end, slot))| (Span { start: *start, end: *end }, *slot))
}

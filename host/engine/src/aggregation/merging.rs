//! Accumulators that arrive are merged into their groups. Where groups grow together, those that become one are merged,
//! too.

use azenha_model::plan::{Aggregation, Window};

use super::call::{AggregateCall, Complaints};
use super::identities::{self, Identities};
use super::keys::KeyCodec;
use super::sessions::Sessions;
use crate::dead_letter::Complaint;
use crate::error::EngineError;
use crate::exchange::Parcel;
use crate::state::{GroupTable, Slot};
use crate::wire::Malformed;

/// How groups become one.
pub enum Growth {
    /// They do not.
    Fixed,
    /// Sessions that overlap.
    Sessions(Sessions),
    /// Customers who share an identifier.
    Identities(Identities),
}

impl Growth {
    /// That of an aggregation over groups that were restored, or none.
    pub fn over(spec: &Aggregation, table: &GroupTable, keys: &KeyCodec) -> Self {
        match spec.window {
            _ if spec.identity.is_some() => Self::Identities(Identities::default()),
            Some(Window::Session { .. }) => Self::Sessions(Sessions::over(table, keys)),
            _ => Self::Fixed,
        }
    }

    /// The groups that become one with that of a key; of customers the one that the others become a part of first.
    fn touched(&self, table: &GroupTable, keys: &KeyCodec, key: &[u8]) -> Result<Vec<Slot>, Malformed> {
        match self {
            Self::Fixed => Ok(Vec::new()),
            Self::Sessions(sessions) => Ok(sessions.touched(keys, key)),
            Self::Identities(_) => identities::touched(table, key),
        }
    }

    /// Makes one group of all that a key belongs to. Gives its slot, and the accumulators of those that it took the
    /// place of.
    fn place(
        &mut self,
        table: &mut GroupTable,
        keys: &KeyCodec,
        key: &[u8],
    ) -> Result<(Slot, Vec<Vec<u8>>), Malformed> {
        match self {
            Self::Fixed => Ok((table.slot_of(key).0, Vec::new())),
            Self::Sessions(sessions) => Ok(sessions.place(table, keys, key)),
            Self::Identities(identities) => identities.place(table, key),
        }
    }

    /// Where rows go that would make one of these groups, which stay apart: nowhere if they are sessions, because one that
    /// had them would overlap the others.
    fn apart(&self, touched: &[Slot]) -> Option<Slot> {
        match self {
            Self::Identities(_) => touched.first().copied(),
            Self::Fixed | Self::Sessions(_) => None,
        }
    }

    /// The groups that changed; what else stands in the table is none.
    pub fn changed(&self, table: &GroupTable) -> Vec<Slot> {
        let is_link = |slot: &Slot| table.get(*slot).is_some_and(|group| identities::is_link(&group.key));
        match self {
            Self::Identities(_) => table.dirty().filter(|slot| !is_link(slot)).collect(),
            Self::Fixed | Self::Sessions(_) => table.dirty().collect(),
        }
    }

    /// Keys of groups that stand in the output and were absorbed by another one since this was last asked.
    pub fn take_absorbed(&mut self) -> Vec<Box<[u8]>> {
        match self {
            Self::Fixed => Vec::new(),
            Self::Sessions(sessions) => sessions.take_absorbed(),
            Self::Identities(identities) => identities.take_absorbed(),
        }
    }

    /// Follows a table that was emptied.
    pub fn forget_all(&mut self) {
        if let Self::Sessions(sessions) = self {
            *sessions = Sessions::default();
        }
    }
}

/// What merges accumulators.
pub trait Merger {
    /// Merges payloads into groups that all have an accumulator; no group stands twice. Complaints are by pair.
    fn merge(&mut self, table: &mut GroupTable, pairs: &[(Slot, Vec<u8>)]) -> Result<Complaints, EngineError>;
}

impl Merger for AggregateCall {
    fn merge(&mut self, table: &mut GroupTable, pairs: &[(Slot, Vec<u8>)]) -> Result<Complaints, EngineError> {
        self.merge(table, pairs)
    }
}

/// Merges accumulators into their groups, or into those that become one with theirs. Complaints are by parcel.
pub fn merge(
    parcels: Vec<Parcel>,
    growth: &mut Growth,
    table: &mut GroupTable,
    keys: &KeyCodec,
    merger: &mut impl Merger,
) -> Result<Complaints, EngineError> {
    let malformed = |source| EngineError::Malformed { what: "the key of a group".to_owned(), source };
    let mut complaints = Complaints::new();
    let mut waiting = Waiting::default();
    for (index, parcel) in parcels.into_iter().enumerate() {
        // A group that is absorbed takes its accumulator along: what waits for it comes first.
        let touched = growth.touched(table, keys, &parcel.key).map_err(malformed)?;
        if touched.iter().any(|slot| waiting.holds(*slot)) {
            complaints.extend(waiting.merge(merger, table)?);
        }
        let (slot, absorbed) = match unite(&touched, table, merger)? {
            None => growth.place(table, keys, &parcel.key).map_err(malformed)?,
            Some(complaint) => {
                complaints.push((index, complaint));
                let Some(slot) = growth.apart(&touched) else { continue };
                (slot, Vec::new())
            }
        };
        table.add_rows(slot, parcel.rows);
        for accumulator in absorbed.into_iter().chain([parcel.payload]) {
            if accumulator.is_empty() {
                continue;
            }
            if waiting.holds(slot) {
                complaints.extend(waiting.merge(merger, table)?);
            }
            match table.get(slot) {
                Some(group) if !group.accumulator.is_empty() => waiting.push(slot, accumulator, index),
                _ => table.put(slot, &accumulator),
            }
        }
    }
    complaints.extend(waiting.merge(merger, table)?);
    Ok(complaints)
}

/// Merges groups that become one into the first of them that holds something, and empties the others. If the plugin cannot,
/// all are as they were, and stay apart: none may be given up for a row that does not hold what it held. Later rows that
/// are of both try again.
fn unite(groups: &[Slot], table: &mut GroupTable, merger: &mut impl Merger) -> Result<Option<Complaint>, EngineError> {
    if groups.len() < 2 {
        return Ok(None);
    }
    let accumulator = |slot: &Slot| Some((*slot, table.get(*slot)?.accumulator.clone()));
    let filled: Vec<(Slot, Vec<u8>)> =
        groups.iter().filter_map(accumulator).filter(|(_, accumulator)| !accumulator.is_empty()).collect();
    let Some(((into, before), others)) = filled.split_first() else { return Ok(None) };
    for (_, accumulator) in others {
        let refused = merger.merge(table, &[(*into, accumulator.clone())])?.pop();
        if let Some((_, complaint)) = refused {
            table.put(*into, before);
            return Ok(Some(complaint));
        }
    }
    others.iter().for_each(|(slot, _)| table.put(*slot, &[]));
    Ok(None)
}

/// Merges that wait to be made in one call: no group stands in it twice.
#[derive(Debug, Default)]
struct Waiting {
    pairs: Vec<(Slot, Vec<u8>)>,
    parcels: Vec<usize>,
    slots: hashbrown::HashSet<Slot, foldhash::fast::FixedState>,
}

impl Waiting {
    fn holds(&self, slot: Slot) -> bool {
        self.slots.contains(&slot)
    }

    fn push(&mut self, slot: Slot, accumulator: Vec<u8>, parcel: usize) {
        self.slots.insert(slot);
        self.pairs.push((slot, accumulator));
        self.parcels.push(parcel);
    }

    /// Makes the merges. Complaints are by parcel.
    fn merge(&mut self, merger: &mut impl Merger, table: &mut GroupTable) -> Result<Complaints, EngineError> {
        if self.pairs.is_empty() {
            return Ok(Complaints::new());
        }
        let Self { pairs, parcels, .. } = std::mem::take(self);
        let complaints = merger.merge(table, &pairs)?;
        Ok(complaints.into_iter().map(|(pair, complaint)| (parcels[pair], complaint)).collect())
    }
}

#[cfg(test)]
mod simulation;

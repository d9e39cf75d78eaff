//! Accumulators that other versions of a plugin wrote.

use arrow_array::BinaryArray;
use azenha_model::dead_letter::{Basis, Cause, StateVersions};
use azenha_sandbox::Failure;

use super::Aggregator;
use super::call::Complaints;
use super::identities::is_link;
use crate::dead_letter::{Complaint, reasons};
use crate::edition::Version;
use crate::error::EngineError;
use crate::exchange::{Parcel, Writing};
use crate::state::Slot;

/// Accumulators that are rewritten in one call.
const MIGRATED_AT_ONCE: usize = 4_096;

/// Accumulators that arrived, as this version of the plugin reads them.
pub struct Understood {
    /// Those that can be read.
    pub parcels: Vec<Parcel>,
    /// Those that cannot, by their index among all.
    pub complaints: Complaints,
}

impl Aggregator {
    /// Rewrites the accumulators of all groups, which an older version of the plugin wrote. All of them go out with the
    /// next commit: blocks of two versions must never stand side by side.
    pub fn migrate(&mut self, from: u32) -> Result<(), EngineError> {
        // Where groups are found by identifiers, the table holds those, too.
        let is_link = |key: &[u8]| self.spec.identity.is_some() && is_link(key);
        let all: Vec<Slot> = self.table.iter().map(|(slot, _)| slot).collect();
        let groups = self.table.iter().filter(|(_, group)| !is_link(&group.key));
        let slots: Vec<Slot> = groups.map(|(slot, _)| slot).collect();
        for slots in slots.chunks(MIGRATED_AT_ONCE) {
            let before = slots.iter().filter_map(|slot| self.table.get(*slot)).map(|group| &group.accumulator);
            let before = BinaryArray::from_iter_values(before);
            let after = self.call.migrate(from, &before).map_err(|failure| self.not_migrated(from, &failure))?;
            for (slot, accumulator) in slots.iter().zip(after.iter()) {
                self.table.put(*slot, accumulator.unwrap_or_default());
            }
        }
        all.into_iter().for_each(|slot| self.table.touch(slot));
        Ok(())
    }

    /// Has every group give its result anew with the next commit.
    pub fn give_all(&mut self) {
        let all: Vec<Slot> = self.table.iter().map(|(slot, _)| slot).collect();
        all.into_iter().for_each(|slot| self.table.touch(slot));
    }

    /// Makes readable what a lane sent that may run another version. `edition` is the one that runs here.
    ///
    /// # Errors
    /// If the sender runs a later one, which this host is about to run, too.
    pub fn understand(
        &mut self,
        writing: Option<Writing>,
        edition: Version,
        parcels: Vec<Parcel>,
    ) -> Result<Understood, EngineError> {
        let now = self.spec.plan.state_version;
        let Some(writing) = writing.filter(|writing| writing.state_version != now) else {
            return Ok(Understood { parcels, complaints: Complaints::new() });
        };
        let Writing { state_version: from, edition: written_by } = writing;
        if written_by > edition {
            // Whether or not they could be read: that version may go on from another state than there is here.
            let step = &self.spec.plugin.step;
            return Err(EngineError::Behind(format!(
                "step `{step}` waits for version {written_by} of the pipeline: accumulators of version {from} have arrived"
            )));
        }
        if self.spec.plan.reads_versions.contains(&from) {
            return Ok(self.migrate_parcels(from, parcels));
        }
        let versions = StateVersions { from, now, reads: self.spec.plan.reads_versions.clone() };
        let complaint = Complaint::new(Cause::Failed, reasons::given_up(&versions)).on(Basis::Versions(versions));
        let complaints = (0..parcels.len()).map(|index| (index, complaint.clone())).collect();
        Ok(Understood { parcels: Vec::new(), complaints })
    }

    fn migrate_parcels(&mut self, from: u32, parcels: Vec<Parcel>) -> Understood {
        let payloads = BinaryArray::from_iter_values(parcels.iter().map(|parcel| &parcel.payload));
        let mut understood = Understood { parcels: Vec::with_capacity(parcels.len()), complaints: Complaints::new() };
        let together = self.call.migrate(from, &payloads);
        for (index, parcel) in parcels.into_iter().enumerate() {
            let payload = match &together {
                Ok(migrated) => Ok(migrated.value(index).to_vec()),
                // One of them is to blame.
                Err(_) => {
                    let alone = BinaryArray::from_iter_values([&parcel.payload]);
                    self.call.migrate(from, &alone).map(|migrated| migrated.value(0).to_vec())
                }
            };
            match payload {
                Ok(payload) => understood.parcels.push(Parcel { payload, ..parcel }),
                Err(failure) => understood.complaints.push((index, Complaint::failed(failure))),
            }
        }
        understood
    }

    fn not_migrated(&self, from: u32, failure: &Failure) -> EngineError {
        let (step, now) = (&self.spec.plugin.step, self.spec.plan.state_version);
        EngineError::State(format!(
            "step `{step}`: its state cannot be migrated from version {from} to {now}: {}",
            failure.message
        ))
    }
}

//! What is made of groups without a change of theirs: everything by code that is new, and everything once more for readers
//! that are new. Either takes several commits, before any record is read.

use super::{CHUNK, Definition, GroupId, Operation, RelateEnd, Related};
use crate::dead_letter::{DeadLetters, Place};
use crate::error::EngineError;

/// Groups that are left.
#[derive(Debug, Default)]
pub struct Anew {
    /// To be made by the new code. A crash begins again; what is as before is not written again.
    to_make: Vec<GroupId>,
    /// Who made what stands there, until all is made anew.
    made_by: Option<u32>,
    /// To be told to new readers. A crash begins again: a row that is told twice is the same row.
    to_tell: Option<Vec<GroupId>>,
}

impl Anew {
    /// What new readers have to be told.
    pub fn new(definition: &Definition, related: &Related) -> Self {
        let to_tell = (!definition.new_readers().is_empty()).then(|| related.groups().collect());
        Self { to_tell, ..Self::default() }
    }

    /// Whether another commit is needed.
    pub fn has_more(&self) -> bool {
        self.made_by.is_some() || self.to_tell.is_some()
    }
}

impl RelateEnd {
    /// Makes every group's result anew: the code that makes them is another one than `made_by`.
    pub fn make_anew(&mut self, made_by: u32) {
        self.anew.to_make = self.related.groups().collect();
        self.anew.made_by = Some(made_by);
    }

    /// The number of the code that made what stands in the state: see [`RelateEnd::code`].
    pub(super) fn made_by(&self) -> u32 {
        self.anew.made_by.unwrap_or_else(|| self.code())
    }

    /// Makes some of the groups that are left: first by the new code, then for new readers.
    pub(super) fn write_anew(&mut self, dead: &mut DeadLetters, place: Place<'_>) -> Result<(), EngineError> {
        if self.anew.made_by.is_some() {
            let groups = some(&mut self.anew.to_make);
            let assembly = self.assembly(&groups)?;
            self.write_new(&groups, assembly, dead, place)?;
            if self.anew.to_make.is_empty() {
                self.anew.made_by = None;
            }
        } else if let Some(to_tell) = &mut self.anew.to_tell {
            let groups = some(to_tell);
            let is_last = to_tell.is_empty();
            self.tell(&groups, dead, place)?;
            if is_last {
                self.anew.to_tell = None;
                self.definition.all_told();
            }
        }
        Ok(())
    }

    fn tell(&mut self, groups: &[GroupId], dead: &mut DeadLetters, place: Place<'_>) -> Result<(), EngineError> {
        let readers = self.definition.new_readers().to_vec();
        let is_new = |reader: &str| readers.iter().any(|new| new == reader);
        if let Operation::Join(joiner) = &self.operation {
            let changes: Vec<_> = groups.iter().flat_map(|group| joiner.rows(&self.related, *group)).collect();
            self.sent += changes.len() as u64;
            return self.router.route_to(&changes, is_new);
        }
        // What goes wrong is a dead letter since it went wrong first.
        let assembly = self.assembly(groups)?;
        let all = (0..assembly.with_row.len()).map(|_| Some(true)).collect();
        let results = self.put_together(&assembly.columns, &all, &[])?;
        self.write(&results, is_new, dead, place)
    }
}

/// Takes some groups out.
fn some(groups: &mut Vec<GroupId>) -> Vec<GroupId> {
    groups.split_off(groups.len().saturating_sub(CHUNK))
}

//! Rows of one table, each with the row of another one that it names.

use arrow_array::{ArrayRef, new_null_array};
use arrow_schema::ArrowError;
use azenha_model::Field;
use azenha_model::relation::{JoinKind, Relation};

use super::change::{RowChange, Sent, Version};
use super::related::{Applied, GroupId, Member, Related};
use super::row_codec;

/// The table whose rows are kept.
const ROWS: u8 = 0;
/// The table of which each group has at most one row.
const BESIDE: u8 = 1;

/// Joins the rows of a group as they change.
pub struct Joiner {
    kind: JoinKind,
    /// What stands beside a row for which the other table has none.
    nothing: Box<[u8]>,
    /// How many numbers a version of the other table has.
    numbers: u8,
}

impl Joiner {
    /// A join of the relation's two tables.
    pub fn new(relation: &Relation, kind: JoinKind) -> Result<Self, ArrowError> {
        let beside = &relation.tables[usize::from(BESIDE)];
        Ok(Self { kind, nothing: nulls(&beside.fields)?, numbers: beside.versions })
    }

    /// The changes of joined rows that follow from a change of one table's row, which was applied already.
    pub fn changes(&self, related: &Related, sent: &Sent<'_>, applied: &Applied) -> Vec<RowChange> {
        let Applied { group, old } = applied;
        let beside = related.members(*group, BESIDE).next();
        if sent.table == ROWS {
            let (row, version) = beside.map_or((None, None), |member| (member.row, Some(member.version)));
            let changed = Member { key: sent.key, version: sent.version.clone(), row: sent.row };
            let old = old.as_deref().and_then(|old| self.join(old, row));
            let new = sent.row.and_then(|new| self.join(new, row));
            return self.change(&changed, version.as_ref(), old, new).into_iter().collect();
        }
        let rows = related.members(*group, ROWS).filter(|member| member.row.is_some());
        let changes = rows.filter_map(|member| {
            let with = |beside: Option<&[u8]>| member.row.and_then(|row| self.join(row, beside));
            let (before, now) = (with(old.as_deref()), with(sent.row));
            self.change(&member, Some(&sent.version), before, now)
        });
        changes.collect()
    }

    /// The joined rows of a group as they stand, as changes from nothing: in the versions in which they were told.
    pub fn rows(&self, related: &Related, group: GroupId) -> Vec<RowChange> {
        let beside = related.members(group, BESIDE).next();
        let (row, version) = beside.map_or((None, None), |member| (member.row, Some(member.version)));
        let rows = related.members(group, ROWS);
        let joined = |member: Member<'_>| {
            let new = member.row.and_then(|own| self.join(own, row));
            self.change(&member, version.as_ref(), None, new)
        };
        rows.filter_map(joined).collect()
    }

    fn change(
        &self,
        member: &Member<'_>,
        beside: Option<&Version>,
        old: Option<Box<[u8]>>,
        new: Option<Box<[u8]>>,
    ) -> Option<RowChange> {
        if old == new {
            return None;
        }
        // A row that leaves a group may appear in another one, beside any version: it must not be later than that.
        let beside = beside.filter(|_| member.row.is_some());
        let version = match beside {
            Some(beside) => member.version.beside(beside),
            None => member.version.beside(&Version::zero(self.numbers)),
        };
        Some(RowChange { key: member.key.into(), version, old, new })
    }

    fn join(&self, row: &[u8], beside: Option<&[u8]>) -> Option<Box<[u8]>> {
        let beside = match (beside, self.kind) {
            (Some(beside), _) => beside,
            (None, JoinKind::Left) => &self.nothing,
            (None, JoinKind::Inner) => return None,
        };
        Some([row, beside].concat().into())
    }
}

/// A row of nulls.
pub(super) fn nulls(fields: &[Field]) -> Result<Box<[u8]>, ArrowError> {
    if fields.is_empty() {
        return Ok(Box::default());
    }
    let columns: Vec<ArrayRef> = fields.iter().map(|field| new_null_array(&field.data_type.arrow(), 1)).collect();
    Ok(row_codec(fields)?.convert_columns(&columns)?.row(0).data().into())
}

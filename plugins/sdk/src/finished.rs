//! The rows that are made of groups.

use crate::data::{Column, RejectedRow, Rejection};
use crate::row::Row;

/// The rows of groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The groups that have a row, ascending.
    pub groups: Vec<u32>,
    /// The made columns, each as long as `groups`.
    pub columns: Vec<Column>,
    /// The groups that are refused.
    pub rejected: Vec<RejectedRow>,
}

impl Finished {
    /// What was made of each group, in order.
    pub(crate) fn of<'a, R: Row<'a>>(made: impl Iterator<Item = Result<Option<R>, Rejection>>) -> Self {
        let (mut groups, mut rejected) = (Vec::new(), Vec::new());
        let mut builders = R::Builders::default();
        for (group, made) in (0..).zip(made) {
            match made {
                Ok(Some(row)) => {
                    groups.push(group);
                    row.write(&mut builders);
                }
                Ok(None) => {}
                Err(rejection) => rejected.push(rejection.at_row(group)),
            }
        }
        Self { groups, columns: R::finish(builders), rejected }
    }
}

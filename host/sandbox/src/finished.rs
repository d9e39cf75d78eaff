//! The rows that a plugin makes of groups.

use arrow_array::ArrayRef;
use azenha_model::Field;
use azenha_model::plugin::Rejection;

use crate::bindings::data;
use crate::error::Failure;
use crate::{checks, lift};

/// The results of groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The groups that have a row, ascending: indices into what the plugin was given.
    pub groups: Vec<u32>,
    /// The columns of the plan's `gives`, each as long as `groups`.
    pub columns: Vec<ArrayRef>,
    /// Groups that the plugin refuses; `row` is the group's index.
    pub rejected: Vec<Rejection>,
}

/// Results as a plugin returned them.
pub struct Returned<'a> {
    /// What they are called in messages.
    pub whole: &'a str,
    pub groups: Vec<u32>,
    pub columns: Vec<data::ColumnResult>,
    pub rejected: Vec<data::Rejection>,
}

impl Returned<'_> {
    /// The results of `count` groups, checked; at most `limit` rejections.
    pub fn lift(self, gives: &[Field], count: usize, limit: usize) -> Result<Finished, Failure> {
        checks::ascending(self.whole, &self.groups, count)?;
        Ok(Finished {
            columns: lift::columns(self.whole, gives.iter(), self.groups.len(), self.columns)?,
            rejected: checks::rejections(self.rejected, count, limit)?,
            groups: self.groups,
        })
    }
}

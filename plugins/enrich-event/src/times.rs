//! When events can have happened.

use std::fmt;

use azenha_sdk::{Malformed, Problem, Timestamp};
use serde::Deserialize;

/// Fixed bounds, because a plugin has no clock; any time is possible without them.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Times {
    /// The first time that is possible.
    from: Option<Bound>,
    /// The first one that is not possible any more.
    before: Option<Bound>,
}

/// A time, or the beginning of a date in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct Bound(Timestamp);

impl TryFrom<String> for Bound {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = if text.contains('T') { text.clone() } else { format!("{text}T00:00:00Z") };
        time.parse().map(Self).map_err(|_: Malformed| {
            format!("`{text}` is neither a date such as 2015-01-01 nor a time such as 2015-01-01T00:00:00Z")
        })
    }
}

impl Times {
    /// Refuses bounds between which nothing can happen.
    pub fn checked(self) -> Result<Self, Problem> {
        match (self.from, self.before) {
            (Some(from), Some(before)) if before <= from => Err(Problem::at("/times/before", "it is not after `from`")),
            _ => Ok(self),
        }
    }

    /// Whether something can have happened then.
    pub fn hold(&self, at: Option<Timestamp>) -> bool {
        let is_not_before = self.from.is_none_or(|Bound(from)| at.is_some_and(|at| at >= from));
        is_not_before && self.before.is_none_or(|Bound(before)| at.is_some_and(|at| at < before))
    }
}

/// The bounds.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.map(|Bound(from)| format!("from {from} on"));
        let before = self.before.map(|Bound(before)| format!("before {before}"));
        f.write_str(&from.into_iter().chain(before).collect::<Vec<_>>().join(" and "))
    }
}

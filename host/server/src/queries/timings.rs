//! How long answers take.

use crate::histogram::Histogram;

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With rows, or without any.
    Answered,
    /// The request was wrong.
    Refused,
    /// The database did not answer.
    Failed,
}

impl Ended {
    /// Each of them, with its name in metrics.
    pub const ALL: [(Self, &str); 3] =
        [(Self::Answered, "answered"), (Self::Refused, "refused"), (Self::Failed, "failed")];
}

/// A histogram for each end.
#[derive(Debug, Default)]
pub struct Timings([Histogram; Ended::ALL.len()]);

impl Timings {
    /// Those of the answers that ended so.
    pub fn of(&self, ended: Ended) -> &Histogram {
        &self.0[ended as usize]
    }
}

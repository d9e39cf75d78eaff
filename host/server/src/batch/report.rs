//! What a run did: kept in the database that it wrote, told by the API, shown on the command line.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// The pipeline.
    pub pipeline: String,
    /// The run's name: when it began.
    pub run: String,
    /// `published`: the new tables are in place. `refused`: the old ones stay, because a check failed. `failed`: the old
    /// ones stay, because something else did; the next run goes on from there.
    pub outcome: RunOutcome,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it began: microseconds since 1970.
    pub started: i64,
    /// How long it took until its tables were checked, or it failed, with interruptions: seconds.
    pub seconds: f64,
    /// The days that were read anew, `2024-01-31..2024-02-01`; none: everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dates: Option<String>,
    /// What was read, by source.
    pub sources: BTreeMap<String, SourceReport>,
    /// What was refused in this run.
    pub dead_letters: u64,
    /// Rows of each new table.
    pub tables: BTreeMap<String, i64>,
    /// What was checked, in this order.
    pub checks: Vec<CheckReport>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// The new tables are in place.
    Published,
    /// A check failed, and the tables of before stay.
    Refused,
    /// Something failed that is no check: a statement, the database, a store. The tables of before stay.
    Failed,
}

impl RunOutcome {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Published, Self::Refused, Self::Failed];

    /// As reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What was read of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceReport {
    /// Objects, or partitions of a topic.
    pub objects: u64,
    /// Records in them, counted apart from reading them.
    pub records: u64,
}

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckReport {
    /// What it says.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was found.
    pub found: String,
}

impl Report {
    /// Why nothing was put in place, if nothing was.
    pub fn problem(&self) -> Option<String> {
        match self.outcome {
            RunOutcome::Published => None,
            RunOutcome::Refused => {
                let failed: Vec<&str> = self.failed().map(|check| check.name.as_str()).collect();
                Some(format!("run {} was refused, and the tables of before stay: {}", self.run, failed.join("; ")))
            }
            RunOutcome::Failed => {
                let reason = self.reason.as_deref().unwrap_or_default();
                Some(format!("run {} failed, and the tables of before stay: {reason}", self.run))
            }
        }
    }

    /// When it ended: microseconds since 1970.
    pub fn ended(&self) -> i64 {
        self.started.saturating_add((self.seconds * 1e6) as i64)
    }

    /// The checks that do not hold.
    pub fn failed(&self) -> impl Iterator<Item = &CheckReport> {
        self.checks.iter().filter(|check| !check.passed)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pipeline, run, dates, seconds, dead_letters, .. } = self;
        let of = dates.as_ref().map(|dates| format!(" of {dates}")).unwrap_or_default();
        writeln!(f, "run {run} of `{pipeline}`{of}: {seconds:.1} s, dead letters: {dead_letters}")?;
        for (source, SourceReport { objects, records }) in &self.sources {
            writeln!(f, "  read `{source}`: {records} records in {objects} objects")?;
        }
        for (table, rows) in &self.tables {
            writeln!(f, "  table `{table}`: {rows} rows")?;
        }
        for CheckReport { name, passed, found } in &self.checks {
            writeln!(f, "  {} {name}: {found}", if *passed { "holds: " } else { "FAILED:" })?;
        }
        match self.outcome {
            RunOutcome::Published => write!(f, "published: the new tables are in place"),
            RunOutcome::Refused => {
                write!(
                    f,
                    "refused: the tables of before stay; the new ones can be looked at as NAME__new until the next run"
                )
            }
            RunOutcome::Failed => {
                let reason = self.reason.as_deref().unwrap_or("nobody knows why");
                write!(f, "failed: {reason}; the tables of before stay, and the next run goes on from there")
            }
        }
    }
}

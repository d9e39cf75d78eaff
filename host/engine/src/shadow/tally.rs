//! What was found so far: counts, and a few rows side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::ArrowError;
use azenha_formats::json::row_json;
use azenha_model::{Field, Offset};

use super::compare::{Comparison, Emission};

/// So many samples are kept.
const SAMPLES: usize = 20;

/// So many of them may differ in the same columns.
const ALIKE: usize = 5;

/// What the candidate's answers were, beside the live ones.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Rows that the plugins made.
    pub rows: RowCounts,
    /// Those that both made, by column.
    pub columns: BTreeMap<String, ColumnCounts>,
    /// Columns that only one of them gives, or with another type, or that nobody reads.
    pub not_compared: BTreeSet<String>,
    /// Accumulators that both made of the same.
    pub accumulators: ColumnCounts,
    /// What the live plugin did not do of the calls that the candidate got, too.
    pub live: Refused,
    /// What the candidate did not do.
    pub candidate: Refused,
    /// How the candidate failed last.
    pub last_failure: Option<String>,
    /// Bytes that an instance of the live plugin held, at most.
    pub live_memory: usize,
    /// Bytes that the candidate's instance held, at most.
    pub candidate_memory: usize,
    /// Rows that differ, the first that were found.
    pub samples: Vec<Sample>,
}

/// Rows that plugins made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// Of both, and equal in every column that was compared.
    pub equal: u64,
    /// Of both, and different in some column.
    pub different: u64,
    /// Only of the live plugin.
    pub only_live: u64,
    /// Only of the candidate.
    pub only_candidate: u64,
}

/// Values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ColumnCounts {
    /// Those that are equal.
    pub equal: u64,
    /// Those that are not.
    pub different: u64,
}

/// Rows, or groups, of which a plugin made nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refused {
    /// It refused them, or parts of them.
    pub rejected: u64,
    /// It failed on them.
    pub failed: u64,
}

/// Where a row was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: u32,
    /// The record.
    pub offset: Offset,
}

/// A row that differs, side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Where it was read; none of a group's.
    pub place: Option<Place>,
    /// The outlet; none if there is one only.
    pub outlet: Option<String>,
    /// The columns that the plugins read, or the group's key: a JSON object, personal data masked.
    pub input: String,
    /// The columns that differ; none if only one of them made the row.
    pub columns: Vec<String>,
    /// What the live plugin made.
    pub live: Answer,
    /// What the candidate made.
    pub candidate: Answer,
}

/// What a plugin made of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A JSON object; personal data is masked.
    Row(String),
    /// Nothing.
    Nothing,
    /// It refused the row, or a part of it, for this reason.
    Rejected(String),
    /// It failed on the row, in this way.
    Failed(String),
}

/// Rows, or groups, of which a plugin made nothing, and why.
pub type Problems = BTreeMap<u32, Answer>;

/// What a plugin made of a call.
pub struct Side {
    /// Its rows.
    pub emission: Emission,
    /// What it refused or failed on.
    pub problems: Arc<Problems>,
}

impl Side {
    fn answer(&self, place: u32) -> Result<Answer, ArrowError> {
        let (fields, columns) = self.emission.row(place)?;
        Ok(Answer::Row(row_json(&fields, &columns, 0, true)))
    }

    fn problem(&self, row: u32) -> Answer {
        self.problems.get(&row).cloned().unwrap_or(Answer::Nothing)
    }
}

/// What the plugins were given.
pub trait Given {
    /// Where a row was read.
    fn place(&self, row: u32) -> Option<Place>;

    /// What it holds, in one row.
    fn columns(&self, row: u32) -> Result<(Vec<Field>, Vec<ArrayRef>), ArrowError>;
}

impl Tally {
    /// Adds what both made of a call at one outlet.
    pub fn add(
        &mut self,
        outlet: Option<&str>,
        given: &dyn Given,
        (live, candidate): (&Side, &Side),
        compared: Comparison,
    ) -> Result<(), ArrowError> {
        let different = compared.different();
        self.rows.equal += (compared.pairs - different.len()) as u64;
        self.rows.different += different.len() as u64;
        self.rows.only_live += compared.aligned.only_live.len() as u64;
        self.rows.only_candidate += compared.aligned.only_candidate.len() as u64;
        for (column, pairs) in &compared.columns {
            let counts = self.columns.entry(column.clone()).or_default();
            counts.equal += (compared.pairs - pairs.len()) as u64;
            counts.different += pairs.len() as u64;
        }
        for pair in different.iter().take(SAMPLES) {
            let (place, other) = compared.places(*pair);
            let differing = compared.columns.iter().filter(|(_, pairs)| pairs.binary_search(pair).is_ok());
            let columns: Vec<String> = differing.map(|(column, _)| column.clone()).collect();
            let row = live.emission.rows[place as usize];
            self.sample(outlet, given, row, columns, || Ok((live.answer(place)?, candidate.answer(other)?)))?;
        }
        for place in compared.aligned.only_live.iter().take(SAMPLES) {
            let row = live.emission.rows[*place as usize];
            self.sample(outlet, given, row, vec![], || Ok((live.answer(*place)?, candidate.problem(row))))?;
        }
        for place in compared.aligned.only_candidate.iter().take(SAMPLES) {
            let row = candidate.emission.rows[*place as usize];
            self.sample(outlet, given, row, vec![], || Ok((live.problem(row), candidate.answer(*place)?)))?;
        }
        self.not_compared.extend(compared.not_compared);
        Ok(())
    }

    /// Keeps a sample, unless there are enough that are like it.
    fn sample(
        &mut self,
        outlet: Option<&str>,
        given: &dyn Given,
        row: u32,
        columns: Vec<String>,
        answers: impl FnOnce() -> Result<(Answer, Answer), ArrowError>,
    ) -> Result<(), ArrowError> {
        let alike = self.samples.iter().filter(|sample| sample.columns == columns).count();
        if self.samples.len() >= SAMPLES || alike >= ALIKE {
            return Ok(());
        }
        let ((fields, values), (live, candidate)) = (given.columns(row)?, answers()?);
        let (input, place) = (row_json(&fields, &values, 0, true), given.place(row));
        self.samples.push(Sample { place, outlet: outlet.map(str::to_owned), input, columns, live, candidate });
        Ok(())
    }

    /// Counts what both refused and failed on.
    pub fn refuse(&mut self, live: &Problems, candidate: &Problems) {
        let count = |problems: &Problems, refused: &mut Refused| {
            for problem in problems.values() {
                match problem {
                    Answer::Failed(_) => refused.failed += 1,
                    _ => refused.rejected += 1,
                }
            }
        };
        count(live, &mut self.live);
        count(candidate, &mut self.candidate);
        let failure = candidate.values().rev().find_map(|problem| match problem {
            Answer::Failed(message) => Some(message.clone()),
            _ => None,
        });
        self.last_failure = failure.or(self.last_failure.take());
    }

    /// Counts accumulators.
    pub fn count_accumulators(&mut self, found: ColumnCounts) {
        self.accumulators.equal += found.equal;
        self.accumulators.different += found.different;
    }

    /// Notes how many bytes instances hold.
    pub fn note_memory(&mut self, live: usize, candidate: usize) {
        self.live_memory = self.live_memory.max(live);
        self.candidate_memory = self.candidate_memory.max(candidate);
    }
}

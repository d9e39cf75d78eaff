//! An aggregate beside another one.

use std::sync::{Arc, Mutex};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, UInt32Array};
use arrow_schema::{ArrowError, Schema as ArrowSchema};
use arrow_select::take::take;
use azenha_model::Field;
use azenha_model::plan::Aggregation;
use azenha_model::plugin::Rejection;
use azenha_sandbox::{Aggregate, Failure, Finished};

use super::candidate::{Judged, Stopwatch};
use super::compare::{Cells, Emission, compare};
use super::lock;
use super::tally::{Answer, ColumnCounts, Given, Place, Problems, Side, Tally};
use crate::aggregation::KeyCodec;
use crate::error::EngineError;
use crate::rows::batch_of;

/// A candidate that folds rows.
pub struct Groups {
    plugin: Aggregate,
    keys: KeyCodec,
    key_fields: Vec<Field>,
    /// Of the columns that the live plugin reads, those that the candidate does.
    reads: Vec<usize>,
    /// What results of the live plugin have.
    live_gives: Vec<Field>,
    gives: Vec<Field>,
}

impl Groups {
    /// An opened candidate beside what runs.
    pub fn new(plugin: Aggregate, live: &Aggregation, tried: &Aggregation) -> Result<Self, EngineError> {
        let place = |column: &usize| live.plan.reads.iter().position(|read| read == column);
        Ok(Self {
            plugin,
            keys: KeyCodec::new(live)?,
            key_fields: live.key_fields(),
            reads: tried.plan.reads.iter().filter_map(place).collect(),
            live_gives: live.plan.gives.clone(),
            gives: tried.plan.gives.clone(),
        })
    }

    /// Bytes of memory that the candidate holds.
    pub fn memory(&self) -> usize {
        self.plugin.memory()
    }

    /// Asks the candidate to fold the same rows into the same accumulators.
    pub fn fold(
        &mut self,
        keys: &BinaryArray,
        (rows, groups, before): (&RecordBatch, &[u32], &BinaryArray),
        live: Result<(BinaryArray, Vec<Rejection>), Failure>,
        watch: &mut Stopwatch,
        tally: &Mutex<Tally>,
    ) -> Result<Judged, EngineError> {
        let rows = rows.project(&self.reads)?;
        let answer = watch.time(|| self.plugin.fold(&rows, groups, None, before));
        let judged = judge(&live, &answer);
        let (live, live_problems) = parted(live, rows.num_rows());
        let (answer, problems) = parted(answer, rows.num_rows());
        lock(tally).refuse(&live_problems, &problems);
        if let Some((live, answer)) = live.zip(answer) {
            self.accumulators(keys, &live, &answer, tally)?;
        }
        Ok(judged)
    }

    /// Asks the candidate to merge the same accumulators.
    pub fn merge(
        &mut self,
        keys: &BinaryArray,
        (left, right): (&BinaryArray, &BinaryArray),
        live: Result<BinaryArray, Failure>,
        watch: &mut Stopwatch,
        tally: &Mutex<Tally>,
    ) -> Result<Judged, EngineError> {
        let answer = watch.time(|| self.plugin.merge(left, right));
        let judged = judge(&live, &answer);
        let whole = |answer: Result<BinaryArray, Failure>| answer.map(|merged| (merged, Vec::new()));
        let (live, live_problems) = parted(whole(live), left.len());
        let (answer, problems) = parted(whole(answer), left.len());
        lock(tally).refuse(&live_problems, &problems);
        if let Some((live, answer)) = live.zip(answer) {
            self.accumulators(keys, &live, &answer, tally)?;
        }
        Ok(judged)
    }

    /// Asks the candidate for the results of the same groups.
    pub fn finish(
        &mut self,
        keys: RecordBatch,
        accumulators: &BinaryArray,
        live: Result<Finished, Failure>,
        watch: &mut Stopwatch,
        tally: &Mutex<Tally>,
    ) -> Result<Judged, EngineError> {
        let answer = watch.time(|| self.plugin.finish(&keys, accumulators));
        let judged = judge(&live, &answer);
        let (left, right) = (side(live, &self.live_gives, keys.num_rows()), side(answer, &self.gives, keys.num_rows()));
        let mut tally = lock(tally);
        tally.refuse(&left.problems, &right.problems);
        self.compare(keys, &left, &right, &mut tally)?;
        Ok(judged)
    }

    /// Compares accumulators. Of those that differ, the candidate's results show what that means.
    fn accumulators(
        &mut self,
        keys: &BinaryArray,
        live: &BinaryArray,
        tried: &BinaryArray,
        tally: &Mutex<Tally>,
    ) -> Result<(), EngineError> {
        let different: Vec<u32> = (0..live.len())
            .filter(|group| live.value(*group) != tried.value(*group))
            .map(|group| group as u32)
            .collect();
        let counts = ColumnCounts { equal: (live.len() - different.len()) as u64, different: different.len() as u64 };
        lock(tally).count_accumulators(counts);
        // A group that no row came into has no accumulator, and no result.
        let is_filled =
            |group: &u32| !live.value(*group as usize).is_empty() && !tried.value(*group as usize).is_empty();
        let groups: UInt32Array = different.into_iter().filter(is_filled).map(Some).collect();
        if groups.is_empty() {
            return Ok(());
        }
        let picked =
            |values: &BinaryArray| Ok::<_, ArrowError>(take(values, &groups, None)?.as_binary::<i32>().clone());
        let (keys, live, tried) = (picked(keys)?, picked(live)?, picked(tried)?);
        let schema = ArrowSchema::new(self.key_fields.iter().map(Field::arrow).collect::<Vec<_>>());
        let columns = self.keys.columns(keys.iter().flatten())?;
        let keys = batch_of(Arc::new(schema), columns, keys.len())?;
        let mut shown = |accumulators: &BinaryArray| {
            let finished = self.plugin.finish(&keys, accumulators);
            side(finished, &self.gives, keys.num_rows())
        };
        let (left, right) = (shown(&live), shown(&tried));
        self.compare(keys, &left, &right, &mut lock(tally))
    }

    fn compare(&self, keys: RecordBatch, left: &Side, right: &Side, tally: &mut Tally) -> Result<(), EngineError> {
        let compared = compare(&left.emission, &right.emission)?;
        let given = Keys { fields: &self.key_fields, keys };
        Ok(tally.add(None, &given, (left, right), compared)?)
    }
}

fn judge<T>(live: &Result<T, Failure>, answer: &Result<T, Failure>) -> Judged {
    match (live, answer) {
        (Ok(_), Err(failure)) => Err(failure.message.clone()),
        _ => Ok(()),
    }
}

/// An answer, and of how many rows or groups there is none.
fn parted<T>(answer: Result<(T, Vec<Rejection>), Failure>, rows: usize) -> (Option<T>, Problems) {
    match answer {
        Ok((value, rejected)) => (Some(value), rejections(rejected)),
        Err(failure) => (None, (0..rows as u32).map(|row| (row, Answer::Failed(failure.message.clone()))).collect()),
    }
}

fn rejections(rejected: Vec<Rejection>) -> Problems {
    rejected.into_iter().map(|Rejection { row, reason, .. }| (row, Answer::Rejected(reason))).collect()
}

/// Results of groups, as rows that come from them.
fn side(answer: Result<Finished, Failure>, gives: &[Field], groups: usize) -> Side {
    let answer = answer.map(|Finished { groups, columns, rejected }| ((groups, columns), rejected));
    let (finished, problems) = parted(answer, groups);
    let emission = finished.map_or_else(Emission::default, |(rows, columns)| {
        let columns = gives.iter().cloned().zip(columns.into_iter().map(Cells::Made)).collect();
        Emission { rows, columns }
    });
    Side { emission, problems: Arc::new(problems) }
}

/// The groups that both were given.
struct Keys<'a> {
    fields: &'a [Field],
    keys: RecordBatch,
}

impl Given for Keys<'_> {
    fn place(&self, _: u32) -> Option<Place> {
        None
    }

    fn columns(&self, row: u32) -> Result<(Vec<Field>, Vec<ArrayRef>), ArrowError> {
        let columns = self.keys.columns().iter().map(|column| column.slice(row as usize, 1)).collect();
        Ok((self.fields.to_vec(), columns))
    }
}

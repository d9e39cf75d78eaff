//! An aggregate beside another one.

use std::sync::{Arc, Mutex};

use arrow_array::cast::AsArray;
use arrow_array::{Array, BinaryArray, RecordBatch, UInt32Array};
use arrow_schema::{ArrowError, Schema as ArrowSchema};
use arrow_select::take::take;
use azenha_model::Field;
use azenha_model::plan::Aggregation;
use azenha_model::plugin::Rejection;
use azenha_sandbox::{Aggregate, Failure, Finished};

use super::answers::{Judged, Part, judge, sorted, whole};
use super::candidate::Stopwatch;
use super::lock;
use super::results::Results;
use super::tally::{ColumnCounts, Tally};
use crate::aggregation::KeyCodec;
use crate::error::EngineError;
use crate::rows::batch_of;

/// Accumulators, and what was refused.
type Folded = (BinaryArray, Vec<Rejection>);

/// A candidate that folds rows.
pub struct Groups {
    plugin: Aggregate,
    keys: KeyCodec,
    /// Of the columns that the live plugin reads, those that the candidate does.
    reads: Vec<usize>,
    results: Results,
}

impl Groups {
    /// An opened candidate beside what runs.
    pub fn new(plugin: Aggregate, live: &Aggregation, tried: &Aggregation) -> Result<Self, EngineError> {
        let place = |column: &usize| live.plan.reads.iter().position(|read| read == column);
        Ok(Self {
            plugin,
            keys: KeyCodec::new(live)?,
            reads: tried.plan.reads.iter().filter_map(place).collect(),
            results: Results {
                key_fields: live.key_fields(),
                live_gives: live.plan.gives.clone(),
                gives: tried.plan.gives.clone(),
            },
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
        live: Result<Folded, Failure>,
        watch: &mut Stopwatch,
        tally: &Mutex<Tally>,
    ) -> Result<Judged, EngineError> {
        let rows = rows.project(&self.reads)?;
        let answer = watch.time(|| self.plugin.fold(&rows, groups, None, before));
        self.accumulated(keys, rows.num_rows(), (live, answer), tally)
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
        let folded = |merged: Result<BinaryArray, Failure>| merged.map(|merged| (merged, Vec::new()));
        self.accumulated(keys, left.len(), (folded(live), folded(answer)), tally)
    }

    /// Asks the candidate for the results of the same groups.
    pub fn finish(
        &mut self,
        keys: &RecordBatch,
        accumulators: &BinaryArray,
        live: Result<Finished, Failure>,
        watch: &mut Stopwatch,
        tally: &Mutex<Tally>,
    ) -> Result<Judged, EngineError> {
        let groups = keys.num_rows();
        let answer = whole(groups, watch.time(|| self.plugin.finish(keys, accumulators)));
        let judged = judge(live.is_ok(), &answer);
        self.results.answered(keys, whole(groups, live), answer, tally)?;
        Ok(judged)
    }

    /// Both have answered with accumulators, to a call of so many rows or groups.
    fn accumulated(
        &mut self,
        keys: &BinaryArray,
        rows: usize,
        (live, answer): (Result<Folded, Failure>, Result<Folded, Failure>),
        tally: &Mutex<Tally>,
    ) -> Result<Judged, EngineError> {
        let answer = whole(rows, answer);
        let judged = judge(live.is_ok(), &answer);
        let apart = |parts: Vec<Part<Folded>>| sorted(parts, |folded| folded);
        let ((mut live, live_problems), (mut answer, problems)) = (apart(whole(rows, live)), apart(answer));
        lock(tally).refuse(&live_problems, &problems);
        if let Some(((_, live), (_, answer))) = live.pop().zip(answer.pop()) {
            self.accumulators(keys, &live, &answer, tally)?;
        }
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
        let schema = ArrowSchema::new(self.results.key_fields.iter().map(Field::arrow).collect::<Vec<_>>());
        let columns = self.keys.columns(keys.iter().flatten())?;
        let keys = batch_of(Arc::new(schema), columns, keys.len())?;
        let mut shown = |accumulators: &BinaryArray| whole(keys.num_rows(), self.plugin.finish(&keys, accumulators));
        let shown = (shown(&live), shown(&tried));
        Ok(self.results.candidates_own(&keys, shown, tally)?)
    }
}

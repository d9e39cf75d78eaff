//! An open aggregate.

use arrow_array::{Array, BinaryArray, BooleanArray, RecordBatch};
use azenha_model::Field;
use azenha_model::plugin::{AggregatePlan, Rejection};

use crate::bindings::aggregate as world;
use crate::bindings::data::Batch;
use crate::error::{Failure, OpenError};
use crate::finished::{Finished, Returned};
use crate::instance::Instance;
use crate::lower::{Lowered, Strings};
use crate::plugin::{Plugin, with_instance};
use crate::{checks, lift, lower};

/// An aggregate that was opened for one step: used by one thread at a time.
///
/// Any [`Failure`] of a call is about the whole call; the instance is gone, and the next call starts another.
pub struct Aggregate {
    plugin: Plugin,
    config: String,
    input: Vec<Field>,
    keys: Vec<Field>,
    plan: AggregatePlan,
    /// The fields of the columns that the plan reads.
    reads: Vec<Field>,
    /// None after a failure: the next call starts another.
    instance: Option<Instance<world::Aggregate>>,
}

impl Aggregate {
    pub(crate) fn open(plugin: Plugin, config: &str, input: &[Field], keys: &[Field]) -> Result<Self, OpenError> {
        let (instance, plan) = start(&plugin, config, input, keys)?;
        let reads = plan.reads.iter().map(|index| input[*index].clone()).collect();
        let (config, input, keys) = (config.to_owned(), input.to_vec(), keys.to_vec());
        Ok(Self { plugin, config, input, keys, plan, reads, instance: Some(instance) })
    }

    /// What the plugin reads and gives.
    pub fn plan(&self) -> &AggregatePlan {
        &self.plan
    }

    /// Bytes of memory that its instance holds; none after a failure.
    pub fn memory(&self) -> usize {
        self.instance.as_ref().map_or(0, Instance::memory)
    }

    /// Folds rows into accumulators: row i belongs to `accumulators[groups[i]]`; an empty accumulator is a
    /// new one. `rows` has exactly the columns of the plan's `reads`; `retracted` is true where a row is
    /// taken back. Gives the accumulators in the same order, and the rows that were refused.
    ///
    /// # Errors
    /// See [`Aggregate`].
    pub fn fold(
        &mut self,
        rows: &RecordBatch,
        groups: &[u32],
        retracted: Option<&BooleanArray>,
        accumulators: &BinaryArray,
    ) -> Result<(BinaryArray, Vec<Rejection>), Failure> {
        let lowered = Lowered::new(rows, &self.reads)?;
        let retracted = retracted.map(|retracted| retracted.values().sliced());
        let strings = Strings::accumulators(accumulators);
        let limit = self.plugin.limits().rejections_for(rows.num_rows());
        self.with_instance(|instance| {
            let columns = lowered.params();
            let folded = instance.call_fallible(|world, store| {
                let batch = Batch { rows: lowered.rows, columns: &columns };
                world.call_fold(store, batch, groups, retracted.as_deref(), strings.param())
            })?;
            let rejected = checks::rejections(folded.rejected, rows.num_rows(), limit)?;
            Ok((lift::accumulators("what `fold` returned", accumulators.len(), folded.accumulators)?, rejected))
        })
    }

    /// Merges accumulators pairwise; neither side has an empty one. Only if the plan says `merges`.
    ///
    /// # Errors
    /// See [`Aggregate`].
    pub fn merge(&mut self, left: &BinaryArray, right: &BinaryArray) -> Result<BinaryArray, Failure> {
        let (left_strings, right_strings) = (Strings::accumulators(left), Strings::accumulators(right));
        self.with_instance(|instance| {
            let merged = instance
                .call_fallible(|world, store| world.call_merge(store, left_strings.param(), right_strings.param()))?;
            lift::accumulators("what `merge` returned", left.len(), merged)
        })
    }

    /// Makes the results of groups. `keys` has one row for each accumulator, and the columns that the
    /// aggregate was opened with.
    ///
    /// # Errors
    /// See [`Aggregate`].
    pub fn finish(&mut self, keys: &RecordBatch, accumulators: &BinaryArray) -> Result<Finished, Failure> {
        let lowered = Lowered::new(keys, &self.keys)?;
        let strings = Strings::accumulators(accumulators);
        let limit = self.plugin.limits().rejections_for(accumulators.len());
        let gives = self.plan.gives.clone();
        self.with_instance(|instance| {
            let columns = lowered.params();
            let world::Finished { groups, columns, rejected } = instance.call_fallible(|world, store| {
                world.call_finish(store, Batch { rows: lowered.rows, columns: &columns }, strings.param())
            })?;
            let returned = Returned { whole: "what `finish` returned", groups, columns, rejected };
            returned.lift(&gives, accumulators.len(), limit)
        })
    }

    /// Rewrites accumulators of `from_version`, one of the plan's `reads_versions`.
    ///
    /// # Errors
    /// See [`Aggregate`].
    pub fn migrate(&mut self, from_version: u32, accumulators: &BinaryArray) -> Result<BinaryArray, Failure> {
        let strings = Strings::accumulators(accumulators);
        self.with_instance(|instance| {
            let migrated =
                instance.call_fallible(|world, store| world.call_migrate(store, from_version, strings.param()))?;
            lift::accumulators("what `migrate` returned", accumulators.len(), migrated)
        })
    }

    /// Uses the instance, or a new one after a failure; keeps it only if all went well.
    fn with_instance<R>(
        &mut self,
        work: impl FnOnce(&mut Instance<world::Aggregate>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let Self { plugin, config, input, keys, plan, instance, .. } = self;
        with_instance(instance, plan, || start(plugin, config, input, keys), work)
    }
}

type Started = (Instance<world::Aggregate>, AggregatePlan);

fn start(plugin: &Plugin, config: &str, input: &[Field], keys: &[Field]) -> Result<Started, OpenError> {
    let mut instance = plugin.start_aggregate()?;
    let opened =
        instance.call(|world, store| world.call_open(store, config, &lower::fields(input), &lower::fields(keys)))?;
    match opened {
        Ok(plan) => Ok((instance, checks::aggregate_plan(plan, input, keys)?)),
        Err(raw) => Err(checks::problems(raw, input.len())),
    }
}

//! Calls of an aggregate plugin on the groups of a table.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch};
use arrow_schema::{ArrowError, Schema as ArrowSchema};
use arrow_select::concat::concat;
use azenha_formats::json::row_json;
use azenha_model::Field;
use azenha_model::dead_letter::{Arguments, Basis, Function, Opened};
use azenha_model::plan::Aggregation;
use azenha_model::plugin::Rejection;
use azenha_sandbox::{Aggregate, Failure, Finished, Plugin};

use super::keys::KeyCodec;
use crate::clock::Clock;
use crate::dead_letter::{Callee, Complaint, encode_accumulator};
use crate::error::EngineError;
use crate::plugin::{Guard, Part, Usage, in_parts};
use crate::rows::batch_of;
use crate::shadow::{self, Call, Kind};
use crate::state::{GroupTable, Slot};

/// A complaint about a row (of `fold`) or a group (of `finish` and `merge`), by its index in the call.
pub type Complaints = Vec<(usize, Complaint)>;

/// What `finish` gave for some groups.
#[derive(Debug)]
pub struct Results {
    /// The groups that have a row.
    pub with_row: Vec<Slot>,
    /// The columns that the plugin gives, one value for each of them.
    pub columns: Vec<ArrayRef>,
    /// The groups that have none.
    pub without_row: Vec<Slot>,
    /// What went wrong, by index among the groups asked for.
    pub complaints: Complaints,
}

/// An aggregate plugin, opened for one lane.
pub struct AggregateCall {
    plugin: Aggregate,
    step: String,
    callee: Callee,
    reads: Vec<Field>,
    key_fields: Vec<Field>,
    key_schema: Arc<ArrowSchema>,
    gives: Vec<Field>,
    guard: Guard,
    /// Rows that go in must not make up for groups that do not come out.
    finish_guard: Guard,
    shadow: shadow::Slot,
    /// Whether dead letters may show accumulators: not if personal data went into them.
    shows_accumulators: bool,
}

impl AggregateCall {
    /// Opens the plugin as the plan has it.
    pub fn open(
        aggregation: &Aggregation,
        plugin: &Plugin,
        shadow: shadow::Slot,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EngineError> {
        let used = &aggregation.plugin;
        let key_fields = aggregation.key_fields();
        let opened = plugin
            .open_aggregate(&used.config, &used.input, &key_fields)
            .map_err(|source| EngineError::Open { step: used.step.clone(), source })?;
        if *opened.plan() != aggregation.plan {
            return Err(EngineError::Setup(format!(
                "step `{}`: the plugin's plan is not the validated one",
                used.step
            )));
        }
        Ok(Self {
            plugin: opened,
            step: used.step.clone(),
            callee: Callee::new(
                &used.plugin,
                plugin.digest(),
                Opened::with(&used.config_by_name).input(&used.input).keys(&key_fields),
            ),
            reads: aggregation.plan.reads.iter().map(|index| used.input[*index].clone()).collect(),
            key_schema: Arc::new(ArrowSchema::new(key_fields.iter().map(Field::arrow).collect::<Vec<_>>())),
            key_fields,
            gives: aggregation.plan.gives.clone(),
            guard: Guard::new(Arc::clone(&clock)),
            finish_guard: Guard::new(clock),
            shadow,
            shows_accumulators: !aggregation.plan.reads.iter().any(|index| used.input[*index].pii),
        })
    }

    /// What calls cost since this was last asked.
    pub fn take_usage(&mut self) -> Usage {
        self.guard.take_usage().and(self.finish_guard.take_usage())
    }

    /// Rewrites accumulators of an older version.
    pub fn migrate(&mut self, from: u32, accumulators: &BinaryArray) -> Result<BinaryArray, Failure> {
        self.plugin.migrate(from, accumulators)
    }

    /// Folds rows into groups: row i into `slots[i]`.
    pub fn fold(
        &mut self,
        table: &mut GroupTable,
        rows: &RecordBatch,
        slots: &[Slot],
    ) -> Result<Complaints, EngineError> {
        let (plugin, shadow) = (&mut self.plugin, &self.shadow);
        let mut alone: HashMap<usize, Option<String>> = HashMap::new();
        let parts = in_parts(
            slots.len(),
            &mut self.guard,
            |(_, grown)| *grown,
            |range| {
                let members = Members::of(&slots[range.clone()]);
                let before = members.accumulators(table);
                let accumulator_of = |row: usize| encode_accumulator(before.value(members.numbers[row] as usize));
                let batch = rows.slice(range.start, range.len());
                let watch = shadow.watch();
                let answer = plugin.fold(&batch, &members.numbers, None, &before);
                watch.end((Kind::Fold, range.len()), plugin.memory(), answer.is_ok(), || Call::Fold {
                    keys: members.keys(table),
                    rows: batch.clone(),
                    groups: members.numbers.clone(),
                    before: before.clone(),
                    live: answer.clone(),
                });
                let (folded, rejected) = answer.inspect_err(|_| {
                    if range.len() == 1 {
                        alone.insert(range.start, accumulator_of(0));
                    }
                })?;
                let grown = folded.value_data().len().saturating_sub(before.value_data().len());
                for (slot, count, accumulator) in members.with(&folded) {
                    table.add_rows(slot, count);
                    if table.get(slot).is_some_and(|group| group.accumulator != accumulator) {
                        table.put(slot, accumulator);
                    }
                }
                let told = |rejection: Rejection| (accumulator_of(rejection.row as usize), rejection);
                Ok((rejected.into_iter().map(told).collect::<Vec<_>>(), grown))
            },
        );
        let parts = parts.map_err(|source| EngineError::Plugin { step: self.step.clone(), source })?;

        let mut complaints = Complaints::new();
        let mut complain = |row: usize, accumulator: Option<String>, complaint: Complaint| {
            let given = Arguments { accumulator, ..Arguments::row(row_json(&self.reads, rows.columns(), row, true)) };
            complaints.push((row, complaint.on(self.describe(Function::Fold, given))));
        };
        for part in parts {
            match part {
                Part::Done(range, (rejected, _)) => {
                    for (accumulator, rejection) in rejected {
                        complain(range.start + rejection.row as usize, accumulator, Complaint::rejected(rejection));
                    }
                }
                Part::Guilty(row, failure) => complain(row, alone.remove(&row).flatten(), Complaint::failed(failure)),
            }
        }
        Ok(complaints)
    }

    /// Merges payloads into groups that all have an accumulator; no group stands twice.
    pub fn merge(&mut self, table: &mut GroupTable, pairs: &[(Slot, Vec<u8>)]) -> Result<Complaints, EngineError> {
        let (plugin, shadow) = (&mut self.plugin, &self.shadow);
        let parts = in_parts(
            pairs.len(),
            &mut self.guard,
            |grown| *grown,
            |range| {
                let left = |(slot, _): &(Slot, Vec<u8>)| table.get(*slot).map_or(&[][..], |group| &group.accumulator);
                let left = BinaryArray::from_iter_values(pairs[range.clone()].iter().map(left));
                let right = BinaryArray::from_iter_values(pairs[range.clone()].iter().map(|(_, payload)| payload));
                let watch = shadow.watch();
                let answer = plugin.merge(&left, &right);
                watch.end((Kind::Merge, range.len()), plugin.memory(), answer.is_ok(), || Call::Merge {
                    keys: keys(table, pairs[range.clone()].iter().map(|(slot, _)| *slot)),
                    left: left.clone(),
                    right: right.clone(),
                    live: answer.clone(),
                });
                let merged = answer?;
                for (index, (slot, _)) in pairs[range].iter().enumerate() {
                    table.put(*slot, merged.value(index));
                }
                Ok(merged.value_data().len().saturating_sub(left.value_data().len()))
            },
        );
        let parts = parts.map_err(|source| EngineError::Plugin { step: self.step.clone(), source })?;
        let guilty = parts.into_iter().filter_map(|part| match part {
            Part::Done(..) => None,
            Part::Guilty(index, failure) => Some((index, failure)),
        });
        Ok(guilty
            .map(|(index, failure)| {
                let (slot, payload) = &pairs[index];
                let into = table.get(*slot).and_then(|group| encode_accumulator(&group.accumulator));
                let given = Arguments { accumulator: encode_accumulator(payload), into, ..Arguments::default() };
                (index, Complaint::failed(failure).on(self.describe(Function::Merge, given)))
            })
            .collect())
    }

    /// Makes the results of groups.
    pub fn finish(&mut self, table: &GroupTable, keys: &KeyCodec, slots: &[Slot]) -> Result<Results, EngineError> {
        let groups: Vec<_> = slots.iter().filter_map(|slot| table.get(*slot)).collect();
        let columns = keys.columns(groups.iter().map(|group| &*group.key))?;
        let batch = batch_of(Arc::clone(&self.key_schema), columns, groups.len())?;
        let accumulators = BinaryArray::from_iter_values(groups.iter().map(|group| &group.accumulator));
        let (plugin, shadow) = (&mut self.plugin, &self.shadow);
        let bytes = |finished: &Finished| finished.columns.iter().map(|column| column.get_array_memory_size()).sum();
        let parts = in_parts(groups.len(), &mut self.finish_guard, bytes, |range| {
            let keys = batch.slice(range.start, range.len());
            let accumulators = accumulators.slice(range.start, range.len());
            let watch = shadow.watch();
            let answer = plugin.finish(&keys, &accumulators);
            watch.end((Kind::Finish, range.len()), plugin.memory(), answer.is_ok(), || Call::Finish {
                keys: keys.clone(),
                accumulators: accumulators.clone(),
                live: answer.clone(),
            });
            answer
        });
        let parts = parts.map_err(|source| EngineError::Plugin { step: self.step.clone(), source })?;

        let mut results =
            Results { with_row: vec![], columns: vec![], without_row: vec![], complaints: Complaints::new() };
        let mut pieces = Vec::new();
        for part in parts {
            match part {
                Part::Done(range, finished) => {
                    let mut has_row = vec![false; range.len()];
                    for group in &finished.groups {
                        has_row[*group as usize] = true;
                    }
                    for (index, has_row) in has_row.into_iter().enumerate() {
                        let slot = slots[range.start + index];
                        if has_row { results.with_row.push(slot) } else { results.without_row.push(slot) }
                    }
                    pieces.push(finished.columns);
                    let complaint =
                        |rejection: Rejection| (range.start + rejection.row as usize, Complaint::rejected(rejection));
                    results.complaints.extend(finished.rejected.into_iter().map(complaint));
                }
                Part::Guilty(index, failure) => results.complaints.push((index, Complaint::failed(failure))),
            }
        }
        results.columns = (0..self.gives.len())
            .map(|column| join(self.gives[column].data_type.arrow(), pieces.iter().map(|piece| &piece[column])))
            .collect::<Result<_, _>>()?;
        for (index, complaint) in &mut results.complaints {
            let accumulator = encode_accumulator(&groups[*index].accumulator);
            let key = row_json(&self.key_fields, batch.columns(), *index, true);
            complaint.basis = Some(self.describe(Function::Finish, Arguments { accumulator, ..Arguments::row(key) }));
        }
        Ok(results)
    }

    fn describe(&self, function: Function, given: Arguments) -> Basis {
        let shown = |accumulator: Option<String>| accumulator.filter(|_| self.shows_accumulators);
        let Arguments { accumulator, into, .. } = given;
        let given = Arguments { accumulator: shown(accumulator), into: shown(into), ..given };
        Basis::Call(self.callee.call(function, given))
    }
}

/// One column out of its pieces.
fn join<'a>(
    data_type: arrow_schema::DataType,
    pieces: impl Iterator<Item = &'a ArrayRef>,
) -> Result<ArrayRef, ArrowError> {
    let pieces: Vec<&dyn Array> = pieces.map(AsRef::as_ref).collect();
    match pieces.as_slice() {
        [] => Ok(arrow_array::new_empty_array(&data_type)),
        pieces => concat(pieces),
    }
}

/// The keys of groups.
fn keys(table: &GroupTable, slots: impl Iterator<Item = Slot>) -> BinaryArray {
    BinaryArray::from_iter_values(slots.map(|slot| table.get(slot).map_or(&[][..], |group| &group.key)))
}

/// The groups of a batch, numbered as the plugin sees them.
struct Members {
    slots: Vec<Slot>,
    counts: Vec<u64>,
    /// The number of each row's group.
    numbers: Vec<u32>,
}

impl Members {
    fn of(rows: &[Slot]) -> Self {
        let mut known: HashMap<Slot, u32, foldhash::fast::FixedState> = HashMap::default();
        let mut members = Self { slots: Vec::new(), counts: Vec::new(), numbers: Vec::with_capacity(rows.len()) };
        for slot in rows {
            let number = *known.entry(*slot).or_insert_with(|| {
                members.slots.push(*slot);
                members.counts.push(0);
                members.slots.len() as u32 - 1
            });
            members.counts[number as usize] += 1;
            members.numbers.push(number);
        }
        members
    }

    fn keys(&self, table: &GroupTable) -> BinaryArray {
        keys(table, self.slots.iter().copied())
    }

    fn accumulators(&self, table: &GroupTable) -> BinaryArray {
        let of = |slot: &Slot| table.get(*slot).map_or(&[][..], |group| &group.accumulator);
        BinaryArray::from_iter_values(self.slots.iter().map(of))
    }

    /// Each group with its count of rows and its new accumulator.
    fn with<'a>(&'a self, folded: &'a BinaryArray) -> impl Iterator<Item = (Slot, u64, &'a [u8])> {
        let each = self.slots.iter().zip(&self.counts).enumerate();
        each.map(|(index, (slot, count))| (*slot, *count, folded.value(index)))
    }
}

//! Which columns somebody reads, found backwards from a task's end.

use std::collections::BTreeSet;

use crate::plan::{Stage, StreamInput};
use crate::plugin::Given;
use crate::types::{Field, meta};

/// Fills in what is needed of a task's input and stages. `reads` are the columns that its end reads; `by_time` says
/// whether the task goes by event time.
pub(super) fn prune(input: &mut StreamInput, stages: &mut [Stage], reads: BTreeSet<usize>, by_time: bool) {
    let mut reads = reads;
    for stage in stages.iter_mut().rev() {
        reads.extend(setters(&stage.output.fields));
        stage.needed = own(&reads, stage.output.fields.len());
        let gives = &stage.plan.outlets[stage.outlet].gives;
        let passed = stage.needed.iter().filter_map(|index| match &gives[*index] {
            Given::Passed { input, .. } => Some(*input),
            Given::Made(_) => None,
        });
        reads = stage.plan.reads.iter().copied().chain(passed).collect();
    }
    input.event_time = input.event_time.filter(|_| by_time);
    reads.extend(input.event_time.map(|event_time| event_time.column));
    reads.extend(input.event_time.and_then(|time| time.told).iter().flat_map(|told| [told.watermark, told.reached]));
    input.needed = own(&reads, input.columns.len());
}

/// Columns that act on the row, whether or not anything reads them.
fn setters(fields: &[Field]) -> impl Iterator<Item = usize> {
    let sets = |field: &Field| meta::SETTABLE.contains(&field.name.as_str());
    fields.iter().enumerate().filter(move |(_, field)| sets(field)).map(|(index, _)| index)
}

fn own(reads: &BTreeSet<usize>, columns: usize) -> Vec<usize> {
    reads.range(..columns).copied().collect()
}

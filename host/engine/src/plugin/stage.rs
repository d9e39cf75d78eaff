//! A transform, fused into the task that reads its input.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_select::take::take;
use azenha_formats::json::row_json;
use azenha_model::Field;
use azenha_model::plan::Stage;
use azenha_model::plugin::Given;
use azenha_sandbox::{Emitted, Plugin, Transform, TransformOutput};
use serde_json::value::RawValue;

use super::{Guard, Part, Usage, in_parts};
use crate::clock::Clock;
use crate::dead_letter::{CONTRACT, Complaint, DeadLetters, PluginCall};
use crate::error::EngineError;
use crate::rows::{Rows, Source};
use crate::tap::Tap;

/// A transform opened for one lane.
pub struct FusedStage {
    step: Arc<str>,
    spec: Stage,
    plugin: Transform,
    name: Arc<str>,
    digest: Arc<str>,
    reads: Vec<Field>,
    guard: Guard,
    tap: Tap,
}

impl FusedStage {
    /// Opens the plugin as the plan has it.
    pub fn open(stage: &Stage, plugin: &Plugin, tap: Tap, clock: Arc<dyn Clock>) -> Result<Self, EngineError> {
        let used = &stage.plugin;
        let opened = plugin
            .open_transform(&used.config, &used.input)
            .map_err(|source| EngineError::Open { step: used.step.clone(), source })?;
        if *opened.plan() != stage.plan {
            return Err(EngineError::Setup(format!(
                "step `{}`: the plugin's plan is not the validated one",
                used.step
            )));
        }
        Ok(Self {
            step: used.step.as_str().into(),
            plugin: opened,
            name: used.plugin.as_str().into(),
            digest: plugin.digest().into(),
            reads: stage.plan.reads.iter().map(|index| used.input[*index].clone()).collect(),
            spec: stage.clone(),
            guard: Guard::new(clock),
            tap,
        })
    }

    /// What calls cost since this was last asked.
    pub fn take_usage(&mut self) -> Usage {
        self.guard.take_usage()
    }

    /// Transforms rows. What comes back in several pieces is in order.
    pub fn process(&mut self, rows: &Rows, source: &Source, dead: &mut DeadLetters) -> Result<Vec<Rows>, EngineError> {
        let batch = rows.batch(&self.spec.plan.reads, &self.spec.plugin.input, source)?;
        let plugin = &mut self.plugin;
        let whole = 0..rows.len();
        let parts = in_parts(rows.len(), &mut self.guard, |range| {
            if range == whole { plugin.process(&batch) } else { plugin.process(&batch.slice(range.start, range.len())) }
        });
        let parts = parts.map_err(|source| EngineError::Plugin { step: self.step.to_string(), source })?;
        let mut pieces = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Part::Done(range, TransformOutput { mut outlets, rejected }) => {
                    for rejection in rejected {
                        let row = range.start + rejection.row as usize;
                        self.refuse(row, Complaint::rejected(rejection), &batch, rows, source, dead);
                    }
                    let emitted = outlets.swap_remove(self.spec.outlet);
                    pieces.push(self.assemble(rows, &range, emitted, source)?);
                }
                Part::Guilty(row, failure) => {
                    self.refuse(row, Complaint::failed(failure), &batch, rows, source, dead);
                }
            }
        }
        self.show(&pieces);
        Ok(pieces)
    }

    fn refuse(
        &self,
        row: usize,
        complaint: Complaint,
        batch: &RecordBatch,
        rows: &Rows,
        source: &Source,
        dead: &mut DeadLetters,
    ) {
        let call = PluginCall {
            plugin: Arc::clone(&self.name),
            digest: Arc::clone(&self.digest),
            contract: CONTRACT,
            columns: RawValue::from_string(row_json(&self.reads, batch.columns(), row, true)).ok(),
            accumulator: None,
        };
        let complaint = Complaint { call: Some(call), ..complaint };
        dead.push(&self.step, source, rows.origin.value(row), &complaint);
    }

    /// The outlet's rows: columns that the plugin made, and those that pass by it.
    fn assemble(
        &self,
        rows: &Rows,
        range: &Range<usize>,
        emitted: Emitted,
        source: &Source,
    ) -> Result<Rows, EngineError> {
        let input = rows.slice(range.start, range.len());
        let selected = |column: &ArrayRef| match &emitted.rows {
            None => Ok(Arc::clone(column)),
            Some(selection) => take(column, selection, None),
        };
        let mut made = emitted.columns.into_iter();
        let gives = &self.spec.plan.outlets[self.spec.outlet].gives;
        let columns = gives
            .iter()
            .enumerate()
            .map(|(index, given)| match given {
                Given::Made(_) => Ok(made.next()),
                Given::Passed { input: from, .. } if self.spec.needed.contains(&index) => {
                    selected(&input.column(*from, &self.spec.plugin.input, source)?).map(Some)
                }
                Given::Passed { .. } => Ok(None),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let origin: UInt32Array = match &emitted.rows {
            None => input.origin.clone(),
            Some(selection) => take(&input.origin, selection, None)?.as_primitive::<UInt32Type>().clone(),
        };
        Ok(Rows { columns, origin, deletes: None })
    }

    fn show(&self, pieces: &[Rows]) {
        if !self.tap.is_open() {
            return;
        }
        for piece in pieces {
            let known = self.spec.output.fields.iter().zip(&piece.columns);
            let read = known.filter_map(|(field, column)| Some((field.clone(), Arc::clone(column.as_ref()?))));
            let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = read.unzip();
            self.tap.send(&fields, &columns, None);
        }
    }
}

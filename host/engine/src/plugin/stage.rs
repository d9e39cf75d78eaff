//! A transform, fused into the task that reads its input.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{ArrowError, DataType};
use arrow_select::take::take;
use azenha_formats::json::row_json;
use azenha_model::Field;
use azenha_model::dead_letter::{Arguments, Basis, Function, Opened};
use azenha_model::plan::Stage;
use azenha_model::plugin::Given;
use azenha_sandbox::{Emitted, Failure, FailureKind, Plugin, Transform, TransformOutput};

use super::{Guard, Part, Usage, in_parts};
use crate::clock::Clock;
use crate::dead_letter::{Callee, Complaint, DeadLetters};
use crate::error::EngineError;
use crate::rows::{Rows, Source};
use crate::shadow::{Call, Kind, Slot};
use crate::tap::Tap;

/// A transform opened for one lane.
pub struct FusedStage {
    step: Arc<str>,
    spec: Stage,
    plugin: Transform,
    callee: Callee,
    reads: Vec<Field>,
    guard: Guard,
    tap: Tap,
    shadow: Slot,
}

impl FusedStage {
    /// Opens the plugin as the plan has it.
    pub fn open(
        stage: &Stage,
        plugin: &Plugin,
        (tap, shadow): (Tap, Slot),
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EngineError> {
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
            callee: Callee::new(&used.plugin, plugin.digest(), Opened::with(&used.config_by_name).input(&used.input)),
            reads: stage.plan.reads.iter().map(|index| used.input[*index].clone()).collect(),
            spec: stage.clone(),
            guard: Guard::new(clock),
            tap,
            shadow,
        })
    }

    /// What calls cost since this was last asked.
    pub fn take_usage(&mut self) -> Usage {
        self.guard.take_usage()
    }

    /// Transforms rows. What comes back in several pieces is in order.
    pub fn process(
        &mut self,
        rows: &Rows,
        source: &Arc<Source>,
        dead: &mut DeadLetters,
    ) -> Result<Vec<Rows>, EngineError> {
        let batch = rows.batch(&self.spec.plan.reads, &self.spec.plugin.input, source)?;
        let (plugin, spec, shadow) = (&mut self.plugin, &self.spec, &self.shadow);
        let parts = in_parts(
            rows.len(),
            &mut self.guard,
            |(made, _)| bytes(made),
            |range| {
                let reads = batch.slice(range.start, range.len());
                let watch = shadow.watch();
                let answer = plugin.process(&reads);
                watch.end((Kind::Process, range.len()), plugin.memory(), answer.is_ok(), || Call::Process {
                    input: rows.slice(range.start, range.len()),
                    source: Arc::clone(source),
                    live: answer.clone(),
                });
                let TransformOutput { mut outlets, rejected } = answer?;
                let emitted = outlets.swap_remove(spec.outlet);
                // Passed columns may be more than can be held, if the plugin selects a row again and again.
                let made = assemble(spec, rows, &range, emitted, source).map_err(|error| Failure {
                    kind: FailureKind::Contract,
                    message: format!("its rows cannot be put together: {error}"),
                    stack: Vec::new(),
                })?;
                Ok((made, rejected))
            },
        );
        let parts = parts.map_err(|source| EngineError::Plugin { step: self.step.to_string(), source })?;
        let mut pieces = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Part::Done(range, (made, rejected)) => {
                    for rejection in rejected {
                        let row = range.start + rejection.row as usize;
                        self.refuse(row, Complaint::rejected(rejection), &batch, rows, source, dead);
                    }
                    pieces.push(made);
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
        let given = Arguments::row(row_json(&self.reads, batch.columns(), row, true));
        let complaint = complaint.on(Basis::Call(self.callee.call(Function::Process, given)));
        dead.push(&self.step, source, rows.origin.value(row), &complaint);
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

/// What a batch may hold beside what the plugin made itself.
const SELECTED_BYTES: usize = 256 << 20;

/// The outlet's rows: columns that the plugin made, and those that pass by it.
fn assemble(
    spec: &Stage,
    rows: &Rows,
    range: &Range<usize>,
    emitted: Emitted,
    source: &Source,
) -> Result<Rows, ArrowError> {
    let input = rows.slice(range.start, range.len());
    let selected = |column: &ArrayRef| match &emitted.rows {
        None => Ok(Arc::clone(column)),
        Some(selection) => select(column, selection),
    };
    let mut made = emitted.columns.into_iter();
    let column = |(index, given): (usize, &Given)| match given {
        Given::Made(_) => Ok(made.next()),
        Given::Passed { input: from, .. } if spec.needed.contains(&index) => {
            selected(&input.column(*from, &spec.plugin.input, source)?).map(Some)
        }
        Given::Passed { .. } => Ok(None),
    };
    let columns = spec.plan.outlets[spec.outlet].gives.iter().enumerate().map(column).collect::<Result<_, _>>()?;
    let origin: UInt32Array = match &emitted.rows {
        None => input.origin.clone(),
        Some(selection) => take(&input.origin, selection, None)?.as_primitive::<UInt32Type>().clone(),
    };
    Ok(Rows { columns, origin, deletes: None, changes: None })
}

/// The selected rows of a column, unless a few large ones are selected too often.
fn select(column: &ArrayRef, selection: &UInt32Array) -> Result<ArrayRef, ArrowError> {
    let offsets = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value_offsets(),
        DataType::Binary => column.as_binary::<i32>().value_offsets(),
        _ => return take(column, selection, None),
    };
    let length = |row: &u32| (offsets[*row as usize + 1] - offsets[*row as usize]) as usize;
    let bytes: usize = selection.values().iter().map(length).sum();
    if bytes > SELECTED_BYTES {
        let rows = selection.len();
        return Err(ArrowError::ComputeError(format!("a passed column would have {bytes} bytes in {rows} rows")));
    }
    take(column, selection, None)
}

fn bytes(rows: &Rows) -> usize {
    rows.columns.iter().flatten().map(|column| column.get_array_memory_size()).sum()
}

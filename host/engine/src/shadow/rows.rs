//! A transform beside another one.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use arrow_array::ArrayRef;
use arrow_schema::ArrowError;
use azenha_model::Field;
use azenha_model::plan::Stage;
use azenha_model::plugin::{Given as GivenColumn, Outlet};
use azenha_sandbox::{Emitted, Failure, Transform, TransformOutput};

use super::answers::{self, Judged, Part, halved, judge, sorted, whole};
use super::candidate::Stopwatch;
use super::compare::{Cells, Emission, compare};
use super::lock;
use super::results::joined;
use super::tally::{Given, Place, Problems, Side, Tally};
use crate::error::EngineError;
use crate::rows::{Rows, Source};

/// A candidate that transforms rows.
pub struct Transforms {
    plugin: Transform,
    live: Stage,
    tried: Stage,
    /// The columns that either of them reads.
    shown: Vec<usize>,
}

/// What a plugin made of some of a call's rows.
type Done = answers::Done<Vec<Emitted>>;

impl Transforms {
    /// An opened candidate beside what runs.
    pub fn new(plugin: Transform, live: Stage, tried: Stage) -> Self {
        let mut shown = [live.plan.reads.as_slice(), &tried.plan.reads].concat();
        shown.sort_unstable();
        shown.dedup();
        Self { plugin, live, tried, shown }
    }

    /// Bytes of memory that the candidate holds.
    pub fn memory(&self) -> usize {
        self.plugin.memory()
    }

    /// Asks the candidate for the same rows, and compares.
    pub fn process(
        &mut self,
        input: &Rows,
        source: &Source,
        live: Result<TransformOutput, Failure>,
        watch: &mut Stopwatch,
        tally: &Mutex<Tally>,
    ) -> Result<Judged, EngineError> {
        let batch = input.batch(&self.tried.plan.reads, &self.tried.plugin.input, source)?;
        let plugin = &mut self.plugin;
        let ask = |range: Range<usize>| watch.time(|| plugin.process(&batch.slice(range.start, range.len())));
        let answer = halved(input.len(), ask);
        let judged = judge(live.is_ok(), &answer);
        let apart = |parts: Vec<Part<TransformOutput>>| {
            sorted(parts, |TransformOutput { outlets, rejected }| (outlets, rejected))
        };
        let ((live_done, live_problems), (done, problems)) = (apart(whole(input.len(), live)), apart(answer));
        let (live_problems, problems) = (Arc::new(live_problems), Arc::new(problems));
        let given = Input { rows: input, source, fields: &self.live.plugin.input, shown: &self.shown };
        let mut tally = lock(tally);
        tally.refuse(&live_problems, &problems);
        let (ours, theirs) = (&self.live.plan.outlets, &self.tried.plan.outlets);
        let only_theirs = theirs.iter().filter(|outlet| !ours.iter().any(|other| other.name == outlet.name));
        for outlet in ours.iter().chain(only_theirs) {
            let emitted = |outlets: &[Outlet], done: &[Done], problems: &Arc<Problems>| {
                let position = outlets.iter().position(|other| other.name == outlet.name);
                let emission = match position {
                    Some(position) => given.emission(&outlets[position], position, done)?,
                    None => Emission::default(),
                };
                Ok::<_, ArrowError>(Side { emission, problems: Arc::clone(problems) })
            };
            let left = emitted(ours, &live_done, &live_problems)?;
            let right = emitted(theirs, &done, &problems)?;
            let compared = compare(&left.emission, &right.emission)?;
            let name = (ours.len() > 1 || theirs.len() > 1).then_some(outlet.name.as_str());
            tally.add(name, &given, (&left, &right), compared)?;
        }
        Ok(judged)
    }
}

/// The rows that both were given.
struct Input<'a> {
    rows: &'a Rows,
    source: &'a Source,
    fields: &'a [Field],
    shown: &'a [usize],
}

impl Input<'_> {
    /// What a plugin gave at an outlet.
    fn emission(&self, outlet: &Outlet, position: usize, done: &[Done]) -> Result<Emission, ArrowError> {
        let mut rows = Vec::new();
        for (range, outlets) in done {
            let start = range.start as u32;
            match &outlets[position].rows {
                None => rows.extend(range.start as u32..range.end as u32),
                Some(selection) => rows.extend(selection.values().iter().map(|row| start + row)),
            }
        }
        let schema = outlet.schema(self.fields).fields;
        let mut made = 0..;
        let mut columns = Vec::with_capacity(schema.len());
        for (field, given) in schema.into_iter().zip(&outlet.gives) {
            let cells = match given {
                GivenColumn::Passed { input, .. } => {
                    let values = self.rows.column(*input, self.fields, self.source).ok();
                    Cells::Passed { input: *input, values }
                }
                GivenColumn::Made(_) => {
                    let index = made.next().unwrap_or_default();
                    let pieces = done.iter().map(|(_, outlets)| outlets[position].columns[index].as_ref());
                    Cells::Made(joined(&field, pieces.collect())?)
                }
            };
            columns.push((field, cells));
        }
        Ok(Emission { rows, columns })
    }
}

impl Given for Input<'_> {
    fn place(&self, row: u32) -> Option<Place> {
        let record = self.rows.origin.value(row as usize) as usize;
        let offset = *self.source.fetched.offsets.get(record)?;
        Some(Place { topic: Arc::clone(&self.source.topic), partition: self.source.partition, offset })
    }

    fn columns(&self, row: u32) -> Result<(Vec<Field>, Vec<ArrayRef>), ArrowError> {
        let row = self.rows.slice(row as usize, 1);
        let read = |index: &usize| {
            let values = row.column(*index, self.fields, self.source).ok()?;
            Some((self.fields[*index].clone(), values))
        };
        Ok(self.shown.iter().filter_map(read).unzip())
    }
}

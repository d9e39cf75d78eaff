//! An open transform.

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_buffer::ScalarBuffer;
use azenha_model::Field;
use azenha_model::plugin::{Given, Outlet, Rejection, TransformPlan};

use crate::bindings::data::Batch;
use crate::bindings::transform::{self as world, Selection};
use crate::error::{Failure, OpenError};
use crate::instance::Instance;
use crate::limits::Limits;
use crate::plugin::{Plugin, with_instance};
use crate::{checks, lift, lower};

/// A transform that was opened for one step: used by one thread at a time.
pub struct Transform {
    plugin: Plugin,
    config: String,
    input: Vec<Field>,
    plan: TransformPlan,
    /// The fields of the columns that the plan reads.
    reads: Vec<Field>,
    /// None after a failure: the next call starts another.
    instance: Option<Instance<world::Transform>>,
}

/// What a transform made of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct TransformOutput {
    /// One for each outlet of the plan, in its order.
    pub outlets: Vec<Emitted>,
    /// Rows, or parts of rows, that the plugin refuses; rows are those of the input.
    pub rejected: Vec<Rejection>,
}

/// The rows of one outlet.
#[derive(Debug, Clone, PartialEq)]
pub struct Emitted {
    /// The input row that each row comes from, without nulls; none: every input row once, in order.
    pub rows: Option<UInt32Array>,
    /// The made columns, in the plan's order, each as long as `rows`.
    pub columns: Vec<ArrayRef>,
}

impl Transform {
    pub(crate) fn open(plugin: Plugin, config: &str, input: &[Field]) -> Result<Self, OpenError> {
        let (instance, plan) = start(&plugin, config, input)?;
        let reads = plan.reads.iter().map(|index| input[*index].clone()).collect();
        let (config, input) = (config.to_owned(), input.to_vec());
        Ok(Self { plugin, config, input, plan, reads, instance: Some(instance) })
    }

    /// What the plugin reads and gives.
    pub fn plan(&self) -> &TransformPlan {
        &self.plan
    }

    /// Bytes of memory that its instance holds; none after a failure.
    pub fn memory(&self) -> usize {
        self.instance.as_ref().map_or(0, Instance::memory)
    }

    /// Transforms rows. `reads` has exactly the columns of the plan's `reads`, in that order.
    ///
    /// # Errors
    /// Any [`Failure`] is about the whole batch; the instance is gone, and the next call starts another.
    pub fn process(&mut self, reads: &RecordBatch) -> Result<TransformOutput, Failure> {
        let lowered = lower::Lowered::new(reads, &self.reads)?;
        let Self { plugin, config, input, plan, instance, .. } = self;
        let started = || start(plugin, config, input);
        with_instance(instance, plan, started, |instance| {
            let columns = lowered.params();
            let output = instance.call_fallible(|world, store| {
                world.call_process(store, Batch { rows: lowered.rows, columns: &columns })
            })?;
            lift_output(output, plan, reads.num_rows(), plugin.limits())
        })
    }
}

type Started = (Instance<world::Transform>, TransformPlan);

fn start(plugin: &Plugin, config: &str, input: &[Field]) -> Result<Started, OpenError> {
    let mut instance = plugin.start_transform()?;
    match instance.call(|world, store| world.call_open(store, config, &lower::fields(input)))? {
        Ok(plan) => Ok((instance, checks::transform_plan(plan, input)?)),
        Err(raw) => Err(checks::problems(raw, input.len())),
    }
}

fn lift_output(
    output: world::Output,
    plan: &TransformPlan,
    rows: usize,
    limits: &Limits,
) -> Result<TransformOutput, Failure> {
    if output.outputs.len() != plan.outlets.len() {
        let (given, planned) = (output.outputs.len(), plan.outlets.len());
        return Err(Failure::contract(format!("it gave {given} outputs, but the plan has {planned} outlets")));
    }
    let given: usize = output.outputs.iter().map(|emitted| selected_rows(&emitted.rows, rows)).sum();
    if given > limits.rows_for(rows) {
        let limit = limits.rows_for(rows);
        return Err(Failure::contract(format!("it gave {given} rows for {rows}; the limit is {limit}")));
    }
    let outlets = plan.outlets.iter().zip(output.outputs).map(|(outlet, emitted)| lift_emitted(outlet, emitted, rows));
    Ok(TransformOutput {
        outlets: outlets.collect::<Result<_, _>>()?,
        rejected: checks::rejections(output.rejected, rows, limits.rejections_for(rows))?,
    })
}

fn selected_rows(selection: &Selection, rows: usize) -> usize {
    match selection {
        Selection::All => rows,
        Selection::Rows(selected) => selected.len(),
    }
}

fn lift_emitted(outlet: &Outlet, emitted: world::Emitted, rows: usize) -> Result<Emitted, Failure> {
    let whole = format!("output `{}`", outlet.name);
    let length = selected_rows(&emitted.rows, rows);
    let rows = match emitted.rows {
        Selection::All => None,
        Selection::Rows(selected) => {
            checks::selected(&whole, &selected, rows)?;
            Some(UInt32Array::new(ScalarBuffer::from(selected), None))
        }
    };
    let made: Vec<&Field> = outlet.gives.iter().filter_map(made_field).collect();
    let columns = lift::columns(&whole, made.into_iter(), length, emitted.columns)?;
    Ok(Emitted { rows, columns })
}

fn made_field(given: &Given) -> Option<&Field> {
    match given {
        Given::Made(field) => Some(field),
        Given::Passed { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::bindings::data::{ColumnResult, Rejection as RawRejection, ValuesResult};
    use azenha_model::DataType;

    use super::*;

    fn plan() -> TransformPlan {
        let gives = vec![
            Given::Passed { input: 0, name: "a".to_owned() },
            Given::Made(Field::new("x", DataType::Int64, false)),
        ];
        let outlet = |name: &str| Outlet { name: name.to_owned(), gives: gives.clone() };
        TransformPlan { reads: vec![], outlets: vec![outlet("main"), outlet("other")] }
    }

    fn emitted(rows: Selection, values: Vec<i64>) -> world::Emitted {
        world::Emitted { rows, columns: vec![ColumnResult { values: ValuesResult::Int64s(values), validity: None }] }
    }

    fn lifted(outputs: Vec<world::Emitted>, rejected: Vec<RawRejection>) -> Result<TransformOutput, String> {
        let limits = Limits { output_rows_per_input: 2, output_rows: 1, ..Limits::default() };
        lift_output(world::Output { outputs, rejected }, &plan(), 2, &limits).map_err(|failure| failure.message)
    }

    #[test]
    fn rows_may_be_left_out_or_stand_twice() {
        let main = emitted(Selection::Rows(vec![1, 1]), vec![7, 8]);
        let output = lifted(vec![main, emitted(Selection::All, vec![1, 2])], vec![]).expect("it is right");
        assert_eq!(output.outlets[0].rows, Some(UInt32Array::from(vec![1, 1])));
        assert_eq!(output.outlets[1].rows, None);
        assert_eq!(output.outlets[0].columns[0].len(), 2);
    }

    #[test]
    fn output_that_breaks_the_contract_is_named() {
        let all = || emitted(Selection::All, vec![1, 2]);
        assert_eq!(lifted(vec![all()], vec![]).unwrap_err(), "it gave 1 outputs, but the plan has 2 outlets");
        let beyond = emitted(Selection::Rows(vec![2]), vec![1]);
        assert!(lifted(vec![all(), beyond], vec![]).unwrap_err().contains("output `other` has a row that comes from"));
        let short = emitted(Selection::Rows(vec![0]), vec![1, 2]);
        let message = lifted(vec![short, all()], vec![]).unwrap_err();
        assert_eq!(message, "column `x` of output `main` has 2 values, but there are 1 rows");
        let many = emitted(Selection::Rows(vec![0; 4]), vec![0; 4]);
        assert_eq!(lifted(vec![all(), many], vec![]).unwrap_err(), "it gave 6 rows for 2; the limit is 5");
        let rejection = RawRejection { row: 2, reason: String::new(), part: None };
        assert!(lifted(vec![all(), all()], vec![rejection]).unwrap_err().contains("it rejected row 2"));
        let rejection = RawRejection { row: 0, reason: String::new(), part: None };
        assert!(lifted(vec![all(), all()], vec![rejection.clone(); 68]).is_ok());
        let message = lifted(vec![all(), all()], vec![rejection; 69]).unwrap_err();
        assert_eq!(message, "it rejected 69 rows or parts of 2 rows; the limit is 68");
    }
}

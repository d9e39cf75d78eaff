//! Runs a transform's case.

use serde_json::Value;

use super::case::{Case, JsonRow, Outcome, Rejected};
use super::columns::{batch, has_rows, json_at};
use super::config;
use crate::data::{Batch, Column, Field};
use crate::transform::{ColumnTransform, Emitted, Given, Outlet, Selection};

pub fn run<T: ColumnTransform>(case: &Case) -> Result<Outcome, String> {
    let fields = case.input()?.fields()?;
    let input = batch(&fields, &case.input()?.rows)?;
    let (mut transform, plan) = match config(case).and_then(|config| T::open(config, &fields)) {
        Ok(opened) => opened,
        Err(problems) => return Ok(Outcome::of_problems(problems, &fields)),
    };
    let read = plan.reads.iter().map(|index| input.columns[*index as usize].clone()).collect();
    let output = transform.process(&Batch { rows: input.rows, columns: read })?;
    let outputs = plan
        .outputs
        .iter()
        .zip(&output.outputs)
        .map(|(outlet, emitted)| Ok((outlet.name.clone(), Value::Array(rows(outlet, emitted, &fields, &input)?))));
    Ok(Outcome {
        output: Some(outputs.collect::<Result<_, String>>()?),
        rejected: output.rejected.into_iter().map(Rejected::from).collect(),
        problems: Vec::new(),
    })
}

/// The rows of an output: passed columns from the input, made ones from what was emitted.
fn rows(outlet: &Outlet, emitted: &Emitted, fields: &[Field], input: &Batch) -> Result<Vec<Value>, String> {
    let origins = match &emitted.rows {
        Selection::All => (0..input.rows).collect(),
        Selection::Rows(rows) => rows.clone(),
    };
    if let Some(wrong) = emitted.columns.iter().position(|column| !has_rows(column, origins.len())) {
        return Err(format!("made column {wrong} of `{}` has not {} rows", outlet.name, origins.len()));
    }
    let rows = origins.iter().enumerate().map(|(row, origin)| {
        row_at(outlet, &emitted.columns, row, |index| json_at(&fields[index], &input.columns[index], *origin as usize))
    });
    rows.collect()
}

fn row_at(
    outlet: &Outlet,
    made: &[Column],
    row: usize,
    passed: impl Fn(usize) -> Result<Value, String>,
) -> Result<Value, String> {
    let mut made = made.iter();
    let mut values = JsonRow::new();
    for given in &outlet.gives {
        let (name, value) = match given {
            Given::Passed { input, name } => (name, passed(*input as usize)?),
            Given::Made(field) => {
                let column = made.next().ok_or_else(|| format!("no column `{}` was made", field.name))?;
                (&field.name, json_at(field, column, row)?)
            }
        };
        if !value.is_null() {
            values.insert(name.clone(), value);
        }
    }
    Ok(Value::Object(values))
}

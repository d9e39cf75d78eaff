//! Runs a transform's case.

use anyhow::Result;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_select::take::take;
use azenha_model::Field;
use azenha_model::plugin::{Given, Outlet};
use azenha_sandbox::{Emitted, OpenError, Plugin};
use serde_json::{Map, Value};

use super::columns::{batch, json_rows};
use super::format::{Case, Outcome};

/// What a transform makes of the case's rows.
pub fn run(plugin: &Plugin, case: &Case) -> Result<Outcome> {
    let fields = case.input()?.fields()?;
    let input = batch(&fields, &case.input()?.rows)?;
    let mut transform = match plugin.open_transform(&case.config(), &fields) {
        Ok(transform) => transform,
        Err(OpenError::Problems(problems)) => return Ok(Outcome::of_problems(problems, &fields)),
        Err(error) => return Err(error.into()),
    };
    let output = transform.process(&input.project(&transform.plan().reads)?)?;
    let mut outputs = Map::new();
    for (outlet, emitted) in transform.plan().outlets.iter().zip(&output.outlets) {
        outputs.insert(outlet.name.clone(), Value::Array(rows(outlet, emitted, &fields, &input)?));
    }
    Ok(Outcome::of_rows(outputs, output.rejected))
}

/// The rows of an output: passed columns from the input, made ones from what was emitted.
fn rows(outlet: &Outlet, emitted: &Emitted, fields: &[Field], input: &RecordBatch) -> Result<Vec<Value>> {
    let mut made = emitted.columns.iter();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for given in &outlet.gives {
        match (given, &emitted.rows) {
            (Given::Made(_), _) => arrays.extend(made.next().cloned()),
            (Given::Passed { input: index, .. }, None) => arrays.push(input.column(*index).clone()),
            (Given::Passed { input: index, .. }, Some(rows)) => arrays.push(take(input.column(*index), rows, None)?),
        }
    }
    let rows = emitted.rows.as_ref().map_or(input.num_rows(), Array::len);
    json_rows(&outlet.schema(fields).fields, &arrays, rows)
}

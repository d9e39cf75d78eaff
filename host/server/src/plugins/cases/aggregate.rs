//! Runs an aggregate's case.

use anyhow::{Context, Result, bail};
use arrow_array::{BinaryArray, RecordBatch};
use azenha_model::Field;
use azenha_model::plugin::Rejection;
use azenha_sandbox::{Aggregate, OpenError, Plugin};
use serde_json::{Map, Value};

use super::columns::batch;
use super::format::{Case, Outcome};
use super::groups::Groups;

/// What an aggregate makes of the case's rows. One that merges is folded in two parts, too: the result must be the
/// same.
pub fn run(plugin: &Plugin, case: &Case) -> Result<Outcome> {
    let fields = case.input()?.fields()?;
    let input = batch(&fields, &case.input()?.rows)?;
    let groups = groups(case, &fields, &input)?;
    let mut aggregate = match plugin.open_aggregate(&case.config(), &fields, &groups.fields) {
        Ok(aggregate) => aggregate,
        Err(OpenError::Problems(problems)) => return Ok(Outcome::of_problems(problems, &fields)),
        Err(error) => return Err(error.into()),
    };
    let reads = input.project(&aggregate.plan().reads)?;
    let (accumulators, rejected) = fold(&mut aggregate, &reads, &groups, 0..input.num_rows())?;
    let whole = finish(&mut aggregate, &groups, &accumulators)?;
    if aggregate.plan().merges {
        let merged = fold_in_parts(&mut aggregate, &reads, &groups)?;
        let in_parts = finish(&mut aggregate, &groups, &merged)?;
        if in_parts != whole {
            bail!("folded in two parts and merged, the result is {}", Value::Array(in_parts));
        }
    }
    let output = Map::from_iter([("main".to_owned(), Value::Array(whole))]);
    Ok(Outcome::of_rows(output, rejected))
}

/// The groups that the case's keys make.
fn groups(case: &Case, fields: &[Field], input: &RecordBatch) -> Result<Groups> {
    let find = |name: &String| {
        let found = fields.iter().position(|field| field.name == *name);
        found.with_context(|| format!("the key `{name}` is no column"))
    };
    let columns = case.keys.iter().map(find).collect::<Result<Vec<usize>>>()?;
    Groups::of(columns.iter().map(|column| fields[*column].clone()).collect(), &input.project(&columns)?)
}

/// Folds some of the rows into new accumulators.
fn fold(
    aggregate: &mut Aggregate,
    reads: &RecordBatch,
    groups: &Groups,
    rows: std::ops::Range<usize>,
) -> Result<(BinaryArray, Vec<Rejection>)> {
    let new = BinaryArray::from_iter_values(vec![b""; groups.len()]);
    let some = reads.slice(rows.start, rows.len());
    Ok(aggregate.fold(&some, &groups.of_rows[rows], None, &new)?)
}

fn fold_in_parts(aggregate: &mut Aggregate, reads: &RecordBatch, groups: &Groups) -> Result<BinaryArray> {
    let (rows, middle) = (reads.num_rows(), reads.num_rows() / 2);
    let (left, _) = fold(aggregate, reads, groups, 0..middle)?;
    let (right, _) = fold(aggregate, reads, groups, middle..rows)?;
    // Only accumulators that are not new are ever merged.
    let both = |group: &usize| !left.value(*group).is_empty() && !right.value(*group).is_empty();
    let shared: Vec<usize> = (0..groups.len()).filter(both).collect();
    let side = |side: &BinaryArray| BinaryArray::from_iter_values(shared.iter().map(|group| side.value(*group)));
    let merged = aggregate.merge(&side(&left), &side(&right))?;
    let accumulator = |group: usize| match shared.binary_search(&group) {
        Ok(position) => merged.value(position),
        Err(_) if left.value(group).is_empty() => right.value(group),
        Err(_) => left.value(group),
    };
    Ok(BinaryArray::from_iter_values((0..groups.len()).map(accumulator)))
}

/// The results: keys, then what the aggregate gives.
fn finish(aggregate: &mut Aggregate, groups: &Groups, accumulators: &BinaryArray) -> Result<Vec<Value>> {
    let finished = aggregate.finish(&groups.keys, accumulators)?;
    if let Some(refused) = finished.rejected.first() {
        bail!("group {} is refused: {}", refused.row, refused.reason);
    }
    groups.results(&aggregate.plan().gives, &finished)
}

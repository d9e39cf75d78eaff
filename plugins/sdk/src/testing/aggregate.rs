//! Runs an aggregate's case.

use serde_json::{Map, Value};

use super::case::{Case, JsonRow, Outcome, Rejected};
use super::columns::batch;
use super::config;
use super::groups::Groups;
use crate::aggregate::{Aggregate, AggregatePlan, Folder};
use crate::data::{Batch, Field, RejectedRow, Strings};

pub fn run<A: Aggregate>(case: &Case) -> Result<Outcome, String> {
    let fields = case.input()?.fields()?;
    let rows = &case.input()?.rows;
    let input = batch(&fields, rows)?;
    let (folder, plan) = match config(case).and_then(|config| Folder::<A>::open(config, &fields)) {
        Ok(opened) => opened,
        Err(problems) => return Ok(Outcome::of_problems(problems, &fields)),
    };
    let groups = group(case, &fields, &input)?;
    let run = Run { folder, plan, fields, groups };
    let (accumulators, rejected) = run.fold(rows, &run.groups.of_rows)?;
    let whole = run.finish(&accumulators)?;
    if A::MERGES {
        let in_parts = run.finish(&run.fold_in_parts(rows)?)?;
        if in_parts != whole {
            return Err(format!("folded in two parts and merged, the result is {}", Value::Array(in_parts)));
        }
    }
    Ok(Outcome {
        output: Some(Map::from_iter([("main".to_owned(), Value::Array(whole))])),
        rejected: rejected.into_iter().map(Rejected::from).collect(),
        problems: Vec::new(),
    })
}

/// The groups that the case's keys make.
fn group(case: &Case, fields: &[Field], input: &Batch) -> Result<Groups, String> {
    let find = |name: &String| {
        fields.iter().position(|field| field.name == *name).ok_or_else(|| format!("the key `{name}` is no column"))
    };
    let columns = case.keys.iter().map(find).collect::<Result<Vec<usize>, String>>()?;
    let mut groups = Groups::default();
    groups.add(input, fields, &columns, &case.keys)?;
    Ok(groups)
}

struct Run<A> {
    folder: Folder<A>,
    plan: AggregatePlan,
    fields: Vec<Field>,
    groups: Groups,
}

impl<A: Aggregate> Run<A> {
    /// Folds rows into new accumulators, one for each group.
    fn fold(&self, rows: &[JsonRow], groups: &[u32]) -> Result<(Strings, Vec<RejectedRow>), String> {
        let input = batch(&self.fields, rows)?;
        let columns = self.plan.reads.iter().map(|index| input.columns[*index as usize].clone()).collect();
        let new = Strings { offsets: vec![0; self.groups.keys.len() + 1], bytes: Vec::new() };
        let folded = self.folder.fold(&Batch { rows: input.rows, columns }, groups, None, &new)?;
        Ok((folded.accumulators, folded.rejected))
    }

    fn fold_in_parts(&self, rows: &[JsonRow]) -> Result<Strings, String> {
        let middle = rows.len() / 2;
        let (left, _) = self.fold(&rows[..middle], &self.groups.of_rows[..middle])?;
        let (right, _) = self.fold(&rows[middle..], &self.groups.of_rows[middle..])?;
        self.folder.merge(&left, &right)
    }

    /// The results: keys, then what the aggregate gives.
    fn finish(&self, accumulators: &Strings) -> Result<Vec<Value>, String> {
        let finished = self.folder.finish(accumulators)?;
        if let Some(refused) = finished.rejected.first() {
            return Err(format!("group {} is refused: {}", refused.row, refused.reason));
        }
        self.groups.results(&self.plan.gives, &finished)
    }
}

//! Rows that plugins make of groups: results of aggregates, and assemblies.

use std::sync::{Arc, Mutex};

use arrow_array::{Array, ArrayRef, RecordBatch, new_empty_array};
use arrow_schema::ArrowError;
use arrow_select::concat::concat;
use azenha_model::Field;
use azenha_sandbox::Finished;

use super::answers::{Part, sorted};
use super::compare::{Cells, Emission, compare};
use super::lock;
use super::tally::{Given, Place, Side, Tally};

/// Compares the rows that two plugins make of the same groups.
pub struct Results {
    /// The columns of a group's key.
    pub key_fields: Vec<Field>,
    /// What the live plugin gives.
    pub live_gives: Vec<Field>,
    /// What the candidate gives.
    pub gives: Vec<Field>,
}

impl Results {
    /// Counts what both answered.
    pub fn answered(
        &self,
        keys: &RecordBatch,
        live: Vec<Part<Finished>>,
        candidate: Vec<Part<Finished>>,
        tally: &Mutex<Tally>,
    ) -> Result<(), ArrowError> {
        let (live, candidate) = (side(live, &self.live_gives)?, side(candidate, &self.gives)?);
        let mut tally = lock(tally);
        tally.refuse(&live.problems, &candidate.problems);
        self.compare(keys, (&live, &candidate), &mut tally)
    }

    /// Compares what the candidate makes of two states of the same groups.
    pub fn candidates_own(
        &self,
        keys: &RecordBatch,
        (one, other): (Vec<Part<Finished>>, Vec<Part<Finished>>),
        tally: &Mutex<Tally>,
    ) -> Result<(), ArrowError> {
        let (one, other) = (side(one, &self.gives)?, side(other, &self.gives)?);
        self.compare(keys, (&one, &other), &mut lock(tally))
    }

    fn compare(&self, keys: &RecordBatch, sides: (&Side, &Side), tally: &mut Tally) -> Result<(), ArrowError> {
        let compared = compare(&sides.0.emission, &sides.1.emission)?;
        tally.add(None, &Keys { fields: &self.key_fields, keys }, sides, compared)
    }
}

/// Results of groups, as rows that come from them.
fn side(parts: Vec<Part<Finished>>, gives: &[Field]) -> Result<Side, ArrowError> {
    let apart = |Finished { groups, columns, rejected }| ((groups, columns), rejected);
    let (done, problems) = sorted(parts, apart);
    let mut rows = Vec::new();
    for (range, (groups, _)) in &done {
        rows.extend(groups.iter().map(|group| range.start as u32 + group));
    }
    let column = |(index, field): (usize, &Field)| {
        let pieces = done.iter().map(|(_, (_, columns))| columns[index].as_ref()).collect();
        Ok((field.clone(), Cells::Made(joined(field, pieces)?)))
    };
    let columns = gives.iter().enumerate().map(column).collect::<Result<_, ArrowError>>()?;
    Ok(Side { emission: Emission { rows, columns }, problems: Arc::new(problems) })
}

/// A column out of its pieces.
pub fn joined(field: &Field, pieces: Vec<&dyn Array>) -> Result<ArrayRef, ArrowError> {
    match pieces.as_slice() {
        [] => Ok(new_empty_array(&field.data_type.arrow())),
        pieces => concat(pieces),
    }
}

/// The groups that both were given.
struct Keys<'a> {
    fields: &'a [Field],
    keys: &'a RecordBatch,
}

impl Given for Keys<'_> {
    fn place(&self, _: u32) -> Option<Place> {
        None
    }

    fn columns(&self, row: u32) -> Result<(Vec<Field>, Vec<ArrayRef>), ArrowError> {
        let columns = self.keys.columns().iter().map(|column| column.slice(row as usize, 1)).collect();
        Ok((self.fields.to_vec(), columns))
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;
    use azenha_model::DataType;
    use azenha_sandbox::{Failure, FailureKind};

    use super::super::tally::{Answer, ColumnCounts, RowCounts, Sample};
    use super::*;

    fn integers(values: Vec<i64>) -> ArrayRef {
        Arc::new(Int64Array::from(values))
    }

    fn finished(groups: Vec<u32>, sums: Vec<i64>, lines: Vec<i64>) -> Finished {
        Finished { groups, columns: vec![integers(sums), integers(lines)], rejected: Vec::new() }
    }

    fn sample(order: i64, columns: &[&str], live: Answer, candidate: Answer) -> Sample {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        Sample { place: None, outlet: None, input: format!(r#"{{"order":{order}}}"#), columns, live, candidate }
    }

    #[test]
    fn groups_are_compared_by_their_keys_though_the_candidate_was_asked_in_parts() {
        let field = |name: &str| Field::new(name, DataType::Int64, false);
        let gives = vec![field("sum"), field("lines")];
        let results = Results { key_fields: vec![field("order")], live_gives: gives.clone(), gives };
        let keys = RecordBatch::try_from_iter([("order", integers(vec![70, 71, 72, 73, 74]))]).unwrap();
        let live = vec![(0..5, Ok(finished(vec![0, 1, 3, 4], vec![10, 20, 30, 40], vec![1, 2, 3, 4])))];
        let failure = Failure { kind: FailureKind::Trap, message: "it traps".to_owned(), stack: Vec::new() };
        let candidate = vec![
            (0..3, Ok(finished(vec![0, 1, 2], vec![10, 99, 7], vec![1, 2, 0]))),
            (3..4, Err(failure)),
            (4..5, Ok(finished(vec![0], vec![40], vec![4]))),
        ];
        let tally = Mutex::default();
        results.answered(&keys, live, candidate, &tally).unwrap();
        let found = tally.into_inner().unwrap();
        assert_eq!(found.rows, RowCounts { equal: 2, different: 1, only_live: 1, only_candidate: 1 });
        assert_eq!(found.columns["sum"], ColumnCounts { equal: 2, different: 1 });
        assert_eq!(found.columns["lines"], ColumnCounts { equal: 3, different: 0 });
        assert_eq!((found.live.failed, found.candidate.failed), (0, 1));
        let row = |sum, lines| Answer::Row(format!(r#"{{"sum":{sum},"lines":{lines}}}"#));
        let expected = [
            sample(71, &["sum"], row(20, 2), row(99, 2)),
            sample(73, &[], row(30, 3), Answer::Failed("it traps".to_owned())),
            sample(72, &[], Answer::Nothing, row(7, 0)),
        ];
        assert_eq!(found.samples, expected);
    }
}

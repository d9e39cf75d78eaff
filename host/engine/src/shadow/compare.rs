//! What two plugins made of the same rows, row by row and column by column.

use std::collections::BTreeSet;

use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_row::{RowConverter, SortField};
use arrow_schema::ArrowError;
use arrow_select::take::take;
use azenha_model::Field;

/// The values of a column of an [`Emission`].
#[derive(Debug, Clone)]
pub enum Cells {
    /// Made: one for each row of the emission.
    Made(ArrayRef),
    /// Those of a column of the input, of which each row has the value of the row that it comes from.
    Passed {
        /// Which one.
        input: usize,
        /// Its values, one for each row of the input; none if it is not read where the plugin runs.
        values: Option<ArrayRef>,
    },
}

/// Rows that a plugin made.
#[derive(Debug, Clone, Default)]
pub struct Emission {
    /// The input row, or the group, that each comes from.
    pub rows: Vec<u32>,
    /// The columns.
    pub columns: Vec<(Field, Cells)>,
}

impl Emission {
    /// The values of a column at some of the rows, or at all; none if they are not known.
    fn values(&self, cells: &Cells, places: Option<&[u32]>) -> Result<Option<ArrayRef>, ArrowError> {
        let picked = |values: &ArrayRef, rows: Vec<u32>| take(values, &UInt32Array::from(rows), None).map(Some);
        match (cells, places) {
            (Cells::Made(values), None) => Ok(Some(values.clone())),
            (Cells::Made(values), Some(places)) => picked(values, places.to_vec()),
            (Cells::Passed { values: None, .. }, _) => Ok(None),
            (Cells::Passed { values: Some(values), .. }, None) => picked(values, self.rows.clone()),
            (Cells::Passed { values: Some(values), .. }, Some(places)) => {
                picked(values, places.iter().map(|place| self.rows[*place as usize]).collect())
            }
        }
    }

    /// The columns of one row that are known.
    pub fn row(&self, place: u32) -> Result<(Vec<Field>, Vec<ArrayRef>), ArrowError> {
        let mut known = (Vec::new(), Vec::new());
        for (field, cells) in &self.columns {
            if let Some(value) = self.values(cells, Some(&[place]))? {
                known.0.push(field.clone());
                known.1.push(value);
            }
        }
        Ok(known)
    }
}

/// Which row of one emission belongs to which of the other: the first of an input row to the first, and so on.
#[derive(Debug, PartialEq, Eq)]
pub struct Aligned {
    /// None: every row to the one in the same place.
    pub pairs: Option<(Vec<u32>, Vec<u32>)>,
    /// Places of rows of the live plugin that the candidate does not make.
    pub only_live: Vec<u32>,
    /// Places of rows that only the candidate makes.
    pub only_candidate: Vec<u32>,
}

/// Aligns rows by the input rows that they come from.
pub fn align(live: &[u32], candidate: &[u32]) -> Aligned {
    let mut aligned = Aligned { pairs: None, only_live: Vec::new(), only_candidate: Vec::new() };
    if live == candidate {
        return aligned;
    }
    let by_row = |rows: &[u32]| {
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        order.sort_by_key(|place| rows[*place as usize]);
        order.into_iter().map(|place| (rows[place as usize], place)).collect::<Vec<_>>()
    };
    let (live, candidate) = (by_row(live), by_row(candidate));
    let (mut left, mut right) = (live.iter().peekable(), candidate.iter().peekable());
    let mut pairs = (Vec::new(), Vec::new());
    loop {
        match (left.peek().copied(), right.peek().copied()) {
            (Some((row, place)), Some((other_row, other))) if row == other_row => {
                pairs.0.push(*place);
                pairs.1.push(*other);
                left.next();
                right.next();
            }
            (Some((row, place)), other) if other.is_none_or(|(other, _)| row < other) => {
                aligned.only_live.push(*place);
                left.next();
            }
            (_, Some((_, place))) => {
                aligned.only_candidate.push(*place);
                right.next();
            }
            _ => break,
        }
    }
    aligned.pairs = Some(pairs);
    aligned
}

/// How two emissions compare.
#[derive(Debug)]
pub struct Comparison {
    /// Which rows were compared.
    pub aligned: Aligned,
    /// How many pairs of rows there are.
    pub pairs: usize,
    /// Of each column that was compared, the pairs that differ in it, ascending.
    pub columns: Vec<(String, Vec<usize>)>,
    /// Columns that only one of them gives, or that have other types, or whose values are not read here.
    pub not_compared: BTreeSet<String>,
}

impl Comparison {
    /// The pairs that differ, ascending.
    pub fn different(&self) -> BTreeSet<usize> {
        self.columns.iter().flat_map(|(_, pairs)| pairs.iter().copied()).collect()
    }

    /// The places of a pair in both emissions.
    pub fn places(&self, pair: usize) -> (u32, u32) {
        match &self.aligned.pairs {
            None => (pair as u32, pair as u32),
            Some((live, candidate)) => (live[pair], candidate[pair]),
        }
    }
}

/// Compares what the live plugin made with what the candidate did.
pub fn compare(live: &Emission, candidate: &Emission) -> Result<Comparison, ArrowError> {
    let aligned = align(&live.rows, &candidate.rows);
    let (left, right) = match &aligned.pairs {
        None => (None, None),
        Some((left, right)) => (Some(left.as_slice()), Some(right.as_slice())),
    };
    let pairs = left.map_or(live.rows.len(), <[u32]>::len);
    let mut columns = Vec::new();
    let names = |emission: &Emission| emission.columns.iter().map(|(field, _)| field.name.clone()).collect();
    let (known, others): (BTreeSet<String>, BTreeSet<String>) = (names(live), names(candidate));
    let mut not_compared: BTreeSet<String> = known.symmetric_difference(&others).cloned().collect();
    for (field, cells) in &live.columns {
        let other = candidate.columns.iter().find(|(other, _)| other.name == field.name);
        let Some((other_field, other)) = other else { continue };
        if is_same_column(cells, other) {
            columns.push((field.name.clone(), Vec::new()));
            continue;
        }
        let values = live.values(cells, left)?.zip(candidate.values(other, right)?);
        match values.filter(|_| field.data_type == other_field.data_type) {
            Some((values, others)) => columns.push((field.name.clone(), differing(&values, &others)?)),
            None => {
                not_compared.insert(field.name.clone());
            }
        }
    }
    Ok(Comparison { aligned, pairs, columns, not_compared })
}

fn is_same_column(cells: &Cells, other: &Cells) -> bool {
    matches!((cells, other), (Cells::Passed { input, .. }, Cells::Passed { input: other, .. }) if input == other)
}

/// Where two columns of one length and type differ. Mostly they do not, which is found quickly.
fn differing(values: &ArrayRef, others: &ArrayRef) -> Result<Vec<usize>, ArrowError> {
    if values == others {
        return Ok(Vec::new());
    }
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
    let left = converter.convert_columns(std::slice::from_ref(values))?;
    let right = converter.convert_columns(std::slice::from_ref(others))?;
    Ok((0..values.len()).filter(|row| left.row(*row) != right.row(*row)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, Int64Array, StringArray};
    use azenha_model::DataType;

    use super::*;

    fn aligned(live: &[u32], candidate: &[u32]) -> (Vec<(u32, u32)>, Vec<u32>, Vec<u32>) {
        let aligned = align(live, candidate);
        let (left, right) = aligned.pairs.unwrap_or_default();
        (left.into_iter().zip(right).collect(), aligned.only_live, aligned.only_candidate)
    }

    #[test]
    fn rows_that_come_from_the_same_rows_need_no_order() {
        assert_eq!(align(&[0, 1, 1, 4], &[0, 1, 1, 4]).pairs, None);
    }

    #[test]
    fn rows_are_aligned_by_the_row_that_they_come_from_in_their_order() {
        assert_eq!(aligned(&[0, 1, 2], &[0, 2]), (vec![(0, 0), (2, 1)], vec![1], vec![]));
        assert_eq!(aligned(&[0, 2], &[0, 1, 2, 3]), (vec![(0, 0), (1, 2)], vec![], vec![1, 3]));
        assert_eq!(aligned(&[1, 1, 1], &[1]), (vec![(0, 0)], vec![1, 2], vec![]));
        assert_eq!(aligned(&[2, 0, 1], &[0, 1, 2]), (vec![(1, 0), (2, 1), (0, 2)], vec![], vec![]));
        assert_eq!(aligned(&[], &[7, 7]), (vec![], vec![], vec![0, 1]));
    }

    fn made(name: &str, data_type: DataType, values: ArrayRef) -> (Field, Cells) {
        (Field::new(name, data_type, true), Cells::Made(values))
    }

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn a_difference_is_found_in_its_column_and_row_also_between_a_value_and_none() {
        let (live, candidate) = (texts(&[Some("a"), None, Some("c")]), texts(&[Some("a"), Some("b"), None]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let emission = |texts: &ArrayRef| Emission {
            rows: vec![0, 1, 2],
            columns: vec![
                made("text", DataType::Text, texts.clone()),
                made("number", DataType::Int64, numbers.clone()),
            ],
        };
        let compared = compare(&emission(&live), &emission(&candidate)).unwrap();
        assert_eq!(compared.columns, [("text".to_owned(), vec![1, 2]), ("number".to_owned(), vec![])]);
        assert_eq!(compared.different(), BTreeSet::from([1, 2]));
        assert!(compared.not_compared.is_empty());
    }

    #[test]
    fn numbers_that_are_not_ones_are_equal_to_themselves() {
        let column = |values: Vec<f64>| Emission {
            rows: vec![0, 1],
            columns: vec![made("x", DataType::Float64, Arc::new(Float64Array::from(values)))],
        };
        let compared = compare(&column(vec![f64::NAN, 1.0]), &column(vec![f64::NAN, 2.0])).unwrap();
        assert_eq!(compared.columns, [("x".to_owned(), vec![1])]);
    }

    #[test]
    fn passed_columns_are_compared_by_what_they_hold() {
        let passed = |name: &str, input, values: Option<ArrayRef>| {
            (Field::new(name, DataType::Text, true), Cells::Passed { input, values })
        };
        let (names, cities) = (texts(&[Some("ana"), Some("rui")]), texts(&[Some("ana"), Some("porto")]));
        let live = Emission { rows: vec![0, 1], columns: vec![passed("a", 0, Some(names)), passed("b", 5, None)] };
        let columns = vec![passed("a", 1, Some(cities)), passed("b", 5, None)];
        let compared = compare(&live, &Emission { rows: vec![0, 1], columns }).unwrap();
        assert_eq!(compared.columns, [("a".to_owned(), vec![1]), ("b".to_owned(), vec![])]);
    }

    #[test]
    fn columns_of_one_side_and_of_other_types_are_named_and_not_compared() {
        let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let live = Emission {
            rows: vec![0],
            columns: vec![
                made("kind", DataType::Text, texts(&[Some("a")])),
                made("old", DataType::Int64, number.clone()),
            ],
        };
        let candidate = Emission {
            rows: vec![0],
            columns: vec![made("kind", DataType::Int64, number.clone()), made("new", DataType::Int64, number)],
        };
        let compared = compare(&live, &candidate).unwrap();
        let names: Vec<&str> = compared.not_compared.iter().map(String::as_str).collect();
        assert_eq!(names, ["kind", "new", "old"]);
        assert!(compared.columns.is_empty());
    }
}

//! What a plugin gets of groups: their keys, and the rows that each table has of them.

use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use azenha_sandbox::{Assemble, Failure, Finished, Grouped};

/// Groups with their rows.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// A row for each group.
    pub keys: RecordBatch,
    /// The rows of each table.
    pub tables: Vec<GroupedRows>,
}

impl Gathered {
    /// Some of the groups.
    pub fn part(&self, groups: &Range<usize>) -> Self {
        Self {
            keys: self.keys.slice(groups.start, groups.len()),
            tables: self.tables.iter().map(|table| table.part(groups)).collect(),
        }
    }

    /// Some of the columns of each table.
    pub fn project(&self, columns: &[Vec<usize>]) -> Result<Self, ArrowError> {
        let tables = self.tables.iter().zip(columns).map(|(table, columns)| table.project(columns));
        Ok(Self { keys: self.keys.clone(), tables: tables.collect::<Result<_, _>>()? })
    }

    /// Has a plugin make the rows of the groups.
    pub fn hand_to(&self, plugin: &mut Assemble) -> Result<Finished, Failure> {
        let tables: Vec<Grouped<'_>> =
            self.tables.iter().map(|GroupedRows { rows, offsets }| Grouped { rows, offsets }).collect();
        plugin.assemble(&self.keys, &tables)
    }
}

/// The rows that one table has of groups, group after group.
#[derive(Debug, Clone)]
pub struct GroupedRows {
    /// The rows.
    pub rows: RecordBatch,
    /// One more than there are groups: the rows of group g are `offsets[g]..offsets[g + 1]`.
    pub offsets: Vec<u32>,
}

impl GroupedRows {
    /// The rows of one group.
    pub fn of(&self, group: usize) -> Range<usize> {
        self.offsets[group] as usize..self.offsets[group + 1] as usize
    }

    fn part(&self, groups: &Range<usize>) -> Self {
        let (first, last) = (self.offsets[groups.start], self.offsets[groups.end]);
        let offsets = self.offsets[groups.start..=groups.end].iter().map(|offset| offset - first).collect();
        Self { rows: self.rows.slice(first as usize, (last - first) as usize), offsets }
    }

    fn project(&self, columns: &[usize]) -> Result<Self, ArrowError> {
        Ok(Self { rows: self.rows.project(columns)?, offsets: self.offsets.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{ArrayRef, Int64Array};

    use super::*;

    fn batch(columns: &[(&str, &[i64])]) -> RecordBatch {
        let integers = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        RecordBatch::try_from_iter(columns.iter().map(|(name, values)| (*name, integers(values)))).unwrap()
    }

    /// Three groups: one order and two lines, one order, one line.
    fn gathered() -> Gathered {
        let orders = GroupedRows { rows: batch(&[("shop", &[7, 8])]), offsets: vec![0, 1, 2, 2] };
        let lines = batch(&[("units", &[1, 2, 3]), ("price", &[10, 20, 30])]);
        let lines = GroupedRows { rows: lines, offsets: vec![0, 2, 2, 3] };
        Gathered { keys: batch(&[("id", &[100, 101, 102])]), tables: vec![orders, lines] }
    }

    fn values(rows: &RecordBatch, column: usize) -> Vec<i64> {
        rows.column(column).as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn each_group_of_a_part_has_its_own_rows() {
        let part = gathered().part(&(1..3));
        assert_eq!(values(&part.keys, 0), [101, 102]);
        let [orders, lines] = part.tables.as_slice() else { panic!("two tables") };
        assert_eq!((values(&orders.rows, 0), &orders.offsets), (vec![8], &vec![0, 1, 1]));
        assert_eq!((values(&lines.rows, 1), &lines.offsets), (vec![30], &vec![0, 0, 1]));
        assert_eq!((lines.of(0), lines.of(1)), (0..0, 0..1));
    }

    #[test]
    fn a_table_of_which_no_column_is_read_keeps_its_rows() {
        let read = gathered().project(&[vec![], vec![1]]).unwrap();
        let [orders, lines] = read.tables.as_slice() else { panic!("two tables") };
        assert_eq!((orders.rows.num_columns(), orders.rows.num_rows(), orders.of(1)), (0, 2, 1..2));
        assert_eq!((lines.rows.num_columns(), values(&lines.rows, 0)), (1, vec![10, 20, 30]));
    }
}

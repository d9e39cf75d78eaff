//! Rows as structs: which columns they are read from and which they make.

use crate::data::{Batch, Column, Field, Problem};
use crate::value::{ColumnBuilder, Value, View};

/// A field of a row: a [`Value`], or an `Option` of one where values may be absent.
pub trait Cell<'a>: Sized {
    /// The values in the column.
    type Value: Value<'a>;
    /// Whether a value may be absent.
    const NULLABLE: bool;

    /// The cell of this row; `None` if the schema has no such column.
    fn read(column: &Option<View<'a, Self::Value>>, row: usize) -> Self;
    /// Adds this cell to a column in the making.
    fn write(self, column: &mut ColumnBuilder<'a, Self::Value>);
}

impl<'a, T: Value<'a>> Cell<'a> for T {
    type Value = T;
    const NULLABLE: bool = false;

    #[inline]
    fn read(column: &Option<View<'a, T>>, row: usize) -> Self {
        match column {
            Some(column) => T::at(column.values, row),
            None => unreachable!("only an `Option` can be read from a column that is not there"),
        }
    }

    #[inline]
    fn write(self, column: &mut ColumnBuilder<'a, T>) {
        column.push(self);
    }
}

impl<'a, T: Value<'a>> Cell<'a> for Option<T> {
    type Value = T;
    const NULLABLE: bool = true;

    #[inline]
    fn read(column: &Option<View<'a, T>>, row: usize) -> Self {
        column.as_ref()?.get(row)
    }

    #[inline]
    fn write(self, column: &mut ColumnBuilder<'a, T>) {
        column.push_option(self);
    }
}

/// A field of a row struct.
#[derive(Debug, Clone, PartialEq)]
pub struct RowField {
    /// The column.
    pub field: Field,
    /// Marked `#[row(optional)]`: the input may lack the column; then every value is absent.
    pub optional: bool,
}

/// A struct that rows are read into and made from: `#[derive(Row)]`.
pub trait Row<'a>: Sized {
    /// The columns of a batch that fields are read from.
    type Columns;
    /// The columns in the making.
    type Builders: Default;

    /// The fields, in order.
    fn fields() -> Vec<RowField>;
    /// Finds the columns: field i is the column `slots[i]` of the batch.
    fn columns(batch: &'a Batch, slots: &[Option<usize>]) -> Result<Self::Columns, String>;
    /// Reads one row.
    fn read(columns: &Self::Columns, row: usize) -> Self;
    /// Adds this row to columns in the making.
    fn write(self, builders: &mut Self::Builders);
    /// The columns that were made, in the order of the fields.
    fn finish(builders: Self::Builders) -> Vec<Column>;
}

/// No column at all: for a plugin that only counts rows.
impl<'a> Row<'a> for () {
    type Columns = ();
    type Builders = ();

    fn fields() -> Vec<RowField> {
        Vec::new()
    }

    fn columns(_: &'a Batch, _: &[Option<usize>]) -> Result<(), String> {
        Ok(())
    }

    #[inline]
    fn read(_: &(), _: usize) {}

    fn write(self, _: &mut ()) {}

    fn finish(_: ()) -> Vec<Column> {
        Vec::new()
    }
}

/// Where a row struct's fields are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    /// Indices of the columns in the input that are read.
    pub reads: Vec<u32>,
    /// For each field of the struct, its column among those that are read.
    pub slots: Vec<Option<usize>>,
}

impl Binding {
    /// Finds the fields of a row struct among the input's columns, by name, and checks their types.
    pub fn new(fields: &[RowField], input: &[Field]) -> Result<Self, Vec<Problem>> {
        let mut binding = Self { reads: Vec::new(), slots: Vec::new() };
        let mut problems = Vec::new();
        for RowField { field, optional } in fields {
            let found = input.iter().position(|column| column.name == field.name);
            match found.map(|index| (index, mismatch(&input[index], field))) {
                Some((index, None)) => {
                    binding.slots.push(Some(binding.reads.len()));
                    binding.reads.push(index as u32);
                }
                Some((index, Some(message))) => problems.push(Problem::with_input(index, message)),
                None if *optional => binding.slots.push(None),
                None => problems.push(Problem::new(missing(&field.name, input))),
            }
        }
        if problems.is_empty() { Ok(binding) } else { Err(problems) }
    }
}

/// Why `found` cannot be read as `wanted`, if it cannot.
fn mismatch(found: &Field, wanted: &Field) -> Option<String> {
    let (name, found_type, wanted_type) = (&found.name, found.data_type, wanted.data_type);
    if found_type != wanted_type {
        return Some(format!("column `{name}` is {found_type}, but the plugin reads it as {wanted_type}"));
    }
    (found.nullable && !wanted.nullable)
        .then(|| format!("column `{name}` may be absent ({found_type}?), but the plugin needs a value in every row"))
}

/// The message for a column that the input lacks: it names those that there are, but for the metadata.
pub fn missing(name: &str, input: &[Field]) -> String {
    let names = input.iter().map(|field| field.name.as_str());
    let names: Vec<&str> = names.filter(|name| !name.starts_with('$')).collect();
    format!("there is no column `{name}`; there are {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataType;

    fn wanted(name: &str, data_type: DataType, nullable: bool, optional: bool) -> RowField {
        RowField { field: Field::new(name, data_type, nullable), optional }
    }

    #[test]
    fn fields_are_found_by_name_and_read_in_the_order_of_the_struct() {
        let input = [
            Field::new("b", DataType::Int64, false),
            Field::new("c", DataType::Int64, false),
            Field::new("a", DataType::Text, true),
        ];
        let fields = [
            wanted("a", DataType::Text, true, false),
            wanted("z", DataType::Text, true, true),
            wanted("b", DataType::Int64, true, false),
        ];
        let expected = Binding { reads: vec![2, 0], slots: vec![Some(0), None, Some(1)] };
        assert_eq!(Binding::new(&fields, &input), Ok(expected));
    }

    #[test]
    fn every_column_that_does_not_fit_is_a_problem_that_names_what_was_found() {
        let input = [Field::new("timestamp", DataType::Int64, false), Field::new("user", DataType::Text, true)];
        let fields = [
            wanted("timestamp", DataType::Timestamp, false, false),
            wanted("user", DataType::Text, false, false),
            wanted("event", DataType::Text, false, false),
        ];
        let problems = Binding::new(&fields, &input).unwrap_err();
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "column `timestamp` is int64, but the plugin reads it as timestamp",
                "column `user` may be absent (text?), but the plugin needs a value in every row",
                "there is no column `event`; there are timestamp, user",
            ]
        );
        assert_eq!(problems[1].input, Some(1));
    }
}

//! Runs an assemble's case.

use serde_json::{Map, Value};

use super::case::{self, Case, JsonRow, Outcome, Rejected};
use super::columns::batch;
use super::config;
use super::groups::Groups;
use crate::assemble::{Assemble, Assembler, Grouped, TableFields};
use crate::data::{Batch, Field};
use crate::finished::Finished;

pub fn run<A: Assemble>(case: &Case) -> Result<Outcome, String> {
    let names = &case.tables.first().ok_or("it needs `tables`")?.by;
    let tables = case.tables.iter().map(|table| Table::of(table, names)).collect::<Result<Vec<_>, _>>()?;
    let (groups, keys) = (groups(&tables, names)?, keys(&tables, names)?);
    let fields: Vec<TableFields> = tables.iter().map(|table| table.fields.clone()).collect();
    let (assembler, plan) = match config(case).and_then(|config| Assembler::<A>::open(config, &fields, &keys)) {
        Ok(opened) => opened,
        Err(problems) => return Ok(Outcome::of_problems(problems, &counted_through(&fields))),
    };
    let key_rows = batch(&keys, &groups.keys)?;
    let made = |turned| -> Result<Finished, String> {
        assembler.assemble(&key_rows, &grouped(&tables, &groups, &plan.reads, turned)?)
    };
    let (finished, turned) = (made(false)?, made(true)?);
    if turned != finished {
        let turned = Value::Array(groups.results(&plan.gives, &turned)?);
        return Err(format!("with the rows of each group the other way round, the result is {turned}"));
    }
    let rows = groups.results(&plan.gives, &finished)?;
    Ok(Outcome {
        output: Some(Map::from_iter([("main".to_owned(), Value::Array(rows))])),
        rejected: finished.rejected.into_iter().map(Rejected::from).collect(),
        problems: Vec::new(),
    })
}

/// A table of a case.
struct Table {
    fields: TableFields,
    rows: Vec<JsonRow>,
    /// The columns that the rows are grouped by.
    by: Vec<usize>,
}

impl Table {
    fn of(table: &case::Table, keys: &[String]) -> Result<Self, String> {
        let case::Table { name, by, input } = table;
        if by.len() != keys.len() {
            return Err(format!(
                "table `{name}` is grouped by {} columns, but the first one by {}",
                by.len(),
                keys.len()
            ));
        }
        let fields = input.fields()?;
        let find = |column: &String| {
            let found = fields.iter().position(|field| field.name == *column && !field.nullable);
            found.ok_or_else(|| format!("table `{name}` has no column `{column}` that is never absent"))
        };
        let by = by.iter().map(find).collect::<Result<Vec<usize>, String>>()?;
        Ok(Self { fields: TableFields { name: name.clone(), fields }, rows: input.rows.clone(), by })
    }

    fn keys(&self, names: &[String]) -> Vec<Field> {
        let fields = self.by.iter().map(|column| &self.fields.fields[*column]);
        fields.zip(names).map(|(field, name)| Field::new(name, field.data_type, false)).collect()
    }
}

/// The columns of the keys: those that the tables are grouped by, called as in the first one.
fn keys(tables: &[Table], names: &[String]) -> Result<Vec<Field>, String> {
    let keys = tables[0].keys(names);
    match tables.iter().find(|table| table.keys(names) != keys) {
        Some(other) => {
            Err(format!("table `{}` is grouped by columns of other types than the first table", other.fields.name))
        }
        None => Ok(keys),
    }
}

/// The groups of all rows of all tables, one table after the other.
fn groups(tables: &[Table], names: &[String]) -> Result<Groups, String> {
    let mut groups = Groups::default();
    for Table { fields, rows, by } in tables {
        groups.add(&batch(&fields.fields, rows)?, &fields.fields, by, names)?;
    }
    Ok(groups)
}

/// The rows of each table group after group; with `turned`, from the last of a group to the first.
fn grouped(tables: &[Table], groups: &Groups, reads: &[Vec<u32>], turned: bool) -> Result<Vec<Grouped>, String> {
    let mut rest = groups.of_rows.as_slice();
    let mut grouped = Vec::new();
    for (Table { fields, rows, .. }, reads) in tables.iter().zip(reads) {
        let (of_rows, others) = rest.split_at(rows.len());
        rest = others;
        let mut order: Vec<usize> = (0..rows.len()).collect();
        if turned {
            order.reverse();
        }
        order.sort_by_key(|row| of_rows[*row]);
        let before = |group| of_rows.iter().filter(|of_row| **of_row < group).count() as u32;
        let offsets = (0..=groups.keys.len() as u32).map(before).collect();
        let rows: Vec<JsonRow> = order.iter().map(|row| rows[*row].clone()).collect();
        let all = batch(&fields.fields, &rows)?;
        let columns = reads.iter().map(|column| all.columns[*column as usize].clone()).collect();
        grouped.push(Grouped { rows: Batch { rows: all.rows, columns }, offsets });
    }
    Ok(grouped)
}

/// The columns of all tables as a problem counts them, called `table.column`.
fn counted_through(tables: &[TableFields]) -> Vec<Field> {
    let of_table = |table: &TableFields| {
        let named = |field: &Field| Field { name: format!("{}.{}", table.name, field.name), ..field.clone() };
        table.fields.iter().map(named).collect::<Vec<_>>()
    };
    tables.iter().flat_map(of_table).collect()
}

//! Runs an assemble's case.

use anyhow::{Context, Result, bail};
use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use azenha_model::plugin::TableFields;
use azenha_model::{Field, Schema};
use azenha_sandbox::{Assemble, Finished, Grouped, OpenError, Plugin};
use serde_json::{Map, Value};

use super::columns::batch;
use super::format::{self, Case, Outcome};
use super::groups::Groups;

/// What an assemble makes of the case's tables. The rows of a group come in no particular order, so it gets them
/// the other way round, too: the result must be the same.
pub fn run(plugin: &Plugin, case: &Case) -> Result<Outcome> {
    let keys = &case.tables.first().context("it needs `tables`")?.by;
    let tables = case.tables.iter().map(|table| Table::of(table, keys)).collect::<Result<Vec<_>>>()?;
    let groups = groups(&tables, &tables[0].key_fields)?;
    let fields: Vec<TableFields> = tables.iter().map(|table| table.fields.clone()).collect();
    let mut assemble = match plugin.open_assemble(&case.config(), &fields, &groups.fields) {
        Ok(assemble) => assemble,
        Err(OpenError::Problems(problems)) => return Ok(Outcome::of_problems(problems, &counted_through(&fields))),
        Err(error) => return Err(error.into()),
    };
    let made = assembled(&mut assemble, &groups, &tables, false)?;
    let turned = assembled(&mut assemble, &groups, &tables, true)?;
    let rows = groups.results(&assemble.plan().gives, &made)?;
    if turned != made {
        let turned = groups.results(&assemble.plan().gives, &turned)?;
        bail!("with the rows of each group the other way round, the result is {}", Value::Array(turned));
    }
    Ok(Outcome::of_rows(Map::from_iter([("main".to_owned(), Value::Array(rows))]), made.rejected))
}

/// A table of a case.
struct Table {
    fields: TableFields,
    rows: RecordBatch,
    /// The columns that the rows are grouped by, called as in the first table.
    key_fields: Vec<Field>,
    keys: RecordBatch,
}

impl Table {
    fn of(table: &format::Table, keys: &[String]) -> Result<Self> {
        let format::Table { name, by, input } = table;
        if by.len() != keys.len() {
            bail!("table `{name}` is grouped by {} columns, but the first one by {}", by.len(), keys.len());
        }
        let fields = input.fields()?;
        let rows = batch(&fields, &input.rows)?;
        let find = |column: &String| {
            let found = fields.iter().position(|field| field.name == *column && !field.nullable);
            found.with_context(|| format!("table `{name}` has no column `{column}` that is never absent"))
        };
        let columns = by.iter().map(find).collect::<Result<Vec<usize>>>()?;
        let named = |(column, key): (&usize, &String)| Field { name: key.clone(), ..fields[*column].clone() };
        let key_fields: Vec<Field> = columns.iter().zip(keys).map(named).collect();
        let keys = rows.project(&columns)?.columns().to_vec();
        let keys = RecordBatch::try_new(Schema::new(key_fields.clone()).arrow(), keys)?;
        Ok(Self { fields: TableFields { name: name.clone(), fields }, rows, key_fields, keys })
    }
}

/// The groups of all rows of all tables, one table after the other.
fn groups(tables: &[Table], keys: &[Field]) -> Result<Groups> {
    if let Some(other) = tables.iter().find(|table| table.key_fields != keys) {
        bail!("table `{}` is grouped by columns of other types than the first table", other.fields.name);
    }
    let rows = concat_batches(&Schema::new(keys.to_vec()).arrow(), tables.iter().map(|table| &table.keys))?;
    Groups::of(keys.to_vec(), &rows)
}

/// What is made of the groups; with `turned`, of the rows of each table in reverse order.
fn assembled(assemble: &mut Assemble, groups: &Groups, tables: &[Table], turned: bool) -> Result<Finished> {
    let mut rest = groups.of_rows.as_slice();
    let mut grouped = Vec::new();
    for (table, reads) in tables.iter().zip(&assemble.plan().reads) {
        let (of_rows, others) = rest.split_at(table.rows.num_rows());
        rest = others;
        let mut order: Vec<u32> = (0..of_rows.len() as u32).collect();
        if turned {
            order.reverse();
        }
        order.sort_by_key(|row| of_rows[*row as usize]);
        let before = |group| of_rows.iter().filter(|of_row| **of_row < group).count() as u32;
        let offsets: Vec<u32> = (0..=groups.len() as u32).map(before).collect();
        let rows = take_record_batch(&table.rows.project(reads)?, &UInt32Array::from(order))?;
        grouped.push((rows, offsets));
    }
    let tables: Vec<_> = grouped.iter().map(|(rows, offsets)| Grouped { rows, offsets }).collect();
    Ok(assemble.assemble(&groups.keys, &tables)?)
}

/// The columns of all tables as a problem counts them, called `table.column`.
fn counted_through(tables: &[TableFields]) -> Vec<Field> {
    let of_table = |table: &TableFields| {
        let named = |field: &Field| Field { name: format!("{}.{}", table.name, field.name), ..field.clone() };
        table.fields.iter().map(named).collect::<Vec<_>>()
    };
    tables.iter().flat_map(of_table).collect()
}

//! Tables for people: what tasks did, and what is in a sink's table.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result};
use azenha_engine::objects::Objects;
use azenha_engine::status::{Counters, TaskStatus};
use azenha_model::plan::{ObjectsOutput, StoreOutput, Target};
use azenha_model::{DataType, Field};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

/// What each task did since the host started.
pub fn tasks(tasks: &[TaskStatus]) -> Table {
    let mut table = table(["task", "reads", "records", "rows out", "dead letters"].map(str::to_owned));
    for task in tasks {
        let sum =
            |counter: fn(&Counters) -> u64| -> u64 { task.lanes.iter().map(|lane| counter(&lane.counters)).sum() };
        table.add_row([
            task.task.clone(),
            task.input.clone(),
            grouped(sum(|counters| counters.records.load(Relaxed))),
            grouped(sum(|counters| counters.rows_out.load(Relaxed))),
            grouped(sum(|counters| counters.dead_letters.load(Relaxed))),
        ]);
    }
    align_right(&mut table, 2..5);
    table
}

/// A table of a SQLite sink, to look into.
#[derive(Debug)]
pub struct SinkTable {
    name: String,
    columns: Vec<Field>,
    /// Positions in `columns`.
    key: Vec<usize>,
    pool: SqlitePool,
}

/// What is in a sink's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The rows with the highest numbers first.
    pub top: String,
    /// How many rows there are, and the sum of their numbers.
    pub totals: String,
}

impl SinkTable {
    /// Opens the table of `output` for reading, which may stand in for a collection; none if it is not in a SQLite
    /// database.
    pub async fn open(output: &StoreOutput, url: &str) -> Result<Option<Self>> {
        if !url.starts_with("sqlite:") {
            return Ok(None);
        }
        let options: SqliteConnectOptions =
            url.parse().with_context(|| format!("connection `{}`", output.connection))?;
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options.read_only(true)).await?;
        let (columns, key) = match output.target {
            Target::Table { .. } | Target::Index { .. } => {
                (output.columns.iter().map(|column| column.field.clone()).collect(), output.key.clone())
            }
            Target::Collection { .. } => {
                let document = Field::new("document", DataType::Json, false);
                (vec![Field::new("_id", DataType::Text, false), document], vec![0])
            }
        };
        Ok(Some(Self { name: output.name.clone(), columns, key, pool }))
    }

    /// The first `rows` rows by descending number, and totals.
    pub async fn contents(&self, rows: usize) -> Result<Contents> {
        let from = quoted(&self.name);
        let names: Vec<String> = self.columns.iter().map(|column| quoted(&column.name)).collect();
        let texts: Vec<String> = names.iter().map(|name| format!("CAST({name} AS TEXT)")).collect();
        let measure = self.measure();
        let keys = self.key.iter().map(|position| names[*position].clone());
        let mut order: Vec<String> = measure.iter().map(|position| format!("{} DESC", names[*position])).collect();
        order.extend(keys);
        let order = if order.is_empty() { "1".to_owned() } else { order.join(", ") };
        let query = format!("SELECT {} FROM {from} ORDER BY {order} LIMIT {rows}", texts.join(", "));
        let found = sqlx::query(AssertSqlSafe(query)).fetch_all(&self.pool).await?;
        Ok(Contents { top: self.rows(&found)?, totals: self.totals(measure, &from).await? })
    }

    /// The first number that is no part of the key.
    fn measure(&self) -> Option<usize> {
        let columns = self.columns.iter().enumerate();
        let numbers = columns.filter(|(_, column)| column.data_type == DataType::Int64);
        numbers.map(|(position, _)| position).find(|position| !self.key.contains(position))
    }

    fn rows(&self, rows: &[SqliteRow]) -> Result<String> {
        let mut table = table(self.columns.iter().map(|column| column.name.clone()));
        for row in rows {
            let cells = (0..row.len()).map(|column| row.try_get::<Option<String>, _>(column));
            let cells = cells.map(|cell| cell.map(Option::unwrap_or_default)).collect::<Result<Vec<_>, _>>()?;
            table.add_row(cells);
        }
        align_right(&mut table, self.measure());
        Ok(table.to_string())
    }

    async fn totals(&self, measure: Option<usize>, from: &str) -> Result<String> {
        let sum = measure.map_or("0".to_owned(), |position| quoted(&self.columns[position].name));
        let query = format!("SELECT COUNT(*), COALESCE(SUM({sum}), 0) FROM {from}");
        let (rows, sum): (i64, i64) = sqlx::query_as(AssertSqlSafe(query)).fetch_one(&self.pool).await?;
        let name = &self.name;
        Ok(match measure {
            Some(position) => {
                let column = &self.columns[position].name;
                format!("table {name}: {} rows, {column} {} in all", grouped(rows as u64), grouped(sum as u64))
            }
            None => format!("table {name}: {} rows", grouped(rows as u64)),
        })
    }
}

/// The objects of a sink, to count.
#[derive(Debug)]
pub struct SinkObjects {
    connection: String,
    path: String,
    store: Arc<dyn Objects>,
}

impl SinkObjects {
    /// What `output` writes to a store.
    pub fn new(output: &ObjectsOutput, store: &Arc<dyn Objects>) -> Self {
        Self { connection: output.connection.clone(), path: output.path.clone(), store: Arc::clone(store) }
    }

    /// How many there are, and their size.
    pub async fn totals(&self) -> Result<String> {
        let Self { connection, path, store } = self;
        let objects = store.list(path).await?;
        let bytes = objects.iter().map(|object| object.bytes).sum();
        Ok(format!("objects {connection}/{path}: {}, {} bytes", grouped(objects.len() as u64), grouped(bytes)))
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table with a header.
pub fn table(header: impl IntoIterator<Item = String>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header.into_iter().collect::<Vec<_>>());
    table
}

/// Numbers stand at the right of their columns.
pub fn align_right(table: &mut Table, columns: impl IntoIterator<Item = usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// A number with its thousands apart: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let numbers = [0, 999, 1_000, 31_106, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "31,106", "1,234,567"]);
    }
}

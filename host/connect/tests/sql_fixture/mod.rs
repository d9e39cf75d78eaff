//! A SQL store under test, and a connection beside it that looks into its tables.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use azenha_conformance::store_helpers::{Rule, StoreFixture, TableFixture};
use azenha_connect::open_store;
use azenha_engine::store::Store;
use azenha_model::{DataType, Field};
use sqlx::{AssertSqlSafe, ColumnIndex, Connection, Database, Decode, Executor, IntoArguments, Row, Type};
use tempfile::TempDir;

/// `C` is the kind of connection.
pub struct SqlFixture<C> {
    pub store: Arc<dyn Store>,
    pub url: String,
    /// How a column is selected as text; floats are selected as they are.
    expression: fn(&Field) -> String,
    connection: PhantomData<fn() -> C>,
    /// Where the database is, if it goes with the test.
    _directory: Option<TempDir>,
}

impl<C: Connection> SqlFixture<C> {
    pub fn new(url: String, expression: fn(&Field) -> String, directory: Option<TempDir>) -> Self {
        let store = open_store("warehouse", &url).unwrap();
        Self { store, url, expression, connection: PhantomData, _directory: directory }
    }

    pub async fn connect(&self) -> C {
        C::connect(&self.url).await.unwrap()
    }
}

#[async_trait]
impl<C, D> StoreFixture for SqlFixture<C>
where
    D: Database,
    C: Connection<Database = D>,
    for<'c> &'c mut C: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
    usize: ColumnIndex<D::Row>,
    for<'r> String: Decode<'r, D> + Type<D>,
    for<'r> f64: Decode<'r, D> + Type<D>,
{
    fn store(&self) -> &dyn Store {
        &*self.store
    }

    async fn rows(&self, table: &str, columns: &[Field]) -> Vec<Vec<Option<String>>> {
        let list: Vec<String> = columns.iter().map(self.expression).collect();
        let sql = format!("SELECT {} FROM {table} ORDER BY {table}.{}", list.join(", "), columns[0].name);
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut self.connect().await).await.unwrap();
        let value = |row: &D::Row, index: usize| match columns[index].data_type {
            DataType::Float64 => row.get::<Option<f64>, _>(index).map(|value| format!("{value:?}")),
            _ => row.get(index),
        };
        rows.iter().map(|row| (0..columns.len()).map(|index| value(row, index)).collect()).collect()
    }

    async fn make(&self, table: &str, rule: Rule) {
        let name = match rule {
            Rule::NoPoison => "name TEXT CHECK (name <> 'poison')",
            Rule::UniqueNames => "name VARCHAR(100) UNIQUE",
        };
        self.run(&format!("CREATE TABLE {table} (id BIGINT NOT NULL PRIMARY KEY, {name})")).await;
    }

    async fn move_lanes(&self, topic: &str, next: i64) {
        self.run(&format!("UPDATE azenha_positions SET next_offset = {next} WHERE topic = '{topic}'")).await;
    }
}

#[async_trait]
impl<C, D> TableFixture for SqlFixture<C>
where
    D: Database,
    C: Connection<Database = D>,
    for<'c> &'c mut C: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
    usize: ColumnIndex<D::Row>,
    for<'r> String: Decode<'r, D> + Type<D>,
    for<'r> f64: Decode<'r, D> + Type<D>,
{
    async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connect().await).await.unwrap();
    }
}

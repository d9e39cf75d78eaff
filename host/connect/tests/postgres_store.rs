//! Tables of PostgreSQL keep the promises of every store. The server is that of AZENHA_TEST_POSTGRES, a URL
//! like `postgres://postgres@127.0.0.1:5432/postgres`; without it the tests say that they were skipped.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use azenha_conformance::store_conformance;
use azenha_conformance::store_helpers::*;
use azenha_connect::open_store;
use azenha_engine::store::{Store, StoreError};
use azenha_model::{DataType, Field};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

/// A database of its own for each test.
struct Fixture {
    store: Arc<dyn Store>,
    url: String,
}

impl Fixture {
    async fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var("AZENHA_TEST_POSTGRES").ok()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let database = format!("azenha_test_{}_{number}", std::process::id());
        let mut connection = PgConnection::connect(&server).await.unwrap();
        let sql = format!("CREATE DATABASE {database}");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        let (base, _) = server.rsplit_once('/').unwrap();
        let url = format!("{base}/{database}");
        Some(Self { store: open_store("warehouse", &url).unwrap(), url })
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

#[async_trait]
impl StoreFixture for Fixture {
    fn store(&self) -> &dyn Store {
        &*self.store
    }

    async fn rows(&self, table: &str, columns: &[Field]) -> Vec<Vec<Option<String>>> {
        let expression = |field: &Field| match field.data_type {
            DataType::Boolean => format!("{}::int::text", field.name),
            DataType::Bytes => format!("encode({}, 'hex')", field.name),
            DataType::Float64 => field.name.clone(),
            DataType::Timestamp => format!("({} AT TIME ZONE 'UTC')::text", field.name),
            _ => format!("\"{}\"::text", field.name),
        };
        let list: Vec<String> = columns.iter().map(expression).collect();
        let sql = format!("SELECT {} FROM {table} ORDER BY {table}.{}", list.join(", "), columns[0].name);
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut self.connect().await).await.unwrap();
        let value = |row: &sqlx::postgres::PgRow, index: usize| match columns[index].data_type {
            DataType::Float64 => row.get::<Option<f64>, _>(index).map(|value| format!("{value:?}")),
            _ => row.get(index),
        };
        rows.iter().map(|row| (0..columns.len()).map(|index| value(row, index)).collect()).collect()
    }

    async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connect().await).await.unwrap();
    }
}

store_conformance!(Fixture::new());

#[tokio::test]
async fn text_with_a_zero_byte_is_refused_alone() {
    let Some(fixture) = Fixture::new().await else { return println!("skipped: there is no server to test with") };
    let mut owner = prepared(fixture.store(), &simple("zeros")).await;
    let error = owner.commit(&[puts(0, &[(1, "a"), (2, "b\0c"), (3, "d")])], 3).await.unwrap_err();
    let StoreError::Refused(refused) = error else { panic!("{error}") };
    assert_eq!((refused.len(), refused[0].row), (1, 1));
}

#[tokio::test]
async fn a_lost_connection_is_unavailable_until_the_lane_is_opened_again() {
    let Some(fixture) = Fixture::new().await else { return println!("skipped: there is no server to test with") };
    let output = simple("lost");
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
    fixture
        .run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'azenha' \
             AND datname = current_database()",
        )
        .await;
    for _ in 0..2 {
        let error = owner.commit(&[puts(1, &[(2, "b")])], 2).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    }
    let mut owner = fixture.store().open(&output, &lane(&output, 0, 0)).await.unwrap();
    assert_eq!(owner.position(), Some(1));
    owner.commit(&[puts(1, &[(2, "b")])], 2).await.unwrap();
    assert_eq!(found(&fixture, "lost").await, ["1=a", "2=b"]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let store = open_store("warehouse", "postgres://somebody:secret@127.0.0.1:1/nothing").unwrap();
    let error = store.prepare(&simple("any")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

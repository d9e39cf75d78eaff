//! Tables of SQLite keep the promises of every store.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

use std::sync::Arc;

use azenha_conformance::store_helpers::*;
use azenha_conformance::{refusal_conformance, store_conformance, table_conformance};
use azenha_connect::open_store;
use azenha_engine::store::StoreError;
use azenha_model::{DataType, Field};
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use self::sql_fixture::SqlFixture;

mod sql_fixture;

/// A file of its own for each test.
async fn database() -> Option<SqlFixture<SqliteConnection>> {
    let directory = TempDir::new().unwrap();
    let url = format!("sqlite://{}", directory.path().join("warehouse.db").display());
    SqliteConnection::connect(&format!("{url}?mode=rwc")).await.unwrap().close().await.unwrap();
    Some(SqlFixture::new(url, expression, Some(directory)))
}

fn expression(field: &Field) -> String {
    match field.data_type {
        DataType::Bytes => format!("lower(hex({}))", field.name),
        DataType::Float64 => field.name.clone(),
        _ => format!("CAST({} AS TEXT)", field.name),
    }
}

store_conformance!(database());
refusal_conformance!(database());
table_conformance!(database());

#[tokio::test]
async fn timestamps_are_written_as_sqlite_writes_them() {
    let fixture = database().await.unwrap();
    let fields = [Field::new("id", DataType::Int64, false), Field::new("at", DataType::Timestamp, true)];
    let output = output("times", &fields, &[0], azenha_model::plan::WriteMode::Upsert);
    let at = arrow_array::TimestampMicrosecondArray::from(vec![1_700_000_000_000_000]).with_timezone("UTC");
    let ids = arrow_array::Int64Array::from(vec![1]);
    let mut owner = prepared(&*fixture.store, &output).await;
    owner.commit(&[batch(&fields, vec![Arc::new(ids), Arc::new(at)], 0)], 1).await.unwrap();
    let sql = "SELECT at = datetime(1700000000, 'unixepoch') AND typeof(at) = 'text' FROM times";
    let same: bool = sqlx::query_scalar(sql).fetch_one(&mut fixture.connect().await).await.unwrap();
    assert!(same);
}

#[tokio::test]
async fn a_nan_is_refused_because_sqlite_would_store_null() {
    let fixture = database().await.unwrap();
    let fields = [Field::new("id", DataType::Int64, false), Field::new("ratio", DataType::Float64, true)];
    let output = output("ratios", &fields, &[0], azenha_model::plan::WriteMode::Upsert);
    let ids = arrow_array::Int64Array::from(vec![1, 2]);
    let ratios = arrow_array::Float64Array::from(vec![0.5, f64::NAN]);
    let mut owner = prepared(&*fixture.store, &output).await;
    let rows = batch(&fields, vec![Arc::new(ids), Arc::new(ratios)], 0);
    let error = owner.commit(&[rows], 2).await.unwrap_err();
    let StoreError::Refused(refused) = error else { panic!("{error}") };
    assert_eq!((refused.len(), refused[0].row), (1, 1));
}

#[tokio::test]
async fn a_store_of_an_unknown_kind_is_refused_by_its_scheme() {
    let error = open_store("warehouse", "oracle://root:secret@localhost/db").unwrap_err().to_string();
    assert!(error.contains("`warehouse`") && error.contains("`oracle`") && error.contains("postgres://"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_database_in_memory_is_refused_by_its_connection() {
    for url in ["sqlite::memory:", "sqlite://:memory:", "sqlite://", "sqlite:any.db?cache=private&mode=memory"] {
        let error = open_store("warehouse", url).unwrap_err().to_string();
        assert!(error.contains("`warehouse`") && error.contains("sqlite://FILE"), "{error}");
    }
    open_store("warehouse", "sqlite:memory.db?mode=rw").unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("notes.txt");
    std::fs::write(&file, "not a database\n".repeat(1000)).unwrap();
    let store = open_store("warehouse", &format!("sqlite://{}", file.display())).unwrap();
    let error = store.prepare(&simple("any")).await.unwrap_err();
    assert!(matches!(error, StoreError::Definition(_)), "{error}");
    assert!(error.to_string().contains("`warehouse`") && error.to_string().contains("not a database"), "{error}");
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_unavailable() {
    let store = open_store("warehouse", "sqlite:///nowhere/at/all/warehouse.db").unwrap();
    let error = store.prepare(&simple("any")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("`warehouse`"), "{error}");
}

//! A database of its own for each test, on the server of AZENHA_TEST_POSTGRES, a URL like
//! `postgres://postgres@127.0.0.1:5432/postgres`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use azenha_model::{DataType, Field};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::sql_fixture::SqlFixture;

pub type Postgres = SqlFixture<PgConnection>;

/// None, and a word about it, if there is no server.
pub async fn database() -> Option<Postgres> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Ok(server) = std::env::var("AZENHA_TEST_POSTGRES") else {
        println!("skipped: AZENHA_TEST_POSTGRES names no server to test with");
        return None;
    };
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let database = format!("azenha_test_{}_{number}", std::process::id());
    let mut connection = PgConnection::connect(&server).await.unwrap();
    let sql = format!("CREATE DATABASE {database}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    Some(SqlFixture::new(format!("{base}/{database}"), expression, None))
}

fn expression(field: &Field) -> String {
    match field.data_type {
        DataType::Boolean => format!("{}::int::text", field.name),
        DataType::Bytes => format!("encode({}, 'hex')", field.name),
        DataType::Float64 => field.name.clone(),
        DataType::Timestamp => format!("({} AT TIME ZONE 'UTC')::text", field.name),
        _ => format!("\"{}\"::text", field.name),
    }
}

/// The one text that a query gives.
pub async fn ask(connection: &mut PgConnection, sql: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap()
}

/// Waits until so many sessions of the store wait for locks.
pub async fn until_the_store_waits(fixture: &Postgres, sessions: usize) {
    let sql = "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'azenha' \
        AND datname = current_database() AND wait_event_type = 'Lock'";
    let mut connection = fixture.connect().await;
    while ask(&mut connection, sql).await != sessions.to_string() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

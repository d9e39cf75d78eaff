//! A database of its own for each test, on the server of AZENHA_TEST_MARIADB, a URL like
//! `mysql://root@127.0.0.1:3306/mysql`. It may be a MySQL, too.

use std::sync::atomic::{AtomicU32, Ordering};

use azenha_model::{DataType, Field};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};

use crate::sql_fixture::SqlFixture;

pub type MySql = SqlFixture<MySqlConnection>;

/// None, and a word about it, if there is no server.
pub async fn database() -> Option<MySql> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Ok(server) = std::env::var("AZENHA_TEST_MARIADB") else {
        println!("skipped: AZENHA_TEST_MARIADB names no server to test with");
        return None;
    };
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let database = format!("azenha_test_{}_{number}", std::process::id());
    let mut connection = MySqlConnection::connect(&server).await.unwrap();
    let sql = format!("CREATE DATABASE {database} CHARACTER SET latin1");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    Some(SqlFixture::new(format!("{base}/{database}"), expression, None))
}

fn expression(field: &Field) -> String {
    let name = &field.name;
    match field.data_type {
        DataType::Bytes => format!("LOWER(HEX(`{name}`))"),
        DataType::Float64 => format!("`{name}`"),
        DataType::Time | DataType::Timestamp => format!("TRIM(TRAILING '.000000' FROM CAST(`{name}` AS CHAR))"),
        _ => format!("CAST(`{name}` AS CHAR)"),
    }
}

/// The one text that a query gives.
pub async fn ask(connection: &mut MySqlConnection, sql: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap()
}

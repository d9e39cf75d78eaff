//! Queries of SQLite.

use std::time::{Duration, Instant};

use azenha_model::DataType;
use azenha_model::query::{Query, Search, Value};
use sqlx::Sqlite;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::client::{self, Client, Stopped};
use super::statement::{Language, Statement, Words};
use crate::sql::dialect::{DOUBLE, ROW_NUMBER, words_of};
use crate::sql::sqlite;
use crate::store::Failure;

/// How often it is looked whether the time is over: steps of SQLite's machine, a fraction of a millisecond.
const STEPS: i32 = 10_000;

/// The result code of a statement that was interrupted.
const INTERRUPTED: &str = "9";

/// Options of connections that cannot write.
pub(super) fn reading(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options.create_if_missing(false).read_only(true)
}

fn read(column: &str, data_type: DataType) -> String {
    match data_type {
        DataType::Boolean | DataType::Int64 => format!("CAST({column} AS INTEGER)"),
        DataType::Float64 => format!("CAST({column} AS REAL)"),
        DataType::Bytes => format!("CAST({column} AS BLOB)"),
        _ => format!("CAST({column} AS TEXT)"),
    }
}

/// Words stand in double quotes, in which nothing of them is an operator.
fn words(table: &str, columns: &[String], text: &str) -> Vec<Words> {
    let index = DOUBLE.columns([words_of(table).as_str()]);
    let words: Vec<String> = Search::words(text).map(|word| format!("\"{word}\"")).collect();
    let columns: Vec<String> = columns.iter().map(|column| DOUBLE.columns([column.as_str()])).collect();
    vec![Words {
        before: format!("{ROW_NUMBER} IN (SELECT rowid FROM {index} WHERE {index} MATCH "),
        value: match words.is_empty() {
            true => "\"\"".to_owned(),
            false => format!("{{{}}} : ({})", columns.join(" "), words.join(" AND ")),
        },
        after: ")",
    }]
}

impl Client for Sqlite {
    const LANGUAGE: Language = Language {
        placeholder: |number| format!("?{number}"),
        given: |placeholder, _| placeholder.to_owned(),
        read,
        hint: |_| String::new(),
        words,
    };

    fn begin(_limit: Duration) -> String {
        "BEGIN".to_owned()
    }

    async fn rows(
        connection: &mut SqliteConnection,
        statement: Statement,
        query: &Query,
    ) -> Result<Vec<Vec<Value>>, Stopped> {
        let end = Instant::now() + query.time_limit;
        connection.lock_handle().await?.set_progress_handler(STEPS, move || Instant::now() < end);
        client::rows::<Self>(connection, statement, query).await
    }

    fn took_too_long(error: &sqlx::Error) -> bool {
        error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == INTERRUPTED)
    }

    fn failure(error: sqlx::Error) -> Failure {
        sqlite::failure(error)
    }
}

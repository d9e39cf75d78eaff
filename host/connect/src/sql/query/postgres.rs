//! Queries of PostgreSQL.

use std::time::Duration;

use azenha_model::DataType;
use azenha_model::query::{Query, Value};
use sqlx::Postgres;
use sqlx::pool::PoolOptions;
use sqlx::postgres::PgConnection;

use super::client::{self, Client, Stopped};
use super::statement::{Language, Statement, Words};
use crate::sql::dialect::DOUBLE;
use crate::sql::postgres;
use crate::store::Failure;

/// The same in every session, whatever the server is set to.
const SETTINGS: &str = "SET TIME ZONE 'UTC'; SET DateStyle = 'ISO'; SET standard_conforming_strings = on;
    SET default_transaction_read_only = on; SET idle_in_transaction_session_timeout = '60s'";

/// A statement was cancelled, for instance by its time limit.
const CANCELLED: &str = "57014";

/// Connections that are set so.
pub(super) fn prepared(options: PoolOptions<Postgres>) -> PoolOptions<Postgres> {
    options.after_connect(|connection, _| {
        Box::pin(async move { sqlx::raw_sql(SETTINGS).execute(connection).await.map(drop) })
    })
}

fn given(placeholder: &str, data_type: DataType) -> String {
    match data_type {
        DataType::Boolean => format!("CAST({placeholder} AS boolean)"),
        DataType::Int64 => format!("CAST({placeholder} AS bigint)"),
        DataType::Float64 => format!("CAST({placeholder} AS double precision)"),
        DataType::Decimal { .. } => format!("CAST({placeholder} AS numeric)"),
        DataType::Date => format!("CAST({placeholder} AS date)"),
        DataType::Time => format!("CAST({placeholder} AS time)"),
        DataType::Timestamp => format!("CAST({placeholder} AS timestamptz)"),
        DataType::Text | DataType::Json | DataType::Bytes => format!("CAST({placeholder} AS text)"),
    }
}

fn read(column: &str, data_type: DataType) -> String {
    match data_type {
        DataType::Boolean => format!("CAST(CAST({column} AS integer) AS bigint)"),
        DataType::Int64 => format!("CAST({column} AS bigint)"),
        DataType::Float64 => format!("CAST({column} AS double precision)"),
        DataType::Bytes => format!("CAST({column} AS bytea)"),
        DataType::Timestamp => format!("CAST(CAST({column} AS timestamptz) AT TIME ZONE 'UTC' AS text)"),
        DataType::Date => format!("CAST(CAST({column} AS date) AS text)"),
        _ => format!("CAST({column} AS text)"),
    }
}

/// Without an index: what is searched should be narrowed down by other conditions.
fn words(_table: &str, columns: &[String], text: &str) -> Vec<Words> {
    let texts = columns.iter().map(|column| format!("coalesce({}, '')", DOUBLE.columns([column.as_str()])));
    let texts = texts.collect::<Vec<_>>().join(" || ' ' || ");
    let before = format!("to_tsvector('simple', {texts}) @@ plainto_tsquery('simple', ");
    vec![Words { before, value: text.to_owned(), after: ")" }]
}

impl Client for Postgres {
    const LANGUAGE: Language =
        Language { placeholder: |number| format!("${number}"), given, read, hint: |_| String::new(), words };

    fn begin(limit: Duration) -> String {
        format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", limit.as_millis())
    }

    async fn rows(
        connection: &mut PgConnection,
        statement: Statement,
        query: &Query,
    ) -> Result<Vec<Vec<Value>>, Stopped> {
        client::rows::<Self>(connection, statement, query).await
    }

    fn took_too_long(error: &sqlx::Error) -> bool {
        error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == CANCELLED)
    }

    fn failure(error: sqlx::Error) -> Failure {
        postgres::failure(error)
    }
}

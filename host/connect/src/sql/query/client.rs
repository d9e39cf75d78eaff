//! What the databases' clients have in common, and where they differ.

use std::time::Duration;

use azenha_model::civil::{parse_date, parse_time, parse_timestamp};
use azenha_model::query::{Query, Value};
use azenha_model::{DataType, Field};
use futures::TryStreamExt;
use sqlx::{Arguments, AssertSqlSafe, ColumnIndex, Database, Decode, Encode, Executor, IntoArguments, Row, Type};

use super::statement::{Language, Statement};
use crate::store::Failure;

/// Bytes of texts that an answer may have.
const MOST_BYTES: usize = 8 << 20;

/// Why rows were not read to their end.
pub(super) enum Stopped {
    Sql(sqlx::Error),
    /// They have more bytes than this.
    TooLarge(usize),
    /// A value is none of its column's type.
    Unreadable(String),
}

impl From<sqlx::Error> for Stopped {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

/// A database as a client sees it.
pub(super) trait Client: Database {
    const LANGUAGE: Language;

    /// Begins a transaction that cannot write, and whose statements end after this time if the database can see to it.
    fn begin(limit: Duration) -> String;

    /// Reads the rows of a statement.
    fn rows(
        connection: &mut Self::Connection,
        statement: Statement,
        query: &Query,
    ) -> impl Future<Output = Result<Vec<Vec<Value>>, Stopped>> + Send;

    /// Whether the database ended a statement that took too long.
    fn took_too_long(error: &sqlx::Error) -> bool;

    fn failure(error: sqlx::Error) -> Failure;
}

/// Reads the rows of a statement, as every database does it.
pub(super) async fn rows<D>(
    connection: &mut D::Connection,
    Statement { sql, values }: Statement,
    query: &Query,
) -> Result<Vec<Vec<Value>>, Stopped>
where
    D: Database,
    D::Arguments: IntoArguments<D>,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    usize: ColumnIndex<D::Row>,
    for<'r> bool: Encode<'r, D> + Type<D>,
    for<'r> i64: Encode<'r, D> + Decode<'r, D> + Type<D>,
    for<'r> f64: Encode<'r, D> + Decode<'r, D> + Type<D>,
    for<'r> String: Encode<'r, D> + Decode<'r, D> + Type<D>,
    for<'r> Vec<u8>: Decode<'r, D> + Type<D>,
    for<'r> Option<String>: Encode<'r, D>,
{
    let mut arguments = D::Arguments::default();
    for value in values {
        match value {
            Value::Null => arguments.add(None::<String>),
            Value::Boolean(value) => arguments.add(value),
            Value::Int64(value) => arguments.add(value),
            Value::Float64(value) => arguments.add(value),
            // Text without a zone, because the session's is UTC.
            Value::Timestamp(micros) => arguments.add(azenha_model::civil::format_timestamp(micros)),
            other => arguments.add(other.to_string()),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    let mut found = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch(connection);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = found.try_next().await? {
        let mut values = Vec::with_capacity(query.columns.len());
        for (index, field) in query.columns.iter().enumerate() {
            let read = match field.data_type {
                DataType::Boolean => row.try_get::<Option<i64>, _>(index)?.map(|value| Value::Boolean(value != 0)),
                DataType::Int64 => row.try_get::<Option<i64>, _>(index)?.map(Value::Int64),
                DataType::Float64 => row.try_get::<Option<f64>, _>(index)?.map(Value::Float64),
                DataType::Bytes => row.try_get::<Option<Vec<u8>>, _>(index)?.map(Value::Bytes),
                _ => row.try_get::<Option<String>, _>(index)?.map(|text| of_text(field, text)).transpose()?,
            };
            let value = read.unwrap_or(Value::Null);
            bytes += size(&value);
            values.push(value);
        }
        if bytes > MOST_BYTES {
            return Err(Stopped::TooLarge(MOST_BYTES));
        }
        rows.push(values);
    }
    Ok(rows)
}

fn of_text(field: &Field, text: String) -> Result<Value, Stopped> {
    let read = match field.data_type {
        DataType::Decimal { .. } => Some(Value::Decimal(text)),
        DataType::Json => Some(Value::Json(text)),
        DataType::Date => parse_date(&text).map(Value::Date),
        DataType::Time => parse_time(&text).map(Value::Time),
        DataType::Timestamp => {
            parse_timestamp(&text).or_else(|| parse_timestamp(&format!("{text}Z"))).map(Value::Timestamp)
        }
        _ => Some(Value::Text(text)),
    };
    let wrong = || Stopped::Unreadable(format!("column `{}` holds what is no {}", field.name, field.data_type));
    read.ok_or_else(wrong)
}

fn size(value: &Value) -> usize {
    match value {
        Value::Decimal(text) | Value::Text(text) | Value::Json(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => size_of::<Value>(),
    }
}

//! Queries of MariaDB and MySQL.

use std::ops::RangeInclusive;
use std::time::Duration;

use azenha_model::DataType;
use azenha_model::query::{Query, Search, Value};
use sqlx::MySql;
use sqlx::mysql::MySqlConnection;
use sqlx::pool::PoolOptions;

use super::client::{self, Client, Stopped};
use super::statement::{Language, Statement, Words};
use crate::sql::dialect::DOUBLE;
use crate::sql::mysql;
use crate::store::Failure;

/// The same in every session, whatever the server is set to: quotes mean what they mean in the other databases.
const SETTINGS: &str = "SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES',
    time_zone = '+00:00', lock_wait_timeout = 2";

/// A statement was ended by its time limit: in MySQL, and in MariaDB.
const TOO_LONG: [u16; 2] = [3024, 1969];

/// Digits after the point that MySQL has at most.
const MOST_SCALE: u8 = 30;

/// Connections that are set so.
pub(super) fn prepared(options: PoolOptions<MySql>) -> PoolOptions<MySql> {
    options.after_connect(|connection, _| {
        Box::pin(async move { sqlx::raw_sql(SETTINGS).execute(connection).await.map(drop) })
    })
}

fn given(placeholder: &str, data_type: DataType) -> String {
    match data_type {
        DataType::Decimal { scale } => format!("CAST({placeholder} AS DECIMAL(65, {}))", scale.min(MOST_SCALE)),
        DataType::Date => format!("CAST({placeholder} AS DATE)"),
        DataType::Time => format!("CAST({placeholder} AS TIME(6))"),
        DataType::Timestamp => format!("CAST({placeholder} AS DATETIME(6))"),
        _ => placeholder.to_owned(),
    }
}

fn read(column: &str, data_type: DataType) -> String {
    match data_type {
        DataType::Boolean | DataType::Int64 => format!("CAST({column} AS SIGNED)"),
        DataType::Float64 => format!("CAST({column} AS DOUBLE)"),
        DataType::Bytes => format!("CAST({column} AS BINARY)"),
        DataType::Timestamp => format!("CAST(CAST({column} AS DATETIME(6)) AS CHAR)"),
        DataType::Date => format!("CAST(CAST({column} AS DATE) AS CHAR)"),
        DataType::Time => format!("CAST(CAST({column} AS TIME(6)) AS CHAR)"),
        _ => format!("CAST({column} AS CHAR)"),
    }
}

/// How many letters words have that are indexed, where the server is not set otherwise (`innodb_ft_min_token_size`,
/// `innodb_ft_max_token_size`).
const LETTERS: RangeInclusive<usize> = 3..=84;

/// A full-text index of exactly these columns is needed. Words have letters and digits only, none of which is an operator.
/// Those that are too short for the index, or too long, are looked for in the texts that have the others.
fn words(_table: &str, columns: &[String], text: &str) -> Vec<Words> {
    let columns = DOUBLE.columns(columns.iter().map(String::as_str));
    let (indexed, others): (Vec<String>, Vec<String>) =
        Search::words(text).map(without_accents).partition(|word| LETTERS.contains(&word.chars().count()));
    let mut conditions: Vec<Words> = others.iter().map(|word| word_without_index(&columns, word)).collect();
    if !indexed.is_empty() || others.is_empty() {
        conditions.push(Words {
            before: format!("MATCH ({columns}) AGAINST ("),
            value: indexed.iter().map(|word| format!("+{word}")).collect::<Vec<_>>().join(" "),
            after: " IN BOOLEAN MODE)",
        });
    }
    conditions
}

/// Collations pass over accents in letters, but count those that are characters of their own.
fn without_accents(word: &str) -> String {
    word.chars().filter(|letter| !Search::is_accent(*letter)).collect()
}

/// Compared as the columns are: whatever case and accents.
fn word_without_index(columns: &str, word: &str) -> Words {
    Words {
        before: format!(
            "CONCAT(' ', REGEXP_REPLACE(CONCAT_WS(' ', {columns}), '[^\\p{{L}}\\p{{N}}]+', ' '), ' ') LIKE "
        ),
        value: format!("% {word} %"),
        after: "",
    }
}

impl Client for MySql {
    /// MySQL takes the limit from the hint, MariaDB from the session: each passes over the other's.
    const LANGUAGE: Language = Language {
        placeholder: |_| "?".to_owned(),
        given,
        read,
        hint: |limit| format!("/*+ MAX_EXECUTION_TIME({}) */ ", limit.as_millis()),
        words,
    };

    fn begin(limit: Duration) -> String {
        let seconds = limit.as_secs_f64();
        format!("SET /*M!100600 SESSION max_statement_time = {seconds:.3}, */ @azenha = 1; START TRANSACTION READ ONLY")
    }

    async fn rows(
        connection: &mut MySqlConnection,
        statement: Statement,
        query: &Query,
    ) -> Result<Vec<Vec<Value>>, Stopped> {
        client::rows::<Self>(connection, statement, query).await
    }

    fn took_too_long(error: &sqlx::Error) -> bool {
        mysql::failures::number(error).is_some_and(|number| TOO_LONG.contains(&number))
    }

    fn failure(error: sqlx::Error) -> Failure {
        mysql::failures::failure(error)
    }
}

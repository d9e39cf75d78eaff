//! Sessions with MariaDB and MySQL.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use azenha_model::plan::WriteMode;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use self::failures::{TWO_ROWS_IN_ONE, failure, fault_of_size};
use self::values::{Column, Limit};
use super::dialect::{Dialect, MARIADB, MYSQL, MySql};
use super::session::{Argument, Failure, Operation, Session, bound};
use super::table::{FoundTable, Target};
use super::{Connector, in_time};
use crate::store::cells::Cells;

pub(super) mod failures;
mod tables;
mod values;

/// The same in every session, whatever the server is set to. Values that do not fit are refused instead of changed;
/// locks are taken on rows and not on the gaps between them, where lanes would meet; nobody waits for locks for long. Whatever
/// makes an index of words, or makes it anew, such as a new column, leaves none out: what the server takes for stop words is
/// English, and `com` is among it.
const SETTINGS: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
    SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',
        time_zone = '+00:00', innodb_lock_wait_timeout = 30, lock_wait_timeout = 10, innodb_ft_enable_stopword = OFF";

/// The server ends a session that says nothing for so long in a transaction: a host that vanished without a word, as
/// with its network, would keep the lock on a lane's position, for which the next owner waits.
const BEGIN: &str = "SET SESSION wait_timeout = 60; BEGIN";
/// Between transactions a session may be silent. Whatever comes first, the last word must be the one that counts.
const COMMIT: &str = "SET SESSION wait_timeout = DEFAULT; COMMIT";
const ROLLBACK: &str = "SET SESSION wait_timeout = DEFAULT; ROLLBACK";

/// Rows of one statement at most: with more the server needs longer for each, and memory for every prepared one.
const MOST_ROWS: usize = 512;
/// Parameters that a statement may have.
const MOST_PARAMETERS: usize = 65_535;
/// What a packet holds beside values.
const PACKET_HEADER: usize = 64;

/// Opens sessions with one database.
pub(super) struct MySqlConnector {
    options: MySqlConnectOptions,
}

/// Without the options, which hold the password.
impl fmt::Debug for MySqlConnector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MySqlConnector").finish_non_exhaustive()
    }
}

impl MySqlConnector {
    pub fn new(url: &str) -> Result<Self, sqlx::Error> {
        Ok(Self { options: options(url)? })
    }
}

/// How a database is reached.
pub(super) fn options(url: &str) -> Result<MySqlConnectOptions, sqlx::Error> {
    let options = MySqlConnectOptions::from_str(url)?;
    if options.get_database().is_none() {
        return Err(sqlx::Error::Configuration("it names no database: mysql://USER:PASSWORD@HOST/DATABASE".into()));
    }
    // What a session is like is set once, by us.
    let options = options.charset("utf8mb4").pipes_as_concat(false).no_engine_substitution(false).timezone(None);
    Ok(options.disable_statement_logging())
}

#[async_trait]
impl Connector for MySqlConnector {
    async fn connect(&self) -> Result<Box<dyn Session>, Failure> {
        let mut connection = in_time(MySqlConnection::connect_with(&self.options)).await?.map_err(failure)?;
        sqlx::raw_sql(SETTINGS).execute(&mut connection).await.map_err(failure)?;
        let sql = "SELECT VERSION(), CAST(@@max_allowed_packet AS SIGNED)";
        let server = sqlx::query(sql).fetch_one(&mut connection).await.map_err(failure)?;
        let (version, max_packet): (String, i64) = (server.try_get(0)?, server.try_get(1)?);
        let dialect = if version.contains("MariaDB") { &MARIADB } else { &MYSQL };
        let packet = usize::try_from(max_packet).unwrap_or_default();
        Ok(Box::new(MySqlSession { connection, dialect, packet, in_transaction: false, limits: None }))
    }

    fn stands_in(&self) -> bool {
        false
    }
}

struct MySqlSession {
    connection: MySqlConnection,
    dialect: &'static MySql,
    /// The bytes that the server takes at once.
    packet: usize,
    in_transaction: bool,
    /// How long texts may be in the columns of the target, once it is known.
    limits: Option<Arc<HashMap<String, Limit>>>,
}

/// A statement about positions as MySQL spells it: its parameters have no numbers, its quotes are others.
fn spelled<'a>(sql: &str, arguments: &[Argument<'a>]) -> (String, Vec<Argument<'a>>) {
    let mut parts = sql.split('$');
    let mut spelled = parts.next().unwrap_or_default().to_owned();
    let mut in_order = Vec::new();
    for part in parts {
        let (number, rest) = part.split_at_checked(1).unwrap_or_default();
        let index = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        in_order.extend(index.and_then(|index| arguments.get(index)));
        spelled.push('?');
        spelled.push_str(rest);
    }
    (spelled.replace('"', "`"), in_order)
}

#[async_trait]
impl Session for MySqlSession {
    fn dialect(&self) -> &'static dyn Dialect {
        self.dialect
    }

    async fn begin(&mut self) -> Result<(), Failure> {
        self.in_transaction = true;
        self.run(BEGIN).await
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        self.in_transaction = false;
        self.run(COMMIT).await
    }

    async fn roll_back(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.in_transaction) { self.run(ROLLBACK).await } else { Ok(()) }
    }

    async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await.map(drop).map_err(failure)
    }

    async fn change(&mut self, sql: &str, arguments: &[Argument<'_>]) -> Result<u64, Failure> {
        let (sql, arguments) = spelled(sql, arguments);
        // The client asks the server to count the rows that were found, changed or not.
        let query = sqlx::query_with(AssertSqlSafe(sql), bound::<MySqlArguments>(&arguments)?);
        query.execute(&mut self.connection).await.map(|done| done.rows_affected()).map_err(failure)
    }

    async fn integers(&mut self, sql: &str, arguments: &[Argument<'_>]) -> Result<Option<Vec<Option<i64>>>, Failure> {
        let (sql, arguments) = spelled(sql, arguments);
        let query = sqlx::query_with(AssertSqlSafe(sql), bound::<MySqlArguments>(&arguments)?);
        let Some(row) = query.fetch_optional(&mut self.connection).await.map_err(failure)? else { return Ok(None) };
        Ok(Some((0..row.len()).map(|column| row.try_get(column)).collect::<Result<_, _>>()?))
    }

    async fn texts(&mut self, sql: &str, arguments: &[Argument<'_>]) -> Result<Vec<Vec<Option<String>>>, Failure> {
        let (sql, arguments) = spelled(sql, arguments);
        let query = sqlx::query_with(AssertSqlSafe(sql), bound::<MySqlArguments>(&arguments)?);
        let rows = query.fetch_all(&mut self.connection).await.map_err(failure)?;
        let texts = rows.iter().map(|row| (0..row.len()).map(|column| row.try_get(column)).collect::<Result<_, _>>());
        Ok(texts.collect::<Result<_, _>>()?)
    }

    async fn find_table(&mut self, table: &str) -> Result<Option<FoundTable>, Failure> {
        tables::find(&mut self.connection, table).await
    }

    async fn has_fulltext(&mut self, target: &Target) -> Result<bool, Failure> {
        tables::has_fulltext(&mut self.connection, &target.table, &target.fulltext).await
    }

    async fn write(&mut self, target: &Target, operation: Operation, rows: &RecordBatch) -> Result<(), Failure> {
        let limits = self.limits(target).await?;
        let cells = target.cells(operation, rows)?.into_iter().map(|cells| {
            let limit = limits.get(&cells.field.name).copied().unwrap_or_default();
            Column::new(cells, limit)
        });
        let cells: Vec<Column<'_>> = cells.collect();
        let sizes: Vec<usize> = (0..rows.num_rows()).map(|row| cells.iter().map(|cell| cell.size(row)).sum()).collect();
        let most_bytes = self.packet.saturating_sub(PACKET_HEADER);
        let most_rows = (MOST_PARAMETERS / cells.len().max(1)).clamp(1, MOST_ROWS);
        let mut from = 0;
        while from < sizes.len() {
            if sizes[from] > most_bytes {
                return Err(fault_of_size(sizes[from], self.packet));
            }
            let count = statement_rows(&sizes[from..], most_rows, most_bytes);
            let mut arguments = MySqlArguments::default();
            for row in from..from + count {
                cells.iter().try_for_each(|cell| cell.bind(&mut arguments, row))?;
            }
            self.write_chunk(target, operation, count, arguments).await?;
            from += count;
        }
        Ok(())
    }
}

/// Whether the server is asked to hold the values of a row, as long as its texts may be of any length.
pub(super) fn check(cells: Vec<Cells<'_>>, row: usize) -> Result<(), Failure> {
    let mut arguments = MySqlArguments::default();
    cells.into_iter().try_for_each(|cells| Column::new(cells, Limit::default()).bind(&mut arguments, row))
}

/// How many rows the next statement takes: a power of two, so that there are few statements to prepare.
fn statement_rows(sizes: &[usize], most_rows: usize, most_bytes: usize) -> usize {
    let totals = sizes.iter().take(most_rows).scan(0, |total: &mut usize, size| {
        *total += size;
        Some(*total)
    });
    let fitting = totals.take_while(|total| *total <= most_bytes).count();
    1 << fitting.max(1).ilog2()
}

impl MySqlSession {
    async fn execute(&mut self, sql: String, arguments: MySqlArguments) -> Result<(), sqlx::Error> {
        sqlx::query_with(AssertSqlSafe(sql), arguments).execute(&mut self.connection).await.map(drop)
    }

    async fn write_chunk(
        &mut self,
        target: &Target,
        operation: Operation,
        rows: usize,
        arguments: MySqlArguments,
    ) -> Result<(), Failure> {
        // For a row that is alone the server can name the index in which it is a duplicate: a second statement, which
        // replaces nothing.
        let again = (rows == 1 && target.mode == WriteMode::Upsert).then(|| arguments.clone());
        let written = self.execute(self.dialect.write(target, operation, rows), arguments).await;
        match (written, again) {
            (Err(error), Some(arguments)) if failures::number(&error) == Some(TWO_ROWS_IN_ONE) => {
                self.execute(self.dialect.insert(target, 1), arguments).await.map_err(failure)
            }
            (written, _) => written.map_err(failure),
        }
    }

    /// How long texts may be in the target's columns.
    async fn limits(&mut self, target: &Target) -> Result<Arc<HashMap<String, Limit>>, Failure> {
        if let Some(limits) = &self.limits {
            return Ok(Arc::clone(limits));
        }
        let columns = tables::columns(&mut self.connection, &target.table).await?;
        let limit = |name: &str| {
            let column = columns.iter().find(|column| self.dialect.same_name(&column.found.name, name))?;
            Some((name.to_owned(), column.limit))
        };
        let limits: Arc<HashMap<_, _>> = Arc::new(target.names().filter_map(limit).collect());
        self.limits = Some(Arc::clone(&limits));
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_takes_a_power_of_two_of_rows_that_fit() {
        assert_eq!(statement_rows(&[1; 100], 512, 1000), 64);
        assert_eq!(statement_rows(&[1; 1000], 512, 1000), 512);
        assert_eq!(statement_rows(&[100; 1000], 512, 1000), 8);
        assert_eq!(statement_rows(&[1000, 1000], 512, 1000), 1);
    }

    #[test]
    fn parameters_are_given_in_the_order_in_which_a_statement_names_them() {
        let arguments = [Argument::Text("a"), Argument::Integer(2), Argument::Integer(3)];
        let (sql, in_order) = spelled("SET \"x\" = $3 WHERE y = $1 AND z < $3", &arguments);
        assert_eq!(sql, "SET `x` = ? WHERE y = ? AND z < ?");
        assert!(matches!(in_order[..], [Argument::Integer(3), Argument::Text("a"), Argument::Integer(3)]));
    }
}

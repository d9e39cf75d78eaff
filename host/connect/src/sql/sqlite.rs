//! Sessions with SQLite.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use azenha_formats::civil;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection, Row};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Connector;
use super::dialect::{self, Dialect};
use super::session::{Argument, Failure, Fault, Operation, Session, bound};
use super::table::{FoundColumn, FoundTable, Target};
use crate::store::cells::{Cells, Values};

/// Parameters that one statement may have.
const MAX_PARAMETERS: usize = 32_766;
/// The rows of one statement: few sizes, so that each is prepared once.
const CHUNKS: [usize; 5] = [256, 64, 16, 4, 1];
/// How long another process may hold the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Opens sessions with one database file.
#[derive(Debug)]
pub(super) struct SqliteConnector {
    options: SqliteConnectOptions,
    /// Lanes of this process take turns here: SQLite's own way of waiting is to sleep and try again.
    turn: Arc<Mutex<()>>,
}

impl SqliteConnector {
    pub fn new(url: &str) -> Result<Self, sqlx::Error> {
        let options = options(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        Ok(Self { options, turn: Arc::default() })
    }
}

/// How a database file is opened.
pub(super) fn options(url: &str) -> Result<SqliteConnectOptions, sqlx::Error> {
    Ok(SqliteConnectOptions::from_str(url)?.busy_timeout(BUSY_TIMEOUT).disable_statement_logging())
}

/// Whether a URL names no file: `sqlite::memory:`, `sqlite://:memory:`, `sqlite:`, or any `?mode=memory`.
pub(super) fn is_in_memory(url: &str) -> bool {
    let location = url.strip_prefix("sqlite:").unwrap_or(url);
    let (file, parameters) = location.split_once('?').unwrap_or((location, ""));
    let file = file.strip_prefix("//").unwrap_or(file);
    file.is_empty() || file == ":memory:" || parameters.split('&').any(|parameter| parameter == "mode=memory")
}

#[async_trait]
impl Connector for SqliteConnector {
    async fn connect(&self) -> Result<Box<dyn Session>, Failure> {
        // Who switches a new file to WAL is refused at once while another connection uses it.
        let _turn = self.turn.lock().await;
        let connection = SqliteConnection::connect_with(&self.options).await.map_err(failure)?;
        Ok(Box::new(SqliteSession { connection, turn: Arc::clone(&self.turn), held: None }))
    }

    fn stands_in(&self) -> bool {
        true
    }
}

struct SqliteSession {
    connection: SqliteConnection,
    turn: Arc<Mutex<()>>,
    held: Option<OwnedMutexGuard<()>>,
}

/// Sorts errors by SQLite's primary result codes, <https://sqlite.org/rescode.html>.
pub(super) fn failure(error: sqlx::Error) -> Failure {
    const ERROR: i32 = 1;
    const PERMISSION: i32 = 3;
    const READ_ONLY: i32 = 8;
    const TOO_BIG: i32 = 18;
    const CONSTRAINT: i32 = 19;
    const MISMATCH: i32 = 20;
    const NO_DATABASE: i32 = 26;
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    let message = || error.as_database_error().map_or_else(String::new, |error| error.message().to_owned());
    match code.map(|code| code & 0xff) {
        // SQLite names the table and the columns of a constraint in its message.
        Some(code @ (TOO_BIG | CONSTRAINT | MISMATCH)) => {
            Failure::Rows(Fault { reason: message(), names_column: code == CONSTRAINT })
        }
        Some(ERROR | PERMISSION | READ_ONLY | NO_DATABASE) => Failure::Definition(message()),
        _ => Failure::Unavailable(error.into()),
    }
}

#[async_trait]
impl Session for SqliteSession {
    fn dialect(&self) -> &'static dyn Dialect {
        &dialect::Sqlite
    }

    async fn begin(&mut self) -> Result<(), Failure> {
        self.held = Some(Arc::clone(&self.turn).lock_owned().await);
        // Immediate: a transaction that begins as a reader cannot wait for its turn to write.
        self.run("BEGIN IMMEDIATE").await
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        self.run("COMMIT").await?;
        self.held = None;
        Ok(())
    }

    async fn roll_back(&mut self) -> Result<(), Failure> {
        let done = self.run("ROLLBACK").await;
        self.held = None;
        done
    }

    async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await.map(drop).map_err(failure)
    }

    async fn change(&mut self, sql: &str, arguments: &[Argument<'_>]) -> Result<u64, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(sql), bound::<SqliteArguments>(arguments)?);
        query.execute(&mut self.connection).await.map(|done| done.rows_affected()).map_err(failure)
    }

    async fn integers(&mut self, sql: &str, arguments: &[Argument<'_>]) -> Result<Option<Vec<Option<i64>>>, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(sql), bound::<SqliteArguments>(arguments)?);
        let Some(row) = query.fetch_optional(&mut self.connection).await.map_err(failure)? else { return Ok(None) };
        Ok(Some((0..row.len()).map(|column| row.try_get(column)).collect::<Result<_, _>>()?))
    }

    async fn texts(&mut self, sql: &str, arguments: &[Argument<'_>]) -> Result<Vec<Vec<Option<String>>>, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(sql), bound::<SqliteArguments>(arguments)?);
        let rows = query.fetch_all(&mut self.connection).await.map_err(failure)?;
        let texts = rows.iter().map(|row| (0..row.len()).map(|column| row.try_get(column)).collect::<Result<_, _>>());
        Ok(texts.collect::<Result<_, _>>()?)
    }

    async fn find_table(&mut self, table: &str) -> Result<Option<FoundTable>, Failure> {
        let sql = "SELECT name, type, \"notnull\" AND dflt_value IS NULL, pk FROM pragma_table_info($1)";
        let rows = sqlx::query(sql).bind(table).fetch_all(&mut self.connection).await.map_err(failure)?;
        let mut found = FoundTable::default();
        let mut primary_key = Vec::new();
        for row in rows {
            let name: String = row.try_get(0)?;
            if row.try_get::<i64, _>(3)? > 0 {
                primary_key.push(name.clone());
            }
            found.columns.push(FoundColumn { name, declared: row.try_get(1)?, required: row.try_get(2)? });
        }
        found.unique = self.unique_indexes(table).await?;
        found.unique.push(primary_key);
        Ok((!found.columns.is_empty()).then_some(found))
    }

    async fn has_fulltext(&mut self, target: &Target) -> Result<bool, Failure> {
        let sql = "SELECT name FROM pragma_table_info($1)";
        let columns = sqlx::query_scalar(sql).bind(dialect::words_of(&target.table)).fetch_all(&mut self.connection);
        let columns: Vec<String> = columns.await.map_err(failure)?;
        Ok(columns == target.fulltext)
    }

    async fn write(&mut self, target: &Target, operation: Operation, rows: &RecordBatch) -> Result<(), Failure> {
        let cells = target.cells(operation, rows)?;
        let mut from = 0;
        while from < rows.num_rows() {
            let fits = |size: &usize| *size <= rows.num_rows() - from && size * cells.len() <= MAX_PARAMETERS;
            let size = CHUNKS.into_iter().find(fits).unwrap_or(1);
            let mut arguments = SqliteArguments::default();
            arguments.reserve(size * cells.len(), 0);
            for row in from..from + size {
                for cells in &cells {
                    bind(&mut arguments, cells, row)?;
                }
            }
            let sql = dialect::Sqlite.write(target, operation, size);
            let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
            query.execute(&mut self.connection).await.map_err(failure)?;
            from += size;
        }
        Ok(())
    }
}

impl SqliteSession {
    /// The columns of each unique index that covers every row.
    async fn unique_indexes(&mut self, table: &str) -> Result<Vec<Vec<String>>, Failure> {
        let sql = "SELECT list.name, info.name FROM pragma_index_list($1) AS list, pragma_index_info(list.name) AS info
            WHERE list.\"unique\" AND NOT list.partial AND info.name IS NOT NULL ORDER BY list.seq";
        let rows = sqlx::query(sql).bind(table).fetch_all(&mut self.connection).await.map_err(failure)?;
        let mut indexes: Vec<(String, Vec<String>)> = Vec::new();
        for row in rows {
            let (index, column): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            match indexes.last_mut().filter(|(last, _)| *last == index) {
                Some((_, columns)) => columns.push(column),
                None => indexes.push((index, vec![column])),
            }
        }
        Ok(indexes.into_iter().map(|(_, columns)| columns).collect())
    }
}

/// Whether SQLite is asked to hold the values of a row.
pub(super) fn check(cells: &[Cells<'_>], row: usize) -> Result<(), Failure> {
    let mut arguments = SqliteArguments::default();
    cells.iter().try_for_each(|cells| bind(&mut arguments, cells, row))
}

/// Adds a value, in the form that SQLite's own functions give and read.
fn bind(arguments: &mut SqliteArguments, cells: &Cells<'_>, row: usize) -> Result<(), Failure> {
    if cells.is_null(row) {
        return Ok(arguments.add(None::<i64>).map_err(sqlx::Error::Encode)?);
    }
    let added = match cells.values {
        Values::Boolean(array) => arguments.add(array.value(row)),
        Values::Int64(array) => arguments.add(array.value(row)),
        // SQLite would store null instead.
        Values::Float64(array) if array.value(row).is_nan() => return Err(cells.fault("SQLite cannot hold NaN")),
        Values::Float64(array) => arguments.add(array.value(row)),
        Values::Decimal(array) => arguments.add(array.value_as_string(row)),
        Values::Text(array) | Values::Json(array) => arguments.add(array.value(row).to_owned()),
        Values::Bytes(array) => arguments.add(array.value(row).to_vec()),
        Values::Date(array) => arguments.add(civil::format_date(cells.checked_date(array.value(row))?)),
        Values::Time(array) => arguments.add(civil::format_time(cells.checked_time(array.value(row))?)),
        Values::Timestamp(array) => arguments.add(civil::format_timestamp(cells.checked_timestamp(array.value(row))?)),
    };
    Ok(added.map_err(sqlx::Error::Encode)?)
}

//! Sessions with PostgreSQL.

use std::fmt;
use std::str::FromStr;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use azenha_model::DataType;
use azenha_model::plan::WriteMode;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgDatabaseError};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection, Row};

use super::dialect::{self, DOUBLE, Dialect};
use super::session::{Argument, Failure, Fault, Operation, Session, bound};
use super::table::{FoundColumn, FoundTable, Target};
use super::wire::{self, ArrayParameter};
use super::{Connector, in_time};
use crate::store::cells::{Cells, Values};

/// What the server does about a host that has vanished without a word, as with its network: it would keep the lock
/// on a lane's position, for which the next owner waits. The client's own limit is the same.
const SETTINGS: &str = "SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '60s';
    SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";

/// Opens sessions with one database.
pub(super) struct PostgresConnector {
    options: PgConnectOptions,
}

/// Without the options, which hold the password.
impl fmt::Debug for PostgresConnector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresConnector").finish_non_exhaustive()
    }
}

impl PostgresConnector {
    pub fn new(url: &str) -> Result<Self, sqlx::Error> {
        Ok(Self { options: options(url)? })
    }
}

/// How a database is reached.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(PgConnectOptions::from_str(url)?.application_name("azenha").disable_statement_logging())
}

#[async_trait]
impl Connector for PostgresConnector {
    async fn connect(&self) -> Result<Box<dyn Session>, Failure> {
        let connection = in_time(PgConnection::connect_with(&self.options)).await?.map_err(failure)?;
        let mut session = PostgresSession { connection, in_transaction: false, plain_json: None };
        session.run(SETTINGS).await?;
        Ok(Box::new(session))
    }

    fn stands_in(&self) -> bool {
        false
    }
}

struct PostgresSession {
    connection: PgConnection,
    in_transaction: bool,
    /// Columns declared `json`, once they are known.
    plain_json: Option<Vec<String>>,
}

/// Sorts errors by the class of their SQLSTATE, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
/// Classes that are not named here are about values, or of a trigger's own making.
pub(super) fn failure(error: sqlx::Error) -> Failure {
    if let sqlx::Error::Configuration(problem) = &error {
        return Failure::Definition(problem.to_string());
    }
    let database = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    let Some(database) = database else { return Failure::Unavailable(error.into()) };
    match database.code().get(..2).unwrap_or_default() {
        // Not supported, wrong user or password, no such database, schema or table, no right to it.
        "0A" | "0L" | "28" | "3D" | "3F" | "42" => Failure::Definition(with_hint(database)),
        // The connection, a read-only standby, a lost statement, deadlocks and other conflicts, resources, locks, an
        // operator, the system, the server's files, a foreign server, the server itself.
        "08" | "25" | "26" | "40" | "53" | "55" | "57" | "58" | "72" | "F0" | "HV" | "XX" => {
            Failure::Unavailable(error.into())
        }
        _ => Failure::Rows(fault(database)),
    }
}

fn with_hint(error: &PgDatabaseError) -> String {
    error.hint().map_or_else(|| error.message().to_owned(), |hint| format!("{}; {hint}", error.message()))
}

/// The detail holds values of the row, all of them or those of the columns that it names first: `Key (email)=(…) …`.
fn fault(error: &PgDatabaseError) -> Fault {
    let keys = error.detail().and_then(|detail| Some(detail.split_once(")=(")?.0.split_once('(')?.1));
    let reason = match keys {
        Some(columns) => format!("{} (columns: {columns})", error.message()),
        None => error.message().to_owned(),
    };
    // Class 22 is about values, and most of its errors name no column.
    Fault { reason, names_column: error.column().is_some() || !error.code().starts_with("22") }
}

#[async_trait]
impl Session for PostgresSession {
    fn dialect(&self) -> &'static dyn Dialect {
        &dialect::Postgres
    }

    async fn begin(&mut self) -> Result<(), Failure> {
        self.in_transaction = true;
        self.run("BEGIN").await
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        // It ends the transaction, too, when it fails.
        self.in_transaction = false;
        self.run("COMMIT").await
    }

    async fn roll_back(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.in_transaction) { self.run("ROLLBACK").await } else { Ok(()) }
    }

    async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await.map(drop).map_err(failure)
    }

    async fn change(&mut self, sql: &str, arguments: &[Argument<'_>]) -> Result<u64, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(sql), bound::<PgArguments>(arguments)?);
        query.execute(&mut self.connection).await.map(|done| done.rows_affected()).map_err(failure)
    }

    async fn integers(&mut self, sql: &str, arguments: &[Argument<'_>]) -> Result<Option<Vec<Option<i64>>>, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(sql), bound::<PgArguments>(arguments)?);
        let Some(row) = query.fetch_optional(&mut self.connection).await.map_err(failure)? else { return Ok(None) };
        Ok(Some((0..row.len()).map(|column| row.try_get(column)).collect::<Result<_, _>>()?))
    }

    async fn texts(&mut self, sql: &str, arguments: &[Argument<'_>]) -> Result<Vec<Vec<Option<String>>>, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(sql), bound::<PgArguments>(arguments)?);
        let rows = query.fetch_all(&mut self.connection).await.map_err(failure)?;
        let texts = rows.iter().map(|row| (0..row.len()).map(|column| row.try_get(column)).collect::<Result<_, _>>());
        Ok(texts.collect::<Result<_, _>>()?)
    }

    async fn has_fulltext(&mut self, _target: &Target) -> Result<bool, Failure> {
        Err(Failure::Definition("no full-text index is made in PostgreSQL: leave out `fulltext`".to_owned()))
    }

    async fn find_table(&mut self, table: &str) -> Result<Option<FoundTable>, Failure> {
        let columns = "SELECT attname::text, format_type(atttypid, atttypmod),
                attnotnull AND NOT atthasdef AND attidentity = '' FROM pg_attribute
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
        let rows =
            sqlx::query(columns).bind(DOUBLE.table(table)).fetch_all(&mut self.connection).await.map_err(failure)?;
        let mut found = FoundTable::default();
        for row in rows {
            let column = FoundColumn { name: row.try_get(0)?, declared: row.try_get(1)?, required: row.try_get(2)? };
            found.columns.push(column);
        }
        let unique = "SELECT ARRAY(
                SELECT attname::text FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey)
            ) FROM pg_index WHERE indrelid = to_regclass($1) AND indisunique AND indimmediate AND indpred IS NULL
                AND indexprs IS NULL AND indnatts = indnkeyatts";
        let rows =
            sqlx::query(unique).bind(DOUBLE.table(table)).fetch_all(&mut self.connection).await.map_err(failure)?;
        found.unique = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        Ok((!found.columns.is_empty()).then_some(found))
    }

    async fn write(&mut self, target: &Target, operation: Operation, rows: &RecordBatch) -> Result<(), Failure> {
        let cells = target.cells(operation, rows)?;
        match target.mode {
            WriteMode::Append => self.copy(target, cells, rows.num_rows()).await,
            WriteMode::Upsert => self.merge(target, operation, &cells, rows.num_rows()).await,
        }
    }
}

impl PostgresSession {
    /// Upserts and deletes.
    async fn merge(
        &mut self,
        target: &Target,
        operation: Operation,
        cells: &[Cells<'_>],
        rows: usize,
    ) -> Result<(), Failure> {
        let mut arguments = PgArguments::default();
        for cells in cells {
            arguments.add(ArrayParameter::new(cells, rows)?).map_err(sqlx::Error::Encode)?;
        }
        let query = sqlx::query_with(AssertSqlSafe(dialect::Postgres.write(target, operation)), arguments);
        query.execute(&mut self.connection).await.map(drop).map_err(failure)
    }

    /// Appends: half the server's work of a statement with arrays.
    async fn copy(&mut self, target: &Target, mut cells: Vec<Cells<'_>>, rows: usize) -> Result<(), Failure> {
        let plain_json = self.plain_json(target).await?;
        for cells in &mut cells {
            // In the binary format `json` is plain text, where `jsonb` is not, and no cast stands between.
            if let Values::Json(array) = cells.values
                && plain_json.contains(&cells.field.name)
            {
                cells.values = Values::Text(array);
            }
        }
        let bytes = wire::copied(&cells, rows)?;
        let mut copy = self.connection.copy_in_raw(&dialect::Postgres.copy(target)).await.map_err(failure)?;
        copy.send(bytes).await.map_err(failure)?;
        copy.finish().await.map(drop).map_err(failure)
    }

    async fn plain_json(&mut self, target: &Target) -> Result<&[String], Failure> {
        if self.plain_json.is_none() {
            let has_json = target.fields.iter().any(|field| field.data_type == DataType::Json);
            let found = if has_json { self.find_table(&target.table).await? } else { None };
            let columns = found.map(|table| table.columns).unwrap_or_default().into_iter();
            self.plain_json =
                Some(columns.filter(|column| column.declared == "json").map(|column| column.name).collect());
        }
        Ok(self.plain_json.as_deref().unwrap_or_default())
    }
}

//! Sessions with PostgreSQL.

use std::str::FromStr;
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection, Row};

use super::Connector;
use super::cells::{Cells, TextCells};
use super::dialect::{self, Dialect, quote};
use super::session::{Argument, Failure, Operation, Session, bound};
use super::table::{FoundColumn, FoundTable, Target};

/// How long a server may take to answer at first.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens sessions with one database.
#[derive(Debug)]
pub(super) struct PostgresConnector {
    options: PgConnectOptions,
}

impl PostgresConnector {
    pub fn new(url: &str) -> Result<Self, sqlx::Error> {
        let options = PgConnectOptions::from_str(url)?.application_name("azenha").disable_statement_logging();
        Ok(Self { options })
    }
}

#[async_trait]
impl Connector for PostgresConnector {
    async fn connect(&self) -> Result<Box<dyn Session>, Failure> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&self.options)).await;
        let connection = connected.map_err(std::io::Error::from).map_err(sqlx::Error::Io)?.map_err(failure)?;
        Ok(Box::new(PostgresSession { connection }))
    }
}

struct PostgresSession {
    connection: PgConnection,
}

/// Sorts errors by the class of their SQLSTATE, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn failure(error: sqlx::Error) -> Failure {
    let Some(database) = error.as_database_error() else { return Failure::Unavailable(error) };
    let message = database.message().to_owned();
    let code = database.code().unwrap_or_default();
    match code.get(..2).unwrap_or_default() {
        // Cardinality, data, constraints, WITH CHECK OPTION, limits of the server, a trigger's RAISE.
        "21" | "22" | "23" | "44" | "54" | "P0" => Failure::Rows(message),
        // Unknown database or schema, wrong password, no such table, no right to it.
        "28" | "3D" | "3F" | "42" => Failure::Definition(message),
        _ => Failure::Unavailable(error),
    }
}

#[async_trait]
impl Session for PostgresSession {
    fn dialect(&self) -> &'static dyn Dialect {
        &dialect::Postgres
    }

    async fn begin(&mut self) -> Result<(), Failure> {
        self.run("BEGIN").await
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        self.run("COMMIT").await
    }

    async fn roll_back(&mut self) -> Result<(), Failure> {
        self.run("ROLLBACK").await
    }

    async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await.map(drop).map_err(failure)
    }

    async fn integers(&mut self, sql: &str, arguments: &[Argument<'_>]) -> Result<Option<Vec<Option<i64>>>, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(sql), bound::<PgArguments>(arguments)?);
        let Some(row) = query.fetch_optional(&mut self.connection).await.map_err(failure)? else { return Ok(None) };
        Ok(Some((0..row.len()).map(|column| row.try_get(column)).collect::<Result<_, _>>()?))
    }

    async fn find_table(&mut self, table: &str) -> Result<Option<FoundTable>, Failure> {
        let columns = "SELECT attname::text, format_type(atttypid, atttypmod),
                attnotnull AND NOT atthasdef AND attidentity = '' FROM pg_attribute
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
        let rows = sqlx::query(columns).bind(quote(table)).fetch_all(&mut self.connection).await.map_err(failure)?;
        let mut found = FoundTable::default();
        for row in rows {
            let column = FoundColumn { name: row.try_get(0)?, declared: row.try_get(1)?, required: row.try_get(2)? };
            found.columns.push(column);
        }
        let unique = "SELECT ARRAY(
                SELECT attname::text FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey)
            ) FROM pg_index WHERE indrelid = to_regclass($1) AND indisunique AND indimmediate AND indpred IS NULL
                AND indexprs IS NULL AND indnatts = indnkeyatts";
        let rows = sqlx::query(unique).bind(quote(table)).fetch_all(&mut self.connection).await.map_err(failure)?;
        found.unique = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        Ok((!found.columns.is_empty()).then_some(found))
    }

    async fn write(&mut self, target: &Target, operation: Operation, rows: &RecordBatch) -> Result<(), Failure> {
        let mut arguments = PgArguments::default();
        for (field, column) in target.fields_of(operation).into_iter().zip(rows.columns()) {
            bind(&mut arguments, &Cells::new(field, column)?, rows.num_rows())?;
        }
        let sql = dialect::Postgres.write(target, operation, rows.num_rows());
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        query.execute(&mut self.connection).await.map(drop).map_err(failure)
    }
}

/// Adds a column as one array.
fn bind(arguments: &mut PgArguments, cells: &Cells<'_>, rows: usize) -> Result<(), Failure> {
    let added = match cells {
        Cells::Boolean(array) => arguments.add(array.iter().collect::<Vec<_>>()),
        Cells::Int64(array) => arguments.add(array.iter().collect::<Vec<_>>()),
        Cells::Float64(array) => arguments.add(array.iter().collect::<Vec<_>>()),
        Cells::Bytes(array) => arguments.add(array.iter().collect::<Vec<_>>()),
        Cells::Text(cells) => arguments.add((0..rows).map(|row| text(cells, row)).collect::<Result<Vec<_>, _>>()?),
    };
    Ok(added.map_err(sqlx::Error::Encode)?)
}

/// A timestamp says that it is UTC: the server's time zone may be any.
fn text(cells: &TextCells<'_>, row: usize) -> Result<Option<String>, Failure> {
    let zone = if matches!(cells, TextCells::Timestamp(_)) { "+00" } else { "" };
    Ok(cells.text(row)?.map(|text| text.into_owned() + zone))
}

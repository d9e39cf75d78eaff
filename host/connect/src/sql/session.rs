//! One connection to a database, as the rest of the SQL store sees it.

use arrow_array::RecordBatch;
use async_trait::async_trait;
use azenha_engine::store::StoreError;
use sqlx::{Arguments, Encode, Type};

use super::dialect::Dialect;
use super::table::{FoundTable, Target};

/// What is wrong with a row.
#[derive(Debug)]
pub(super) struct Fault {
    /// For people; values of the row are left out, for they may be personal.
    pub reason: String,
    /// Whether it says which column or constraint.
    pub names_column: bool,
}

/// Why a statement failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// One of the rows breaks a constraint or does not fit its column; nothing of the statement happened.
    Rows(Fault),
    /// The table, the rights or the URL are wrong.
    Definition(String),
    /// The connection or the database failed; what was under way may or may not have happened.
    Unavailable(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error)
    }
}

impl Failure {
    /// As the engine is told, where no row can be blamed; `what` was being done.
    pub fn into_error(self, what: &str) -> StoreError {
        match self {
            Self::Rows(Fault { reason, .. }) | Self::Definition(reason) => {
                StoreError::Definition(format!("{what}: {reason}"))
            }
            Self::Unavailable(error) => StoreError::Unavailable { what: what.to_owned(), source: error.into() },
        }
    }
}

/// A parameter of a statement about positions.
#[derive(Debug, Clone, Copy)]
pub(super) enum Argument<'a> {
    Text(&'a str),
    Integer(i64),
}

/// Parameters in the form in which a database takes them.
pub(super) fn bound<'a, A: Arguments>(arguments: &[Argument<'a>]) -> Result<A, Failure>
where
    &'a str: Encode<'a, A::Database> + Type<A::Database>,
    i64: Encode<'a, A::Database> + Type<A::Database>,
{
    let mut bound = A::default();
    for argument in arguments {
        match *argument {
            Argument::Text(text) => bound.add(text),
            Argument::Integer(integer) => bound.add(integer),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(bound)
}

/// What a write does with its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Adds or replaces rows, as the sink's mode says.
    Put,
    /// Deletes the rows with these keys; the batch has the key columns only.
    Delete,
}

/// A connection. Statements are prepared once and kept.
#[async_trait]
pub(super) trait Session: Send {
    fn dialect(&self) -> &'static dyn Dialect;

    async fn begin(&mut self) -> Result<(), Failure>;

    /// Makes everything since `begin` durable. `Rows` if a constraint that waits for the commit is broken:
    /// then nothing has happened, and the session must be rolled back.
    async fn commit(&mut self) -> Result<(), Failure>;

    async fn roll_back(&mut self) -> Result<(), Failure>;

    /// Runs statements without parameters.
    async fn run(&mut self, sql: &str) -> Result<(), Failure>;

    /// Runs a statement with parameters `$1`, `$2`, … and names in double quotes: the rows that it changed.
    async fn change(&mut self, sql: &str, arguments: &[Argument<'_>]) -> Result<u64, Failure>;

    /// Runs such a query: its first row, whose columns are integers.
    async fn integers(&mut self, sql: &str, arguments: &[Argument<'_>]) -> Result<Option<Vec<Option<i64>>>, Failure>;

    /// The table as the database has it.
    async fn find_table(&mut self, table: &str) -> Result<Option<FoundTable>, Failure>;

    /// Writes rows; none of them if it fails, once the caller has rolled back to its savepoint.
    async fn write(&mut self, target: &Target, operation: Operation, rows: &RecordBatch) -> Result<(), Failure>;
}

//! One connection to a database, as the rest of the SQL store sees it.

use arrow_array::RecordBatch;
use async_trait::async_trait;
use sqlx::{Arguments, Encode, Type};

use super::dialect::Dialect;
use super::table::{FoundTable, Target};
pub(super) use crate::store::{Failure, Fault, Operation};

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
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

    /// Runs such a query: its rows, whose columns are text.
    async fn texts(&mut self, sql: &str, arguments: &[Argument<'_>]) -> Result<Vec<Vec<Option<String>>>, Failure>;

    /// The table as the database has it.
    async fn find_table(&mut self, table: &str) -> Result<Option<FoundTable>, Failure>;

    /// Whether the table has an index of the words of the target's columns.
    async fn has_fulltext(&mut self, target: &Target) -> Result<bool, Failure>;

    /// Writes rows; none of them if it fails, once the caller has rolled back to its savepoint.
    async fn write(&mut self, target: &Target, operation: Operation, rows: &RecordBatch) -> Result<(), Failure>;
}

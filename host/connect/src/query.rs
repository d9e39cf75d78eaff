//! Answers to the queries that pipelines declare. What a database is like is behind [`Answers`]: another kind of store is
//! another implementation.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azenha_engine::store::StoreError;
use azenha_model::connection::StoreKind;
use azenha_model::query::{Query, Value};

use crate::{elasticsearch, sql};

/// A database that answers queries, over connections of its own: however many ask, no sink has to wait for one.
#[async_trait]
pub trait Answers: Send + Sync + std::fmt::Debug {
    /// Answers a query.
    ///
    /// # Errors
    /// Why there is no answer.
    async fn answer(&self, query: &Query, question: Question<'_>) -> Result<Answer, QueryError>;

    /// Ends the connections, once nothing more will be asked.
    async fn close(&self);
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// A value for each parameter of the query.
    pub arguments: &'a [Value],
    /// The values that the last row of the page before has in the columns that the query sorts by.
    pub after: Option<&'a [Value]>,
    /// How many rows at most.
    pub rows: u32,
}

/// A page of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// A value for each column of the query.
    pub rows: Vec<Vec<Value>>,
    /// Whether more rows follow.
    pub more: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The database cannot work with these arguments, for instance a broken pattern.
    #[error("the database cannot work with these values")]
    Values,
    /// The rows are too large together.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// The database did not find the answer in time.
    #[error("the answer took longer than {0:?}")]
    TooLong(Duration),
    /// All connections answer others.
    #[error("no connection to `{0}` became free")]
    Busy(String),
    /// The statement does not fit the database.
    #[error("query `{query}` does not fit what is in `{connection}`: {reason}")]
    Definition {
        /// The query.
        query: String,
        /// The connection.
        connection: String,
        /// What the database says.
        reason: String,
    },
    /// The database cannot be reached or failed.
    #[error("`{connection}` did not answer: {source}")]
    Unavailable {
        /// The connection.
        connection: String,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The database of a connection, by the scheme of its URL; `name` is what messages call it. Nothing is connected yet.
/// Must be called on the tokio runtime that answers.
///
/// # Errors
/// `Definition` for a URL that cannot be read, or whose database answers no queries.
pub fn open_answers(name: &str, url: &str) -> Result<Arc<dyn Answers>, StoreError> {
    match StoreKind::of(url) {
        Some(StoreKind::Sqlite) => sql::query::sqlite(name, url),
        Some(StoreKind::Postgres) => sql::query::postgres(name, url),
        Some(StoreKind::MySql) => sql::query::mysql(name, url),
        Some(StoreKind::Elasticsearch) => elasticsearch::query::answers(name, url),
        _ => Err(StoreError::Definition(format!(
            "connection `{name}` answers no queries: only SQL databases and search engines do"
        ))),
    }
}

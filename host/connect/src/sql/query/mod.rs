//! Queries, answered by SQL databases: each in a transaction that cannot write, for a limited time.

mod client;
mod mysql;
mod postgres;
mod sqlite;
mod statement;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azenha_engine::store::StoreError;
use azenha_model::query::Query;
use sqlx::pool::PoolOptions;
use sqlx::{AssertSqlSafe, MySql, Pool, Postgres, Sqlite};
use tokio::time::timeout;

use self::client::{Client, Stopped};
use self::statement::Statement;
use super::{mysql as mysql_store, postgres as postgres_store, sqlite as sqlite_store, unreadable};
use crate::query::{Answer, Answers, QueryError, Question};
use crate::store::Failure;

/// Connections to one database that answer a pipeline's queries.
const CONNECTIONS: u32 = 4;

/// How long a question waits until one of them is free.
const WAITING: Duration = Duration::from_secs(2);

/// What the database's own limit may be late by.
const GRACE: Duration = Duration::from_millis(500);

/// Connections that nobody needs end after so long.
const IDLE: Duration = Duration::from_secs(60);

fn pool<D: Client>(options: PoolOptions<D>) -> PoolOptions<D> {
    options.max_connections(CONNECTIONS).acquire_timeout(WAITING).idle_timeout(IDLE)
}

pub(crate) fn sqlite(name: &str, url: &str) -> Result<Arc<dyn Answers>, StoreError> {
    let options = sqlite_store::options(url).map_err(|error| unreadable(name, &error))?;
    let pool = pool::<Sqlite>(PoolOptions::new()).connect_lazy_with(sqlite::reading(options));
    Ok(Arc::new(SqlAnswers { name: name.to_owned(), pool }))
}

pub(crate) fn postgres(name: &str, url: &str) -> Result<Arc<dyn Answers>, StoreError> {
    let options = postgres_store::options(url).map_err(|error| unreadable(name, &error))?;
    let pool = postgres::prepared(pool(PoolOptions::new())).connect_lazy_with(options);
    Ok(Arc::new(SqlAnswers::<Postgres> { name: name.to_owned(), pool }))
}

pub(crate) fn mysql(name: &str, url: &str) -> Result<Arc<dyn Answers>, StoreError> {
    let options = mysql_store::options(url).map_err(|error| unreadable(name, &error))?;
    let pool = mysql::prepared(pool(PoolOptions::new())).connect_lazy_with(options);
    Ok(Arc::new(SqlAnswers::<MySql> { name: name.to_owned(), pool }))
}

/// A SQL database.
struct SqlAnswers<D: Client> {
    name: String,
    pool: Pool<D>,
}

/// Without the pool, whose options hold the password.
impl<D: Client> fmt::Debug for SqlAnswers<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SqlAnswers").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl<D: Client> Answers for SqlAnswers<D> {
    async fn answer(&self, query: &Query, question: Question<'_>) -> Result<Answer, QueryError> {
        let statement = Statement::new(&D::LANGUAGE, query, question);
        let begin = D::begin(query.time_limit);
        let transaction = self.pool.begin_with(AssertSqlSafe(begin)).await;
        let mut transaction = transaction.map_err(|error| self.failed(query, Stopped::Sql(error)))?;
        let work = D::rows(&mut transaction, statement, query);
        let rows = timeout(query.time_limit + GRACE, work).await.map_err(|_| QueryError::TooLong(query.time_limit))?;
        let mut rows = rows.map_err(|stopped| self.failed(query, stopped))?;
        // A connection on which this fails is not used again, and the rows are read.
        let _ = transaction.rollback().await;
        let more = rows.len() > question.rows as usize;
        rows.truncate(question.rows as usize);
        Ok(Answer { rows, more })
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

impl<D: Client> SqlAnswers<D> {
    fn failed(&self, query: &Query, stopped: Stopped) -> QueryError {
        let connection = self.name.clone();
        let error = match stopped {
            Stopped::TooLarge(most) => return QueryError::TooLarge(most),
            Stopped::Unreadable(reason) => {
                return QueryError::Definition { query: query.name.clone(), connection, reason };
            }
            Stopped::Sql(sqlx::Error::PoolTimedOut) => return QueryError::Busy(connection),
            Stopped::Sql(error) if D::took_too_long(&error) => return QueryError::TooLong(query.time_limit),
            Stopped::Sql(error) => error,
        };
        match D::failure(error) {
            Failure::Rows(_) => QueryError::Values,
            Failure::Definition(reason) => QueryError::Definition { query: query.name.clone(), connection, reason },
            Failure::Unavailable(source) => QueryError::Unavailable { connection, source },
        }
    }
}

//! Queries, answered by SQL databases: each in a transaction that cannot write, for a limited time.

mod client;
mod mysql;
mod postgres;
mod sqlite;
mod statement;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use azenha_engine::store::StoreError;
use azenha_model::query::Query;
use sqlx::pool::PoolOptions;
use sqlx::{AssertSqlSafe, Connection, MySql, Pool, Postgres, Sqlite};
use tokio::sync::Mutex;
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

/// How long the database may take to let somebody in who wants nothing else, and how long that it did not counts.
const TRYING: Duration = Duration::from_secs(1);

/// Connections that nobody needs end after so long.
const IDLE: Duration = Duration::from_secs(60);

fn pool<D: Client>(options: PoolOptions<D>) -> PoolOptions<D> {
    options.max_connections(CONNECTIONS).acquire_timeout(WAITING).idle_timeout(IDLE)
}

pub(crate) fn sqlite(name: &str, url: &str) -> Result<Arc<dyn Answers>, StoreError> {
    let options = sqlite_store::options(url).map_err(|error| unreadable(name, &error))?;
    let pool = pool::<Sqlite>(PoolOptions::new()).connect_lazy_with(sqlite::reading(options));
    Ok(Arc::new(SqlAnswers::new(name, pool)))
}

pub(crate) fn postgres(name: &str, url: &str) -> Result<Arc<dyn Answers>, StoreError> {
    let options = postgres_store::options(url).map_err(|error| unreadable(name, &error))?;
    let pool = postgres::prepared(pool(PoolOptions::new())).connect_lazy_with(options);
    Ok(Arc::new(SqlAnswers::<Postgres>::new(name, pool)))
}

pub(crate) fn mysql(name: &str, url: &str) -> Result<Arc<dyn Answers>, StoreError> {
    let options = mysql_store::options(url).map_err(|error| unreadable(name, &error))?;
    let pool = mysql::prepared(pool(PoolOptions::new())).connect_lazy_with(options);
    Ok(Arc::new(SqlAnswers::<MySql>::new(name, pool)))
}

/// A SQL database.
struct SqlAnswers<D: Client> {
    name: String,
    pool: Pool<D>,
    /// When the database was last tried after nobody got a connection, and why it let nobody in, if it did not.
    tried: Mutex<Option<(Instant, Option<Arc<str>>)>>,
}

impl<D: Client> SqlAnswers<D> {
    fn new(name: &str, pool: Pool<D>) -> Self {
        Self { name: name.to_owned(), pool, tried: Mutex::default() }
    }
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
        let mut transaction = match self.pool.begin_with(AssertSqlSafe(begin)).await {
            Ok(transaction) => transaction,
            Err(sqlx::Error::PoolTimedOut) => return Err(self.without_connection().await),
            Err(error) => return Err(self.failed(query, Stopped::Sql(error))),
        };
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
    /// Why no connection was to be had. The pool takes a database that refuses them for one that starts, waits, and says only
    /// that the time is over; so the database is tried once more. However many wait, that is once in a while.
    async fn without_connection(&self) -> QueryError {
        let mut tried = self.tried.lock().await;
        let refused = match &*tried {
            Some((when, refused)) if when.elapsed() < TRYING => refused.clone(),
            _ => {
                let refused = self.refusal().await;
                *tried = Some((Instant::now(), refused.clone()));
                refused
            }
        };
        let connection = self.name.clone();
        match refused {
            None => QueryError::Busy(connection),
            Some(reason) => QueryError::Unavailable { connection, source: (&*reason).into() },
        }
    }

    /// Why the database lets nobody in; none if it does.
    async fn refusal(&self) -> Option<Arc<str>> {
        let options = self.pool.connect_options();
        match timeout(TRYING, D::Connection::connect_with(&options)).await {
            // However it ends, it is not needed any more.
            Ok(Ok(connection)) => drop(connection.close().await),
            Ok(Err(error)) => return Some(error.to_string().into()),
            Err(_) => return Some(format!("no connection was made within {TRYING:?}").into()),
        }
        None
    }

    fn failed(&self, query: &Query, stopped: Stopped) -> QueryError {
        let connection = self.name.clone();
        let error = match stopped {
            Stopped::TooLarge(most) => return QueryError::TooLarge(most),
            Stopped::Unreadable(reason) => {
                return QueryError::Definition { query: query.name.clone(), connection, reason };
            }
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

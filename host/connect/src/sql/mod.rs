//! Tables of SQL databases as stores. The next offset of each lane stands in the same database as its rows
//! and is committed with them; an epoch beside it fences earlier owners.
//!
//! All I/O runs on the runtime where the store was opened: lanes commit from threads whose runtimes need
//! neither timers nor I/O.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azenha_engine::store::{Store, StoreError, StoreLane, StoreLaneId, StoreRows};
use azenha_model::Offset;
use azenha_model::plan::StoreOutput;
use tokio::runtime::Handle;

use self::commit::{Outcome, Step};
use self::mysql::MySqlConnector;
use self::positions::Taken;
use self::postgres::PostgresConnector;
use self::session::{Failure, Session};
use self::sqlite::SqliteConnector;
use self::table::Target;

mod cells;
mod changes;
mod commit;
mod dialect;
mod mysql;
mod positions;
mod postgres;
mod session;
mod sqlite;
mod table;
mod wire;

/// After this long without an answer a database counts as unavailable.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a server may take to answer at first.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A store of a SQLite file: `sqlite://FILE`, made if it is missing.
pub(crate) fn sqlite(name: &str, url: &str) -> Result<Arc<dyn Store>, StoreError> {
    if sqlite::is_in_memory(url) {
        return Err(StoreError::Definition(format!(
            "connection `{name}` is a SQLite database in memory, where rows and positions end with the host;              name a file: sqlite://FILE"
        )));
    }
    let connector = SqliteConnector::new(url).map_err(|error| unreadable(name, &error))?;
    Ok(Arc::new(SqlStore::new(name, Arc::new(connector))))
}

/// A store of a PostgreSQL database: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
pub(crate) fn postgres(name: &str, url: &str) -> Result<Arc<dyn Store>, StoreError> {
    let connector = PostgresConnector::new(url).map_err(|error| unreadable(name, &error))?;
    Ok(Arc::new(SqlStore::new(name, Arc::new(connector))))
}

/// A store of a MariaDB or MySQL database: `mysql://USER:PASSWORD@HOST:PORT/DATABASE`.
pub(crate) fn mysql(name: &str, url: &str) -> Result<Arc<dyn Store>, StoreError> {
    let connector = MySqlConnector::new(url).map_err(|error| unreadable(name, &error))?;
    Ok(Arc::new(SqlStore::new(name, Arc::new(connector))))
}

/// Names the connection but not its URL, which may hold a password.
fn unreadable(name: &str, error: &sqlx::Error) -> StoreError {
    StoreError::Definition(format!("the URL of connection `{name}` cannot be read: {error}"))
}

/// Opens connections to one database.
#[async_trait]
trait Connector: Send + Sync + std::fmt::Debug {
    async fn connect(&self) -> Result<Box<dyn Session>, Failure>;
}

/// Gives up a connection that is not made in time.
async fn in_time<T>(connecting: impl Future<Output = T>) -> Result<T, Failure> {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
    Ok(connected.map_err(std::io::Error::from).map_err(sqlx::Error::Io)?)
}

#[derive(Debug)]
struct SqlStore {
    name: String,
    connector: Arc<dyn Connector>,
    worker: Worker,
}

impl SqlStore {
    fn new(name: &str, connector: Arc<dyn Connector>) -> Self {
        let worker = Worker { runtime: Handle::current(), timeout: TIMEOUT };
        Self { name: name.to_owned(), connector, worker }
    }
}

/// Runs database work on the store's runtime, for a limited time.
#[derive(Debug, Clone)]
struct Worker {
    runtime: Handle,
    timeout: Duration,
}

impl Worker {
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        let timeout = self.timeout;
        match self.runtime.spawn(async move { tokio::time::timeout(timeout, work).await }).await {
            Ok(Ok(done)) => done,
            Ok(Err(elapsed)) => Err(sqlx::Error::Io(elapsed.into()).into()),
            Err(stopped) => Err(sqlx::Error::Io(stopped.into()).into()),
        }
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn prepare(&self, output: &StoreOutput) -> Result<(), StoreError> {
        let (connector, target) = (Arc::clone(&self.connector), Target::new(output));
        let work = async move {
            let mut session = connector.connect().await?;
            match prepare(&mut *session, &target).await {
                // Another program may have made a table of this name at the same time: then it is found now.
                Err(Failure::Rows(_) | Failure::Definition(_)) => {
                    session.roll_back().await?;
                    prepare(&mut *session, &target).await
                }
                prepared => prepared,
            }
        };
        let what = format!("preparing table `{}` of `{}` for sink `{}`", output.table, self.name, output.sink);
        self.worker.run(work).await.map_err(|failure| failure.into_error(&what))
    }

    async fn open(&self, output: &StoreOutput, lane: &StoreLaneId) -> Result<Box<dyn StoreLane>, StoreError> {
        let (connector, id) = (Arc::clone(&self.connector), lane.clone());
        let work = async move {
            let mut session = connector.connect().await?;
            session.begin().await?;
            let taken = positions::take(&mut *session, &id).await?;
            // Without a commit the rightful owner keeps the lane.
            if taken.is_none_or(|taken| taken.same_topic) {
                session.commit().await?;
            }
            Ok((session, taken))
        };
        let what = format!("taking partition {} of sink `{}` in `{}`", lane.partition, lane.sink, self.name);
        let (session, taken) = self.worker.run(work).await.map_err(|failure| failure.into_error(&what))?;
        let taken = taken.ok_or_else(|| fenced(lane))?;
        if !taken.same_topic {
            return Err(another_topic(lane, taken.next_offset));
        }
        Ok(Box::new(SqlLane {
            what: format!("writing to table `{}` of `{}`", output.table, self.name),
            worker: self.worker.clone(),
            session: Some(session),
            target: Arc::new(Target::new(output)),
            lane: Arc::new(lane.clone()),
            taken,
        }))
    }

    async fn position(&self, lane: &StoreLaneId) -> Result<Option<Offset>, StoreError> {
        let (connector, id) = (Arc::clone(&self.connector), lane.clone());
        let work = async move { positions::find(&mut *connector.connect().await?, &id).await };
        let what = format!("looking at partition {} of sink `{}` in `{}`", lane.partition, lane.sink, self.name);
        let found = self.worker.run(work).await.map_err(|failure| failure.into_error(&what))?;
        match found {
            Some(found) if !found.same_topic => Err(another_topic(lane, found.next_offset)),
            found => Ok(found.and_then(|found| found.next_offset).map(|offset| offset as Offset)),
        }
    }

    async fn set_position(&self, lane: &StoreLaneId, position: Offset) -> Result<(), StoreError> {
        let (connector, id) = (Arc::clone(&self.connector), lane.clone());
        let work = async move { positions::set(&mut *connector.connect().await?, &id, position).await };
        let what = format!("moving partition {} of sink `{}` in `{}`", lane.partition, lane.sink, self.name);
        let is_set = self.worker.run(work).await.map_err(|failure| failure.into_error(&what))?;
        if is_set { Ok(()) } else { Err(fenced(lane)) }
    }
}

/// Makes the tables that are missing, in one transaction.
async fn prepare(session: &mut dyn Session, target: &Target) -> Result<(), Failure> {
    session.begin().await?;
    if let Some(lock) = session.dialect().definition_lock() {
        session.run(lock).await?;
    }
    positions::prepare(session).await?;
    table::prepare(session, target).await?;
    session.commit().await
}

fn fenced(lane: &StoreLaneId) -> StoreError {
    StoreError::Fenced { sink: lane.sink.clone(), partition: lane.partition }
}

fn another_topic(lane: &StoreLaneId, position: Option<i64>) -> StoreError {
    let StoreLaneId { sink, topic, partition, .. } = lane;
    StoreError::Definition(format!(
        "sink `{sink}` stands at offset {} in partition {partition} of another topic that was called `{topic}`: the log was \
         made anew, or two logs write to one table; bring that log back, or give the sink another name, with which it \
         starts over",
        position.unwrap_or(0)
    ))
}

struct SqlLane {
    /// For messages.
    what: String,
    worker: Worker,
    /// None after a failure that leaves open what happened: then the lane must be opened again.
    session: Option<Box<dyn Session>>,
    target: Arc<Target>,
    lane: Arc<StoreLaneId>,
    taken: Taken,
}

#[async_trait]
impl StoreLane for SqlLane {
    fn position(&self) -> Option<Offset> {
        self.taken.next_offset.map(|offset| offset as Offset)
    }

    async fn commit(&mut self, rows: &[StoreRows], next: Offset) -> Result<(), StoreError> {
        let unavailable = |source: String| StoreError::Unavailable { what: self.what.clone(), source: source.into() };
        if let Some(problem) = misplaced(rows, self.position(), next) {
            return Err(unavailable(problem));
        }
        let Some(mut session) = self.session.take() else {
            return Err(unavailable("the connection was lost; the lane must be opened again".to_owned()));
        };
        let (target, lane, taken, rows) = (Arc::clone(&self.target), Arc::clone(&self.lane), self.taken, rows.to_vec());
        let work = async move {
            let step = Step { lane: &lane, taken, next };
            let outcome = commit::commit(&mut *session, &target, step, &rows).await?;
            Ok((session, outcome))
        };
        let ended = self.worker.run(work).await;
        let (session, outcome) = ended.map_err(|failure| failure.into_error(&self.what))?;
        self.session = Some(session);
        match outcome {
            Outcome::Committed => {
                self.taken.next_offset = Some(next as i64);
                Ok(())
            }
            Outcome::Fenced => Err(fenced(&self.lane)),
            Outcome::Refused(rows) => Err(StoreError::Refused(rows)),
        }
    }
}

/// Why these rows cannot follow the position: the caller and the store disagree about what was written.
fn misplaced(rows: &[StoreRows], position: Option<Offset>, next: Offset) -> Option<String> {
    let from = position.unwrap_or(0);
    let mut offsets = rows.iter().flat_map(|rows| &rows.offsets);
    if next < from {
        return Some(format!("the position cannot go back from {from} to {next}"));
    }
    let outside = offsets.find(|offset| !(from..next).contains(offset))?;
    Some(format!("a row of offset {outside} was offered, but the commit covers {from}..{next}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use azenha_model::plan::WriteMode;

    use super::*;

    #[tokio::test]
    async fn a_server_that_never_answers_is_unavailable_when_the_time_is_over() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://somebody@{}/nothing", silent.local_addr().unwrap());
        let mut store = SqlStore::new("warehouse", Arc::new(PostgresConnector::new(&url).unwrap()));
        store.worker.timeout = Duration::from_millis(50);
        let output = StoreOutput {
            sink: "sink".to_owned(),
            connection: "warehouse".to_owned(),
            table: "table".to_owned(),
            columns: Vec::new(),
            key: Vec::new(),
            mode: WriteMode::Append,
        };
        let error = store.prepare(&output).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    }
}

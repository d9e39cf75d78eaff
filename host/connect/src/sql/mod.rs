//! Tables of SQL databases as stores.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azenha_engine::store::{Store, StoreError, StoreLaneId, StoreRows};
use azenha_model::Offset;
use azenha_model::connection::StoreKind;
use azenha_model::plan::{self, StoreOutput};

use self::documents::JsonDocuments;
use self::mysql::MySqlConnector;
use self::postgres::PostgresConnector;
use self::session::{Failure, Session};
use self::sqlite::SqliteConnector;
use self::table::Target;
use crate::store::changes::{Change, Checked};
use crate::store::{Backend, Outcome, PositionedStore, Step, Taken, changes};

mod commit;
mod dialect;
mod documents;
mod mysql;
mod positions;
mod postgres;
pub(crate) mod query;
mod session;
mod sqlite;
mod table;
pub mod warehouse;
mod wire;

/// How long a server may take to answer at first.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A store of a SQLite file: `sqlite://FILE`, made if it is missing.
pub(crate) fn sqlite(name: &str, url: &str) -> Result<Arc<dyn Store>, StoreError> {
    if sqlite::is_in_memory(url) {
        return Err(StoreError::Definition(format!(
            "connection `{name}` is a SQLite database in memory, where rows and positions end with the host; \
             name a file: sqlite://FILE"
        )));
    }
    let connector = SqliteConnector::new(url).map_err(|error| unreadable(name, &error))?;
    Ok(Arc::new(PositionedStore::new(name, SqlBackend(connector))))
}

/// A store of a PostgreSQL database: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
pub(crate) fn postgres(name: &str, url: &str) -> Result<Arc<dyn Store>, StoreError> {
    let connector = PostgresConnector::new(url).map_err(|error| unreadable(name, &error))?;
    Ok(Arc::new(PositionedStore::new(name, SqlBackend(connector))))
}

/// A store of a MariaDB or MySQL database: `mysql://USER:PASSWORD@HOST:PORT/DATABASE`.
pub(crate) fn mysql(name: &str, url: &str) -> Result<Arc<dyn Store>, StoreError> {
    let connector = MySqlConnector::new(url).map_err(|error| unreadable(name, &error))?;
    Ok(Arc::new(PositionedStore::new(name, SqlBackend(connector))))
}

/// Opens connections to the database of a URL.
fn connector(name: &str, url: &str) -> Result<Arc<dyn Connector>, StoreError> {
    let unreadable = |error: sqlx::Error| unreadable(name, &error);
    Ok(match StoreKind::of(url) {
        Some(StoreKind::Sqlite) => Arc::new(SqliteConnector::new(url).map_err(unreadable)?),
        Some(StoreKind::Postgres) => Arc::new(PostgresConnector::new(url).map_err(unreadable)?),
        Some(StoreKind::MySql) => Arc::new(MySqlConnector::new(url).map_err(unreadable)?),
        _ => return Err(StoreError::Definition(format!("connection `{name}` is no SQL database"))),
    })
}

/// Names the connection but not its URL, which may hold a password.
fn unreadable(name: &str, error: &sqlx::Error) -> StoreError {
    StoreError::Definition(format!("the URL of connection `{name}` cannot be read: {error}"))
}

/// Opens connections to one database.
#[async_trait]
trait Connector: Send + Sync + std::fmt::Debug + 'static {
    async fn connect(&self) -> Result<Box<dyn Session>, Failure>;

    /// Whether its tables stand in for collections and for indexes of search engines, too.
    fn stands_in(&self) -> bool;
}

/// Gives up a connection that is not made in time.
async fn in_time<T>(connecting: impl Future<Output = T>) -> Result<T, Failure> {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
    Ok(connected.map_err(std::io::Error::from).map_err(sqlx::Error::Io)?)
}

/// What a sink writes: a table, and how documents become its rows if it stands in for a collection.
#[derive(Debug)]
struct Sink {
    table: Target,
    documents: Option<JsonDocuments>,
}

impl Sink {
    /// `stands_in`: whether tables stand in for collections and indexes, too.
    fn of(output: &StoreOutput, stands_in: bool) -> Result<Self, Failure> {
        match &output.target {
            plan::Target::Table { .. } => Ok(Self { table: Target::new(output), documents: None }),
            plan::Target::Index { .. } if stands_in => Ok(Self { table: Target::new(output), documents: None }),
            plan::Target::Collection { indexes } if stands_in => {
                let documents = JsonDocuments::new(output, indexes)?;
                Ok(Self { table: JsonDocuments::table(&output.name), documents: Some(documents) })
            }
            plan::Target::Collection { .. } => {
                Err(Failure::Definition("a database of tables has no collections: write `table: …`".to_owned()))
            }
            plan::Target::Index { .. } => {
                Err(Failure::Definition("a database of tables is no search engine: write `table: …`".to_owned()))
            }
        }
    }

    /// The changes of a commit, or the rows that no such table takes.
    fn changes(&self, lane: &StoreLaneId, rows: &[StoreRows]) -> Result<Checked<Vec<Change>>, Failure> {
        match &self.documents {
            Some(documents) => documents.changes(lane, rows),
            None => changes::changes(self.table.shape(), rows),
        }
    }
}

/// A database and how to reach it.
#[derive(Debug)]
struct SqlBackend<C>(C);

#[async_trait]
impl<C: Connector> Backend for SqlBackend<C> {
    type Session = Box<dyn Session>;
    type Target = Sink;

    fn target(&self, output: &StoreOutput) -> Result<Sink, Failure> {
        Sink::of(output, self.0.stands_in())
    }

    async fn connect(&self) -> Result<Box<dyn Session>, Failure> {
        self.0.connect().await
    }

    async fn prepare(&self, session: &mut Box<dyn Session>, sink: &Sink) -> Result<(), Failure> {
        match prepare(&mut **session, sink).await {
            // Another program may have made a table of this name at the same time: then it is found now.
            Err(Failure::Rows(_) | Failure::Definition(_)) => {
                session.roll_back().await?;
                prepare(&mut **session, sink).await
            }
            prepared => prepared,
        }
    }

    async fn take(&self, session: &mut Box<dyn Session>, lane: &StoreLaneId) -> Result<Option<Taken>, Failure> {
        session.begin().await?;
        let taken = positions::take(&mut **session, lane).await?;
        // Without a commit the rightful owner keeps the lane.
        if taken.is_none_or(|taken| taken.same_topic) {
            session.commit().await?;
        }
        Ok(taken)
    }

    async fn find(&self, session: &mut Box<dyn Session>, lane: &StoreLaneId) -> Result<Option<Taken>, Failure> {
        positions::find(&mut **session, lane).await
    }

    async fn set(&self, session: &mut Box<dyn Session>, lane: &StoreLaneId, next: Offset) -> Result<bool, Failure> {
        positions::set(&mut **session, lane, next).await
    }

    async fn commit(
        &self,
        session: &mut Box<dyn Session>,
        sink: &Sink,
        step: Step<'_>,
        rows: &[StoreRows],
    ) -> Result<Outcome, Failure> {
        match sink.changes(step.lane, rows)? {
            Ok(changes) => commit::commit(&mut **session, &sink.table, step, &changes).await,
            Err(refused) => Ok(Outcome::refused(refused)),
        }
    }

    /// Sessions have a connection each, and share nothing.
    async fn close(&self) {}
}

/// The row that a database is not even asked to hold, whatever stands in it.
pub(crate) fn refused_unasked(
    kind: StoreKind,
    output: &StoreOutput,
    lane: &StoreLaneId,
    rows: &[StoreRows],
) -> Result<Checked<()>, Failure> {
    let sink = Sink::of(output, kind == StoreKind::Sqlite)?;
    let changes = match sink.changes(lane, rows)? {
        Ok(changes) => changes,
        Err(refused) => return Ok(Err(refused)),
    };
    for change in &changes {
        for row in 0..change.rows.num_rows() {
            let cells = sink.table.cells(change.operation, &change.rows)?;
            let checked = match kind {
                StoreKind::Postgres => wire::copied(&cells, change.rows.num_rows()).map(drop),
                StoreKind::MySql => mysql::check(cells, row),
                _ => sqlite::check(&cells, row),
            };
            match checked {
                Ok(()) => {}
                Err(Failure::Rows(fault)) => return Ok(Err(vec![change.refused(row, fault.reason)])),
                Err(other) => return Err(other),
            }
        }
    }
    Ok(Ok(()))
}

/// What the database of a URL says of rows: nothing of them stays there.
pub(crate) async fn rehearse(
    url: &str,
    output: &StoreOutput,
    lane: &StoreLaneId,
    rows: &[StoreRows],
) -> Result<Option<String>, StoreError> {
    let what = format!("trying a row in `{}`", output.name);
    let connector = connector(&output.connection, url)?;
    let rehearsal = async {
        let sink = Sink::of(output, connector.stands_in())?;
        match sink.changes(lane, rows)? {
            Ok(changes) => commit::rehearse(&mut *connector.connect().await?, &sink.table, &changes).await,
            Err(refused) => Ok(refused.into_iter().next().map(|row| row.reason)),
        }
    };
    rehearsal.await.map_err(|failure: Failure| failure.into_error(&what))
}

/// Makes the tables that are missing, in one transaction.
async fn prepare(session: &mut dyn Session, sink: &Sink) -> Result<(), Failure> {
    session.begin().await?;
    if let Some(lock) = session.dialect().definition_lock() {
        session.run(lock).await?;
    }
    positions::prepare(session).await?;
    table::prepare(session, &sink.table).await?;
    let indexes = sink.documents.as_ref().map(|documents| documents.index_statements(&sink.table.table));
    for statement in indexes.unwrap_or_default() {
        session.run(&statement).await?;
    }
    session.commit().await
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
        let mut store = PositionedStore::new("warehouse", SqlBackend(PostgresConnector::new(&url).unwrap()));
        store.worker.timeout = Duration::from_millis(50);
        let output = StoreOutput {
            sink: "sink".to_owned(),
            connection: "warehouse".to_owned(),
            name: "table".to_owned(),
            target: plan::Target::Table { fulltext: Vec::new() },
            columns: Vec::new(),
            key: Vec::new(),
            mode: WriteMode::Append,
        };
        let error = store.prepare(&output).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    }
}

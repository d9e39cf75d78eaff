//! Collections of MongoDB as stores.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azenha_engine::store::{Store, StoreError, StoreLaneId, StoreRows};
use azenha_model::Offset;
use azenha_model::plan::{StoreOutput, Target};
use mongodb::bson::{Document, doc};
use mongodb::options::{
    Acknowledgment, ClientOptions, ConnectionString, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};
use mongodb::{Client, ClientSession, Database};
use tokio::sync::OnceCell;

pub(crate) use self::commit::refused_unasked;
use self::failure::{failure, is_code};
use crate::documents::Documents;
use crate::store::{Backend, Failure, Outcome, PositionedStore, Step, Taken};

mod command;
mod commit;
mod failure;
mod positions;

/// How long a server may take to be found.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// The server's code for a collection that is there already.
const NAMESPACE_EXISTS: i32 = 48;

/// A store of a MongoDB database: `mongodb://USER:PASSWORD@HOST/DATABASE`, or `mongodb+srv://…`.
pub(crate) fn mongodb(name: &str, url: &str) -> Result<Arc<dyn Store>, StoreError> {
    let unreadable = |problem: &str| StoreError::Definition(format!("the URL of connection `{name}` {problem}"));
    let url = ConnectionString::parse(url).map_err(|error| match url.contains('@') {
        // The driver may repeat a part of the URL, which may be one of the password.
        true => unreadable("cannot be read; in names and passwords, write `%40` for `@`, `%3A` for `:`, `%2F` for `/`"),
        false => unreadable(&format!("cannot be read: {}", error.kind)),
    })?;
    let database = url.default_database.clone();
    let database = database.ok_or_else(|| unreadable("names no database: mongodb://HOST/DATABASE"))?;
    Ok(Arc::new(PositionedStore::new(name, MongoBackend { url, database, client: OnceCell::new() })))
}

struct MongoBackend {
    url: ConnectionString,
    database: String,
    /// Made when it is first needed: to look a name up takes the network.
    client: OnceCell<Client>,
}

/// Without the URL, which may hold a password.
impl fmt::Debug for MongoBackend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MongoBackend").finish_non_exhaustive()
    }
}

/// A session of a lane, for its transactions.
struct MongoSession {
    database: Database,
    session: ClientSession,
}

/// What a sink writes.
struct Collection {
    name: String,
    indexes: Vec<Vec<String>>,
    documents: Documents,
}

impl MongoBackend {
    async fn client(&self) -> Result<&Client, Failure> {
        let connect = async || {
            let mut options = ClientOptions::parse(self.url.clone()).await?;
            options.app_name.get_or_insert_with(|| "azenha".to_owned());
            options.server_selection_timeout.get_or_insert(SELECTION_TIMEOUT);
            // What is written must be durable, and what is read must be what was written last, whatever the URL says.
            options.write_concern = Some(WriteConcern::builder().w(Acknowledgment::Majority).build());
            options.read_concern = Some(ReadConcern::majority());
            options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
            Client::with_options(options)
        };
        self.client.get_or_try_init(connect).await.map_err(failure)
    }
}

#[async_trait]
impl Backend for MongoBackend {
    type Session = MongoSession;
    type Target = Collection;

    fn target(&self, output: &StoreOutput) -> Result<Collection, Failure> {
        let Target::Collection { indexes } = &output.target else {
            return Err(Failure::Definition("a MongoDB has no tables: write `collection: …`".to_owned()));
        };
        Ok(Collection { name: output.name.clone(), indexes: indexes.clone(), documents: Documents::new(output)? })
    }

    async fn connect(&self) -> Result<MongoSession, Failure> {
        let client = self.client().await?;
        let session = client.start_session().await.map_err(failure)?;
        Ok(MongoSession { database: client.database(&self.database), session })
    }

    async fn prepare(&self, session: &mut MongoSession, collection: &Collection) -> Result<(), Failure> {
        let database = &session.database;
        check_transactions(database).await?;
        for name in [positions::COLLECTION, &collection.name] {
            match database.create_collection(name).await {
                Err(error) if !is_code(&error, NAMESPACE_EXISTS) => return Err(failure(error)),
                _ => {}
            }
        }
        if collection.indexes.is_empty() {
            return Ok(());
        }
        let indexes: Vec<Document> = collection.indexes.iter().map(|fields| index(fields)).collect();
        let command = doc! { "createIndexes": &collection.name, "indexes": indexes };
        database.run_command(command).await.map(drop).map_err(failure)
    }

    async fn take(&self, session: &mut MongoSession, lane: &StoreLaneId) -> Result<Option<Taken>, Failure> {
        positions::take(session, lane).await
    }

    async fn find(&self, session: &mut MongoSession, lane: &StoreLaneId) -> Result<Option<Taken>, Failure> {
        positions::find(session, lane).await
    }

    async fn set(&self, session: &mut MongoSession, lane: &StoreLaneId, next: Offset) -> Result<bool, Failure> {
        positions::set(session, lane, next).await
    }

    async fn commit(
        &self,
        session: &mut MongoSession,
        collection: &Collection,
        step: Step<'_>,
        rows: &[StoreRows],
    ) -> Result<Outcome, Failure> {
        commit::commit(session, collection, step, rows).await
    }

    async fn close(&self) {
        // The driver would end its sessions when its last handle is dropped, perhaps with nothing left to run it.
        if let Some(client) = self.client.get() {
            client.clone().shutdown().immediate(true).await;
        }
    }
}

/// A server that stands alone takes every write, but no transaction.
async fn check_transactions(database: &Database) -> Result<(), Failure> {
    let hello = database.run_command(doc! { "hello": 1 }).await.map_err(failure)?;
    // Members of a replica set name it; routers of a sharded cluster say that they are.
    if hello.contains_key("setName") || hello.contains_key("msg") {
        return Ok(());
    }
    Err(Failure::Definition(
        "this MongoDB stands alone, and transactions need a replica set, if only of one member: start mongod with \
         `--replSet rs0`, and run `rs.initiate()` once"
            .to_owned(),
    ))
}

/// An ascending index, called as the shell would call it.
fn index(fields: &[String]) -> Document {
    let keys: Document = fields.iter().map(|field| (field.clone(), 1.into())).collect();
    let names: Vec<String> = fields.iter().map(|field| format!("{field}_1")).collect();
    doc! { "key": keys, "name": names.join("_") }
}

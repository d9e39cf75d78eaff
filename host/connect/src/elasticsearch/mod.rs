//! Indexes of Elasticsearch, and of OpenSearch, which has the same API, as stores.
//!
//! There are no transactions, so a commit is in two steps: the documents, then the position. Every document carries the
//! offset that it comes from as its version, and the engine takes none for which it has a later one. So whoever repeats
//! the first step changes nothing, and a host that lost its lane and does not know it yet cannot hide newer rows.

use std::sync::Arc;

use async_trait::async_trait;
use azenha_engine::failpoint;
use azenha_engine::store::{Store, StoreError, StoreLaneId, StoreRows};
use azenha_model::plan::{Language, StoreOutput, Target};
use azenha_model::{Field, Offset};

use self::documents::Actions;
use self::http::Api;
use crate::documents::Documents;
use crate::store::{Backend, Failure, Outcome, PositionedStore, Step, Taken};

mod bulk;
mod documents;
mod http;
mod mapping;
mod owner;
mod positions;
pub(crate) mod query;

/// A store of a search engine: `https://USER:PASSWORD@HOST:PORT`.
pub(crate) fn elasticsearch(name: &str, url: &str) -> Result<Arc<dyn Store>, StoreError> {
    let api = Arc::new(Api::new(name, url)?);
    Ok(Arc::new(PositionedStore::new(name, ElasticBackend { api })))
}

#[derive(Debug)]
struct ElasticBackend {
    api: Arc<Api>,
}

/// What a lane knows.
#[derive(Debug, Default)]
struct Session {
    /// The index is known to be the sink's own.
    owns_index: bool,
}

/// What a sink writes.
#[derive(Debug)]
struct Index {
    name: String,
    /// The columns that are written.
    columns: Vec<Field>,
    /// Those whose words can be searched for.
    search: Vec<String>,
    language: Option<Language>,
    documents: Documents,
}

impl Index {
    fn is_searched(&self, field: &Field) -> bool {
        self.search.contains(&field.name)
    }
}

#[async_trait]
impl Backend for ElasticBackend {
    type Session = Session;
    type Target = Index;

    fn target(&self, output: &StoreOutput) -> Result<Index, Failure> {
        let Target::Index { search, language } = &output.target else {
            return Err(Failure::Definition("a search engine has indexes only: write `index: …`".to_owned()));
        };
        Ok(Index {
            name: output.name.clone(),
            columns: output.columns.iter().map(|column| column.field.clone()).collect(),
            search: search.clone(),
            language: *language,
            documents: Documents::new(output)?,
        })
    }

    /// Connections are the client's, and each call may take another one.
    async fn connect(&self) -> Result<Session, Failure> {
        Ok(Session::default())
    }

    async fn prepare(&self, _session: &mut Session, index: &Index) -> Result<(), Failure> {
        positions::prepare(&self.api).await?;
        mapping::prepare(&self.api, index).await
    }

    async fn take(&self, _session: &mut Session, lane: &StoreLaneId) -> Result<Option<Taken>, Failure> {
        positions::take(&self.api, lane).await
    }

    async fn find(&self, _session: &mut Session, lane: &StoreLaneId) -> Result<Option<Taken>, Failure> {
        positions::find(&self.api, lane).await
    }

    async fn set(&self, _session: &mut Session, lane: &StoreLaneId, next: Offset) -> Result<bool, Failure> {
        positions::set(&self.api, lane, next).await
    }

    async fn commit(
        &self,
        session: &mut Session,
        index: &Index,
        step: Step<'_>,
        rows: &[StoreRows],
    ) -> Result<Outcome, Failure> {
        let actions = match Actions::encode(&index.documents, step.lane, rows)? {
            Ok(actions) => actions,
            Err(refused) => return Ok(Outcome::refused(refused)),
        };
        if !session.owns_index {
            owner::claim(&self.api, &index.name, step.lane).await?;
            session.owns_index = true;
        }
        let Some(held) = positions::hold(&self.api, step).await? else { return Ok(Outcome::Fenced) };
        failpoint::reach("elasticsearch.begun");
        let refused = bulk::write(&self.api, &index.name, &actions).await?;
        if !refused.is_empty() {
            return Ok(Outcome::refused(refused));
        }
        failpoint::reach("elasticsearch.documents_written");
        let is_moved = positions::advance(&self.api, step, &held).await?;
        failpoint::reach("elasticsearch.committed");
        Ok(if is_moved { Outcome::Committed } else { Outcome::Fenced })
    }

    /// Connections end with the client.
    async fn close(&self) {}
}

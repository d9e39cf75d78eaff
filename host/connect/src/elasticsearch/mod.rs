//! Indexes of Elasticsearch, and of OpenSearch, which has the same API, as stores.
//!
//! There are no transactions, so a commit is in two steps: the documents, then the position. Every document carries the
//! offset that it comes from as its version, and the engine takes none for which it has a later one. So whoever repeats
//! the first step changes nothing, and a host that lost its lane and does not know it yet cannot hide newer rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use azenha_engine::failpoint;
use azenha_engine::store::{Store, StoreError, StoreLaneId, StoreRows};
use azenha_model::plan::{Each, Language, StoreOutput, Target};
use azenha_model::{Field, Offset};

use self::documents::Actions;
use self::http::Api;
use crate::documents::Documents;
use crate::store::changes::Checked;
use crate::store::{Backend, Failure, Outcome, PositionedStore, Step, Taken};

mod bulk;
mod dates;
mod documents;
mod http;
mod mapping;
mod owner;
mod positions;
pub(crate) mod query;
mod template;

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
    /// Indexes that are known to be the sink's own.
    owned: BTreeSet<String>,
}

/// What a sink writes.
#[derive(Debug)]
struct Index {
    /// With `each` it is the name of all indexes together.
    name: String,
    /// What parts the rows among several indexes.
    each: Option<Each>,
    /// The columns that are written.
    columns: Vec<Field>,
    /// Those whose words can be searched for.
    search: Vec<String>,
    language: Option<Language>,
    documents: Documents,
}

impl Index {
    fn of(output: &StoreOutput) -> Result<Self, Failure> {
        let Target::Index { search, language, each } = &output.target else {
            return Err(Failure::Definition("a search engine has indexes only: write `index: …`".to_owned()));
        };
        Ok(Self {
            name: output.name.clone(),
            each: each.clone(),
            columns: output.columns.iter().map(|column| column.field.clone()).collect(),
            search: search.clone(),
            language: *language,
            documents: Documents::new(output)?,
        })
    }

    fn is_searched(&self, field: &Field) -> bool {
        self.search.contains(&field.name)
    }
}

impl ElasticBackend {
    /// Makes sure that an index is there and the sink's own.
    async fn own(&self, session: &mut Session, index: &Index, name: &str, lane: &StoreLaneId) -> Result<(), Failure> {
        if session.owned.contains(name) {
            return Ok(());
        }
        if index.each.is_some() {
            dates::open(&self.api, index, name).await?;
        }
        owner::claim(&self.api, name, lane).await?;
        session.owned.insert(name.to_owned());
        Ok(())
    }
}

/// The rows that cannot be documents, whatever stands in the index.
pub(crate) fn refused_unasked(
    output: &StoreOutput,
    lane: &StoreLaneId,
    rows: &[StoreRows],
) -> Result<Checked<()>, Failure> {
    Ok(Actions::encode(&Index::of(output)?, lane, rows)?.map(drop))
}

#[async_trait]
impl Backend for ElasticBackend {
    type Session = Session;
    type Target = Index;

    fn target(&self, output: &StoreOutput) -> Result<Index, Failure> {
        Index::of(output)
    }

    /// Connections are the client's, and each call may take another one.
    async fn connect(&self) -> Result<Session, Failure> {
        Ok(Session::default())
    }

    async fn prepare(&self, _session: &mut Session, index: &Index) -> Result<(), Failure> {
        positions::prepare(&self.api).await?;
        match index.each {
            Some(_) => dates::prepare(&self.api, index).await,
            None => mapping::prepare(&self.api, index).await,
        }
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
        let actions = match Actions::encode(index, step.lane, rows)? {
            Ok(actions) => actions,
            Err(refused) => return Ok(Outcome::refused(refused)),
        };
        for name in actions.indexes() {
            self.own(session, index, name, step.lane).await?;
        }
        let Some(held) = positions::hold(&self.api, step).await? else { return Ok(Outcome::Fenced) };
        failpoint::reach("elasticsearch.begun");
        let refused = bulk::write(&self.api, &actions).await?;
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

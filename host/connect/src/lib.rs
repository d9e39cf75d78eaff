//! What stands behind the engine's traits: the embedded log and Kafka, SQL tables, documents, search engines, objects, schema
//! registries.
//! What a broker or a database is like is known here and nowhere else.

#![warn(missing_docs)]

use std::sync::Arc;

use azenha_engine::store::{Store, StoreError};
use azenha_model::connection::StoreKind;

mod documents;
mod elasticsearch;
pub mod embedded;
pub mod kafka;
mod mongodb;
mod objects;
pub mod private;
pub mod query;
pub mod registry;
pub mod rehearsal;
pub mod sql;
mod store;

pub use self::objects::open_objects;

/// The store of a connection, by the scheme of its URL; `name` is what messages call it. Nothing is connected
/// yet: `prepare` is the first to need the store. Must be called on the tokio runtime that does the store's I/O.
///
/// # Errors
/// `Definition` for a URL that cannot be read, or whose scheme is not supported.
pub fn open_store(name: &str, url: &str) -> Result<Arc<dyn Store>, StoreError> {
    match StoreKind::of(url) {
        Some(StoreKind::Sqlite) => sql::sqlite(name, url),
        Some(StoreKind::Postgres) => sql::postgres(name, url),
        Some(StoreKind::MySql) => sql::mysql(name, url),
        Some(StoreKind::MongoDb) => mongodb::mongodb(name, url),
        Some(StoreKind::Elasticsearch) => elasticsearch::elasticsearch(name, url),
        _ => Err(StoreError::Definition(format!(
            "connection `{name}` has a URL of scheme `{}`; supported are sqlite://FILE, \
             postgres://USER@HOST/DATABASE, mysql://USER@HOST/DATABASE, mongodb://USER@HOST/DATABASE and \
             https://USER@HOST:PORT",
            url.split_once(':').map_or("", |(scheme, _)| scheme)
        ))),
    }
}

/// TLS of this process is that of `ring`. Whoever comes first installs it; there is one for the whole process.
fn use_ring() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

//! Where the work of remote object stores is done.

use std::sync::Arc;

use async_trait::async_trait;
use azenha_engine::objects::{Creation, Listed, Object, Objects, Replacement, Tag};
use azenha_engine::spool::Content;
use azenha_engine::store::StoreError;
use tokio::runtime::Handle;

use super::bucket::Bucket;

/// Does a bucket's work on the runtime on which it was opened: lanes write from threads whose runtimes have neither
/// timers nor I/O.
#[derive(Debug)]
pub struct Remote {
    bucket: Arc<Bucket>,
    runtime: Handle,
}

impl Remote {
    /// Works on the runtime of the caller.
    pub fn here(bucket: Bucket) -> Self {
        Self { bucket: Arc::new(bucket), runtime: Handle::current() }
    }

    async fn run<T, Work>(&self, work: impl FnOnce(Arc<Bucket>) -> Work) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Work: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let done = self.runtime.spawn(work(Arc::clone(&self.bucket))).await;
        done.unwrap_or_else(|stopped| {
            Err(StoreError::Unavailable { what: "asking an object store".to_owned(), source: stopped.into() })
        })
    }
}

#[async_trait]
impl Objects for Remote {
    async fn prepare(&self) -> Result<(), StoreError> {
        self.run(|bucket| async move { bucket.prepare().await }).await
    }

    async fn create(&self, path: &str, content: Content) -> Result<Creation, StoreError> {
        let path = path.to_owned();
        self.run(|bucket| async move { bucket.create(&path, content).await }).await
    }

    async fn replace(&self, path: &str, content: Content, expected: Option<&Tag>) -> Result<Replacement, StoreError> {
        let (path, expected) = (path.to_owned(), expected.cloned());
        self.run(|bucket| async move { bucket.replace(&path, content, expected.as_ref()).await }).await
    }

    async fn get(&self, path: &str) -> Result<Option<Object>, StoreError> {
        let path = path.to_owned();
        self.run(|bucket| async move { bucket.get(&path).await }).await
    }

    async fn list(&self, below: &str) -> Result<Vec<Listed>, StoreError> {
        let below = below.to_owned();
        self.run(|bucket| async move { bucket.list(&below).await }).await
    }
}

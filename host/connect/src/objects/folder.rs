//! A folder of this machine as an object store.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use azenha_engine::objects::{Creation, Listed, Object, Objects, Replacement, Tag};
use azenha_engine::spool::Content;
use azenha_engine::store::StoreError;
use tokio::task::spawn_blocking;

use super::check_path;
use super::files::Files;

/// A folder of this machine. What is written is on disk when a call returns.
#[derive(Debug)]
pub struct Folder {
    connection: String,
    files: Arc<Files>,
}

impl Folder {
    pub fn new(connection: &str, root: &str, spool: &Path) -> Self {
        Self { connection: connection.to_owned(), files: Arc::new(Files::new(root, spool)) }
    }

    /// Does something with files where it may block.
    async fn run<T: Send + 'static>(
        &self,
        doing: &str,
        work: impl FnOnce(&Files) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let files = Arc::clone(&self.files);
        let done = spawn_blocking(move || work(&files)).await;
        done.unwrap_or_else(|panicked| Err(io::Error::other(panicked))).map_err(|error| self.failure(doing, error))
    }

    /// A disk that is full passes by itself: somebody makes room. What a path or the rights on it are does not.
    fn failure(&self, doing: &str, error: io::Error) -> StoreError {
        let what = format!("connection `{}`: {doing}", self.connection);
        match error.kind() {
            ErrorKind::PermissionDenied
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::AlreadyExists
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::CrossesDevices
            | ErrorKind::Unsupported => StoreError::Definition(format!("{what}: {error}")),
            _ => StoreError::Unavailable { what, source: error.into() },
        }
    }

    fn checked(&self, path: &str) -> Result<String, StoreError> {
        check_path(path)
            .map_err(|reason| StoreError::Definition(format!("connection `{}`: {reason}", self.connection)))?;
        Ok(path.to_owned())
    }
}

#[async_trait]
impl Objects for Folder {
    async fn prepare(&self) -> Result<(), StoreError> {
        self.run("making the folder", Files::prepare).await
    }

    async fn create(&self, path: &str, content: Content) -> Result<Creation, StoreError> {
        let owned = self.checked(path)?;
        self.run(&format!("writing `{path}`"), move |files| files.create(&owned, &content)).await
    }

    async fn replace(&self, path: &str, content: Content, expected: Option<&Tag>) -> Result<Replacement, StoreError> {
        let (owned, expected) = (self.checked(path)?, expected.cloned());
        self.run(&format!("writing `{path}`"), move |files| files.replace(&owned, &content, expected.as_ref())).await
    }

    async fn get(&self, path: &str) -> Result<Option<Object>, StoreError> {
        let owned = self.checked(path)?;
        self.run(&format!("reading `{path}`"), move |files| files.get(&owned)).await
    }

    async fn list(&self, below: &str) -> Result<Vec<Listed>, StoreError> {
        let owned = if below.is_empty() { String::new() } else { self.checked(below)? };
        self.run(&format!("listing `{below}`"), move |files| files.list(&owned)).await
    }
}

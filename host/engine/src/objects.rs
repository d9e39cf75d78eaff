//! Object stores, as the engine sees them: a folder, or a bucket on S3 and its like.

use async_trait::async_trait;
use bytes::Bytes;

use crate::store::StoreError;

/// What identifies the content of an object: another content has another tag.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag(pub String);

/// An object that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What is in it.
    pub content: Bytes,
    /// What identifies the content.
    pub tag: Tag,
}

/// An object of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path below the connection's.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What identifies the content.
    pub tag: Tag,
}

/// What became of an object that was to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// It was made.
    Made,
    /// There is one at this path already; it was left as it is.
    Exists,
}

/// What became of an object that was to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replacement {
    /// It has the new content.
    Done(Tag),
    /// It was not as expected: somebody else wrote it, and it was left as it is.
    Changed,
}

/// Objects by path. Paths are relative to the connection's URL, with `/` between their parts. A reader sees an object
/// whole, before a change or after it.
#[async_trait]
pub trait Objects: Send + Sync + std::fmt::Debug {
    /// Makes the bucket or folder, unless it is there.
    async fn prepare(&self) -> Result<(), StoreError>;

    /// Makes an object, unless one is there; it is durable when this returns, whoever made it.
    async fn create(&self, path: &str, content: Bytes) -> Result<Creation, StoreError>;

    /// Replaces the content of an object that has this tag; none: makes one where none is. An object that has the new
    /// content already counts as replaced: the answer to an earlier try may have been lost.
    async fn replace(&self, path: &str, content: Bytes, expected: Option<&Tag>) -> Result<Replacement, StoreError>;

    /// An object; none if there is none.
    async fn get(&self, path: &str) -> Result<Option<Object>, StoreError>;

    /// All objects below a path, in the order of their paths; below an empty one, all there are.
    async fn list(&self, below: &str) -> Result<Vec<Listed>, StoreError>;
}

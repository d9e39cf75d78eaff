//! Objects that are read from a bucket: large ones in parts, into a file.

use std::io;
use std::ops::Range;
use std::path::Path as FilePath;

use azenha_engine::objects::{Object, Tag};
use azenha_engine::spool::{Content, Spool};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, Result};
use tokio::task::spawn_blocking;

use super::LARGE;
use super::failure::is_missing_bucket;

/// Parts of an object that are on their way at once, and in memory.
const PARTS_AT_ONCE: usize = 2;

/// An object, if there is one. A large one comes in parts, each of which is asked for again if a connection ends midway, and
/// stands in a file of the folder `spool`.
pub async fn fetch(store: &dyn ObjectStore, location: &Path, spool: &FilePath) -> Result<Option<Object>> {
    let found = match store.get(location).await {
        Err(error @ Error::NotFound { .. }) if !is_missing_bucket(&error) => return Ok(None),
        found => found?,
    };
    let (size, tag) = (found.meta.size, tag(found.meta.e_tag.clone())?);
    if size <= LARGE {
        return Ok(Some(Object { content: found.bytes().await?.into(), tag }));
    }
    // All of it in one answer would have to come within the time that a request may take.
    drop(found);
    match in_parts(store, location, size, &tag, Spool::new(spool)).await {
        Ok(content) => Ok(Some(Object { content, tag })),
        Err(error @ Error::NotFound { .. }) if !is_missing_bucket(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn in_parts(store: &dyn ObjectStore, location: &Path, size: u64, tag: &Tag, mut spool: Spool) -> Result<Content> {
    let starts = (0..size).step_by(LARGE as usize);
    let parts = starts.map(|start| part(store, location, start..size.min(start + LARGE), tag));
    let mut parts = stream::iter(parts).buffered(PARTS_AT_ONCE);
    while let Some(part) = parts.try_next().await? {
        let put = move || {
            spool.put(&part);
            spool
        };
        spool = spawn_blocking(put).await.map_err(|stopped| unspooled(io::Error::other(stopped)))?;
    }
    spool.finish().map_err(unspooled)
}

/// A part of an object that is still as it was when its tag was read.
async fn part(store: &dyn ObjectStore, location: &Path, range: Range<u64>, expected: &Tag) -> Result<Bytes> {
    let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
    let found = store.get_opts(location, options).await?;
    if tag(found.meta.e_tag.clone())? != *expected {
        return Err(Error::Generic { store: "bucket", source: "the object was replaced while it was read".into() });
    }
    found.bytes().await
}

/// The host's own disk fails, which passes by itself: somebody makes room.
fn unspooled(error: io::Error) -> Error {
    Error::Generic { store: "data directory", source: Box::new(error) }
}

/// What a store says of a content; some of its answers have tags without their quotes.
pub fn tag(found: Option<String>) -> Result<Tag> {
    let missing = || Error::NotSupported { source: "it gives its objects no ETag".into() };
    let found = found.ok_or_else(missing)?;
    let bare = found.trim_matches('"');
    Ok(Tag(format!("\"{bare}\"")))
}

//! Large objects that are put in parts.

use std::io;
use std::ops::Range;

use azenha_engine::spool::Content;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartId, PutPayload, Result};
use tokio::task::spawn_blocking;

use super::LARGE;

/// S3 takes no more parts of one object, and Azure more.
const MAX_PARTS: u64 = 10_000;
/// Parts that are on their way at once, and in memory.
const PARTS_AT_ONCE: usize = 4;

/// Puts all parts of an object, of which nothing is seen until the upload is completed.
pub async fn put_parts(
    store: &impl MultipartStore,
    location: &Path,
    upload: &MultipartId,
    content: &Content,
) -> Result<Vec<PartId>> {
    // Larger ones if they would be too many.
    let size = LARGE.max(content.bytes().div_ceil(MAX_PARTS));
    let put = async |(index, start)| {
        let part = read(content, start..content.bytes().min(start + size)).await?;
        store.put_part(location, upload, index, PutPayload::from(part)).await
    };
    let starts = (0..content.bytes()).step_by(size as usize).enumerate();
    stream::iter(starts).map(put).buffered(PARTS_AT_ONCE).try_collect().await
}

/// Reads a part of a content, where reading may block.
pub async fn read(content: &Content, range: Range<u64>) -> Result<Bytes> {
    let content = content.clone();
    let done = spawn_blocking(move || content.read(range)).await.map_err(io::Error::other);
    done.flatten().map_err(|error| object_store::Error::Generic { store: "data directory", source: Box::new(error) })
}

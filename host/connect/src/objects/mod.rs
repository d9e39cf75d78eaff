//! Object stores: folders of this machine, and buckets of S3 and its like, of Google and of Azure.

use std::path::Path;
use std::sync::Arc;

use azenha_engine::objects::Objects;
use azenha_engine::store::StoreError;
use azenha_model::connection::{Connection, StoreKind};

use self::bucket::Bucket;
use self::folder::Folder;
use self::remote::Remote;

mod azure;
mod bucket;
mod failure;
mod fetch;
mod files;
mod folder;
mod parts;
mod remote;
mod s3;
mod service;

/// Larger objects go in parts of so many bytes, and stand in a file while they are read.
const LARGE: u64 = 8 << 20;

/// The object store of a connection, by the scheme of its URL; `name` is what messages call it. Large objects that come from
/// elsewhere stand in the folder `spool` while they are read. Nothing is connected yet: `prepare` is the first to need the
/// store. Must be called on the tokio runtime that does the store's I/O.
///
/// # Errors
/// `Definition` for a URL or keys that cannot be read, or whose scheme has no objects.
pub fn open_objects(name: &str, connection: &Connection, spool: &Path) -> Result<Arc<dyn Objects>, StoreError> {
    let wrong = |reason: &str| StoreError::Definition(format!("the URL of connection `{name}` {reason}"));
    match StoreKind::of(connection.url.reveal()) {
        Some(StoreKind::Folder) => {
            let folder = connection.folder().ok_or_else(|| wrong("names no folder: write `file:./FOLDER`"))?;
            Ok(Arc::new(Folder::new(name, folder, spool)))
        }
        Some(kind) if kind.has_objects() => {
            let place = connection.bucket().ok_or_else(|| wrong("names no bucket: write `s3://BUCKET/PREFIX`"))?;
            Ok(Arc::new(Remote::here(Bucket::open(name, kind, place, &connection.objects, spool)?)))
        }
        _ => Err(wrong(
            "is not that of an object store; supported are file:FOLDER, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX and \
             az://CONTAINER/PREFIX",
        )),
    }
}

/// The name below a folder's root under which objects are while they are written.
const PARTS: &str = ".azenha";

/// Whether a path can be that of an object in every store.
fn check_path(path: &str) -> Result<(), String> {
    // Some servers take a backslash for a slash.
    let is_odd = |letter: char| letter.is_control() || letter == '\\';
    let is_part = |part: &str| !["", ".", ".."].contains(&part) && !part.contains(is_odd);
    match path.split('/').all(is_part) && path.split('/').next() != Some(PARTS) {
        true => Ok(()),
        false => Err(format!(
            "no object can have the path `{}`: between slashes are names, other than `.` and `..`, without \
             backslashes and control characters",
            path.escape_debug()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_nowhere_else() {
        for path in ["raw/date=2024-01-01/a b.json", "é", "100%", "a..b/..."] {
            assert!(check_path(path).is_ok(), "{path}");
        }
        for path in ["", "/", "/a", "a/", "a//b", "../a", "a/./b", "a\nb", "a\\b", ".azenha/1"] {
            assert!(check_path(path).is_err(), "{path}");
        }
    }
}

//! A folder keeps the promises of every object store.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use azenha_conformance::objects::found;
use azenha_conformance::objects_conformance;
use azenha_connect::open_objects;
use azenha_engine::objects::{Creation, Objects, Replacement};
use azenha_engine::store::StoreError;
use azenha_model::access::Secret;
use azenha_model::connection::{Connection, ObjectOptions};
use bytes::Bytes;
use tempfile::TempDir;

/// A folder of its own for each test.
struct Fixture {
    objects: Arc<dyn Objects>,
    directory: TempDir,
}

impl Fixture {
    fn objects(&self) -> &dyn Objects {
        &*self.objects
    }
}

fn open(url: String) -> Result<Arc<dyn Objects>, StoreError> {
    let connection = Connection { url: Secret::from(url), objects: ObjectOptions::default() };
    open_objects("lake", &connection, &std::env::temp_dir())
}

async fn folder() -> Option<Fixture> {
    let directory = TempDir::new().unwrap();
    let objects = open(format!("file:{}/made/lake", directory.path().display())).unwrap();
    objects.prepare().await.unwrap();
    Some(Fixture { objects, directory })
}

objects_conformance!(folder());

#[tokio::test]
async fn objects_are_plain_files() {
    let Fixture { objects, directory } = folder().await.unwrap();
    objects.create("raw/a b/100%.json", Bytes::from("x").into()).await.unwrap();
    let lake = directory.path().join("made/lake");
    assert_eq!(fs::read(lake.join("raw/a b/100%.json")).unwrap(), b"x");
    fs::write(lake.join("raw/by-hand"), "y").unwrap();
    assert_eq!(found(&*objects, "raw/by-hand").await.0, "y");
}

#[tokio::test]
async fn two_processes_replace_one_after_the_other() {
    let Fixture { objects, directory } = folder().await.unwrap();
    // Another handle shares nothing with the first, as another process does not.
    let other = open(format!("file://{}/made/lake", directory.path().display())).unwrap();
    let mut tag = None;
    for round in 0..50 {
        let (mine, theirs) = (Bytes::from(format!("mine {round}")), Bytes::from(format!("theirs {round}")));
        let (mine, theirs) = tokio::join!(
            objects.replace("x", mine.into(), tag.as_ref()),
            other.replace("x", theirs.into(), tag.as_ref())
        );
        tag = match (mine.unwrap(), theirs.unwrap()) {
            (Replacement::Done(tag), Replacement::Changed) | (Replacement::Changed, Replacement::Done(tag)) => {
                Some(tag)
            }
            both => panic!("round {round}: {both:?}"),
        };
    }
}

#[tokio::test]
async fn what_a_killed_process_left_half_written_is_cleared_away() {
    let Fixture { objects, directory } = folder().await.unwrap();
    let parts = directory.path().join("made/lake/.azenha");
    fs::write(parts.join("1-0"), "half").unwrap();
    let in_use = fs::File::create(parts.join("2-0")).unwrap();
    in_use.lock().unwrap();
    objects.prepare().await.unwrap();
    let left: Vec<_> = fs::read_dir(&parts).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["2-0"], "only what is being written stays");
    objects.create("x", Bytes::from("whole").into()).await.unwrap();
    assert_eq!(fs::read_dir(&parts).unwrap().count(), 1);
    assert_eq!(objects.list("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_path_cannot_be_is_told() {
    let Fixture { objects, directory } = folder().await.unwrap();
    objects.create("file", Bytes::new().into()).await.unwrap();
    objects.create("folder/x", Bytes::new().into()).await.unwrap();
    let long = "x".repeat(300);
    for path in ["file/below", "folder", long.as_str()] {
        let error = objects.create(path, Bytes::new().into()).await.unwrap_err();
        assert!(matches!(error, StoreError::Definition(_)), "{path}: {error}");
    }
    let missing = open(format!("file:{}/made/lake/file", directory.path().display())).unwrap();
    assert!(matches!(missing.prepare().await.unwrap_err(), StoreError::Definition(_)));
}

#[tokio::test]
async fn a_folder_that_was_not_prepared_is_made() {
    let directory = TempDir::new().unwrap();
    let objects = open(format!("file:{}/lake", directory.path().display())).unwrap();
    assert_eq!(objects.get("x").await.unwrap(), None);
    assert_eq!(objects.list("").await.unwrap(), []);
    assert_eq!(objects.create("x", Bytes::new().into()).await.unwrap(), Creation::Made);
}

#[tokio::test]
async fn a_folder_without_rights_is_for_a_person_to_mend() {
    let Fixture { objects, directory } = folder().await.unwrap();
    let parts = directory.path().join("made/lake/.azenha");
    fs::set_permissions(&parts, fs::Permissions::from_mode(0o500)).unwrap();
    // Nothing is forbidden to root.
    if fs::File::create(parts.join("probe")).is_ok() {
        println!("skipped: this user may write everywhere");
        return;
    }
    let error = objects.create("x", Bytes::new().into()).await.unwrap_err();
    assert!(matches!(error, StoreError::Definition(_)), "{error}");
}

//! The container `lake` of the Azurite of AZENHA_TEST_AZURE, a URL like `http://127.0.0.1:10000`, keeps the promises of
//! every object store.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use azenha_conformance::objects_conformance;
use azenha_connect::open_objects;
use azenha_engine::objects::Objects;
use azenha_engine::store::StoreError;
use azenha_model::access::Secret;
use azenha_model::connection::{Connection, ObjectCredentials, ObjectOptions};

/// The account that every Azurite has.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A prefix of its own for each test.
struct Fixture(Arc<dyn Objects>);

impl Fixture {
    fn objects(&self) -> &dyn Objects {
        &*self.0
    }
}

/// None, and a word about it, if there is no server.
fn open(container: &str, key: &str) -> Option<Arc<dyn Objects>> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Ok(server) = std::env::var("AZENHA_TEST_AZURE") else {
        println!("skipped: AZENHA_TEST_AZURE names no server to test with");
        return None;
    };
    let prefix = format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let credentials = ObjectCredentials::Key { id: ACCOUNT.to_owned(), secret: Secret::from(key.to_owned()) };
    let objects = ObjectOptions {
        endpoint: Some(format!("{server}/{ACCOUNT}")),
        credentials: Some(credentials),
        ..ObjectOptions::default()
    };
    let url = Secret::from(format!("az://{container}/{prefix}"));
    Some(open_objects("lake", &Connection { url, objects }).unwrap())
}

async fn container() -> Option<Fixture> {
    open("lake", KEY).map(Fixture)
}

objects_conformance!(container());

#[tokio::test]
async fn a_missing_container_is_for_a_person_to_make() {
    let Some(objects) = open("missing", KEY) else { return };
    let error = objects.prepare().await.unwrap_err().to_string();
    assert!(error.contains("az storage container create --name missing"), "{error}");
    for error in [objects.list("").await.unwrap_err(), objects.get("x").await.unwrap_err()] {
        assert!(matches!(error, StoreError::Definition(_)) && error.to_string().contains("no such bucket"), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_without_showing_it() {
    let Some(objects) = open("lake", "aGlkZGVu") else { return };
    let error = objects.list("").await.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, StoreError::Definition(_)) && message.contains("check the keys"), "{message}");
    assert!(!message.contains("aGlkZGVu") && !format!("{objects:?}").contains("aGlkZGVu"), "{message}");
}

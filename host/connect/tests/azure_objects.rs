//! The container `lake` of the Azurite of AZENHA_TEST_AZURE, a URL like `http://127.0.0.1:10000`, keeps the promises of
//! every object store.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

use std::env::temp_dir;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use azenha_conformance::proxy::Proxy;
use azenha_conformance::{objects_conformance, objects_connection_conformance};
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

/// Its URL; none, and a word about it, if there is no server.
fn server() -> Option<String> {
    let server = std::env::var("AZENHA_TEST_AZURE").ok();
    if server.is_none() {
        println!("skipped: AZENHA_TEST_AZURE names no server to test with");
    }
    server
}

/// A name that no other test has.
fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn open_at(server: &str, place: &str, key: &str, timeout: Duration) -> Arc<dyn Objects> {
    let credentials = ObjectCredentials::Key { id: ACCOUNT.to_owned(), secret: Secret::from(key.to_owned()) };
    let objects = ObjectOptions {
        endpoint: Some(format!("{server}/{ACCOUNT}")),
        credentials: Some(credentials),
        timeout: Some(timeout),
        ..ObjectOptions::default()
    };
    open_objects("lake", &Connection { url: Secret::from(format!("az://{place}")), objects }, &temp_dir()).unwrap()
}

fn open(container: &str, key: &str) -> Option<Arc<dyn Objects>> {
    Some(open_at(&server()?, &format!("{container}/{}", unique()), key, Duration::from_secs(30)))
}

async fn container() -> Option<Fixture> {
    open("lake", KEY).map(Fixture)
}

/// The same store directly and through a proxy, with little patience.
async fn proxied() -> Option<(Arc<dyn Objects>, Proxy, Arc<dyn Objects>)> {
    let (server, place) = (server()?, format!("lake/{}", unique()));
    let proxy = Proxy::start(server.strip_prefix("http://").unwrap()).await;
    let through = format!("http://{}", proxy.address());
    let objects = open_at(&through, &place, KEY, Duration::from_secs(3));
    Some((open_at(&server, &place, KEY, Duration::from_secs(30)), proxy, objects))
}

objects_conformance!(container());
objects_connection_conformance!(proxied());

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

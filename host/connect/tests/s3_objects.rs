//! A bucket of the S3 of AZENHA_TEST_S3, a URL like `http://KEY:SECRET@127.0.0.1:8333`, keeps the promises of every
//! object store.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

use std::env::temp_dir;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use azenha_conformance::proxy::Proxy;
use azenha_conformance::{objects_conformance, objects_connection_conformance};
use azenha_connect::open_objects;
use azenha_engine::objects::{Creation, Objects};
use azenha_engine::store::StoreError;
use azenha_model::access::Secret;
use azenha_model::connection::{Connection, ObjectCredentials, ObjectOptions};
use bytes::Bytes;

const BUCKET: &str = "azenha-conformance";

/// The server of the tests.
struct Server {
    address: String,
    key: String,
    secret: String,
}

/// None, and a word about it, if there is no server.
fn server() -> Option<Server> {
    let Ok(url) = std::env::var("AZENHA_TEST_S3") else {
        println!("skipped: AZENHA_TEST_S3 names no server to test with");
        return None;
    };
    let (keys, address) = url.strip_prefix("http://").unwrap().split_once('@').unwrap();
    let (key, secret) = keys.split_once(':').unwrap();
    Some(Server { address: address.to_owned(), key: key.to_owned(), secret: secret.to_owned() })
}

impl Server {
    fn connection(&self, url: &str, timeout: Duration) -> Connection {
        let secret = Secret::from(self.secret.clone());
        Connection {
            url: Secret::from(url.to_owned()),
            objects: ObjectOptions {
                endpoint: Some(format!("http://{}", self.address)),
                region: None,
                credentials: Some(ObjectCredentials::Key { id: self.key.clone(), secret }),
                timeout: Some(timeout),
            },
        }
    }

    fn open(&self, url: &str) -> Arc<dyn Objects> {
        open_objects("lake", &self.connection(url, Duration::from_secs(30)), &temp_dir()).unwrap()
    }
}

/// A name that no other test has.
fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A prefix of its own for each test.
struct Fixture(Arc<dyn Objects>);

impl Fixture {
    fn objects(&self) -> &dyn Objects {
        &*self.0
    }
}

async fn bucket() -> Option<Fixture> {
    let objects = server()?.open(&format!("s3://{BUCKET}/{}", unique()));
    objects.prepare().await.unwrap();
    Some(Fixture(objects))
}

/// The same store directly and through a proxy, with little patience.
async fn proxied() -> Option<(Arc<dyn Objects>, Proxy, Arc<dyn Objects>)> {
    let mut server = server()?;
    let url = format!("s3://{BUCKET}/{}", unique());
    let direct = server.open(&url);
    direct.prepare().await.unwrap();
    let proxy = Proxy::start(&server.address).await;
    server.address = proxy.address().to_string();
    let objects = open_objects("lake", &server.connection(&url, Duration::from_secs(3)), &temp_dir()).unwrap();
    Some((direct, proxy, objects))
}

objects_conformance!(bucket());
objects_connection_conformance!(proxied());

#[tokio::test]
async fn a_bucket_is_made_once() {
    let Some(server) = server() else { return };
    let bucket = unique();
    let objects = server.open(&format!("s3://{bucket}/deep/down"));
    let error = objects.create("x", Bytes::new().into()).await.unwrap_err();
    assert!(matches!(error, StoreError::Definition(_)) && error.to_string().contains("no such bucket"), "{error}");
    assert!(matches!(objects.get("x").await.unwrap_err(), StoreError::Definition(_)));
    assert!(matches!(objects.list("").await.unwrap_err(), StoreError::Definition(_)));
    let preparations = futures::future::join_all((0..4).map(|_| objects.prepare())).await;
    assert!(preparations.iter().all(Result::is_ok), "{preparations:?}");
    assert_eq!(objects.create("x", Bytes::new().into()).await.unwrap(), Creation::Made);
    let all = server.open(&format!("s3://{bucket}")).list("").await.unwrap();
    assert_eq!(all.iter().map(|object| object.path.as_str()).collect::<Vec<_>>(), ["deep/down/x"]);
}

#[tokio::test]
async fn wrong_keys_are_told_without_showing_them() {
    let Some(mut server) = server() else { return };
    server.secret = "hidden-secret".to_owned();
    for key in [server.key.clone(), "hidden-key".to_owned()] {
        server.key = key;
        let objects = server.open(&format!("s3://{BUCKET}"));
        let failures = [
            objects.prepare().await.unwrap_err(),
            objects.create("x", Bytes::new().into()).await.unwrap_err(),
            objects.get("x").await.unwrap_err(),
            objects.list("").await.unwrap_err(),
        ];
        for failure in failures {
            let message = failure.to_string();
            assert!(matches!(failure, StoreError::Definition(_)) && message.contains("check the keys"), "{message}");
            assert!(!message.contains("hidden"), "{message}");
        }
        assert!(!format!("{objects:?}").contains("hidden"));
    }
}

#[tokio::test]
async fn a_url_or_keys_that_cannot_be_read_are_told_at_once() {
    let options = |credentials| ObjectOptions { credentials, ..ObjectOptions::default() };
    let google = ObjectCredentials::ServiceAccount(Secret::from("hidden".to_owned()));
    let azure = ObjectCredentials::Key { id: "shop".to_owned(), secret: Secret::from("hidden!".to_owned()) };
    for (url, objects) in [
        ("s3://", options(None)),
        ("file:", options(None)),
        ("sqlite:lake.db", options(None)),
        ("gs://lake", options(Some(google))),
        ("az://lake", options(Some(azure))),
    ] {
        let connection = Connection { url: Secret::from(url.to_owned()), objects };
        let error = open_objects("lake", &connection, &temp_dir()).unwrap_err();
        assert!(matches!(error, StoreError::Definition(_)), "{url}: {error}");
        assert!(!error.to_string().contains("hidden"), "{url}: {error}");
    }
}

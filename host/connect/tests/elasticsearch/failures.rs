//! A search engine that goes away, at the worst moments too.

use azenha_conformance::proxy::{Proxy, Serving};
use azenha_conformance::store_connections;
use azenha_conformance::store_helpers::*;
use azenha_connect::open_store;
use azenha_engine::store::StoreError;
use azenha_model::plan::{StoreOutput, Target};

use crate::fixture::{ELASTICSEARCH, ElasticFixture, Indexes, server};

/// The fixture's store behind a proxy.
async fn behind_proxy(fixture: &ElasticFixture) -> (Proxy, Indexes) {
    let proxy = Proxy::start(fixture.server.url.strip_prefix("http://").unwrap()).await;
    let store = open_store("engine", &format!("http://{}", proxy.address())).unwrap();
    (proxy, Indexes { store, prefix: fixture.store.prefix.clone() })
}

fn index(name: &str) -> StoreOutput {
    StoreOutput { target: Target::Index { search: Vec::new(), language: None, each: None }, ..simple(name) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_settled_by_the_position() {
    let Some(fixture) = server(ELASTICSEARCH).await else { return };
    let (proxy, store) = behind_proxy(&fixture).await;
    store_connections::a_commit_whose_answer_is_lost_is_settled_by_the_position(&fixture, &proxy, &store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_at_any_moment_is_settled_by_the_position() {
    let Some(fixture) = server(ELASTICSEARCH).await else { return };
    let (proxy, store) = behind_proxy(&fixture).await;
    store_connections::a_cut_at_any_moment_is_settled_by_the_position(&fixture, &proxy, &store).await;
}

/// A connection is no session: the next call takes another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_away_is_unavailable_until_it_is_back() {
    let Some(fixture) = server(ELASTICSEARCH).await else { return };
    let (proxy, store) = behind_proxy(&fixture).await;
    let output = simple("away");
    let mut owner = prepared(&store, &output).await;
    owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
    proxy.serve(Serving::Refuse);
    for _ in 0..2 {
        let error = owner.commit(&[puts(1, &[(2, "b")])], 2).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    }
    proxy.serve(Serving::Forward);
    let mut tries = 0;
    let mut owner = loop {
        tries += 1;
        match azenha_engine::store::Store::open(&store, &output, &lane(&output, 0, 0)).await {
            // A connection from before, of which the client has yet to learn that it was cut.
            Err(StoreError::Unavailable { .. }) if tries < 10 => {}
            opened => break opened.unwrap(),
        }
    };
    assert_eq!(owner.position(), Some(1));
    owner.commit(&[puts(1, &[(2, "b")])], 2).await.unwrap();
    assert_eq!(found(&fixture, "away").await, ["1=a", "2=b"]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let error = open_store("engine", "http://127.0.0.1:1").unwrap().prepare(&index("any")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}

/// The server of the tests speaks no TLS.
#[tokio::test]
async fn a_connection_that_must_be_encrypted_is_never_made_without() {
    let Some(fixture) = server(ELASTICSEARCH).await else { return };
    let url = fixture.server.url.replace("http://", "https://");
    let error = open_store("engine", &url).unwrap().prepare(&index("any")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn no_message_and_no_debug_output_holds_the_password() {
    let store = open_store("engine", "http://somebody:secret@127.0.0.1:1").unwrap();
    assert!(!format!("{store:?}").contains("secret"));
    let error = store.prepare(&index("any")).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    for url in ["https://somebody:se/cret@127.0.0.1:1", "https://me:secret@host/?api=secret", "http:somebody:secret"] {
        let error =
            open_store("engine", url).map(|store| format!("{store:?}")).unwrap_or_else(|error| error.to_string());
        assert!(!error.contains("cret"), "{error}");
    }
}

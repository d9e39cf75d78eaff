//! A MongoDB that goes away, at the worst moments too.

use std::time::{Duration, Instant};

use azenha_conformance::proxy::Proxy;
use azenha_conformance::store_connections;
use azenha_conformance::store_helpers::*;
use azenha_connect::open_store;
use azenha_engine::store::StoreError;
use azenha_model::plan::{StoreOutput, Target};
use mongodb::bson::doc;

use crate::fixture::{MongoFixture, database};

/// The fixture's store behind a proxy.
async fn behind_proxy(fixture: &MongoFixture) -> (Proxy, Collections) {
    let (server, database) = fixture.url.strip_prefix("mongodb://").unwrap().split_once('/').unwrap();
    let proxy = Proxy::start(server).await;
    let url = format!("mongodb://{}/{database}", proxy.address());
    (proxy, Collections(open_store("documents", &url).unwrap()))
}

fn collection(name: &str) -> StoreOutput {
    StoreOutput { target: Target::Collection { indexes: Vec::new() }, ..simple(name) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_at_any_moment_is_settled_by_the_position() {
    let Some(fixture) = database().await else { return };
    let (proxy, store) = behind_proxy(&fixture).await;
    store_connections::a_cut_at_any_moment_is_settled_by_the_position(&fixture, &proxy, &store).await;
}

/// The server would keep its transaction, and the lane locked with it, for a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_transaction_of_an_owner_that_vanished_is_ended() {
    let Some(fixture) = database().await else { return };
    let output = simple("vanished");
    let mut first = prepared(fixture.store(), &output).await;
    first.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
    let positions = fixture.database.collection::<mongodb::bson::Document>("azenha_positions");
    let mut session = fixture.database.client().start_session().await.unwrap();
    // As if that had been the owner's.
    let owner = doc! { "$set": { "session": session.id().clone() } };
    positions.update_one(doc! {}, owner).await.unwrap();
    session.start_transaction().await.unwrap();
    let under_way = doc! { "$set": { "next_offset": 9_i64 } };
    positions.update_one(doc! {}, under_way).session(&mut session).await.unwrap();
    let started = Instant::now();
    let second = fixture.store().open(&output, &lane(&output, 0, 0)).await.unwrap();
    assert_eq!(second.position(), Some(1));
    assert!(session.commit_transaction().await.is_err());
    assert!(started.elapsed() < Duration::from_secs(50), "the server's own patience");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let url = "mongodb://127.0.0.1:1/nothing?serverSelectionTimeoutMS=100";
    let error = open_store("documents", url).unwrap().prepare(&collection("any")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}

/// Nothing helps but a person.
#[tokio::test]
async fn a_wrong_user_is_a_definition() {
    let Some(fixture) = database().await else { return };
    let url = fixture.url.replace("mongodb://", "mongodb://nobody:secret@");
    let error = open_store("documents", &url).unwrap().prepare(&collection("any")).await.unwrap_err();
    let StoreError::Definition(said) = error else { panic!("{error:?}") };
    assert!(said.contains("`documents`") && !said.contains("secret"), "{said}");
}

#[tokio::test]
async fn no_message_and_no_debug_output_holds_the_password() {
    let store = open_store("documents", "mongodb://somebody:secret@127.0.0.1:1/nothing").unwrap();
    assert!(!format!("{store:?}").contains("secret"));
    for url in ["mongodb://somebody:sec:ret@127.0.0.1/x", "mongodb://somebody:se@cret@127.0.0.1:notaport/x"] {
        let error = open_store("documents", url).unwrap_err().to_string();
        assert!(error.contains("`documents`") && !error.contains("cret") && error.contains("%40"), "{error}");
    }
}

#[tokio::test]
async fn a_url_without_a_database_is_a_definition() {
    let error = open_store("documents", "mongodb://127.0.0.1:27017/?replicaSet=rs0").unwrap_err().to_string();
    assert!(error.contains("names no database"), "{error}");
}

/// The server of the tests speaks no TLS.
#[tokio::test]
async fn a_connection_that_must_be_encrypted_is_never_made_without() {
    let Some(fixture) = database().await else { return };
    let url = format!("{}&tls=true&serverSelectionTimeoutMS=500", fixture.url);
    let error = open_store("documents", &url).unwrap().prepare(&collection("any")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}

//! A PostgreSQL that goes away, at the worst moments too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking, in their helpers too")]

use std::sync::Arc;

use azenha_conformance::proxy::Proxy;
use azenha_conformance::store_connection_conformance;
use azenha_conformance::store_helpers::*;
use azenha_connect::open_store;
use azenha_engine::store::{Store, StoreError};
use azenha_model::plan::{StoreOutput, WriteMode};
use sqlx::Connection;

use self::postgres_fixture::{Postgres, database, until_the_store_waits};

mod postgres_fixture;
mod sql_fixture;

fn is_unavailable(ended: Result<(), StoreError>) -> bool {
    matches!(ended, Err(StoreError::Unavailable { .. }))
}

/// A database, and its store once more behind a proxy.
async fn behind_proxy() -> Option<(Postgres, Proxy, Arc<dyn Store>)> {
    let fixture = database().await?;
    let (proxy, url) = Proxy::before(&fixture.url).await;
    Some((fixture, proxy, open_store("warehouse", &url).unwrap()))
}

store_connection_conformance!(behind_proxy());

fn appending(table: &str) -> StoreOutput {
    output(table, &fields(), &[], WriteMode::Append)
}

#[tokio::test]
async fn a_session_that_the_server_ends_is_unavailable() {
    let Some(fixture) = database().await else { return };
    let output = simple("ended");
    let mut owner = prepared(&*fixture.store, &output).await;
    owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'azenha' \
        AND datname = current_database()";
    fixture.run(terminate).await;
    assert!(is_unavailable(owner.commit(&[puts(1, &[(2, "b")])], 2).await));
    let owner = fixture.store.open(&output, &lane(&output, 0, 0)).await.unwrap();
    assert_eq!(owner.position(), Some(1));
}

#[tokio::test]
async fn a_lane_is_taken_when_a_commit_that_is_under_way_has_ended() {
    let Some(fixture) = database().await else { return };
    let output = appending("taken_over");
    let lane = lane(&output, 0, 0);
    let mut first = prepared(&*fixture.store, &output).await;
    let mut other = fixture.connect().await;
    let mut lock = other.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE taken_over").execute(&mut *lock).await.unwrap();
    let first_writes = async { first.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap() };
    let second_takes = async {
        until_the_store_waits(&fixture, 1).await;
        fixture.store.open(&output, &lane).await.unwrap().position()
    };
    let release = async {
        until_the_store_waits(&fixture, 2).await;
        lock.commit().await.unwrap();
    };
    let ((), position, ()) = tokio::join!(first_writes, second_takes, release);
    assert_eq!(position, Some(1));
    let error = first.commit(&[puts(1, &[(2, "stale")])], 2).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    assert_eq!(found(&fixture, "taken_over").await, ["1=a"]);
}

#[tokio::test]
async fn what_passes_by_itself_is_unavailable() {
    let Some(fixture) = database().await else { return };
    let output = simple("passing");
    fixture.store.prepare(&output).await.unwrap();
    for code in ["40001", "40P01", "53100", "53300", "57P01", "08006", "55P03", "25006", "57014", "58030"] {
        fixture
            .run(&format!(
                "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN RAISE 'it will pass' USING ERRCODE = '{code}'; END $$;
                CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON passing EXECUTE FUNCTION fail()"
            ))
            .await;
        let mut owner = fixture.store.open(&output, &lane(&output, 0, 0)).await.unwrap();
        assert!(is_unavailable(owner.commit(&[puts(0, &[(1, "a")])], 1).await), "{code}");
    }
    fixture.run("DROP TRIGGER fail ON passing").await;
    let mut owner = fixture.store.open(&output, &lane(&output, 0, 0)).await.unwrap();
    owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let store = open_store("warehouse", "postgres://somebody:secret@127.0.0.1:1/nothing").unwrap();
    let error = store.prepare(&simple("any")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

/// Nothing helps but a person.
#[tokio::test]
async fn a_wrong_database_or_user_is_a_definition() {
    let Some(fixture) = database().await else { return };
    let wrong = [format!("{}_not", fixture.url), fixture.url.replace("postgres@", "nobody:secret@")];
    for (url, named) in wrong.iter().zip(["database", "\"nobody\""]) {
        let store = open_store("warehouse", url).unwrap();
        let Err(StoreError::Definition(said)) = store.prepare(&simple("any")).await else {
            panic!("{named} was right")
        };
        assert!(said.contains(named) && said.contains("`warehouse`") && !said.contains("secret"), "{said}");
    }
}

#[tokio::test]
async fn no_message_and_no_debug_output_holds_the_password() {
    let store = open_store("warehouse", "postgres://somebody:secret@127.0.0.1:1/nothing").unwrap();
    assert!(!format!("{store:?}").contains("secret"));
    for url in ["postgres://somebody:secret@127.0.0.1:notaport/x", "postgres://u:secret@127.0.0.1/x?sslmode=perhaps"] {
        let error = open_store("warehouse", url).unwrap_err().to_string();
        assert!(error.contains("`warehouse`") && !error.contains("secret"), "{error}");
    }
}

/// The server of the tests speaks no TLS.
#[tokio::test]
async fn a_connection_that_must_be_encrypted_is_never_made_without() {
    let Some(fixture) = database().await else { return };
    let store = open_store("warehouse", &format!("{}?sslmode=require", fixture.url)).unwrap();
    let error = store.prepare(&simple("any")).await.unwrap_err().to_string();
    assert!(error.contains("TLS"), "{error}");
}

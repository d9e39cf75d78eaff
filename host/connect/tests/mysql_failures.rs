//! A MariaDB or MySQL that goes away, at the worst moments too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking, in their helpers too")]

use std::sync::Arc;
use std::time::Duration;

use azenha_conformance::proxy::Proxy;
use azenha_conformance::store_connection_conformance;
use azenha_conformance::store_helpers::*;
use azenha_connect::open_store;
use azenha_engine::store::{Store, StoreError};
use azenha_model::plan::WriteMode;
use sqlx::Connection;

use self::mysql_fixture::{MySql, ask, database};

mod mysql_fixture;
mod sql_fixture;

fn is_unavailable(ended: Result<(), StoreError>) -> bool {
    matches!(ended, Err(StoreError::Unavailable { .. }))
}

/// A database, and its store once more behind a proxy.
async fn behind_proxy() -> Option<(MySql, Proxy, Arc<dyn Store>)> {
    let fixture = database().await?;
    let (proxy, url) = Proxy::before(&fixture.url).await;
    // A MySQL encrypts if it is let to, and the proxy could not tell commits from other messages.
    let url = format!("{url}?ssl-mode=disabled");
    Some((fixture, proxy, open_store("warehouse", &url).unwrap()))
}

/// Only one test asks for the transactions at a time: see [`until_the_store_waits`].
static ASKS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Waits until so many sessions of the test's database wait for the locks of rows, half a minute at most. The server
/// looks for them anew only when nobody has asked for a tenth of a second: two tests that ask by turns would be told the
/// same for ever.
async fn until_the_store_waits(fixture: &MySql, sessions: usize) {
    let sql = "SELECT CAST(COUNT(*) AS CHAR) FROM information_schema.INNODB_TRX
        JOIN information_schema.PROCESSLIST ON trx_mysql_thread_id = ID
        WHERE DB = DATABASE() AND trx_state = 'LOCK WAIT'";
    let mut connection = fixture.connect().await;
    for _ in 0..250 {
        let alone = ASKS.lock().await;
        tokio::time::sleep(Duration::from_millis(120)).await;
        if ask(&mut connection, sql).await == sessions.to_string() {
            return;
        }
        drop(alone);
    }
    panic!("{sessions} sessions should wait for locks");
}

store_connection_conformance!(behind_proxy());

#[tokio::test]
async fn a_session_that_the_server_ends_is_unavailable() {
    let Some(fixture) = database().await else { return };
    let output = simple("ended");
    let mut owner = prepared(&*fixture.store, &output).await;
    owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
    let mut connection = fixture.connect().await;
    let sessions = "SELECT GROUP_CONCAT('KILL ', ID SEPARATOR ';') FROM information_schema.PROCESSLIST
        WHERE DB = DATABASE() AND ID <> CONNECTION_ID()";
    let kill = ask(&mut connection, sessions).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(kill)).execute(&mut connection).await.unwrap();
    assert!(is_unavailable(owner.commit(&[puts(1, &[(2, "b")])], 2).await));
    let owner = fixture.store.open(&output, &lane(&output, 0, 0)).await.unwrap();
    assert_eq!(owner.position(), Some(1));
}

#[tokio::test]
async fn a_lane_is_taken_when_a_commit_that_is_under_way_has_ended() {
    let Some(fixture) = database().await else { return };
    let output = simple("taken_over");
    let lane = lane(&output, 0, 0);
    let mut first = prepared(&*fixture.store, &output).await;
    fixture.run("INSERT INTO taken_over VALUES (1, 'before')").await;
    let mut other = fixture.connect().await;
    let mut lock = other.begin().await.unwrap();
    sqlx::raw_sql("SELECT * FROM taken_over FOR UPDATE").execute(&mut *lock).await.unwrap();
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

/// Two lanes wait for each other: the server ends one of them.
#[tokio::test]
async fn a_deadlock_is_unavailable() {
    let Some(fixture) = database().await else { return };
    let output = simple("crossed");
    let mut owner = prepared(&*fixture.store, &output).await;
    owner.commit(&[puts(0, &[(1, "a"), (2, "a")])], 2).await.unwrap();
    fixture.run("CREATE TABLE heavy (id BIGINT PRIMARY KEY)").await;
    let mut other = fixture.connect().await;
    let mut lock = other.begin().await.unwrap();
    // The server ends the transaction that changed fewer rows.
    let weight: Vec<String> = (0..100).map(|id| format!("({id})")).collect();
    let weight = format!("INSERT INTO heavy VALUES {}", weight.join(", "));
    sqlx::raw_sql(sqlx::AssertSqlSafe(weight)).execute(&mut *lock).await.unwrap();
    sqlx::raw_sql("SELECT * FROM crossed WHERE id = 2 FOR UPDATE").execute(&mut *lock).await.unwrap();
    let crosses = async {
        until_the_store_waits(&fixture, 1).await;
        sqlx::raw_sql("SELECT * FROM crossed WHERE id = 1 FOR UPDATE").execute(&mut *lock).await.unwrap();
    };
    let rows = [puts(2, &[(1, "b"), (2, "b")])];
    let (ended, ()) = tokio::join!(owner.commit(&rows, 4), crosses);
    assert!(is_unavailable(ended));
    lock.commit().await.unwrap();
    let mut owner = fixture.store.open(&output, &lane(&output, 0, 0)).await.unwrap();
    assert_eq!(owner.position(), Some(2));
    owner.commit(&rows, 4).await.unwrap();
    assert_eq!(found(&fixture, "crossed").await, ["1=b", "2=b"]);
}

#[tokio::test]
async fn what_passes_by_itself_is_unavailable() {
    let Some(fixture) = database().await else { return };
    let output = simple("passing");
    fixture.store.prepare(&output).await.unwrap();
    let passing = [
        ("40001", 1213),
        ("HY000", 1205),
        ("HY000", 1114),
        ("HY000", 1290),
        ("HY000", 1836),
        ("25006", 1792),
        ("42000", 1203),
        ("42000", 1226),
        ("08S01", 1053),
        ("70100", 1317),
        ("HY000", 3024),
    ];
    for (state, number) in passing {
        fixture
            .run(&format!(
                "DROP TRIGGER IF EXISTS fail;
                CREATE TRIGGER fail BEFORE INSERT ON passing FOR EACH ROW
                    SIGNAL SQLSTATE '{state}' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = 'it will pass'"
            ))
            .await;
        let mut owner = fixture.store.open(&output, &lane(&output, 0, 0)).await.unwrap();
        assert!(is_unavailable(owner.commit(&[puts(0, &[(1, "a")])], 1).await), "{state} {number}");
    }
    fixture.run("DROP TRIGGER fail").await;
    let mut owner = fixture.store.open(&output, &lane(&output, 0, 0)).await.unwrap();
    owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    for scheme in ["mysql", "mariadb"] {
        let store = open_store("warehouse", &format!("{scheme}://somebody:secret@127.0.0.1:1/nothing")).unwrap();
        let error = store.prepare(&simple("any")).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        assert!(!error.to_string().contains("secret") && !format!("{store:?}").contains("secret"), "{error}");
    }
}

/// Nothing helps but a person.
#[tokio::test]
async fn a_wrong_database_or_user_is_a_definition() {
    let Some(fixture) = database().await else { return };
    let (_, place) = fixture.url.rsplit_once('@').unwrap();
    let wrong = [format!("{}_not", fixture.url), format!("mysql://nobody:secret@{place}")];
    for (url, named) in wrong.iter().zip(["database", "'nobody'"]) {
        let store = open_store("warehouse", url).unwrap();
        let Err(StoreError::Definition(said)) = store.prepare(&simple("any")).await else {
            panic!("{named} was right")
        };
        assert!(said.contains(named) && said.contains("`warehouse`") && !said.contains("secret"), "{said}");
    }
}

#[tokio::test]
async fn a_url_that_is_wrong_is_told_without_its_password() {
    for (url, named) in [
        ("mysql://somebody:secret@127.0.0.1:notaport/x", "port"),
        ("mysql://somebody:secret@127.0.0.1/x?ssl-mode=perhaps", "perhaps"),
        ("mysql://somebody:secret@127.0.0.1", "names no database"),
    ] {
        let error = open_store("warehouse", url).unwrap_err().to_string();
        assert!(error.contains("`warehouse`") && error.contains(named) && !error.contains("secret"), "{error}");
    }
}

/// One that keeps rows but not transactions would part rows and position.
#[tokio::test]
async fn a_table_without_transactions_is_refused() {
    let Some(fixture) = database().await else { return };
    fixture.run("CREATE TABLE loose (id BIGINT PRIMARY KEY, name LONGTEXT) ENGINE=MyISAM").await;
    let appending = output("loose", &fields(), &[], WriteMode::Append);
    for output in [simple("loose"), appending] {
        let Err(StoreError::Definition(said)) = fixture.store.prepare(&output).await else { panic!("it was used") };
        assert!(said.contains("MyISAM") && said.contains("ALTER TABLE `loose` ENGINE=InnoDB"), "{said}");
    }
}

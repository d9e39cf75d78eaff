//! Tables of MariaDB and MySQL keep the promises of every store, and some of their own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking, in their helpers too")]

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Decimal128Array, Int64Array, StringArray};
use azenha_conformance::store_helpers::*;
use azenha_conformance::{refusal_conformance, store_conformance, table_conformance};
use azenha_engine::store::{StoreError, StoreRows};
use azenha_model::plan::WriteMode;
use azenha_model::{DataType, Field};

use self::mysql_fixture::{ask, database};

mod mysql_fixture;
mod sql_fixture;

store_conformance!(database());
refusal_conformance!(database());
table_conformance!(database());

#[tokio::test]
async fn tables_are_made_of_the_servers_own_types() {
    let Some(fixture) = database().await else { return };
    let fields = [
        Field::new("code", DataType::Text, false),
        Field::new("at", DataType::Timestamp, false),
        Field::new("amount", DataType::Decimal { scale: 2 }, true),
        Field::new("remark", DataType::Text, true),
    ];
    fixture.store.prepare(&output("events", &fields, &[0, 1], WriteMode::Upsert)).await.unwrap();
    let sql = "SELECT CONCAT(GROUP_CONCAT(COLUMN_NAME, ' ', COLUMN_TYPE, ' ', IS_NULLABLE ORDER BY ORDINAL_POSITION),
            ' ', MIN(ENGINE))
        FROM information_schema.COLUMNS JOIN information_schema.TABLES USING (TABLE_SCHEMA, TABLE_NAME)
        WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'events'";
    let columns = ask(&mut fixture.connect().await, sql).await;
    let wanted = "code varchar(766) NO,at datetime(6) NO,amount decimal(38,2) YES,remark longtext YES InnoDB";
    assert_eq!(columns, wanted);
}

/// A key that takes small letters for capital ones, or drops spaces, would merge rows.
#[tokio::test]
async fn a_text_key_that_is_not_compared_by_its_bytes_is_named() {
    let Some(fixture) = database().await else { return };
    let fields = [Field::new("name", DataType::Text, false), Field::new("number", DataType::Int64, true)];
    for collation in ["utf8mb4_general_ci", "utf8mb4_bin"] {
        fixture
            .run(&format!(
                "DROP TABLE IF EXISTS loose;
                CREATE TABLE loose (name VARCHAR(100) COLLATE {collation} PRIMARY KEY, number BIGINT) CHARSET utf8mb4"
            ))
            .await;
        let output = output("loose", &fields, &[0], WriteMode::Upsert);
        let Err(StoreError::Definition(said)) = fixture.store.prepare(&output).await else { panic!("{collation}") };
        assert!(said.contains(&format!("`varchar(100) COLLATE {collation}`")), "{said}");
        let (_, advice) = said.split_once("ALTER TABLE ").unwrap();
        fixture.run(&format!("ALTER TABLE {advice}")).await;
        fixture.store.prepare(&output).await.unwrap();
    }
}

/// The server would replace the row that has the value, whatever its key.
#[tokio::test]
async fn an_upsert_never_changes_a_row_of_another_key() {
    let Some(fixture) = database().await else { return };
    fixture.run("CREATE TABLE people (id BIGINT PRIMARY KEY, name VARCHAR(100), UNIQUE named (name))").await;
    let mut owner = prepared(&*fixture.store, &simple("people")).await;
    owner.commit(&[puts(0, &[(1, "a"), (2, "b")])], 2).await.unwrap();
    let refused = refused(owner.commit(&[puts(2, &[(3, "c"), (4, "a"), (2, "a"), (5, "d")])], 6).await);
    assert_eq!(places(&refused), [(0, 1), (0, 2)]);
    assert!(refused.iter().all(|row| row.reason.contains("unique index: `") && row.reason.contains("named")));
    owner.commit(&[puts(2, &[(3, "c")]), puts(5, &[(5, "d")])], 6).await.unwrap();
    assert_eq!(found(&fixture, "people").await, ["1=a", "2=b", "3=c", "5=d"]);
}

/// The table's own number is not the sink's key.
#[tokio::test]
async fn a_key_need_not_be_the_primary_one() {
    let Some(fixture) = database().await else { return };
    fixture
        .run(
            "CREATE TABLE numbered (number INT AUTO_INCREMENT PRIMARY KEY, id BIGINT NOT NULL, name TEXT,
                twice BIGINT AS (id * 2), UNIQUE (id))",
        )
        .await;
    let mut owner = prepared(&*fixture.store, &simple("numbered")).await;
    owner.commit(&[puts(0, &[(7, "a"), (8, "b")])], 2).await.unwrap();
    owner.commit(&[changes(2, &[(7, Some("A")), (8, None), (9, Some("c"))])], 5).await.unwrap();
    assert_eq!(found(&fixture, "numbered").await, ["7=A", "9=c"]);
}

/// Nor do texts that are compared become floats, in which they would be one.
#[tokio::test]
async fn decimals_of_38_digits_are_keys() {
    let Some(fixture) = database().await else { return };
    let fields = [Field::new("amount", DataType::Decimal { scale: 2 }, false), Field::new("id", DataType::Int64, true)];
    let amounts = vec![10_i128.pow(38) - 1, 10_i128.pow(38) - 2, 1 - 10_i128.pow(38)];
    let amounts = Decimal128Array::from(amounts).with_precision_and_scale(38, 2).unwrap();
    let columns: Vec<ArrayRef> = vec![Arc::new(amounts), Arc::new(Int64Array::from(vec![1, 2, 3]))];
    let rows = |first| batch(&fields, columns.clone(), first);
    let mut owner = prepared(&*fixture.store, &output("amounts", &fields, &[0], WriteMode::Upsert)).await;
    owner.commit(&[rows(0)], 3).await.unwrap();
    owner.commit(&[rows(3)], 6).await.unwrap();
    let deletes = Some(BooleanArray::from(vec![true, false, false]));
    owner.commit(&[StoreRows { deletes, ..rows(6) }], 9).await.unwrap();
    let left: Vec<_> = fixture.rows("amounts", &fields).await.into_iter().map(|row| row[1].clone()).collect();
    assert_eq!(left, [Some("3".to_owned()), Some("2".to_owned())]);
}

/// The server cuts spaces off in strict mode, too, and says nothing.
#[tokio::test]
async fn texts_are_refused_where_the_server_would_cut_them() {
    let Some(fixture) = database().await else { return };
    for (mode, key, table) in [(WriteMode::Append, &[][..], "appended"), (WriteMode::Upsert, &[0], "upserted")] {
        fixture.run(&format!("CREATE TABLE {table} (id BIGINT PRIMARY KEY, name VARCHAR(5)) CHARSET utf8mb4")).await;
        let mut owner = prepared(&*fixture.store, &output(table, &fields(), key, mode)).await;
        let rows = puts(0, &[(1, "äöü  "), (2, "äöü   "), (3, "too long"), (4, "nul\0")]);
        let refused = refused(owner.commit(&[rows], 4).await);
        assert_eq!(places(&refused), [(0, 1), (0, 2)]);
        assert!(refused[0].reason.starts_with("column `name`: ") && refused[0].reason.contains("spaces"));
        assert_eq!(refused[1].reason, "Data too long for column 'name'");
        owner.commit(&[puts(0, &[(1, "äöü  "), (4, "nul\0")])], 4).await.unwrap();
        assert_eq!(found(&fixture, table).await, ["1=äöü  ", "4=nul\0"]);
    }
}

/// It would end the connection, again and again.
#[tokio::test]
async fn a_row_that_is_larger_than_a_packet_is_refused_alone() {
    let Some(fixture) = database().await else { return };
    let packet: usize =
        ask(&mut fixture.connect().await, "SELECT CAST(@@max_allowed_packet AS CHAR)").await.parse().unwrap();
    let (large, too_large) = ("x".repeat(packet - 1000), "x".repeat(packet));
    let mut owner = prepared(&*fixture.store, &simple("packets")).await;
    let refused = refused(owner.commit(&[puts(0, &[(1, "a"), (2, &too_large), (3, &large)])], 3).await);
    assert_eq!(places(&refused), [(0, 1)]);
    assert!(refused[0].reason.contains("max_allowed_packet"), "{}", refused[0].reason);
    owner.commit(&[puts(0, &[(1, "a")]), puts(2, &[(3, &large)])], 3).await.unwrap();
    assert_eq!(found(&fixture, "packets").await[1].len(), 2 + large.len());
}

/// Each constraint refuses its row, with its name, and nothing else.
#[tokio::test]
async fn every_kind_of_constraint_refuses_its_row_alone() {
    let Some(fixture) = database().await else { return };
    fixture
        .run(
            "CREATE TABLE colours (name VARCHAR(20) PRIMARY KEY) ENGINE=InnoDB;
            INSERT INTO colours VALUES ('red'), ('blue'), ('green'), ('black');
            CREATE TABLE cars (id BIGINT PRIMARY KEY, name VARCHAR(20) NOT NULL, CONSTRAINT small CHECK (id < 100),
                CONSTRAINT one_each UNIQUE (name), CONSTRAINT colour FOREIGN KEY (name) REFERENCES colours (name))
                ENGINE=InnoDB;
            CREATE TRIGGER no_black BEFORE INSERT ON cars FOR EACH ROW
                IF new.name = 'black' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'black is sold out'; END IF",
        )
        .await;
    let names =
        [(1, Some("red")), (2, None), (3, Some("pink")), (4, Some("black")), (5, Some("red")), (101, Some("blue"))];
    let rows = StoreRows { deletes: None, ..changes(0, &names) };
    let mut owner = prepared(&*fixture.store, &simple("cars")).await;
    let refused = refused(owner.commit(&[rows], 6).await);
    assert_eq!(places(&refused), [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)]);
    for (row, named) in refused.iter().zip(["'name'", "`colour`", "sold out", "one_each", "small"]) {
        assert!(row.reason.contains(named), "{}", row.reason);
    }
    owner.commit(&[puts(0, &[(1, "red")])], 6).await.unwrap();
    assert_eq!(found(&fixture, "cars").await, ["1=red"]);
}

#[tokio::test]
async fn a_value_that_its_column_cannot_hold_is_refused_without_being_told() {
    let Some(fixture) = database().await else { return };
    fixture.run("CREATE TABLE narrow (id BIGINT PRIMARY KEY, name VARCHAR(100)) CHARSET latin1").await;
    let mut owner = prepared(&*fixture.store, &simple("narrow")).await;
    let refused = refused(owner.commit(&[puts(0, &[(1, "ä"), (2, "🦀 personal")])], 2).await);
    assert_eq!(places(&refused), [(0, 1)]);
    let reason = &refused[0].reason;
    assert!(reason.contains("name") && !reason.contains("personal"), "{reason}");
}

#[tokio::test]
async fn a_commit_of_bad_rows_only_comes_to_an_end() {
    let Some(fixture) = database().await else { return };
    fixture.run("CREATE TABLE closed (id BIGINT, name TEXT, CONSTRAINT never CHECK (name IS NULL))").await;
    let mut owner = prepared(&*fixture.store, &output("closed", &fields(), &[], WriteMode::Append)).await;
    let mut left = 2000;
    while left > 0 {
        let batches: Vec<_> = (0..left / 100).map(|batch| puts(batch * 100, &[(1, "bad"); 100])).collect();
        let refused = refused(owner.commit(&batches, 2000).await);
        assert!((1..=500).contains(&refused.len()), "{}", refused.len());
        left -= refused.len() as u64;
    }
    owner.commit(&[], 2000).await.unwrap();
}

#[tokio::test]
async fn a_table_may_be_in_another_database_and_have_any_name() {
    let Some(fixture) = database().await else { return };
    let other = format!("{}_sales", fixture.url.rsplit_once('/').unwrap().1);
    let fields = [Field::new("Id", DataType::Int64, false), Field::new("sel`ect", DataType::Text, true)];
    let output = output(&format!("{other}.Click Counts"), &fields, &[0], WriteMode::Upsert);
    let Err(StoreError::Definition(said)) = fixture.store.prepare(&output).await else { panic!("no database") };
    assert!(said.contains("Unknown database"), "{said}");
    fixture.run(&format!("CREATE DATABASE {other}")).await;
    let mut owner = prepared(&*fixture.store, &output).await;
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["a"]))];
    owner.commit(&[batch(&fields, columns, 0)], 1).await.unwrap();
    let sql = format!("SELECT CONCAT(`sel``ect`, Id) FROM {other}.`Click Counts`");
    assert_eq!(ask(&mut fixture.connect().await, &sql).await, "a1");
}

#[tokio::test]
async fn a_user_needs_no_more_than_the_rights_to_the_tables_that_exist() {
    let Some(fixture) = database().await else { return };
    fixture.store.prepare(&simple("given")).await.unwrap();
    let user = fixture.url.rsplit_once('/').unwrap().1.replace("azenha_test", "user");
    fixture
        .run(&format!(
            "CREATE USER {user}@'%' IDENTIFIED BY 'secret'; GRANT SELECT, INSERT, UPDATE ON given TO {user}@'%';
            GRANT SELECT, INSERT, UPDATE ON azenha_positions TO {user}@'%'"
        ))
        .await;
    let (_, place) = fixture.url.rsplit_once('@').unwrap();
    let store = azenha_connect::open_store("warehouse", &format!("mysql://{user}:secret@{place}")).unwrap();
    let mut owner = prepared(&*store, &simple("given")).await;
    owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
    for denied in [
        store.prepare(&simple("new")).await.unwrap_err(),
        owner.commit(&[changes(1, &[(1, None)])], 2).await.unwrap_err(),
    ] {
        let StoreError::Definition(said) = denied else { panic!("{denied}") };
        assert!(said.contains("command denied"), "{said}");
    }
    fixture.run(&format!("DROP USER {user}@'%'")).await;
}

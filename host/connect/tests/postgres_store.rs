//! Tables of PostgreSQL keep the promises of every store, and some of their own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking, in their helpers too")]

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use azenha_conformance::store_helpers::*;
use azenha_conformance::{refusal_conformance, store_conformance, table_conformance};
use azenha_engine::store::StoreError;
use azenha_model::plan::WriteMode;
use azenha_model::{DataType, Field};
use sqlx::Connection;

use self::postgres_fixture::{ask, database, until_the_store_waits};

mod postgres_fixture;
mod sql_fixture;

store_conformance!(database());
refusal_conformance!(database());
table_conformance!(database());

/// A text, a JSON value and a timestamp beside the key.
fn event_fields() -> [Field; 4] {
    [
        Field::new("id", DataType::Int64, false),
        Field::new("code", DataType::Text, true),
        Field::new("body", DataType::Json, true),
        Field::new("at", DataType::Timestamp, true),
    ]
}

fn events(first: u64, codes: &[&str]) -> azenha_engine::store::StoreRows {
    let ids = first as i64..first as i64 + codes.len() as i64;
    let at = TimestampMicrosecondArray::from(vec![1_700_000_000_000_001; codes.len()]).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids)),
        Arc::new(StringArray::from(codes.to_vec())),
        Arc::new(StringArray::from(vec!["{\"a\":1}"; codes.len()])),
        Arc::new(at),
    ];
    batch(&event_fields(), columns, first)
}

const MODES: [(WriteMode, &[usize], &str); 2] =
    [(WriteMode::Append, &[], "appended"), (WriteMode::Upsert, &[0], "upserted")];

#[tokio::test]
async fn tables_are_made_of_the_servers_own_types() {
    let Some(fixture) = database().await else { return };
    fixture.store.prepare(&output("events", &event_fields(), &[0], WriteMode::Upsert)).await.unwrap();
    let sql = "SELECT string_agg(column_name || ' ' || data_type || ' ' || is_nullable, ', ' ORDER BY ordinal_position)
        FROM information_schema.columns WHERE table_name = 'events'";
    let columns = ask(&mut fixture.connect().await, sql).await;
    assert_eq!(columns, "id bigint NO, code text YES, body jsonb YES, at timestamp with time zone YES");
}

#[tokio::test]
async fn columns_of_related_types_are_written_in_both_modes() {
    let Some(fixture) = database().await else { return };
    for (mode, key, table) in MODES {
        fixture
            .run(&format!("CREATE TABLE {table} (id bigint PRIMARY KEY, code varchar(5), body json, at timestamptz)"))
            .await;
        let mut owner = prepared(&*fixture.store, &output(table, &event_fields(), key, mode)).await;
        owner.commit(&[events(0, &["short"])], 1).await.unwrap();
        let sql = format!("SELECT code || (body::jsonb)::text || extract(epoch FROM at) FROM {table}");
        assert_eq!(ask(&mut fixture.connect().await, &sql).await, "short{\"a\": 1}1700000000.000001");
    }
}

/// The server itself does not say which.
#[tokio::test]
async fn a_value_that_does_not_fit_its_column_is_refused_with_the_columns_name() {
    let Some(fixture) = database().await else { return };
    for (mode, key, table) in MODES {
        fixture
            .run(&format!(
                "CREATE TABLE {table} (id bigint PRIMARY KEY, code varchar(5), body json, at timestamptz NOT NULL)"
            ))
            .await;
        let mut owner = prepared(&*fixture.store, &output(table, &event_fields(), key, mode)).await;
        let refused = refused(owner.commit(&[events(0, &["short", "too long", "zero\0"])], 3).await);
        assert_eq!(places(&refused), [(0, 1), (0, 2)]);
        assert_eq!(refused[0].reason, "column `code`: value too long for type character varying(5)");
        assert!(refused[1].reason.starts_with("column `code`: invalid byte sequence"), "{}", refused[1].reason);
    }
}

/// Each constraint refuses its row, with its name, and nothing else.
#[tokio::test]
async fn every_kind_of_constraint_refuses_its_row_alone() {
    let Some(fixture) = database().await else { return };
    fixture
        .run(
            "CREATE TABLE colours (name text PRIMARY KEY);
            INSERT INTO colours VALUES ('red'), ('blue'), ('green'), ('black');
            CREATE TABLE cars (id bigint PRIMARY KEY CONSTRAINT small CHECK (id < 100),
                name text NOT NULL CONSTRAINT colour REFERENCES colours, CONSTRAINT one_each UNIQUE (name));
            CREATE FUNCTION no_black() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN IF new.name = 'black' THEN RAISE 'black is sold out' USING ERRCODE = 'C0000'; END IF;
                RETURN new; END $$;
            CREATE TRIGGER no_black BEFORE INSERT ON cars FOR EACH ROW EXECUTE FUNCTION no_black()",
        )
        .await;
    let names =
        [(1, Some("red")), (2, None), (3, Some("pink")), (4, Some("black")), (5, Some("red")), (101, Some("blue"))];
    let rows = azenha_engine::store::StoreRows { deletes: None, ..changes(0, &names) };
    let mut owner = prepared(&*fixture.store, &simple("cars")).await;
    let refused = refused(owner.commit(&[rows], 6).await);
    assert_eq!(places(&refused), [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)]);
    for (row, named) in refused.iter().zip(["\"name\"", "\"colour\"", "sold out", "\"one_each\"", "\"small\""]) {
        assert!(row.reason.contains(named), "{}", row.reason);
    }
    owner.commit(&[puts(0, &[(1, "red")])], 6).await.unwrap();
    assert_eq!(found(&fixture, "cars").await, ["1=red"]);
}

#[tokio::test]
async fn constraints_that_wait_for_the_commit_refuse_their_row_too() {
    let Some(fixture) = database().await else { return };
    fixture
        .run(
            "CREATE TABLE people (id bigint PRIMARY KEY,
                name text CONSTRAINT distinct_names UNIQUE DEFERRABLE INITIALLY DEFERRED)",
        )
        .await;
    let mut owner = prepared(&*fixture.store, &simple("people")).await;
    owner.commit(&[puts(0, &[(1, "a"), (2, "b")])], 2).await.unwrap();
    owner.commit(&[puts(2, &[(1, "b"), (2, "a")])], 4).await.unwrap();
    let refused = refused(owner.commit(&[puts(4, &[(3, "c"), (4, "a"), (5, "d")])], 7).await);
    assert_eq!(places(&refused), [(0, 1)]);
    assert!(refused[0].reason.contains("distinct_names"), "{}", refused[0].reason);
    owner.commit(&[puts(4, &[(3, "c")]), puts(6, &[(5, "d")])], 7).await.unwrap();
    assert_eq!(found(&fixture, "people").await, ["1=b", "2=a", "3=c", "5=d"]);
}

#[tokio::test]
async fn a_commit_of_bad_rows_only_comes_to_an_end() {
    let Some(fixture) = database().await else { return };
    fixture.run("CREATE TABLE closed (id bigint, name text CONSTRAINT never CHECK (name IS NULL))").await;
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
async fn a_table_may_be_in_a_schema_and_have_any_name() {
    let Some(fixture) = database().await else { return };
    let fields = [Field::new("Id", DataType::Int64, false), Field::new("sel\"ect", DataType::Text, true)];
    for (mode, key, table) in
        [(WriteMode::Upsert, &[0][..], "sales.Click Counts"), (WriteMode::Append, &[], "sales.user")]
    {
        let output = output(table, &fields, key, mode);
        if mode == WriteMode::Upsert {
            let Err(StoreError::Definition(said)) = fixture.store.prepare(&output).await else { panic!("no schema") };
            assert!(said.contains("schema \"sales\" does not exist"), "{said}");
            fixture.run("CREATE SCHEMA sales").await;
        }
        fixture.store.prepare(&output).await.unwrap();
        let mut owner = prepared(&*fixture.store, &output).await;
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["a"]))];
        owner.commit(&[batch(&fields, columns, 0)], 1).await.unwrap();
    }
    let sql =
        "SELECT \"sel\"\"ect\" || \"Id\" || (SELECT \"sel\"\"ect\" FROM sales.\"user\") FROM sales.\"Click Counts\"";
    assert_eq!(ask(&mut fixture.connect().await, sql).await, "a1a");
}

#[tokio::test]
async fn a_table_that_another_program_makes_at_the_same_time_is_used() {
    let Some(fixture) = database().await else { return };
    let mut other = fixture.connect().await;
    let mut transaction = other.begin().await.unwrap();
    let create = "CREATE TABLE raced (id bigint PRIMARY KEY, name text)";
    sqlx::raw_sql(create).execute(&mut *transaction).await.unwrap();
    let made = tokio::join!(async { fixture.store.prepare(&simple("raced")).await }, async {
        until_the_store_waits(&fixture, 1).await;
        transaction.commit().await.unwrap();
    });
    made.0.unwrap();
}

#[tokio::test]
async fn a_role_needs_no_more_than_the_rights_to_the_tables_that_exist() {
    let Some(fixture) = database().await else { return };
    fixture.store.prepare(&simple("given")).await.unwrap();
    let role = fixture.url.rsplit_once('/').unwrap().1.replace("test", "role");
    fixture
        .run(&format!(
            "CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM public;
            GRANT SELECT, INSERT, UPDATE ON given, azenha_positions TO {role}"
        ))
        .await;
    let url = fixture.url.replace("postgres@", &format!("{role}@"));
    let store = azenha_connect::open_store("warehouse", &url).unwrap();
    let mut owner = prepared(&*store, &simple("given")).await;
    owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
    for denied in [
        store.prepare(&simple("new")).await.unwrap_err(),
        owner.commit(&[changes(1, &[(1, None)])], 2).await.unwrap_err(),
    ] {
        let StoreError::Definition(said) = denied else { panic!("{denied}") };
        assert!(said.contains("permission denied"), "{said}");
    }
    fixture.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

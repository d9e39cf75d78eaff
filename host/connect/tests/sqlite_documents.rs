//! Documents in SQLite keep the promises of every store, and are those that MongoDB would have.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking, in their helpers too")]

use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray};
use async_trait::async_trait;
use azenha_conformance::store_helpers::*;
use azenha_conformance::{refusal_conformance, store_conformance};
use azenha_connect::open_store;
use azenha_engine::store::Store;
use azenha_model::plan::{StoreOutput, Target, WriteMode};
use azenha_model::{DataType, Field};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use tempfile::TempDir;

struct DocumentFixture {
    store: Collections,
    url: String,
    _directory: TempDir,
}

/// A file of its own for each test.
async fn database() -> Option<DocumentFixture> {
    let directory = TempDir::new().unwrap();
    let url = format!("sqlite://{}", directory.path().join("documents.db").display());
    SqliteConnection::connect(&format!("{url}?mode=rwc")).await.unwrap().close().await.unwrap();
    Some(DocumentFixture { store: Collections(open_store("documents", &url).unwrap()), url, _directory: directory })
}

impl DocumentFixture {
    async fn run(&self, sql: &str) {
        let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }

    /// The first column of each row.
    async fn ask(&self, sql: &str) -> Vec<String> {
        let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap()
    }
}

#[async_trait]
impl StoreFixture for DocumentFixture {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn keeps(&self) -> Keeps {
        Keeps { digits: 34, microseconds: true, whole_commits: true }
    }

    async fn rows(&self, table: &str, columns: &[Field]) -> Vec<Vec<Option<String>>> {
        let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
        let first = &columns[0].name;
        let sql = format!("SELECT document FROM {table} ORDER BY document ->> '$.{first}'");
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        let document = |row: sqlx::sqlite::SqliteRow| serde_json::from_str(row.get(0)).unwrap();
        let row = |document: serde_json::Value| {
            columns.iter().map(|field| text(field, document.get(&field.name).unwrap())).collect()
        };
        rows.into_iter().map(document).map(row).collect()
    }

    async fn make(&self, table: &str, rule: Rule) {
        let (check, index) = match rule {
            Rule::NoPoison => (" CHECK (document ->> '$.name' <> 'poison')", String::new()),
            Rule::UniqueNames => ("", format!("CREATE UNIQUE INDEX {table}_name ON {table} (document ->> '$.name')")),
        };
        self.run(&format!("CREATE TABLE {table} (_id TEXT PRIMARY KEY, document JSON_TEXT NOT NULL{check}); {index}"))
            .await;
    }

    async fn move_lanes(&self, topic: &str, next: i64) {
        self.run(&format!("UPDATE azenha_positions SET next_offset = {next} WHERE topic = '{topic}'")).await;
    }
}

/// A value as the checks write it.
fn text(field: &Field, value: &serde_json::Value) -> Option<String> {
    let text = value.as_str().unwrap_or_default();
    Some(match field.data_type {
        DataType::Json => value.to_string(),
        _ if value.is_null() => return None,
        DataType::Boolean => u8::from(value.as_bool().unwrap()).to_string(),
        DataType::Int64 => value.to_string(),
        DataType::Float64 => format!("{:?}", value.as_f64().unwrap()),
        DataType::Timestamp => text.replace('T', " ").replace('Z', ""),
        DataType::Bytes if text.is_empty() => String::new(),
        DataType::Bytes => hexadecimal(text),
        DataType::Decimal { .. } | DataType::Text | DataType::Date | DataType::Time => text.to_owned(),
    })
}

/// The bytes of base64.
fn hexadecimal(base64: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = base64.bytes().filter(|byte| *byte != b'=');
    let bits: Vec<bool> = digits
        .map(|byte| LETTERS.iter().position(|letter| *letter == byte).unwrap())
        .flat_map(|value| (0..6).rev().map(move |bit| value >> bit & 1 == 1))
        .collect();
    let byte = |bits: &[bool]| bits.iter().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit));
    bits.chunks_exact(8).map(|bits| format!("{:02x}", byte(bits))).collect()
}

store_conformance!(database());
refusal_conformance!(database());

#[tokio::test]
async fn documents_are_read_with_functions_of_json() {
    let fixture = database().await.unwrap();
    let fields = [
        Field::new("order", DataType::Int64, false),
        Field::new("line", DataType::Text, false),
        Field::new("amount", DataType::Decimal { scale: 2 }, true),
        Field::new("body", DataType::Json, true),
    ];
    let amounts = Decimal128Array::from(vec![1250]).with_precision_and_scale(38, 2).unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![7])),
        Arc::new(StringArray::from(vec!["a\"b"])),
        Arc::new(amounts),
        Arc::new(StringArray::from(vec![r#"{"lines":[{"price":0.10}]}"#])),
    ];
    let rows = batch(&fields, columns, 0);
    for (name, key, id) in [
        ("of_two", &[0, 1][..], r#"{"order":7,"line":"a\"b"}"#),
        ("of_number", &[0], "7"),
        ("of_text", &[1], r#""a\"b""#),
    ] {
        let mut owner = prepared(fixture.store(), &output(name, &fields, key, WriteMode::Upsert)).await;
        owner.commit(std::slice::from_ref(&rows), 1).await.unwrap();
        let document = fixture.ask(&format!("SELECT document FROM {name}")).await;
        let wanted = r#","order":7,"line":"a\"b","amount":"12.50","body":{"lines":[{"price":0.10}]}}"#;
        assert_eq!(document, [format!("{{\"_id\":{id}{wanted}")]);
        assert_eq!(
            fixture.ask(&format!("SELECT document ->> '$.body.lines[0].price' || '' FROM {name}")).await,
            ["0.1"]
        );
    }
    assert_eq!(fixture.ask("SELECT _id FROM of_two").await, [r#"{"order":7,"line":"a\"b"}"#]);
    assert_eq!(fixture.ask("SELECT _id FROM of_number").await, ["7"]);
    assert_eq!(fixture.ask("SELECT _id FROM of_text").await, ["a\"b"]);
}

/// What MongoDB would refuse, and what JSON cannot say.
#[tokio::test]
async fn what_no_document_can_hold_is_refused_alone() {
    let fixture = database().await.unwrap();
    let fields = [
        Field::new("id", DataType::Int64, false),
        Field::new("body", DataType::Json, true),
        Field::new("size", DataType::Float64, true),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
        Arc::new(StringArray::from(vec!["{}", "{", "{\"a\\u0000\":1}", "[]"])),
        Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, f64::NAN])),
    ];
    let mut owner = prepared(fixture.store(), &output("refusing", &fields, &[0], WriteMode::Upsert)).await;
    let refused = refused(owner.commit(&[batch(&fields, columns, 0)], 4).await);
    assert_eq!(places(&refused), [(0, 1), (0, 2), (0, 3)]);
    assert!(refused[2].reason.contains("column `size`") && refused[2].reason.contains("NaN"), "{refused:?}");
}

#[tokio::test]
async fn indexes_are_made_once_and_used() {
    let fixture = database().await.unwrap();
    let target =
        Target::Collection { indexes: vec![vec!["name".to_owned()], vec!["body.code".to_owned(), "id".to_owned()]] };
    let output = StoreOutput { target, ..simple("indexed") };
    let store = open_store("documents", &fixture.url).unwrap();
    for _ in 0..2 {
        store.prepare(&output).await.unwrap();
    }
    let sql = "SELECT name FROM pragma_index_list('indexed') WHERE origin = 'c' ORDER BY name";
    assert_eq!(fixture.ask(sql).await, ["indexed_body.code_1_id_1", "indexed_name_1"]);
    let plan = "EXPLAIN QUERY PLAN SELECT 1 FROM indexed WHERE json_extract(document, '$.name') = 'a'";
    let mut connection = SqliteConnection::connect(&fixture.url).await.unwrap();
    let row = sqlx::query(plan).fetch_one(&mut connection).await.unwrap();
    let detail: String = row.get("detail");
    assert!(detail.contains("indexed_name_1"), "{detail}");
}

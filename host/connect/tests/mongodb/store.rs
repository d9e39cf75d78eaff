//! Collections of MongoDB keep the promises of every store, and some of their own.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray};
use azenha_conformance::store_helpers::*;
use azenha_conformance::{refusal_conformance, store_conformance};
use azenha_connect::open_store;
use azenha_engine::store::{StoreError, StoreRows};
use azenha_model::plan::{StoreOutput, Target, WriteMode};
use azenha_model::{DataType, Field};
use futures::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, bson, doc};

use crate::fixture::{MongoFixture, database};

store_conformance!(database());
refusal_conformance!(database());

fn json_fields() -> [Field; 2] {
    [Field::new("id", DataType::Text, false), Field::new("body", DataType::Json, true)]
}

fn json_rows(first: u64, bodies: &[&str]) -> StoreRows {
    let ids = (first..first + bodies.len() as u64).map(|id| format!("{id:06}"));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from_iter_values(ids)), Arc::new(StringArray::from(bodies.to_vec()))];
    batch(&json_fields(), columns, first)
}

/// Writes one document for each body into a collection of their own.
async fn refusals_of_json(fixture: &MongoFixture, bodies: &[&str]) -> Vec<String> {
    let output = output("bodies", &json_fields(), &[0], WriteMode::Upsert);
    let mut owner = prepared(fixture.store(), &output).await;
    let refused = refused(owner.commit(&[json_rows(0, bodies)], bodies.len() as u64).await);
    refused.into_iter().map(|row| format!("{}: {}", row.row, row.reason)).collect()
}

#[tokio::test]
async fn a_document_is_the_row_with_its_key_as_id() {
    let Some(fixture) = database().await else { return };
    let fields = [
        Field::new("order", DataType::Int64, false),
        Field::new("line", DataType::Text, false),
        Field::new("amount", DataType::Decimal { scale: 2 }, true),
        Field::new("body", DataType::Json, true),
        Field::new("raw", DataType::Bytes, true),
        Field::new("at", DataType::Timestamp, true),
    ];
    let amounts = Decimal128Array::from(vec![Some(1250), None]).with_precision_and_scale(38, 2).unwrap();
    let at = TimestampMicrosecondArray::from(vec![Some(1_700_000_000_123_999), None]).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![7, 8])),
        Arc::new(StringArray::from(vec!["a", "b"])),
        Arc::new(amounts),
        Arc::new(StringArray::from(vec![Some(r#"{"lines":[{"price":0.10,"units":3}]}"#), None])),
        Arc::new(BinaryArray::from(vec![Some(b"\x01".as_slice()), None])),
        Arc::new(at),
    ];
    let output = output("orders", &fields, &[0, 1], WriteMode::Upsert);
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[batch(&fields, columns, 0)], 2).await.unwrap();
    let decimal = |text: &str| Bson::Decimal128(text.parse().unwrap());
    let raw =
        Bson::Binary(mongodb::bson::Binary { subtype: mongodb::bson::spec::BinarySubtype::Generic, bytes: vec![1] });
    let first = doc! {
        "_id": { "order": 7_i64, "line": "a" },
        "order": 7_i64,
        "line": "a",
        "amount": decimal("12.50"),
        "body": { "lines": [{ "price": decimal("0.10"), "units": 3_i64 }] },
        "raw": raw,
        "at": DateTime::from_millis(1_700_000_000_123),
    };
    let second = doc! {
        "_id": { "order": 8_i64, "line": "b" },
        "order": 8_i64,
        "line": "b",
        "amount": null,
        "body": null,
        "raw": null,
        "at": null,
    };
    assert_eq!(fixture.sorted("orders", "_id").await, [first, second]);
}

#[tokio::test]
async fn the_id_is_the_value_of_a_key_of_one_column() {
    let Some(fixture) = database().await else { return };
    let mut owner = prepared(fixture.store(), &simple("single")).await;
    owner.commit(&[puts(0, &[(5, "a")])], 1).await.unwrap();
    assert_eq!(fixture.sorted("single", "_id").await, [doc! { "_id": 5_i64, "id": 5_i64, "name": "a" }]);
}

/// They sort as the rows do, and to write them again would change nothing.
#[tokio::test]
async fn the_ids_of_appended_documents_say_where_they_came_from() {
    let Some(fixture) = database().await else { return };
    let output = output("events", &fields(), &[], WriteMode::Append);
    let mut owner = prepared(fixture.store(), &output).await;
    let twice = StoreRows { offsets: vec![9, 9], ..puts(9, &[(1, "a"), (2, "b")]) };
    let third = StoreRows { offsets: vec![9, 10], ..puts(9, &[(3, "c"), (4, "d")]) };
    owner.commit(&[twice, third], 11).await.unwrap();
    let ids: Vec<String> =
        fixture.sorted("events", "_id").await.iter().map(|found| found.get_str("_id").unwrap().to_owned()).collect();
    let id = |offset: u64, ordinal: u64| format!("pipeline/sink/topic-of-events/0/0/{offset:020}/{ordinal}");
    assert_eq!(ids, [id(9, 0), id(9, 1), id(9, 2), id(10, 0)]);
}

#[tokio::test]
async fn an_id_that_would_lose_something_is_refused() {
    let Some(fixture) = database().await else { return };
    let fields = [Field::new("at", DataType::Timestamp, false)];
    let at = TimestampMicrosecondArray::from(vec![Some(1000), Some(1001), None]).with_timezone("UTC");
    let output = output("moments", &fields, &[0], WriteMode::Upsert);
    let mut owner = prepared(fixture.store(), &output).await;
    let refused = refused(owner.commit(&[batch(&fields, vec![Arc::new(at)], 0)], 3).await);
    assert_eq!(places(&refused), [(0, 1), (0, 2)]);
    assert!(refused[0].reason.contains("column `at`") && refused[0].reason.contains("microseconds"), "{refused:?}");
    assert!(refused[1].reason.contains("null"), "{refused:?}");
}

#[tokio::test]
async fn what_no_document_can_hold_is_refused_alone() {
    let Some(fixture) = database().await else { return };
    let nested = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let huge = format!("\"{}\"", "x".repeat(16 << 20));
    let bodies = ["{}", "{", "{\"a\\u0000\":1}", &nested, &"9".repeat(35), &huge, "[]"];
    let reasons = refusals_of_json(&fixture, &bodies).await;
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    let parts = ["1: column `body`: holds no valid JSON", "2: column `body`: has a field", "100 levels", "34 digits"];
    for (reason, part) in reasons.iter().zip(parts) {
        assert!(reason.contains(part), "{reason}");
    }
    assert!(reasons[4].contains("16777216"), "{}", reasons[4]);
}

/// What the server takes, and what it gives back.
#[tokio::test]
async fn odd_names_and_values_are_documents() {
    let Some(fixture) = database().await else { return };
    let output = output("odd", &json_fields(), &[0], WriteMode::Upsert);
    let mut owner = prepared(fixture.store(), &output).await;
    let nested = format!("{}1{}", "[".repeat(99), "]".repeat(99));
    let large = format!("\"{}\"", "x".repeat((16 << 20) - 100));
    let bodies = [r#"{"":1,"a.b":2,"$x":3,"_id":[4]}"#, r#"{"$gt":""}"#, "-0", "1e400", &nested, &large];
    owner.commit(&[json_rows(0, &bodies)], 6).await.unwrap();
    let found = fixture.sorted("odd", "_id").await;
    assert_eq!(found.len(), 6);
    assert_eq!(found[0].get("body"), Some(&bson!({ "": 1_i64, "a.b": 2_i64, "$x": 3_i64, "_id": [4_i64] })));
    assert_eq!(found[1].get("body"), Some(&bson!({ "$gt": "" })));
    assert_eq!(found[3].get("body"), Some(&Bson::Decimal128("1E+400".parse().unwrap())));
    assert_eq!(found[5].get_str("body").unwrap().len(), (16 << 20) - 100);
}

/// An array of numbers cannot be indexed as places, for one.
#[tokio::test]
async fn what_only_the_server_refuses_is_refused_alone_without_values() {
    let Some(fixture) = database().await else { return };
    let index = doc! { "key": { "body": "2dsphere" }, "name": "places" };
    fixture.database.run_command(doc! { "createIndexes": "bodies", "indexes": [index] }).await.unwrap();
    let place = r#"{"type":"Point","coordinates":[1,2]}"#;
    let reasons = refusals_of_json(&fixture, &[place, r#"{"type":"Point","coordinates":["personal",2]}"#, place]).await;
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].starts_with("1: MongoDB refuses it with error"), "{reasons:?}");
    assert!(!reasons[0].contains("personal"), "{reasons:?}");
}

/// In a circle: each document takes the name that the next one had.
#[tokio::test]
async fn documents_may_exchange_what_is_unique() {
    let Some(fixture) = database().await else { return };
    fixture.make("exchanged", Rule::UniqueNames).await;
    let mut owner = prepared(fixture.store(), &simple("exchanged")).await;
    owner.commit(&[puts(0, &[(1, "a"), (2, "b"), (3, "c"), (4, "d")])], 4).await.unwrap();
    owner.commit(&[puts(4, &[(1, "b"), (2, "c"), (3, "a"), (5, "e")])], 8).await.unwrap();
    assert_eq!(found(&fixture, "exchanged").await, ["1=b", "2=c", "3=a", "4=d", "5=e"]);
    let refused = refused(owner.commit(&[puts(8, &[(1, "c"), (2, "b"), (3, "d"), (6, "e"), (7, "f")])], 13).await);
    assert_eq!(places(&refused), [(0, 2), (0, 3)]);
    assert_eq!(found(&fixture, "exchanged").await, ["1=b", "2=c", "3=a", "4=d", "5=e"]);
}

fn indexed(indexes: &[&[&str]]) -> StoreOutput {
    let owned = |fields: &&[&str]| fields.iter().map(|field| (*field).to_owned()).collect();
    let target = Target::Collection { indexes: indexes.iter().map(owned).collect() };
    StoreOutput { target, ..simple("indexed") }
}

#[tokio::test]
async fn indexes_are_made_once() {
    let Some(fixture) = database().await else { return };
    let store = open_store("documents", &fixture.url).unwrap();
    for indexes in [&[&["name"][..]][..], &[&["name"], &["id", "body.code"]]] {
        store.prepare(&indexed(indexes)).await.unwrap();
    }
    let collection = fixture.database.collection::<Document>("indexed");
    let indexes: Vec<_> = collection.list_indexes().await.unwrap().try_collect().await.unwrap();
    let keys: Vec<Document> = indexes.into_iter().map(|index| index.keys).collect();
    assert_eq!(keys, [doc! { "_id": 1 }, doc! { "name": 1 }, doc! { "id": 1, "body.code": 1 }]);
}

#[tokio::test]
async fn an_index_that_exists_with_other_options_is_a_definition() {
    let Some(fixture) = database().await else { return };
    let index = doc! { "key": { "name": 1 }, "name": "name_1", "unique": true };
    fixture.database.run_command(doc! { "createIndexes": "indexed", "indexes": [index] }).await.unwrap();
    let error = open_store("documents", &fixture.url).unwrap().prepare(&indexed(&[&["name"]])).await.unwrap_err();
    assert!(matches!(&error, StoreError::Definition(said) if said.contains("index")), "{error}");
}

#[tokio::test]
async fn a_table_is_no_collection() {
    let Some(fixture) = database().await else { return };
    let error = open_store("documents", &fixture.url).unwrap().prepare(&simple("rows")).await.unwrap_err();
    assert!(matches!(&error, StoreError::Definition(said) if said.contains("`collection: …`")), "{error}");
}

#[tokio::test]
async fn a_column_of_json_cannot_be_the_key() {
    let Some(fixture) = database().await else { return };
    let output = output("conditions", &json_fields(), &[1], WriteMode::Upsert);
    let error = fixture.store().prepare(&output).await.unwrap_err();
    assert!(matches!(&error, StoreError::Definition(said) if said.contains("`body`")), "{error}");
}

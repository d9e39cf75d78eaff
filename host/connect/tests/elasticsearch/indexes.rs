//! What only indexes promise: versions, ids, fields, and whose an index is.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use azenha_conformance::store_helpers::*;
use azenha_engine::store::{StoreError, StoreLaneId, StoreRows};
use azenha_model::plan::{StoreOutput, Target, WriteMode};
use azenha_model::{DataType, Field};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{ELASTICSEARCH, ElasticFixture, server};

async fn fixture() -> Option<ElasticFixture> {
    server(ELASTICSEARCH).await
}

async fn refused_definition(fixture: &ElasticFixture, output: &StoreOutput) -> String {
    match fixture.store().prepare(output).await {
        Err(StoreError::Definition(message)) => message,
        other => panic!("no error of definition: {other:?}"),
    }
}

/// Even if nothing fenced it: what it wrote late is older.
#[tokio::test]
async fn a_write_that_comes_late_hides_no_newer_row() {
    let Some(fixture) = fixture().await else { return };
    let mut owner = prepared(fixture.store(), &simple("late")).await;
    owner.commit(&[changes(5, &[(1, Some("new")), (2, None)])], 7).await.unwrap();
    let index = fixture.index("late");
    let put = |id: &str, version: u64| format!("{index}/_doc/{id}?version={version}&version_type=external_gte");
    let document = json!({ "id": 1, "name": "old" });
    for (id, version, status) in [("1", 4, 409), ("2", 5, 409), ("1", 5, 200), ("3", 0, 201)] {
        let answer = fixture.server.ask(Method::PUT, &put(id, version), Some(document.clone())).await;
        let found = answer["status"].as_u64().unwrap_or(if answer["result"] == "created" { 201 } else { 200 });
        assert_eq!(found, status, "{id} at {version}: {answer}");
    }
}

#[tokio::test]
async fn the_id_is_the_text_of_the_key_or_a_list_of_texts() {
    let Some(fixture) = fixture().await else { return };
    let mut owner = prepared(fixture.store(), &simple("single")).await;
    owner.commit(&[puts(0, &[(5, "a")])], 1).await.unwrap();
    assert_eq!(fixture.documents("single", "id").await[0].id, "5");
    let mut owner = prepared(fixture.store(), &output("several", &fields(), &[0, 1], WriteMode::Upsert)).await;
    owner.commit(&[puts(0, &[(5, "a\"b")])], 1).await.unwrap();
    assert_eq!(fixture.documents("several", "id").await[0].id, r#"["5","a\"b"]"#);
}

#[tokio::test]
async fn the_ids_of_appended_documents_say_where_they_came_from() {
    let Some(fixture) = fixture().await else { return };
    let output = output("events", &fields(), &[], WriteMode::Append);
    let mut owner = prepared(fixture.store(), &output).await;
    let twice = StoreRows { offsets: vec![9, 9], ..puts(9, &[(1, "a"), (2, "b")]) };
    owner.commit(&[twice], 10).await.unwrap();
    let ids: Vec<String> = fixture.documents("events", "id").await.into_iter().map(|hit| hit.id).collect();
    let prefix = &fixture.store.prefix;
    let id = |ordinal: u64| format!("pipeline/sink/{prefix}-topic-of-events/0/0/{:020}/{ordinal}", 9);
    assert_eq!(ids, [id(0), id(1)]);
}

fn json_fields() -> [Field; 2] {
    [Field::new("id", DataType::Text, false), Field::new("body", DataType::Json, true)]
}

fn json_rows(bodies: &[&str]) -> StoreRows {
    let ids = (0..bodies.len()).map(|id| format!("{id:06}"));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from_iter_values(ids)), Arc::new(StringArray::from(bodies.to_vec()))];
    batch(&json_fields(), columns, 0)
}

#[tokio::test]
async fn json_is_kept_as_it_is_and_never_becomes_fields() {
    let Some(fixture) = fixture().await else { return };
    let mut owner = prepared(fixture.store(), &output("bodies", &json_fields(), &[0], WriteMode::Upsert)).await;
    let bodies = ["{\n\"a\":\r\n[1.10, {\"b.c\": 1e400}]}", "[1, \"x\", null]", "\"text\"", r#"{"a":"no number"}"#];
    owner.commit(&[json_rows(&bodies)], 4).await.unwrap();
    let found: Vec<Value> = fixture
        .documents("bodies", "id")
        .await
        .iter()
        .map(|hit| serde_json::from_str(hit.source["body"].get()).unwrap_or_default())
        .collect();
    assert_eq!(found[1..], [json!([1, "x", null]), json!("text"), json!({ "a": "no number" })]);
    let mapping = fixture.server.ask(Method::GET, &format!("{}/_mapping", fixture.index("bodies")), None).await;
    let properties = &mapping[fixture.index("bodies")]["mappings"]["properties"];
    assert_eq!(properties["body"], json!({ "type": "object", "enabled": false }));
    assert_eq!(properties.as_object().map(serde_json::Map::len), Some(2), "{properties}");
}

#[tokio::test]
async fn what_no_document_can_hold_is_refused_alone() {
    let Some(fixture) = fixture().await else { return };
    let mut owner = prepared(fixture.store(), &output("refused", &json_fields(), &[0], WriteMode::Upsert)).await;
    let huge = format!("\"{}\"", "x".repeat(16 << 20));
    let deep = format!("{}1{}", "[".repeat(101), "]".repeat(101));
    let refused = refused(owner.commit(&[json_rows(&["{}", "{", &huge, &deep])], 4).await);
    assert_eq!(places(&refused), [(0, 1), (0, 2), (0, 3)]);
    assert!(refused[0].reason.contains("no valid JSON") && refused[1].reason.contains("16777216"), "{refused:?}");
    let fields = [Field::new("id", DataType::Text, false)];
    let keys = [Some("x".repeat(513)), Some("x".repeat(512)), None];
    let rows = batch(&fields, vec![Arc::new(StringArray::from(keys.to_vec())) as ArrayRef], 0);
    let mut owner = prepared(fixture.store(), &output("keys", &fields, &[0], WriteMode::Upsert)).await;
    let refused = self::refused(owner.commit(&[rows], 3).await);
    assert_eq!(places(&refused), [(0, 0), (0, 2)]);
    assert!(refused[0].reason.contains("512") && refused[1].reason.contains("null"), "{refused:?}");
}

/// In an index that was made by hand: its own limit of 32,766 bytes for texts that are compared.
#[tokio::test]
async fn what_only_the_server_refuses_is_refused_alone_without_values() {
    let Some(fixture) = fixture().await else { return };
    let properties = json!({ "id": { "type": "long" }, "name": { "type": "keyword" } });
    fixture.server.make(&fixture.index("strict"), properties).await;
    let mut owner = prepared(fixture.store(), &simple("strict")).await;
    let long = "personal".repeat(5_000);
    let rows = [puts(0, &[(1, "a"), (2, &long)]), puts(2, &[(3, "b"), (4, &long)])];
    for _ in 0..2 {
        let refused = refused(owner.commit(&rows, 4).await);
        assert_eq!(places(&refused), [(0, 1), (1, 1)]);
        assert!(refused[0].reason.contains("`name`") && !refused[0].reason.contains("personal"), "{refused:?}");
    }
    owner.commit(&[puts(0, &[(1, "a")]), puts(2, &[(3, "b")])], 4).await.unwrap();
    assert_eq!(found(&fixture, "strict").await, ["1=a", "3=b"]);
}

#[tokio::test]
async fn fields_that_an_index_lacks_are_added_and_wrong_ones_are_named() {
    let Some(fixture) = fixture().await else { return };
    fixture.server.make(&fixture.index("lacks"), json!({ "id": { "type": "long" } })).await;
    let mut owner = prepared(fixture.store(), &simple("lacks")).await;
    owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
    assert_eq!(found(&fixture, "lacks").await, ["1=a"]);
    let settings = fixture.server.ask(Method::GET, &format!("{}/_settings", fixture.index("lacks")), None).await;
    assert_eq!(settings[fixture.index("lacks")]["settings"]["index"]["gc_deletes"], "24h", "{settings}");
    fixture.server.make(&fixture.index("wrong"), json!({ "id": { "type": "keyword" } })).await;
    let message = refused_definition(&fixture, &simple("wrong")).await;
    assert!(
        message.contains("field `id`") && message.contains("is keyword") && message.contains("\"long\""),
        "{message}"
    );
}

#[tokio::test]
async fn an_index_of_somebody_else_is_left_alone() {
    let Some(fixture) = fixture().await else { return };
    let output = simple("owned");
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
    let other = StoreLaneId { sink: "other".to_owned(), ..lane(&output, 0, 0) };
    let mut second = fixture.store().open(&output, &other).await.unwrap();
    let error = second.commit(&[puts(0, &[(1, "b")])], 1).await.unwrap_err().to_string();
    assert!(error.contains("sink `sink` of pipeline `pipeline`") && error.contains("topic-of-owned"), "{error}");
    let index = fixture.index("foreign");
    fixture.server.make(&index, json!({ "id": { "type": "long" }, "name": { "type": "keyword" } })).await;
    fixture
        .server
        .ask(Method::PUT, &format!("{index}/_doc/1?refresh=true"), Some(json!({ "id": 1, "name": "x" })))
        .await;
    let error =
        prepared(fixture.store(), &simple("foreign")).await.commit(&[puts(0, &[(1, "b")])], 1).await.unwrap_err();
    assert!(error.to_string().contains("1 documents that no sink wrote"), "{error}");
    assert_eq!(found(&fixture, "owned").await, ["1=a"]);
    assert_eq!(found(&fixture, "foreign").await, ["1=x"]);
}

/// By the next row, with the fields that it had: no index is one whose fields the engine guessed.
async fn an_index_that_was_deleted_is_made_anew_as_it_was(fixture: ElasticFixture) {
    let mut owner = prepared(fixture.store(), &simple("gone")).await;
    owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
    let index = fixture.index("gone");
    assert_eq!(fixture.server.status(Method::DELETE, &index).await, 200);
    owner.commit(&[puts(1, &[(2, "2026-01-31")])], 2).await.unwrap();
    assert_eq!(found(&fixture, "gone").await, ["2=2026-01-31"]);
    let made = fixture.server.ask(Method::GET, &index, None).await;
    assert_eq!(made[&index]["mappings"]["dynamic"], "strict", "{made}");
    assert_eq!(made[&index]["mappings"]["properties"]["name"]["type"], "keyword", "{made}");
    assert_eq!(made[&index]["settings"]["index"]["gc_deletes"], "24h", "{made}");
    let mut owner = prepared(fixture.store(), &simple("gone")).await;
    owner.commit(&[puts(2, &[(3, "c")])], 3).await.unwrap();
    assert_eq!(found(&fixture, "gone").await, ["2=2026-01-31", "3=c"]);
}

/// One bulk request tells the lane, and no row is lost for it.
async fn an_index_that_was_closed_stops_the_lane_and_refuses_no_row(fixture: ElasticFixture) {
    let mut owner = prepared(fixture.store(), &simple("closed")).await;
    owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
    let index = fixture.index("closed");
    fixture.server.ask(Method::POST, &format!("{index}/_close"), None).await;
    let error = owner.commit(&[puts(1, &[(2, "b"), (3, "c")])], 3).await.unwrap_err();
    assert!(matches!(error, StoreError::Definition(_)) && error.to_string().contains("closed"), "{error:?}");
    fixture.server.ask(Method::POST, &format!("{index}/_open"), None).await;
    let mut owner = prepared(fixture.store(), &simple("closed")).await;
    owner.commit(&[puts(1, &[(2, "b"), (3, "c")])], 3).await.unwrap();
    assert_eq!(found(&fixture, "closed").await, ["1=a", "2=b", "3=c"]);
}

/// As the engine blocks indexes itself when its disk is full.
async fn an_index_that_is_blocked_for_a_full_disk_is_waited_for(fixture: ElasticFixture) {
    let mut owner = prepared(fixture.store(), &simple("full")).await;
    owner.commit(&[puts(0, &[(1, "a")])], 1).await.unwrap();
    let settings = format!("{}/_settings", fixture.index("full"));
    let block = |on: Value| Some(json!({ "index.blocks.read_only_allow_delete": on }));
    fixture.server.ask(Method::PUT, &settings, block(json!(true))).await;
    let rows = [puts(1, &[(2, "b")])];
    let (committed, _) = tokio::join!(owner.commit(&rows, 2), async {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        fixture.server.ask(Method::PUT, &settings, block(Value::Null)).await
    });
    committed.unwrap();
    assert_eq!(found(&fixture, "full").await, ["1=a", "2=b"]);
}

/// Each check on each server.
macro_rules! on_each {
    ($($check:ident),* $(,)?) => {
        mod on_elasticsearch {
            $(#[tokio::test]
            async fn $check() {
                let Some(fixture) = super::server(super::ELASTICSEARCH).await else { return };
                super::$check(fixture).await;
            })*
        }
        mod on_opensearch {
            $(#[tokio::test]
            async fn $check() {
                let Some(fixture) = super::server(crate::fixture::OPENSEARCH).await else { return };
                super::$check(fixture).await;
            })*
        }
    };
}

on_each!(
    an_index_that_was_deleted_is_made_anew_as_it_was,
    an_index_that_was_closed_stops_the_lane_and_refuses_no_row,
    an_index_that_is_blocked_for_a_full_disk_is_waited_for,
);

#[tokio::test]
async fn only_indexes_are_made() {
    let Some(fixture) = fixture().await else { return };
    let Err(StoreError::Definition(said)) = fixture.store.store.prepare(&simple("table")).await else {
        panic!("a table was made");
    };
    assert!(said.contains("`index: …`"), "{said}");
    assert_eq!(fixture.server.status(Method::HEAD, &fixture.index("table")).await, 404);
}

/// Preparing may be repeated.
#[tokio::test]
async fn an_index_can_have_words_that_are_searched_for() {
    let Some(fixture) = server(crate::fixture::OPENSEARCH).await else { return };
    let target = Target::Index { search: vec!["name".to_owned()], language: None, each: None };
    let output = StoreOutput { target, ..simple("words") };
    for _ in 0..2 {
        fixture.store().prepare(&output).await.unwrap();
    }
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["Não chegou", "nada"]));
    let mut owner = fixture.store().open(&output, &lane(&output, 0, 0)).await.unwrap();
    owner.commit(&[batch(&fields(), vec![ids, names], 0)], 2).await.unwrap();
    assert_eq!(found(&fixture, "words").await, ["1=Não chegou", "2=nada"]);
}

//! An index for each month: rows, deletes and repetitions find the right one, and all are read under one name.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Date32Array, Int64Array, StringArray};
use azenha_conformance::store_helpers::*;
use azenha_engine::store::{StoreError, StoreLaneId, StoreRows};
use azenha_model::plan::{DatePart, Each, StoreOutput, Target, WriteMode};
use azenha_model::{DataType, Field};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{ELASTICSEARCH, ElasticFixture, OPENSEARCH, server};

/// 2026-01-31, and the day after it.
const JANUARY: i32 = 20_484;
const FEBRUARY: i32 = JANUARY + 1;

fn dated_fields() -> Vec<Field> {
    let [id, name]: [Field; 2] = fields().try_into().unwrap();
    vec![id, Field::new("day", DataType::Date, false), name]
}

/// A sink of rows that are told apart by id and day.
fn monthly(name: &str) -> StoreOutput {
    let each = Each { part: DatePart::Month, column: "day".to_owned() };
    let target = Target::Index { search: Vec::new(), language: None, each: Some(each) };
    StoreOutput { target, ..output(name, &dated_fields(), &[0, 1], WriteMode::Upsert) }
}

/// Rows of (id, day, name) from an offset on; those without a name are deletes.
fn rows(first: u64, rows: &[(i64, i32, Option<&str>)]) -> StoreRows {
    let ids: Int64Array = rows.iter().map(|row| Some(row.0)).collect();
    let days: Date32Array = rows.iter().map(|row| Some(row.1)).collect();
    let names: StringArray = rows.iter().map(|row| row.2).collect();
    let deletes: BooleanArray = rows.iter().map(|row| Some(row.2.is_none())).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(days), Arc::new(names)];
    StoreRows { deletes: Some(deletes), ..batch(&dated_fields(), columns, first) }
}

/// Names of rows by the date of their index.
async fn by_month(fixture: &ElasticFixture, name: &str) -> BTreeMap<String, Vec<String>> {
    let index = fixture.index(name);
    fixture.server.ask(Method::POST, &format!("{index}/_refresh"), None).await;
    let found = fixture.server.ask(Method::POST, &format!("{index}/_search"), Some(json!({ "sort": ["id"] }))).await;
    let mut months: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for hit in found["hits"]["hits"].as_array().unwrap_or_else(|| panic!("{found}")) {
        let (_, month) = hit["_index"].as_str().and_then(|name| name.rsplit_once('.')).unwrap();
        months.entry(month.to_owned()).or_default().push(hit["_source"]["name"].as_str().unwrap().to_owned());
    }
    months
}

fn months<const N: usize>(months: [(&str, &[&str]); N]) -> BTreeMap<String, Vec<String>> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    months.into_iter().map(|(month, names)| (month.to_owned(), owned(names))).collect()
}

async fn rows_are_in_the_index_of_their_month_and_all_under_one_name(fixture: ElasticFixture) {
    let output = monthly("spread");
    let mut owner = prepared(fixture.store(), &output).await;
    let first = rows(0, &[(1, JANUARY, Some("a")), (2, FEBRUARY, Some("b")), (3, JANUARY, Some("c"))]);
    owner.commit(&[first], 3).await.unwrap();
    assert_eq!(by_month(&fixture, "spread").await, months([("2026-01", &["a", "c"]), ("2026-02", &["b"])]));
    let later = rows(3, &[(1, JANUARY, None), (2, FEBRUARY, Some("d")), (4, FEBRUARY + 365, Some("e"))]);
    owner.commit(&[later], 6).await.unwrap();
    let wanted = months([("2026-01", &["c"]), ("2026-02", &["d"]), ("2027-02", &["e"])]);
    assert_eq!(by_month(&fixture, "spread").await, wanted);
    let mapping = fixture.server.ask(Method::GET, &fixture.index("spread.2027-02"), None).await;
    let mapping = &mapping[fixture.index("spread.2027-02")];
    assert_eq!(mapping["mappings"]["dynamic"], "strict", "{mapping}");
    assert_eq!(mapping["settings"]["index"]["gc_deletes"], "24h", "{mapping}");
}

/// Deletes leave their versions in the index of the month, too.
async fn what_comes_late_is_older_than_what_is_there(fixture: ElasticFixture) {
    let output = monthly("late");
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[rows(5, &[(1, JANUARY, Some("new")), (2, FEBRUARY, None)])], 7).await.unwrap();
    let document = json!({ "id": 1, "day": "2026-01-31", "name": "old" });
    for (month, id, version, status) in [("01", 1, 4, 409), ("02", 2, 5, 409), ("01", 1, 5, 200)] {
        let day = if month == "01" { "2026-01-31" } else { "2026-02-01" };
        let id = format!("%5B%22{id}%22%2C%22{day}%22%5D");
        let path = format!(
            "{}/_doc/{id}?version={version}&version_type=external_gte",
            fixture.index(&format!("late.2026-{month}"))
        );
        let answer = fixture.server.ask(Method::PUT, &path, Some(document.clone())).await;
        assert_eq!(answer["status"].as_u64().unwrap_or(200), status, "{path}: {answer}");
    }
    assert_eq!(by_month(&fixture, "late").await, months([("2026-01", &["old"])]));
}

async fn a_new_column_reaches_the_months_of_before(fixture: ElasticFixture) {
    let narrow = StoreOutput { columns: monthly("wider").columns[..2].to_vec(), ..monthly("wider") };
    let [id, day, _]: [Field; 3] = dated_fields().try_into().unwrap();
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let days: ArrayRef = Arc::new(Date32Array::from(vec![JANUARY]));
    let mut owner = prepared(fixture.store(), &narrow).await;
    owner.commit(&[batch(&[id, day], vec![ids, days], 0)], 1).await.unwrap();
    let mut owner = prepared(fixture.store(), &monthly("wider")).await;
    owner.commit(&[rows(1, &[(1, JANUARY, Some("a")), (2, FEBRUARY, Some("b"))])], 3).await.unwrap();
    assert_eq!(by_month(&fixture, "wider").await, months([("2026-01", &["a"]), ("2026-02", &["b"])]));
}

/// Old months may be deleted, also while somebody writes; the template makes them anew.
async fn a_month_that_was_deleted_is_made_anew_as_it_was(fixture: ElasticFixture) {
    let mut owner = prepared(fixture.store(), &monthly("gone")).await;
    owner.commit(&[rows(0, &[(1, JANUARY, Some("a")), (2, FEBRUARY, Some("b"))])], 2).await.unwrap();
    let january = fixture.index("gone.2026-01");
    assert_eq!(fixture.server.status(Method::DELETE, &january).await, 200);
    assert_eq!(by_month(&fixture, "gone").await, months([("2026-02", &["b"])]));
    owner.commit(&[rows(2, &[(3, JANUARY, Some("c"))])], 3).await.unwrap();
    assert_eq!(by_month(&fixture, "gone").await, months([("2026-01", &["c"]), ("2026-02", &["b"])]));
    let made = fixture.server.ask(Method::GET, &january, None).await;
    assert_eq!(made[&january]["mappings"]["dynamic"], "strict", "{made}");
    let mut owner = prepared(fixture.store(), &monthly("gone")).await;
    owner.commit(&[rows(3, &[(4, JANUARY, Some("d"))])], 4).await.unwrap();
    assert_eq!(by_month(&fixture, "gone").await["2026-01"], ["c", "d"]);
}

async fn a_template_above_the_sinks_own_counts_and_is_checked(fixture: ElasticFixture) {
    let output = monthly("templates");
    let mut owner = prepared(fixture.store(), &output).await;
    let index = fixture.index("templates");
    let template = |name: Value| {
        let properties = json!({ "id": { "type": "long" }, "name": name });
        json!({ "index_patterns": [format!("{index}.*")], "priority": 900, "template": { "mappings": { "properties": properties } } })
    };
    let path = format!("_index_template/own-{index}");
    let put = async |name| {
        let made = fixture.server.ask(Method::PUT, &path, Some(template(name))).await;
        assert_eq!(made["acknowledged"], true, "{made}");
    };
    put(json!({ "type": "wildcard" })).await;
    owner.commit(&[rows(0, &[(1, JANUARY, Some("a"))])], 1).await.unwrap();
    let kind = fixture.server.ask(Method::GET, &format!("{index}.2026-01/_mapping"), None).await;
    let kind = &kind[format!("{index}.2026-01")]["mappings"]["properties"]["name"]["type"];
    put(json!({ "type": "long" })).await;
    let error = owner.commit(&[rows(1, &[(2, FEBRUARY, Some("b"))])], 2).await.unwrap_err();
    fixture.server.ask(Method::DELETE, &path, None).await;
    assert_eq!(kind, "wildcard");
    assert!(error.to_string().contains("field `name`") && error.to_string().contains(".2026-02"), "{error}");
    assert_eq!(by_month(&fixture, "templates").await, months([("2026-01", &["a"])]));
}

async fn an_index_of_the_name_or_of_somebody_else_is_left_alone(fixture: ElasticFixture) {
    fixture.server.make(&fixture.index("taken"), json!({ "id": { "type": "long" } })).await;
    let Err(StoreError::Definition(said)) = fixture.store().prepare(&monthly("taken")).await else {
        panic!("the name of an index stands for several");
    };
    assert!(said.contains("taken` is an index"), "{said}");
    let output = monthly("owned");
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[rows(0, &[(1, JANUARY, Some("a"))])], 1).await.unwrap();
    let other = StoreLaneId { sink: "other".to_owned(), ..lane(&output, 0, 0) };
    let mut second = fixture.store().open(&output, &other).await.unwrap();
    let error = second.commit(&[rows(0, &[(1, JANUARY, Some("b"))])], 1).await.unwrap_err().to_string();
    assert!(error.contains("owned.2026-01") && error.contains("sink `sink` of pipeline `pipeline`"), "{error}");
    assert_eq!(by_month(&fixture, "owned").await, months([("2026-01", &["a"])]));
}

/// Each check on a server.
macro_rules! on {
    ($server:ident, $variable:ident: $($check:ident),* $(,)?) => {
        mod $server {
            use super::*;

            $(#[tokio::test]
            async fn $check() {
                let Some(fixture) = server($variable).await else { return };
                super::$check(fixture).await;
            })*
        }
    };
}

on!(on_elasticsearch, ELASTICSEARCH:
    rows_are_in_the_index_of_their_month_and_all_under_one_name,
    what_comes_late_is_older_than_what_is_there,
    a_new_column_reaches_the_months_of_before,
    a_month_that_was_deleted_is_made_anew_as_it_was,
    an_index_of_the_name_or_of_somebody_else_is_left_alone,
);
on!(on_opensearch, OPENSEARCH:
    rows_are_in_the_index_of_their_month_and_all_under_one_name,
    what_comes_late_is_older_than_what_is_there,
    a_new_column_reaches_the_months_of_before,
    a_month_that_was_deleted_is_made_anew_as_it_was,
    a_template_above_the_sinks_own_counts_and_is_checked,
    an_index_of_the_name_or_of_somebody_else_is_left_alone,
);

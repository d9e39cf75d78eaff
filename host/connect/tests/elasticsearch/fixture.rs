//! Indexes of their own for each test, on the servers of AZENHA_TEST_ELASTICSEARCH and AZENHA_TEST_OPENSEARCH, URLs like
//! `http://127.0.0.1:9200`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use azenha_conformance::store_helpers::{Keeps, Rule, StoreFixture};
use azenha_connect::open_store;
use azenha_engine::store::{Store, StoreError, StoreLane, StoreLaneId};
use azenha_formats::civil;
use azenha_model::plan::{StoreOutput, Target};
use azenha_model::{DataType, Field, Offset};
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The servers by the variables that name them: what Maven has of Elasticsearch lacks all analyzers but the plainest.
pub const ELASTICSEARCH: &str = "AZENHA_TEST_ELASTICSEARCH";
pub const OPENSEARCH: &str = "AZENHA_TEST_OPENSEARCH";

/// A server, on which a test has names of its own.
pub struct ElasticFixture {
    pub store: Indexes,
    pub server: Server,
}

/// A store whose sinks write indexes where the checks say tables, each under a name of the test's own.
#[derive(Debug)]
pub struct Indexes {
    pub store: Arc<dyn Store>,
    pub prefix: String,
}

/// A second way to look into a server.
pub struct Server {
    pub url: String,
    client: Client,
}

/// None, and a word about it, if there is no server.
pub async fn server(variable: &str) -> Option<ElasticFixture> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Ok(url) = std::env::var(variable) else {
        println!("skipped: {variable} names no server to test with");
        return None;
    };
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let prefix = format!("test-{since}-{}-{number}", std::process::id());
    let store = Indexes { store: open_store("engine", &url).unwrap(), prefix };
    Some(ElasticFixture { store, server: Server { url, client: Client::new() } })
}

impl ElasticFixture {
    /// The name that an index of the test has on the server.
    pub fn index(&self, name: &str) -> String {
        format!("{}-{name}", self.store.prefix)
    }

    /// Every document of an index with its `_id`, in the order of a field.
    pub async fn documents(&self, index: &str, field: &str) -> Vec<Hit> {
        let index = self.index(index);
        self.server.ask(Method::POST, &format!("{index}/_refresh"), None).await;
        let body = json!({ "size": 10_000, "sort": [field] });
        let answer = self.server.text(Method::POST, &format!("{index}/_search"), Some(body)).await;
        let found: Found = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        found.hits.hits
    }
}

#[derive(Deserialize)]
struct Found {
    hits: Hits,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

/// A document.
#[derive(Deserialize)]
pub struct Hit {
    #[serde(rename = "_id")]
    pub id: String,
    #[serde(rename = "_source")]
    pub source: BTreeMap<String, Box<RawValue>>,
}

impl Server {
    async fn text(&self, method: Method, path: &str, body: Option<Value>) -> String {
        let request = self.client.request(method, format!("{}/{path}", self.url));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        request.send().await.unwrap().text().await.unwrap()
    }

    /// What a call answers.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let answer = self.text(method, path, body).await;
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// Makes an index by hand.
    pub async fn make(&self, index: &str, properties: Value) {
        let body = json!({ "mappings": { "properties": properties } });
        let made = self.ask(Method::PUT, index, Some(body)).await;
        assert_eq!(made["acknowledged"], true, "{made}");
    }

    /// The status of a call.
    pub async fn status(&self, method: Method, path: &str) -> StatusCode {
        self.client.request(method, format!("{}/{path}", self.url)).send().await.unwrap().status()
    }
}

impl Indexes {
    pub fn output(&self, output: &StoreOutput) -> StoreOutput {
        let name = format!("{}-{}", self.prefix, output.name);
        let target = match &output.target {
            Target::Index { .. } => output.target.clone(),
            _ => Target::Index { search: Vec::new(), language: None, each: None },
        };
        StoreOutput { name, target, ..output.clone() }
    }

    fn lane(&self, lane: &StoreLaneId) -> StoreLaneId {
        StoreLaneId { topic: format!("{}-{}", self.prefix, lane.topic), ..lane.clone() }
    }
}

#[async_trait]
impl Store for Indexes {
    async fn prepare(&self, output: &StoreOutput) -> Result<(), StoreError> {
        self.store.prepare(&self.output(output)).await
    }

    async fn open(&self, output: &StoreOutput, lane: &StoreLaneId) -> Result<Box<dyn StoreLane>, StoreError> {
        self.store.open(&self.output(output), &self.lane(lane)).await
    }

    async fn position(&self, lane: &StoreLaneId) -> Result<Option<Offset>, StoreError> {
        self.store.position(&self.lane(lane)).await
    }

    async fn set_position(&self, lane: &StoreLaneId, position: Offset) -> Result<(), StoreError> {
        self.store.set_position(&self.lane(lane), position).await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

#[async_trait]
impl StoreFixture for ElasticFixture {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn keeps(&self) -> Keeps {
        Keeps { digits: 38, microseconds: true, whole_commits: false }
    }

    async fn rows(&self, table: &str, columns: &[Field]) -> Vec<Vec<Option<String>>> {
        let row = |hit: &Hit| columns.iter().map(|field| text(field, &hit.source)).collect();
        self.documents(table, &columns[0].name).await.iter().map(row).collect()
    }

    async fn make(&self, table: &str, rule: Rule) {
        panic!("no index can have the rule {rule:?} of `{table}`");
    }

    async fn move_lanes(&self, topic: &str, next: i64) {
        let topic = format!("{}-{topic}", self.store.prefix);
        self.server.ask(Method::POST, "azenha_positions/_refresh", None).await;
        let lanes = json!({ "query": { "term": { "topic": topic } } });
        let found = self.server.ask(Method::POST, "azenha_positions/_search", Some(lanes)).await;
        for hit in found["hits"]["hits"].as_array().unwrap() {
            let id: String = hit["_id"].as_str().unwrap().bytes().map(|byte| format!("%{byte:02X}")).collect();
            let moved = json!({ "doc": { "next_offset": next } });
            let done = self.server.ask(Method::POST, &format!("azenha_positions/_update/{id}"), Some(moved)).await;
            assert_eq!(done["result"], "updated", "{done}");
        }
    }
}

/// A value as the checks write it.
fn text(field: &Field, source: &BTreeMap<String, Box<RawValue>>) -> Option<String> {
    let json = source.get(&field.name)?.get();
    let plain = || serde_json::from_str::<String>(json).unwrap();
    Some(match field.data_type {
        DataType::Json => json.to_owned(),
        _ if json == "null" => return None,
        DataType::Boolean => u8::from(json == "true").to_string(),
        DataType::Int64 => json.to_owned(),
        DataType::Float64 => format!("{:?}", json.parse::<f64>().unwrap()),
        DataType::Bytes => unbase64(&plain()).iter().map(|byte| format!("{byte:02x}")).collect(),
        DataType::Timestamp => civil::format_timestamp(civil::parse_timestamp(&plain()).unwrap()),
        _ => plain(),
    })
}

fn unbase64(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

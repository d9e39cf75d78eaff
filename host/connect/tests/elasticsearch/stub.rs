//! An engine that answers bulk requests as a test says, and everything else as one does that holds nothing yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use azenha_connect::open_store;
use azenha_engine::store::StoreLane;
use azenha_model::plan::{StoreOutput, Target};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use azenha_conformance::store_helpers::{prepared, simple};

/// What a bulk request for these ids is answered.
type Script = Box<dyn FnMut(&[String]) -> Reply + Send>;

/// An answer to a bulk request.
pub struct Reply {
    pub status: u16,
    /// In seconds.
    pub retry_after: Option<u32>,
    pub body: Value,
}

impl Reply {
    /// What is said of each action.
    pub fn items(ids: &[String], of: impl Fn(&str) -> Value) -> Self {
        let items: Vec<Value> = ids.iter().map(|id| json!({ "index": of(id) })).collect();
        Self { status: 200, retry_after: None, body: json!({ "items": items }) }
    }

    /// Of an error that is about the whole request.
    pub fn error(status: u16, kind: &str) -> Self {
        Self { status, retry_after: None, body: json!({ "error": { "type": kind, "reason": "" } }) }
    }
}

/// What is said of an action that was done, and of one that was not.
pub fn done() -> Value {
    json!({ "status": 201 })
}

pub fn failed(status: u16, kind: &str, reason: &str) -> Value {
    json!({ "status": status, "error": { "type": kind, "reason": reason } })
}

/// The engine.
#[derive(Clone)]
pub struct Stub(Arc<Mutex<Served>>);

struct Served {
    script: Script,
    /// Positions and owners by path.
    kept: HashMap<String, Value>,
    asked: Vec<Vec<String>>,
}

impl Stub {
    /// Starts one that answers bulk requests so, and takes a lane that writes there.
    pub async fn lane(script: impl FnMut(&[String]) -> Reply + Send + 'static) -> (Self, Box<dyn StoreLane>) {
        let state = Served { script: Box::new(script), kept: HashMap::new(), asked: Vec::new() };
        let stub = Self(Arc::new(Mutex::new(state)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let target = Target::Index { search: Vec::new(), language: None, each: None };
        let store = open_store("engine", &url).unwrap();
        let lane = prepared(store.as_ref(), &StoreOutput { target, ..simple("stubbed") }).await;
        (stub, lane)
    }

    /// The ids of each bulk request so far.
    pub fn asked(&self) -> Vec<Vec<String>> {
        self.0.lock().unwrap().asked.clone()
    }
}

async fn answer(State(Stub(state)): State<Stub>, method: Method, uri: Uri, body: Bytes) -> Response {
    let mut state = state.lock().unwrap();
    let path = uri.path().trim_start_matches('/').to_owned();
    if path == "_bulk" {
        return state.bulk(&body);
    }
    if path.starts_with("azenha_positions/_doc/") {
        if method == Method::PUT {
            state.kept.insert(path, serde_json::from_slice(&body).unwrap());
            return said(200, &json!({}));
        }
        return match state.kept.get(&path) {
            Some(kept) => said(200, &json!({ "_seq_no": 0, "_primary_term": 1, "_source": kept })),
            None => said(404, &json!({})),
        };
    }
    let index = json!({ "settings": { "index": { "uuid": "one", "gc_deletes": "24h" } } });
    said(200, &if path.contains('/') { json!({ "count": 0 }) } else { json!({ path: index }) })
}

impl Served {
    fn bulk(&mut self, body: &[u8]) -> Response {
        let lines = body.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let ids = lines.filter_map(|line| Some(line["index"]["_id"].as_str()?.to_owned()));
        let ids: Vec<String> = ids.collect();
        let Reply { status, retry_after, body } = (self.script)(&ids);
        self.asked.push(ids);
        let mut response = said(status, &body);
        if let Some(seconds) = retry_after {
            response.headers_mut().insert("retry-after", seconds.into());
        }
        response
    }
}

fn said(status: u16, body: &Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response()
}

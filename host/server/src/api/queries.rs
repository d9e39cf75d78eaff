//! Answers to the queries that pipelines declare.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Query as Pairs, State};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, Method, Uri};
use axum::response::{IntoResponse, Response};
use azenha_connect::query::QueryError;
use azenha_model::query::{Asked, IfAbsent, Query, Refusal, Request};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use crate::host::{Host, Running};
use crate::ingest::now;
use crate::queries::{Ended, Served, Unanswered, body, freshness};

/// How long the parts of an answer took, for whoever asks (<https://www.w3.org/TR/server-timing/>).
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Answers a request to a path that is none of the host's own.
pub async fn answer(State(host): State<Arc<Host>>, method: Method, uri: Uri) -> Result<Response, ApiError> {
    let running = host.running();
    let found = running.iter().find_map(|running| Some((running, running.queries.find(uri.path())?)));
    let Some((running, (served, of_path))) = found else {
        let missing = ApiError::not_found(format!("there is nothing at {}", uri.path()));
        return Err(missing.help("GET /docs lists what there is"));
    };
    if !matches!(method, Method::GET | Method::HEAD) {
        return Err(ApiError::method_not_allowed(format!("{} does not take {method}", uri.path())).help("ask by GET"));
    }
    let mut watch = Stopwatch::start();
    let answered = answer_timed(running, served, &of_path, &uri, &mut watch).await;
    let ended = match &answered {
        Ok(_) => Ended::Answered,
        Err(error) if error.status().is_client_error() => Ended::Refused,
        Err(_) => Ended::Failed,
    };
    served.timings.of(ended).count(watch.began.elapsed());
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    if let Ok(timing) = HeaderValue::from_str(&watch.told) {
        response.headers_mut().insert(SERVER_TIMING, timing);
    }
    Ok(response)
}

async fn answer_timed(
    running: &Running,
    served: &Served,
    of_path: &[&str],
    uri: &Uri,
    watch: &mut Stopwatch,
) -> Result<Response, ApiError> {
    let (asked, given) = read(&served.query, of_path, uri)?;
    let task = served.query.freshness.as_ref();
    let task = task.and_then(|name| running.tasks().iter().find(|task| task.task == *name));
    // Told of before the database is asked: what is promised is in the answer.
    let freshness = task.map(freshness);
    watch.lap("parse");
    let page = served.answer(&asked, &given).await.inspect_err(|unanswered| served.warn(unanswered));
    watch.lap("query");
    let bytes = body(&page?, freshness, now()).map_err(|error| ApiError::unavailable(error.to_string()))?;
    watch.lap("encode");
    Ok(([(CONTENT_TYPE, "application/json")], Body::from(bytes)).into_response())
}

/// What a request asks, and what it says beside a limit and a cursor, by which cursors are known.
fn read(query: &Query, of_path: &[&str], uri: &Uri) -> Result<(Asked, Vec<String>), ApiError> {
    let decode = |segment: &&str| percent_decode_str(segment).decode_utf8().map(|text| text.into_owned());
    let of_path = of_path.iter().map(decode).collect::<Result<Vec<String>, _>>();
    let path = of_path.map_err(|_| ApiError::bad_request("the path is no UTF-8").help("encode it as UTF-8"))?;
    let Pairs(pairs) = Pairs::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|error| ApiError::bad_request(error.body_text()).help("write `name=value&…` behind the `?`"))?;
    let asked = query.read(Request { path: &path, pairs: &pairs, now: now() })?;
    let of_query =
        query.parameters.iter().filter_map(|parameter| pairs.iter().find(|(name, _)| *name == parameter.name));
    let given = path.iter().cloned().chain(of_query.map(|(name, value)| format!("{name}={value}"))).collect();
    Ok((asked, given))
}

/// Measures the parts of an answer.
struct Stopwatch {
    began: Instant,
    lap: Instant,
    /// The parts so far, as `Server-Timing` has them.
    told: String,
}

impl Stopwatch {
    fn start() -> Self {
        let began = Instant::now();
        Self { began, lap: began, told: String::new() }
    }

    fn lap(&mut self, name: &str) {
        let millis = milliseconds(self.lap.elapsed());
        self.lap = Instant::now();
        let comma = if self.told.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(self.told, "{comma}{name};dur={millis:.3}");
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl From<Refusal> for ApiError {
    fn from(Refusal { message, help }: Refusal) -> Self {
        Self::bad_request(message).help(help)
    }
}

impl From<Unanswered> for ApiError {
    fn from(unanswered: Unanswered) -> Self {
        let text = unanswered.to_string();
        let error = match unanswered {
            Unanswered::Cursor => {
                let help =
                    "give back `next` as it came, with the parameters it came for; without a cursor you begin anew";
                return Self::bad_request(text).help(help);
            }
            Unanswered::Query(error) => error,
        };
        match &error {
            QueryError::Values => Self::bad_request(text).help("write other values: GET /docs lists the parameters"),
            QueryError::TooLarge(_) => Self::bad_request(text).help("ask for fewer rows with `limit`"),
            QueryError::TooLong(_) => Self::unavailable(text).help("ask for less, for instance a shorter time"),
            QueryError::Busy(_) => Self::unavailable(text).help("try again later"),
            QueryError::Definition { .. } | QueryError::Unavailable { .. } => {
                Self::unavailable(text).help("try again later; the host's log says so, too")
            }
        }
    }
}

/// The queries of every pipeline that runs, as paths of OpenAPI.
pub fn described(host: &Host) -> Map<String, Value> {
    let mut paths = Map::new();
    for running in host.running() {
        for Served { query, .. } in &running.queries.served {
            paths.insert(query.path.to_string(), json!({ "get": operation(running.name(), query) }));
        }
    }
    paths
}

fn operation(pipeline: &str, query: &Query) -> Value {
    let of_path: Vec<&str> = query.path.parameters().collect();
    let mut parameters = Vec::new();
    for parameter in &query.parameters {
        let in_path = of_path.contains(&parameter.name.as_str());
        let required = in_path || parameter.if_absent == IfAbsent::Required;
        let default = match &parameter.if_absent {
            IfAbsent::Text(default) => format!("; by default {default}"),
            IfAbsent::Null => "; may be left out".to_owned(),
            IfAbsent::Required => String::new(),
        };
        parameters.push(json!({
            "name": parameter.name,
            "in": if in_path { "path" } else { "query" },
            "required": required,
            "description": format!("{}{default}", parameter.data_type),
            "schema": { "type": "string" },
        }));
    }
    let own = [
        ("limit", format!("rows at most: 1 to {}; by default {}", query.limit.most, query.limit.default)),
        ("cursor", "`next` of the page before".to_owned()),
    ];
    for (name, description) in own.iter().take(if query.order.is_empty() { 1 } else { 2 }) {
        let schema = json!({ "type": "string" });
        parameters.push(json!({ "name": name, "in": "query", "description": description, "schema": schema }));
    }
    let columns: Vec<String> =
        query.columns.iter().map(|field| format!("{} {}", field.name, field.data_type)).collect();
    let rows = format!("`rows` of {}; `next`, the cursor of the next page", columns.join(", "));
    json!({
        "tags": ["queries"],
        "summary": format!("Query `{}` of pipeline `{pipeline}`.", query.name),
        "parameters": parameters,
        "responses": { "200": { "description": rows }, "400": { "description": "what is wrong with the request" } },
    })
}

//! Searches, answered by a search engine.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azenha_engine::store::StoreError;
use azenha_model::civil::{self, parse_date, parse_time, parse_timestamp};
use azenha_model::query::{Ask, Condition, OrderBy, Query, Search, Test, Value};
use azenha_model::{DataType, Field};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::http::{Api, Call, Refusal, STARTING, Trouble};
use super::mapping::{Described, describe_all};
use super::template;
use crate::query::{Answer, Answers, QueryError, Question};

/// Bytes that an answer may have.
const MOST_BYTES: usize = 8 << 20;

/// What the engine's own limit may be late by.
const GRACE: Duration = Duration::from_millis(500);

/// What is needed of an answer.
const PARTS: &[(&str, &str)] =
    &[("filter_path", "timed_out,hits.hits._source"), ("allow_partial_search_results", "false")];

/// A search engine that answers queries.
pub(crate) fn answers(name: &str, url: &str) -> Result<Arc<dyn Answers>, StoreError> {
    Ok(Arc::new(ElasticAnswers { name: name.to_owned(), api: Api::new(name, url)?, checked: Mutex::default() }))
}

#[derive(Debug)]
struct ElasticAnswers {
    name: String,
    api: Api,
    /// Queries whose fields the index has.
    checked: Mutex<HashSet<String>>,
}

#[derive(Debug, Default, Deserialize)]
struct Found {
    #[serde(default)]
    timed_out: bool,
    #[serde(default)]
    hits: Hits,
}

#[derive(Debug, Default, Deserialize)]
struct Hits {
    #[serde(default)]
    hits: Vec<Hit>,
}

#[derive(Debug, Deserialize)]
struct Hit {
    #[serde(rename = "_source", default)]
    source: BTreeMap<String, Box<RawValue>>,
}

#[async_trait]
impl Answers for ElasticAnswers {
    async fn answer(&self, query: &Query, question: Question<'_>) -> Result<Answer, QueryError> {
        let Ask::Search(search) = &query.ask else {
            return Err(self.unfit(query, "a search engine is asked by `search`, not by `sql`".to_owned()));
        };
        if !self.lock().contains(&query.name) {
            if !self.check(query, search).await? {
                return Ok(Answer { rows: Vec::new(), more: false });
            }
            self.lock().insert(query.name.clone());
        }
        let path = [search.index.as_str(), "_search"];
        let call = Call::new(Method::POST, &path).with(PARTS).json(&body(query, search, question));
        let call = Call { timeout: query.time_limit + GRACE, most_bytes: MOST_BYTES, ..call };
        let found: Found = self.api.call(call).await.map_err(|trouble| self.failed(query, trouble))?;
        if found.timed_out {
            return Err(QueryError::TooLong(query.time_limit));
        }
        let more = found.hits.hits.len() > question.rows as usize;
        let hits = found.hits.hits.into_iter().take(question.rows as usize);
        let row =
            |mut hit: Hit| query.columns.iter().map(|field| value(field, hit.source.remove(&field.name))).collect();
        let rows: Result<_, String> = hits.map(row).collect();
        Ok(Answer { rows: rows.map_err(|problem| self.unfit(query, problem))?, more })
    }

    /// Connections end with the client.
    async fn close(&self) {}
}

impl ElasticAnswers {
    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To a search, a field that is not there is one without values: nobody would notice. False if no index was made yet.
    async fn check(&self, query: &Query, search: &Search) -> Result<bool, QueryError> {
        let name = &search.index;
        let described = describe_all(&self.api, name).await.map_err(|trouble| self.failed(query, trouble))?;
        if described.is_empty() {
            let is_to_come =
                template::is_there(&self.api, name).await.map_err(|trouble| self.failed(query, trouble))?;
            return if is_to_come { Ok(false) } else { Err(self.unfit(query, format!("there is no index `{name}`"))) };
        }
        for (index, described) in &described {
            check_fields(described, query, search)
                .and_then(|()| check_words(described, search))
                .map_err(|problem| self.unfit(query, format!("index `{index}`: {problem}")))?;
        }
        Ok(true)
    }

    fn unfit(&self, query: &Query, reason: String) -> QueryError {
        QueryError::Definition { query: query.name.clone(), connection: self.name.clone(), reason }
    }

    fn failed(&self, query: &Query, trouble: Trouble) -> QueryError {
        match trouble {
            Trouble::Unavailable(source) => QueryError::Unavailable { connection: self.name.clone(), source },
            Trouble::Starting => QueryError::Unavailable { connection: self.name.clone(), source: STARTING.into() },
            Trouble::Busy(overload) => {
                QueryError::Unavailable { connection: self.name.clone(), source: overload.to_string().into() }
            }
            Trouble::TooLong => QueryError::TooLong(query.time_limit),
            Trouble::TooLarge => QueryError::TooLarge(MOST_BYTES),
            // What it says to people may repeat what was searched for.
            Trouble::Refused(Refusal { status, kind, .. }) => self.unfit(query, format!("{kind} ({status})")),
        }
    }
}

fn check_fields(described: &Described, query: &Query, search: &Search) -> Result<(), String> {
    let columns = query.columns.iter().map(|field| &field.name);
    let compared = search.conditions.iter().flat_map(|condition| condition.test.columns());
    match columns.chain(compared).find(|column| described.kind(column).is_none()) {
        Some(unknown) => Err(format!("there is no field `{unknown}`")),
        None => Ok(()),
    }
}

/// Words are found in texts only, and whole texts only where they are kept as such.
fn check_words(described: &Described, search: &Search) -> Result<(), String> {
    for Condition { test, .. } in &search.conditions {
        let has_words = matches!(test, Test::Words(_));
        let is_wrong = |column: &&String| (described.kind(column) == Some("text")) != has_words;
        if let Some(column) = test.columns().iter().find(is_wrong) {
            let help = if has_words { "name it in the sink's `search`" } else { "look for words in it with `match`" };
            let found = described.kind(column).unwrap_or_default();
            return Err(format!("field `{column}` is {found}: {help}"));
        }
    }
    Ok(())
}

/// Asks for one document more than are wanted, to know whether there are more.
fn body(query: &Query, search: &Search, question: Question<'_>) -> Json {
    let conditions: Vec<Json> =
        search.asked(question.arguments).map(|(condition, value)| filter(&condition.test, value)).collect();
    let columns: Vec<&String> = query.columns.iter().map(|field| &field.name).collect();
    let mut body = json!({
        "size": u64::from(question.rows) + 1,
        "_source": columns,
        "track_total_hits": false,
        "timeout": format!("{}ms", query.time_limit.as_millis()),
        "query": { "bool": { "must": conditions } },
    });
    if !query.order.is_empty() {
        let by = |order: &OrderBy| {
            let direction = if order.descending { "desc" } else { "asc" };
            json!({ &query.columns[order.column].name: { "order": direction } })
        };
        body["sort"] = query.order.iter().map(by).collect();
    }
    if let Some(after) = question.after {
        body["search_after"] = after.iter().map(sort_value).collect();
    }
    body
}

fn filter(test: &Test, value: &Value) -> Json {
    match test {
        Test::Words(columns) => json!({ "multi_match": {
            "query": value.to_string(), "fields": columns, "type": "cross_fields", "operator": "and",
        } }),
        Test::Any(columns) => {
            let text = value.to_string();
            let named = Search::named(columns, &text).unwrap_or_default();
            let terms: Vec<Json> =
                named.into_iter().map(|(column, value)| json!({ "term": { column: value } })).collect();
            json!({ "bool": { "filter": { "bool": { "should": terms, "minimum_should_match": 1 } } } })
        }
        Test::Equal(column) => json!({ "bool": { "filter": { "term": { column: argument(value) } } } }),
        Test::From(column) => json!({ "bool": { "filter": { "range": { column: { "gte": argument(value) } } } } }),
        Test::Before(column) => json!({ "bool": { "filter": { "range": { column: { "lt": argument(value) } } } } }),
    }
}

/// A value as the engine compares it.
fn argument(value: &Value) -> Json {
    match value {
        Value::Boolean(value) => json!(value),
        Value::Int64(value) => json!(value),
        Value::Float64(value) => json!(value),
        other => json!(other.to_string()),
    }
}

/// A value that the engine has sorted by: dates are milliseconds there.
fn sort_value(value: &Value) -> Json {
    match value {
        Value::Timestamp(micros) => json!(micros.div_euclid(1000)),
        Value::Date(days) => json!(i64::from(*days) * (civil::DAY / 1000)),
        other => argument(other),
    }
}

/// The value of a field, as the sink wrote it.
fn value(field: &Field, found: Option<Box<RawValue>>) -> Result<Value, String> {
    let Some(json) = found.as_deref().map(RawValue::get).filter(|json| *json != "null") else { return Ok(Value::Null) };
    let text = || serde_json::from_str::<String>(json).ok();
    let read = match field.data_type {
        DataType::Json => Some(Value::Json(json.to_owned())),
        DataType::Boolean => json.parse().ok().map(Value::Boolean),
        DataType::Int64 => json.parse().ok().map(Value::Int64),
        DataType::Float64 => json.parse().ok().map(Value::Float64),
        DataType::Decimal { .. } => text().map(Value::Decimal),
        DataType::Text => text().map(Value::Text),
        DataType::Bytes => text().and_then(|text| STANDARD.decode(text).ok()).map(Value::Bytes),
        DataType::Date => text().and_then(|text| parse_date(&text)).map(Value::Date),
        DataType::Time => text().and_then(|text| parse_time(&text)).map(Value::Time),
        DataType::Timestamp => text().and_then(|text| parse_timestamp(&text)).map(Value::Timestamp),
    };
    read.ok_or_else(|| format!("field `{}` holds what is no {}", field.name, field.data_type))
}

//! Records in: how a shop sends clicks without a Kafka client.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Array, BinaryArray};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody};
use crate::host::Host;
use crate::ingest::SourceTopic;

/// The most records of a request: each costs more than its bytes.
const MOST_RECORDS: usize = 100_000;

/// So long records wait for pipelines that are being started.
const START_TIME: Duration = Duration::from_secs(10);

/// So many requests append at once. Bodies wait in memory while the log is slow, so further ones are sent away.
static APPENDING: Semaphore = Semaphore::const_new(16);

/// What was appended.
#[derive(Debug, Serialize, ToSchema)]
pub struct Appended {
    /// The topic.
    topic: String,
    /// How many records.
    appended: usize,
}

/// Appends records to the topic of a source, and answers when they are durable. What a record holds is not looked
/// at: one that the pipeline cannot read becomes a dead letter.
#[utoipa::path(
    post, path = "/topics/{topic}/records", tag = "topics",
    params(("topic" = String, Path, description = "A topic that a pipeline reads as a source, paused or not")),
    request_body(
        description = "A JSON array of records, or one record a line",
        content((Vec<serde_json::Value> = "application/json"), (String = "application/x-ndjson"))
    ),
    responses(
        (status = 200, body = Appended),
        (status = 400, description = "The body is not what its content type says", body = ErrorBody),
        (status = 404, description = "No pipeline reads this topic as a source", body = ErrorBody),
        (status = 413, description = "The body has more than 8 MiB or 100,000 records", body = ErrorBody),
        (status = 415, description = "The content type is neither of the two, or the body is compressed", body = ErrorBody),
        (
            status = 503, description = "Too many append at once, or the log failed; nothing is known to be appended",
            body = ErrorBody
        ),
    )
)]
pub async fn append(
    State(host): State<Arc<Host>>,
    topic: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Appended>, ApiError> {
    let Path(topic) = topic?;
    let source = source(&host, &topic).await?;
    check_encoding(&headers)?;
    let busy = |_| ApiError::unavailable("too many requests append records at once").help("try again");
    let _turn = APPENDING.try_acquire().map_err(busy)?;
    let records = records(content_type(&headers), &body?)?;
    let appended = records.len();
    if appended > 0 {
        host.log().append(host.route(&source, &records)).await?;
    }
    Ok(Json(Appended { topic, appended }))
}

/// The source that is read from a topic. One of a pipeline that is just being started is waited for.
async fn source(host: &Host, topic: &str) -> Result<SourceTopic, ApiError> {
    if let Some(source) = host.sources().remove(topic) {
        return Ok(source);
    }
    // Whoever is not done by then is as good as not there.
    let _ = timeout(START_TIME, host.settled()).await;
    let mut sources = host.sources();
    sources.remove(topic).ok_or_else(|| {
        let known: Vec<&str> = sources.keys().map(String::as_str).collect();
        ApiError::not_found(format!("no pipeline reads a topic `{topic}` as a source"))
            .help(format!("the sources' topics are: {}", known.join(", ")))
    })
}

fn check_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            let encoding = String::from_utf8_lossy(encoding.as_bytes());
            Err(ApiError::unsupported_media_type(format!("a body encoded as `{encoding}` is not understood"))
                .help("send the records uncompressed, without Content-Encoding"))
        }
        _ => Ok(()),
    }
}

/// The media type, without parameters such as the character set.
fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn records(content_type: &str, body: &[u8]) -> Result<BinaryArray, ApiError> {
    let records = parse(content_type, body)?;
    if records.len() > MOST_RECORDS {
        return Err(ApiError::too_large(format!("the body has {} records", records.len()))
            .help(format!("send at most {MOST_RECORDS} at a time")));
    }
    Ok(records)
}

fn parse(content_type: &str, body: &[u8]) -> Result<BinaryArray, ApiError> {
    match content_type.to_ascii_lowercase().as_str() {
        "application/json" => {
            let records: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| {
                ApiError::bad_request(format!("the body is not a JSON array: {error}"))
                    .help("send [{…}, {…}], or one record a line as application/x-ndjson")
            })?;
            Ok(BinaryArray::from_iter_values(records.iter().map(|record| record.get())))
        }
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
            let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
            Ok(BinaryArray::from_iter_values(lines))
        }
        "" => Err(ApiError::unsupported_media_type("the request has no content type").help(CONTENT_TYPES)),
        other => Err(ApiError::unsupported_media_type(format!("`{other}` is not understood")).help(CONTENT_TYPES)),
    }
}

const CONTENT_TYPES: &str =
    "set Content-Type to application/json for a JSON array, or to application/x-ndjson for one record a line";

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn values(content_type: &str, body: &str) -> Vec<String> {
        let records = records(content_type, body.as_bytes()).unwrap();
        records.iter().flatten().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    #[test]
    fn an_array_and_lines_give_the_same_records() {
        let expected = [r#"{"a":1}"#, r#"{"a": "x"}"#];
        assert_eq!(values("application/json", r#" [{"a":1}, {"a": "x"}] "#), expected);
        assert_eq!(values("application/x-ndjson", "{\"a\":1}\n\r\n{\"a\": \"x\"}\r\n"), expected);
    }

    #[test]
    fn nothing_is_no_error() {
        assert!(values("application/json", "[]").is_empty());
        assert!(values("application/x-ndjson", "").is_empty());
    }

    #[test]
    fn a_body_of_more_records_than_are_taken_at_once_is_refused() {
        let lines = |count| records("application/x-ndjson", "1\n".repeat(count).as_bytes());
        assert_eq!(lines(MOST_RECORDS).unwrap().len(), MOST_RECORDS);
        assert_eq!(lines(MOST_RECORDS + 1).unwrap_err().status().as_u16(), 413);
    }

    #[test]
    fn a_compressed_body_is_refused() {
        let check = |encoding| check_encoding(&HeaderMap::from_iter([(CONTENT_ENCODING, encoding)]));
        assert!(check(HeaderValue::from_static("gzip")).is_err());
        assert!(check(HeaderValue::from_static("Identity")).is_ok());
        assert!(check_encoding(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_body_that_is_not_what_it_claims_is_refused() {
        for (content_type, body) in
            [("application/json", "{}"), ("application/json", "[1,"), ("", "[]"), ("text/csv", "a")]
        {
            assert!(records(content_type, body.as_bytes()).is_err(), "{content_type} {body}");
        }
    }
}

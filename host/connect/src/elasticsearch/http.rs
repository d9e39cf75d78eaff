//! Calls of a search engine's API, and their failures told apart.

use std::fmt;
use std::time::Duration;

use azenha_engine::store::StoreError;
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::store::Failure;

/// How long a call may take that says nothing else.
const TIMEOUT: Duration = Duration::from_secs(45);

/// Characters of an answer that a message shows.
const SHOWN: usize = 300;

/// How often, and after which pauses, what is read is asked for again while shards start.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// What is said of an engine whose shards do not start.
pub(super) const STARTING: &str = "it answers 503: its shards have not started";

/// A search engine.
pub(super) struct Api {
    /// Without user and password.
    base: Url,
    credentials: Option<(String, String)>,
    client: Client,
}

/// Without the credentials.
impl fmt::Debug for Api {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Api").finish_non_exhaustive()
    }
}

/// A call.
#[derive(Debug, Clone)]
pub(super) struct Call<'a> {
    pub method: Method,
    pub path: &'a [&'a str],
    pub parameters: &'a [(&'a str, &'a str)],
    /// JSON, or lines of JSON.
    pub body: Vec<u8>,
    pub timeout: Duration,
    /// Bytes that an answer may have.
    pub most_bytes: usize,
}

impl<'a> Call<'a> {
    pub fn new(method: Method, path: &'a [&'a str]) -> Self {
        Self { method, path, parameters: &[], body: Vec::new(), timeout: TIMEOUT, most_bytes: 64 << 20 }
    }

    pub fn with(self, parameters: &'a [(&'a str, &'a str)]) -> Self {
        Self { parameters, ..self }
    }

    pub fn json(self, body: &serde_json::Value) -> Self {
        Self { body: body.to_string().into_bytes(), ..self }
    }
}

/// Why a call did not do what it should.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There was no answer, or one that says that another try may succeed.
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
    /// Its shards are not there yet, or not any more.
    Starting,
    /// The engine has more to do than it can.
    Busy(Overload),
    /// The answer did not come in time.
    TooLong,
    /// The answer has more bytes than it may have.
    TooLarge,
    /// The engine does not do it.
    Refused(Refusal),
}

/// What an engine says that has more to do than it can.
#[derive(Debug, Default)]
pub(super) struct Overload {
    /// Why, for people.
    pub reason: String,
    /// How long it wants to be left alone.
    pub pause: Option<Duration>,
}

/// What the engine says of what it does not do.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    /// The engine's name of the error.
    pub kind: String,
    /// What it says to people, which may repeat what it was sent.
    pub reason: String,
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unavailable(source) => Self::Unavailable(source),
            Trouble::Starting => Self::Unavailable(STARTING.into()),
            Trouble::Busy(overload) => Self::Unavailable(overload.to_string().into()),
            Trouble::TooLong => Self::Unavailable("it did not answer in time".into()),
            Trouble::TooLarge => Self::Unavailable("its answer is larger than any that makes sense".into()),
            Trouble::Refused(refusal) => Self::Definition(refusal.to_string()),
        }
    }
}

impl fmt::Display for Overload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.reason.is_empty() { "" } else { ": " };
        write!(formatter, "it has more to do than it can{colon}{}", self.reason)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                write!(
                    formatter,
                    "it does not let us in ({}): check user and password in the connection's URL",
                    self.status
                )
            }
            status => formatter.write_str(&told(status.as_u16(), &self.kind, &self.reason)),
        }
    }
}

/// An error, as the engine writes it.
#[derive(Debug, Default, Deserialize)]
struct Answered {
    #[serde(default)]
    error: Complaint,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Complaint {
    Told {
        #[serde(rename = "type", default)]
        kind: String,
        #[serde(default)]
        reason: String,
    },
    Text(String),
}

impl Default for Complaint {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Api {
    /// The engine at `https://USER:PASSWORD@HOST:PORT`, which connection `name` has as its URL. Nothing is connected yet.
    pub fn new(name: &str, url: &str) -> Result<Self, StoreError> {
        crate::use_ring();
        let wrong = |problem: &str| StoreError::Definition(format!("the URL of connection `{name}` {problem}"));
        let mut base = Url::parse(url).map_err(|_| {
            wrong("cannot be read; in names and passwords, write `%40` for `@`, `%3A` for `:`, `%2F` for `/`")
        })?;
        if base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("has a `?` or a `#`: write https://USER:PASSWORD@HOST:PORT"));
        }
        let credentials = credentials(&base).map_err(|problem| wrong(&problem))?;
        if base.set_username("").and_then(|()| base.set_password(None)).is_err() {
            return Err(wrong("names no server: https://USER:PASSWORD@HOST:PORT"));
        }
        // What a redirect leads to was not configured, and might be given the credentials.
        let builder = Client::builder().redirect(Policy::none());
        let builder = builder.user_agent(concat!("azenha/", env!("CARGO_PKG_VERSION")));
        let client = builder.build().map_err(|error| wrong(&format!("cannot be used: {error}")))?;
        Ok(Self { base, credentials, client })
    }

    /// What a call answers.
    pub async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Trouble> {
        let bytes = if call.method == Method::GET { self.patiently(call).await? } else { self.bytes(call).await? };
        serde_json::from_slice(&bytes).map_err(|error| {
            let problem = format!("its answer is not that of Elasticsearch or OpenSearch: {error}");
            Trouble::Unavailable(problem.into())
        })
    }

    /// As [`call`](Self::call); none if what it is about does not exist.
    pub async fn find<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<Option<T>, Trouble> {
        match self.call(call).await {
            Ok(found) => Ok(Some(found)),
            Err(Trouble::Refused(Refusal { status: StatusCode::NOT_FOUND, .. })) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Asks again while shards start, as those of an index that was just made do.
    async fn patiently(&self, call: Call<'_>) -> Result<Vec<u8>, Trouble> {
        for _ in 0..TRIES {
            match self.bytes(call.clone()).await {
                Err(Trouble::Starting) => sleep(PAUSE).await,
                answered => return answered,
            }
        }
        self.bytes(call).await
    }

    async fn bytes(&self, call: Call<'_>) -> Result<Vec<u8>, Trouble> {
        let most = call.most_bytes;
        let mut response = self.request(call)?.send().await.map_err(unavailable)?;
        let (status, pause) = (response.status(), wanted_pause(&response));
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > most {
                return Err(Trouble::TooLarge);
            }
        }
        if status.is_success() { Ok(bytes) } else { Err(failed(status, pause, &bytes)) }
    }

    fn request(&self, call: Call<'_>) -> Result<RequestBuilder, Trouble> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().extend(call.path),
            Err(()) => return Err(Trouble::Unavailable("the connection's URL has no path".into())),
        };
        url.query_pairs_mut().extend_pairs(call.parameters);
        let mut request = self.client.request(call.method, url).timeout(call.timeout);
        if let Some((user, password)) = &self.credentials {
            request = request.basic_auth(user, Some(password));
        }
        if call.body.is_empty() {
            return Ok(request);
        }
        Ok(request.header(reqwest::header::CONTENT_TYPE, "application/json").body(call.body))
    }
}

/// User and password of a URL; none if it has no user.
fn credentials(url: &Url) -> Result<Option<(String, String)>, String> {
    if url.username().is_empty() {
        return Ok(None);
    }
    let decoded = |text: &str| {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
        decoded.map(|text| text.into_owned()).map_err(|_| "has a user or a password that is no UTF-8".to_owned())
    };
    Ok(Some((decoded(url.username())?, decoded(url.password().unwrap_or_default())?)))
}

/// How long an answer asks to be left alone. As a date it is not understood: clocks differ.
fn wanted_pause(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn failed(status: StatusCode, pause: Option<Duration>, bytes: &[u8]) -> Trouble {
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return Trouble::Starting;
    }
    if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
        return Trouble::Unavailable(format!("it answers {status}").into());
    }
    let answered: Answered = serde_json::from_slice(bytes).unwrap_or_default();
    let (kind, reason) = match answered.error {
        Complaint::Told { kind, reason } => (kind, reason),
        Complaint::Text(text) => ("no error of its own".to_owned(), text),
    };
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Trouble::Busy(Overload { reason: told(status.as_u16(), &kind, &reason), pause });
    }
    Trouble::Refused(Refusal { status, kind, reason })
}

/// What an engine says of itself, with its name of the error. Some repeat the requests that they have no time for, in which
/// values stand.
pub(super) fn told(status: u16, kind: &str, reason: &str) -> String {
    let reason = reason.split(" containing [").next().unwrap_or_default();
    let shown: String = reason.chars().take(SHOWN).collect();
    if shown.is_empty() { format!("{kind} ({status})") } else { format!("{shown} ({kind}, {status})") }
}

/// The client says the cause only in the chain of sources, and its own message names the URL.
fn unavailable(error: reqwest::Error) -> Trouble {
    if error.is_timeout() {
        return Trouble::TooLong;
    }
    let error = error.without_url();
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        reason.push_str(": ");
        reason.push_str(&cause.to_string());
        source = cause.source();
    }
    Trouble::Unavailable(reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody would find out otherwise that it is the disk.
    #[test]
    fn an_engine_that_has_more_to_do_than_it_can_says_why() {
        let reason = "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark]";
        let body = format!(r#"{{"error":{{"type":"cluster_block_exception","reason":"{reason}"}},"status":429}}"#);
        let trouble = failed(StatusCode::TOO_MANY_REQUESTS, None, body.as_bytes());
        let Failure::Unavailable(said) = Failure::from(trouble) else { panic!("it will pass") };
        let said = said.to_string();
        assert!(said.contains("flood-stage watermark") && said.contains("cluster_block_exception, 429"), "{said}");
    }
}

//! One call of a registry's API: retried, and its failures told apart.

use std::time::Duration;

use azenha_engine::schemas::SchemasError;
use azenha_model::registry::{Credentials, RegistryConfig};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::sleep;

/// How long one try may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses before a call is tried again. Who calls tries again for longer.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(900)];

/// A registry's answer is not larger, so that one that answers without end costs no memory.
const MAX_ANSWER: usize = 16 << 20;

/// Characters of an answer that a message shows.
const SHOWN: usize = 500;

/// A registry's API.
#[derive(Debug)]
pub struct Api {
    /// Where it is, for messages too.
    pub url: String,
    credentials: Option<Credentials>,
    client: Client,
}

/// What a registry says when it does not do something.
#[derive(Debug, Default, Deserialize)]
struct Complaint {
    #[serde(default)]
    error_code: i64,
    #[serde(default)]
    message: String,
}

impl Api {
    pub fn new(config: &RegistryConfig) -> Result<Self, SchemasError> {
        crate::use_ring();
        let wrong =
            |reason: String| SchemasError::Configuration(format!("schema registry at {}: {reason}", config.url));
        // What a redirect leads to was not configured, and might be given the credentials.
        let builder = Client::builder().timeout(TIMEOUT).redirect(Policy::none());
        let mut builder = builder.user_agent(concat!("azenha/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &config.ca {
            let file = path.display();
            let pem = std::fs::read(path).map_err(|error| wrong(format!("cannot read {file}: {error}")))?;
            let certificates = Certificate::from_pem_bundle(&pem)
                .map_err(|error| wrong(format!("{file} holds no certificates in PEM: {error}")))?;
            builder = builder.tls_certs_only(certificates);
        }
        let client = builder.build().map_err(|error| wrong(error.to_string()))?;
        Ok(Self { url: config.url.clone(), credentials: config.credentials.clone(), client })
    }

    /// What a call answers; none if what it is about does not exist.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Option<T>, SchemasError> {
        let mut pauses = PAUSES.into_iter();
        loop {
            match (self.attempt(method.clone(), path, body).await, pauses.next()) {
                (Err(SchemasError::Unavailable { .. }), Some(pause)) => sleep(pause).await,
                (answer, _) => return answer,
            }
        }
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Option<T>, SchemasError> {
        let request = self.request(method, path, body)?;
        let mut response = request.send().await.map_err(|error| self.unavailable(chain(&error)))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unavailable(chain(&error)))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_ANSWER {
                return Err(self.refused(format!("its answer has more than {MAX_ANSWER} bytes")));
            }
        }
        if status.is_success() {
            let answer = serde_json::from_slice(&bytes);
            return answer.map(Some).map_err(|error| self.refused(format!("its answer is no registry's: {error}")));
        }
        let complaint: Complaint = serde_json::from_slice(&bytes).unwrap_or_default();
        self.failed(status, complaint)
    }

    fn request(&self, method: Method, path: &[&str], body: Option<&Value>) -> Result<RequestBuilder, SchemasError> {
        let wrong = || SchemasError::Configuration(format!("`{}` is no URL of a schema registry", self.url));
        let mut url = reqwest::Url::parse(&self.url).map_err(|_| wrong())?;
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(path);
        let mut request = self.client.request(method, url);
        request = match &self.credentials {
            None => request,
            Some(Credentials::Token(token)) => request.bearer_auth(token.reveal()),
            Some(Credentials::Password { username, password }) => request.basic_auth(username, Some(password.reveal())),
        };
        Ok(match body {
            Some(body) => request.json(body),
            None => request,
        })
    }

    /// A subject, version or schema that is not there is an answer; a path that is not there is a wrong URL.
    fn failed<T>(&self, status: StatusCode, complaint: Complaint) -> Result<Option<T>, SchemasError> {
        let said: String = complaint.message.chars().take(SHOWN).collect();
        match status {
            StatusCode::NOT_FOUND if (40_401..=40_499).contains(&complaint.error_code) => Ok(None),
            StatusCode::NOT_FOUND => Err(self.refused("there is no registry's API at this URL (404)".to_owned())),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.refused(format!(
                "it does not let us in ({status}): check `username` and `password`, or `token`, of `registry` in the \
                 host's configuration"
            ))),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Err(self.unavailable(status.to_string())),
            status if status.is_server_error() => Err(self.unavailable(format!("it answers {status} {said}"))),
            status if status.is_redirection() => {
                Err(self.refused(format!("it sends us elsewhere ({status}): give the URL that it leads to")))
            }
            status => Err(self.refused(format!("{said} ({status})"))),
        }
    }

    fn unavailable(&self, reason: String) -> SchemasError {
        SchemasError::Unavailable { registry: self.url.clone(), reason }
    }

    pub fn refused(&self, reason: String) -> SchemasError {
        SchemasError::Refused { registry: self.url.clone(), reason }
    }
}

/// An error and what it came from: the client says the cause only there.
fn chain(error: &reqwest::Error) -> String {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason.push_str(": ");
        reason.push_str(&cause.to_string());
        source = cause.source();
    }
    reason
}

//! Errors of the API: a status, what was wrong, and what would be right.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use azenha_engine::log::LogError;
use azenha_model::{Diagnostic, Diagnostics};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::ChangeError;
use crate::host::OffsetError;

/// Why a request was not answered.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    body: ErrorBody,
    /// After which it may be asked again.
    retry_after: Option<Duration>,
}

/// What was wrong, as JSON.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What was wrong.
    pub error: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Every error of a definition, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Problem>,
}

/// One error of a definition.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// From 1; 0 if the error has no place.
    pub line: usize,
    /// From 1, in characters; 0 if the error has no place.
    pub column: usize,
    /// What was found and why it is wrong.
    pub message: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Problem {
    /// The error as if it were one of a file.
    pub fn of_file(self, file: &str) -> Diagnostic {
        let Self { line, column, message, help } = self;
        Diagnostic { file: file.to_owned(), line, column, message, help }
    }
}

impl From<Diagnostic> for Problem {
    fn from(diagnostic: Diagnostic) -> Self {
        let Diagnostic { line, column, message, help, .. } = diagnostic;
        Self { line, column, message, help }
    }
}

impl ApiError {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: ErrorBody { error: error.into(), ..ErrorBody::default() }, retry_after: None }
    }

    /// 400: the request is malformed.
    pub fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// 401: it is not known who asks.
    pub fn unauthorized(error: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error)
    }

    /// 403: whoever asks may not.
    pub fn forbidden(error: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, error)
    }

    /// 404: what the request names is not there.
    pub fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// 405: what the request names is there, but not for this method.
    pub fn method_not_allowed(error: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, error)
    }

    /// 409: what the request names is not in a state in which that can be done.
    pub fn conflict(error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error)
    }

    /// 413: there is more of it than is taken at once.
    pub fn too_large(error: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, error)
    }

    /// 415: the body is of a kind that is not understood.
    pub fn unsupported_media_type(error: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
    }

    /// 422: the body is understood, and wrong.
    pub fn unprocessable(error: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error)
    }

    /// 429: one caller asks too much; after the wait there is room again.
    pub fn too_many_requests(wait: Duration) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "this is more than one caller may ask in a second");
        let help =
            "wait as `Retry-After` says; `http: { requests_per_second: … }` in the host's configuration is the limit";
        Self { retry_after: Some(wait), ..error.help(help) }
    }

    /// 503: not now.
    pub fn unavailable(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    /// Adds what would be right.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.body.help = Some(help.into());
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            status @ StatusCode::PAYLOAD_TOO_LARGE => Self::new(status, "the body is too large")
                .help("records may have 8 MiB at a time, a definition 256 KiB, a plugin 16 MiB"),
            status => Self::new(status, rejection.body_text()),
        }
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        if matches!(error, LogError::TooLarge { .. }) {
            return Self::too_large(error.to_string());
        }
        tracing::error!(%error, "the log failed while a request was answered");
        Self::unavailable(error.to_string()).help("try again later")
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        let text = error.to_string();
        match error {
            ChangeError::Missing(_) => Self::not_found(text).help("GET /pipelines lists what there is"),
            ChangeError::NotMet { pipeline, .. } | ChangeError::Overtaken(pipeline) => {
                Self::new(StatusCode::PRECONDITION_FAILED, text)
                    .help(format!("GET /pipelines/{pipeline} shows what is in force now; change that"))
            }
            ChangeError::Newer(_) => Self::conflict(text),
            ChangeError::Log(error) => error.into(),
        }
    }
}

impl From<OffsetError> for ApiError {
    fn from(error: OffsetError) -> Self {
        let text = error.to_string();
        match error {
            OffsetError::NotLoaded { .. } => Self::conflict(text),
            OffsetError::NoSuchLane { .. } | OffsetError::Outside { .. } => Self::unprocessable(text),
            OffsetError::Nothing | OffsetError::Twice { .. } => Self::unprocessable(text)
                .help("send each lane that is to move once: [{\"task\": …, \"partition\": 0, \"position\": 0}]"),
            OffsetError::Stateful(_) => Self::conflict(text)
                .help("give the step another name, with which it starts over from the first record, without state"),
            OffsetError::Log(LogError::InUse(_)) => Self::conflict(text).help("wait until every host has paused it"),
            OffsetError::Log(error) => error.into(),
            OffsetError::Store(_) | OffsetError::Setup(_) => Self::unavailable(text).help("try again later"),
        }
    }
}

/// What is wrong with a definition, or why it could not be checked.
impl From<anyhow::Error> for ApiError {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Diagnostics>() {
            Ok(Diagnostics(diagnostics)) => {
                let mut refused = Self::unprocessable(match diagnostics.len() {
                    1 => "the definition has an error".to_owned(),
                    several => format!("the definition has {several} errors"),
                });
                refused.body.diagnostics = diagnostics.into_iter().map(Problem::from).collect();
                refused
            }
            Err(error) => {
                tracing::error!("a request was not answered: {error:#}");
                Self::unavailable(format!("{error:#}")).help("try again later")
            }
        }
    }
}

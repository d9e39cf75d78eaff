//! Dead letters: listed, shown, fetched as bundles, put back or discarded.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use azenha_model::civil::parse_timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ErrorBody};
use super::guard::Caller;
use super::paths::{OfLetter, OfPipeline};
use super::pipelines::find;
use crate::dead_letters::replay::{ReplayError, Replayed};
use crate::dead_letters::{Decision, Desk, DeskError, Filter, Found, NotPutBack, PackError};
use crate::host::Host;

/// The letters of an answer, if nothing is said, and at most.
const LETTERS: (usize, usize) = (50, 200);

const MICROS_PER_MILLI: i64 = 1_000;

/// A dead letter in a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LetterSummary {
    /// What tells it from all others: generation, pipeline, step, topic, partition, offset, ordinal. In paths each `/` of it
    /// is `%2F`.
    pub id: String,
    /// The version of the pipeline that made it; 0 if a file defines that.
    #[serde(default)]
    pub version: u64,
    /// The step or sink.
    pub step: String,
    /// Why it is one.
    pub cause: String,
    /// In words.
    pub reason: String,
    /// The part that was refused; none: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The object that holds what it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Its line there, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The plugin whose call is the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Of the record that it is about: microseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
    /// What was decided on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

/// What a list tells of a letter. A newer host may have written it, for causes and on bases that are not known here.
#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    version: u64,
    step: String,
    cause: String,
    reason: String,
    part: Option<String>,
    object: Option<String>,
    line: Option<u64>,
    #[serde(default)]
    basis: Value,
}

/// Dead letters.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Letters {
    /// The latest first, each once.
    pub letters: Vec<LetterSummary>,
    /// With `cursor` set to it the next letters come; none: there are no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A dead letter.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LetterDetail {
    /// As its topic holds it; `docs/dead-letters.md` says what its members are.
    #[schema(value_type = Object)]
    pub letter: Value,
    /// Of the record that it is about: microseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
    /// What was decided on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

/// Which letters are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Only of this step or sink.
    step: Option<String>,
    /// Only with this cause: `decode`, `rejected`, `failed`, …
    cause: Option<String>,
    /// Only about records with this timestamp or a later one: ISO 8601, or milliseconds since 1970.
    since: Option<String>,
    /// Those that were retried or discarded, too.
    #[serde(default)]
    all: bool,
    /// How many: 50 if it is left out, at most 200.
    limit: Option<usize>,
    /// The `next` of the answer before.
    cursor: Option<String>,
}

/// How a record is put back.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Also if something of the record had gone through, which then does so a second time.
    #[serde(default)]
    repeat: bool,
}

/// What a letter is replayed with.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The name of an uploaded plugin: whether what failed goes through with it, and what it gives.
    plugin: Option<String>,
}

/// The routes below `/pipelines/{name}`.
pub fn routes<S>(host: Arc<Host>) -> Router<S> {
    Router::new()
        .route("/pipelines/{name}/dead-letters", get(list))
        .route("/pipelines/{name}/dead-letters/{id}", get(show))
        .route("/pipelines/{name}/dead-letters/{id}/bundle", get(bundle))
        .route("/pipelines/{name}/dead-letters/{id}/personal-bundle", get(personal_bundle))
        .route("/pipelines/{name}/dead-letters/{id}/replay", post(replay))
        .route("/pipelines/{name}/dead-letters/{id}/retry", post(retry))
        .route("/pipelines/{name}/dead-letters/{id}/discard", post(discard))
        .with_state(Arc::new(Desk::new(host)))
}

/// The dead letters of a pipeline, the latest first, each once; of more than 200,000 the latest.
#[utoipa::path(
    get, path = "/pipelines/{name}/dead-letters", tag = "dead letters",
    params(OfPipeline, Wanted),
    responses(
        (status = 200, body = Letters),
        (status = 400, description = "A parameter is none, or has a wrong value", body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 503, description = "The log failed", body = ErrorBody),
    )
)]
pub async fn list(
    State(desk): State<Arc<Desk>>,
    path: Result<Path<OfPipeline>, PathRejection>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Letters>, ApiError> {
    let (Path(OfPipeline { name }), Query(wanted)) = (path?, wanted.map_err(wrong_query)?);
    find(desk.host(), &name)?;
    let limit = wanted.limit.unwrap_or(LETTERS.0);
    if !(1..=LETTERS.1).contains(&limit) {
        let refused = ApiError::bad_request(format!("`limit` is {limit}"));
        return Err(refused.help(format!("send a number from 1 to {}", LETTERS.1)));
    }
    let all = wanted.all;
    let page = desk.list(&name, &wanted.filter()?, all, limit).await?;
    let letters = page.letters.into_iter().map(LetterSummary::of).collect::<Result<_, _>>()?;
    Ok(Json(Letters { letters, next: page.next.map(|next| next.to_string()) }))
}

/// One dead letter, as its topic holds it.
#[utoipa::path(
    get, path = "/pipelines/{name}/dead-letters/{id}", tag = "dead letters",
    params(OfLetter),
    responses(
        (status = 200, body = LetterDetail),
        (status = 404, body = ErrorBody),
        (status = 503, description = "The log failed", body = ErrorBody),
    )
)]
pub async fn show(
    State(desk): State<Arc<Desk>>,
    path: Result<Path<OfLetter>, PathRejection>,
) -> Result<Json<LetterDetail>, ApiError> {
    let Path(OfLetter { name, id }) = path?;
    find(desk.host(), &name)?;
    let Found { json, timestamp, decision } = desk.find(&name, &id).await?;
    let letter = serde_json::from_slice(&json).map_err(unreadable)?;
    Ok(Json(LetterDetail { letter, timestamp, decision }))
}

/// What a dead letter was decided on, as a tar that `azenha replay` takes. Of the call of a plugin: its code, its
/// configuration with variables by name, the columns that it read and no others. Personal data is masked.
#[utoipa::path(
    get, path = "/pipelines/{name}/dead-letters/{id}/bundle", tag = "dead letters",
    params(OfLetter),
    responses(
        (status = 200, description = "The bundle", content_type = "application/x-tar", body = Vec<u8>),
        (status = 404, body = ErrorBody),
        (status = 409, description = "Something is not kept, or has personal data as a whole", body = ErrorBody),
        (status = 503, description = "The log failed", body = ErrorBody),
    )
)]
pub async fn bundle(
    State(desk): State<Arc<Desk>>,
    path: Result<Path<OfLetter>, PathRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Path(OfLetter { name, id }) = path?;
    find(desk.host(), &name)?;
    Ok(attached(&id, desk.bundle(&name, &id).await?))
}

/// The same with personal data, as far as the source's topic still holds the record: a replay then decides on what was
/// decided on. Values that a step made are in no letter, and stay masked.
#[utoipa::path(
    get, path = "/pipelines/{name}/dead-letters/{id}/personal-bundle", tag = "dead letters",
    params(OfLetter),
    responses(
        (status = 200, description = "The bundle", content_type = "application/x-tar", body = Vec<u8>),
        (status = 404, body = ErrorBody),
        (status = 409, description = "Something is not kept any more, or the pipeline is not loaded", body = ErrorBody),
        (status = 503, description = "The log failed", body = ErrorBody),
    )
)]
pub async fn personal_bundle(
    State(desk): State<Arc<Desk>>,
    path: Result<Path<OfLetter>, PathRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Path(OfLetter { name, id }) = path?;
    let deployment = find(desk.host(), &name)?;
    Ok(attached(&id, desk.personal_bundle(&deployment, &id).await?))
}

/// A bundle as a file.
fn attached(id: &str, bundle: Vec<u8>) -> impl IntoResponse + use<> {
    let attachment = format!("attachment; filename=\"{}.tar\"", id.replace('/', "_"));
    ([(CONTENT_TYPE, "application/x-tar".to_owned()), (CONTENT_DISPOSITION, attachment)], bundle)
}

/// Decides once more what a dead letter is about, on this host, and says what comes of it; nothing of it goes anywhere else.
/// Of a plugin the call is made: with the code that the letter is of, and with another one if that is named. Personal data
/// is masked, and variables of the step's configuration have only their defaults.
#[utoipa::path(
    post, path = "/pipelines/{name}/dead-letters/{id}/replay", tag = "dead letters",
    params(OfLetter, With),
    responses(
        (status = 200, body = Replayed),
        (status = 400, description = "A parameter is none, or has a wrong value", body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "It cannot be decided once more: something is not kept, or is not the host's to decide", body = ErrorBody),
        (status = 422, description = "No such plugin was uploaded", body = ErrorBody),
        (status = 503, description = "The log failed, or too many letters are replayed at once", body = ErrorBody),
    )
)]
pub async fn replay(
    State(desk): State<Arc<Desk>>,
    path: Result<Path<OfLetter>, PathRejection>,
    with: Result<Query<With>, QueryRejection>,
) -> Result<Json<Replayed>, ApiError> {
    let (Path(OfLetter { name, id }), Query(With { plugin })) = (path?, with.map_err(wrong_query)?);
    find(desk.host(), &name)?;
    Ok(Json(desk.replay(&name, &id, plugin.as_deref()).await?))
}

/// Puts the record of a dead letter back at the end of the source that it came from, once. Everybody reads it who reads
/// that topic, so it is refused where something of the record had gone through, unless `repeat` says otherwise.
#[utoipa::path(
    post, path = "/pipelines/{name}/dead-letters/{id}/retry", tag = "dead letters",
    params(OfLetter, Retry),
    responses(
        (status = 200, body = Decision),
        (status = 400, description = "A parameter is none, or has a wrong value", body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "It was put back or discarded before, or cannot be put back", body = ErrorBody),
        (status = 503, description = "The log failed; it may have happened: ask again", body = ErrorBody),
    )
)]
pub async fn retry(
    State(desk): State<Arc<Desk>>,
    Extension(Caller(by)): Extension<Caller>,
    path: Result<Path<OfLetter>, PathRejection>,
    how: Result<Query<Retry>, QueryRejection>,
) -> Result<Json<Decision>, ApiError> {
    let (Path(OfLetter { name, id }), Query(Retry { repeat })) = (path?, how.map_err(wrong_query)?);
    let deployment = find(desk.host(), &name)?;
    Ok(Json(desk.retry(&deployment, &id, repeat, by).await?))
}

/// Hides a dead letter from lists, once. It stays in its topic.
#[utoipa::path(
    post, path = "/pipelines/{name}/dead-letters/{id}/discard", tag = "dead letters",
    params(OfLetter),
    responses(
        (status = 200, body = Decision),
        (status = 404, body = ErrorBody),
        (status = 409, description = "It was put back or discarded before", body = ErrorBody),
        (status = 503, description = "The log failed; it may have happened: ask again", body = ErrorBody),
    )
)]
pub async fn discard(
    State(desk): State<Arc<Desk>>,
    Extension(Caller(by)): Extension<Caller>,
    path: Result<Path<OfLetter>, PathRejection>,
) -> Result<Json<Decision>, ApiError> {
    let Path(OfLetter { name, id }) = path?;
    find(desk.host(), &name)?;
    Ok(Json(desk.discard(&name, &id, by).await?))
}

impl Wanted {
    fn filter(self) -> Result<Filter, ApiError> {
        let Self { step, cause, since, cursor, .. } = self;
        let moment = |text: String| {
            let millis = text.parse::<i64>().ok().and_then(|millis| millis.checked_mul(MICROS_PER_MILLI));
            millis.or_else(|| parse_timestamp(&text)).ok_or_else(|| {
                ApiError::bad_request("`since` is no time")
                    .help("send ISO 8601 text such as 2024-01-31T23:59:59Z, or milliseconds since 1970")
            })
        };
        let place = |text: String| {
            let wrong = |_| ApiError::bad_request("`cursor` is none").help("send the `next` of an answer");
            text.parse().map_err(wrong)
        };
        Ok(Filter { step, cause, since: since.map(moment).transpose()?, before: cursor.map(place).transpose()? })
    }
}

impl LetterSummary {
    fn of(found: Found) -> Result<Self, ApiError> {
        let Found { json, timestamp, decision } = found;
        let Listed { id, version, step, cause, reason, part, object, line, basis } =
            serde_json::from_slice(&json).map_err(unreadable)?;
        let plugin = basis["call"]["plugin"].as_str().map(str::to_owned);
        Ok(Self { id, version, step, cause, reason, part, object, line, plugin, timestamp, decision })
    }
}

fn wrong_query(rejection: QueryRejection) -> ApiError {
    ApiError::bad_request(rejection.body_text()).help("GET /docs lists the parameters")
}

fn unreadable(error: serde_json::Error) -> ApiError {
    ApiError::conflict(format!("the letter cannot be read: {error}"))
}

impl From<DeskError> for ApiError {
    fn from(error: DeskError) -> Self {
        let text = error.to_string();
        match error {
            DeskError::NoLetter { pipeline, .. } => {
                Self::not_found(text).help(format!("GET /pipelines/{pipeline}/dead-letters lists the latest"))
            }
            DeskError::NotPutBack(reason @ NotPutBack::Repeats(_)) => Self::conflict(text).help(reason.help()),
            DeskError::NotPutBack(reason) => Self::conflict(format!("it is not put back: {text}")).help(reason.help()),
            DeskError::Pack(PackError::LeftOut) => {
                Self::conflict(text).help("a deployer can fetch it with the record: `personal-bundle`, or `--personal`")
            }
            DeskError::Pack(PackError::NoComponent { .. }) => {
                Self::conflict(text).help("push the same bytes again: `azenha plugin push NAME FILE`")
            }
            DeskError::Replay(ReplayError::ByStore(_)) => Self::conflict(text)
                .help("the letter's reason is what it said; `azenha replay --store URL` asks a SQL database"),
            DeskError::NoPlugin(_) => Self::unprocessable(text).help("GET /plugins lists those that were uploaded"),
            DeskError::Busy => Self::unavailable(text).help("ask again in a while"),
            DeskError::Decided(_)
            | DeskError::Replay(_)
            | DeskError::Batch(_)
            | DeskError::NotLoaded(_)
            | DeskError::OfRun(_)
            | DeskError::Pack(_) => Self::conflict(text),
            DeskError::Log(error) => error.into(),
        }
    }
}

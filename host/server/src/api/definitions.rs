//! Definitions of pipelines: put into the log, so that every host of the group runs the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody};
use super::guard::Caller;
use super::paths::OfPipeline;
use super::versions::{self, SwapOptions};
use crate::control::{ATTEMPTS, Change, ChangeError, Condition, Definition, Version};
use crate::host::{Host, Origin};
use crate::program::Loaded;

/// The largest definition, in bytes: its record fits below a broker's limit of a message.
pub const DEFINITION_LIMIT: usize = 256 << 10;

/// What is in force after a change.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct InForce {
    /// The pipeline's name.
    pub name: String,
    /// Counts its changes; the ETag.
    pub version: Version,
    /// Whether nothing runs.
    pub paused: bool,
    /// Whether it was deleted.
    pub deleted: bool,
    /// What else is worth knowing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Defines a pipeline, or defines it anew. The definition is checked as `azenha validate` checks a file, put into the
/// log, and read back: when this answers, every host runs it or will. One that is wrong changes nothing. Plugins are
/// those that were uploaded; each name is taken for what it means now. Variables (`${NAME}`) have their defaults. What
/// runs goes over without a pause: lanes of steps that change switch between two batches, others go on untouched. With
/// `dry_run` nothing changes, and the answer says what would.
#[utoipa::path(
    put, path = "/pipelines/{name}", tag = "pipelines",
    params(
        OfPipeline,
        SwapOptions,
        ("If-Match" = Option<String>, Header, description = "The version that is to be replaced, as an ETag; or *"),
        ("If-None-Match" = Option<String>, Header, description = "*: only if there is no such pipeline"),
    ),
    request_body(
        description = "A pipeline file",
        content((String = "application/yaml"), (serde_json::Value = "application/json"))
    ),
    responses(
        (status = 200, description = "It was defined before", body = InForce),
        (status = 201, description = "It is new", body = InForce),
        (status = 409, description = "A file that this host was started with defines it, or its state does not fit", body = ErrorBody),
        (status = 412, description = "Another version is in force, or another change came first", body = ErrorBody),
        (status = 413, description = "It has more than 256 KiB", body = ErrorBody),
        (status = 415, description = "The content type is neither of the two", body = ErrorBody),
        (status = 422, description = "It is wrong: every error with line and column", body = ErrorBody),
        (status = 503, description = "The log failed", body = ErrorBody),
    )
)]
pub async fn put(
    State(host): State<Arc<Host>>,
    Extension(Caller(by)): Extension<Caller>,
    path: Result<Path<OfPipeline>, PathRejection>,
    options: Result<Query<SwapOptions>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let Path(OfPipeline { name }) = path?;
    check_is_of_log(&host, &name)?;
    let Query(options) = options?;
    let condition = condition(&headers)?;
    let text = text(&headers, &body?)?;
    let (plugins, loaded) = host.runner().check(&name, &text).await?;
    define(&host, Wanted { pipeline: name, condition, by, text, plugins }, &loaded, &options).await
}

/// A definition that somebody wants to be in force.
pub struct Wanted {
    /// The pipeline.
    pub pipeline: String,
    /// Which version must be in force.
    pub condition: Condition,
    /// The name of the token that was used.
    pub by: Option<String>,
    /// The pipeline file.
    pub text: String,
    /// The digests of its plugins, by name.
    pub plugins: BTreeMap<String, String>,
}

/// Puts a definition into force that was loaded, unless what runs could not go on with it; or says what that would change.
pub async fn define(host: &Host, wanted: Wanted, loaded: &Loaded, options: &SwapOptions) -> Result<Response, ApiError> {
    options.check(loaded)?;
    let Wanted { pipeline, condition, by, text, plugins } = wanted;
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let in_force = match host.control().definitions.in_force(&pipeline).await {
            Ok(in_force) => Some(in_force),
            Err(ChangeError::Missing(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let plan = match &in_force {
            Some(in_force) => host.plan_swap(in_force, loaded, &options.resets()).await,
            None => None,
        };
        if options.is_dry_run() {
            return Ok(versions::dry_run(plan));
        }
        versions::check_plan(plan.as_ref())?;
        let edit = |definition: &mut Definition| {
            // One that was deleted while it was paused runs when it is defined again.
            definition.paused &= definition.text.is_some();
            definition.text = Some(text.clone());
            definition.plugins.clone_from(&plugins);
            options.note(definition, in_force.is_none(), plan.as_ref());
        };
        let planned = condition.planned_for(in_force.as_deref());
        let change = Change { pipeline: pipeline.clone(), condition: planned, by: by.clone() };
        match host.change(&change, edit).await {
            // Whoever asks does not mind what is in force, but it may have another state.
            Err(ChangeError::NotMet { .. } | ChangeError::Overtaken(_)) if planned != condition && left > 0 => {}
            outcome => {
                let status = if in_force.is_none() { StatusCode::CREATED } else { StatusCode::OK };
                return Ok((status, answer(&*outcome?, None)).into_response());
            }
        }
    }
}

/// Deletes a pipeline: no host runs it any more. What it wrote stays, and so do its state and positions: a pipeline of
/// that name that is defined later goes on from there.
#[utoipa::path(
    delete, path = "/pipelines/{name}", tag = "pipelines",
    params(
        OfPipeline,
        ("If-Match" = Option<String>, Header, description = "The version that is to be deleted, as an ETag"),
    ),
    responses(
        (status = 200, body = InForce),
        (status = 404, body = ErrorBody),
        (status = 409, description = "A file that this host was started with defines it", body = ErrorBody),
        (status = 412, description = "Another version is in force, or another change came first", body = ErrorBody),
    )
)]
pub async fn delete(
    State(host): State<Arc<Host>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<OfPipeline>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let note = "its topics, tables, state and positions stay: a pipeline of that name goes on from there";
    change(&host, caller, path, &headers, Some(note), |definition| definition.text = None).await
}

/// Pauses a pipeline on every host: what was processed is committed, and nothing is read any more.
#[utoipa::path(
    post, path = "/pipelines/{name}/pause", tag = "pipelines",
    params(OfPipeline),
    responses((status = 200, body = InForce), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub async fn pause(
    State(host): State<Arc<Host>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<OfPipeline>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    change(&host, caller, path, &headers, None, |definition| definition.paused = true).await
}

/// Lets a paused pipeline go on where it stopped, on every host.
#[utoipa::path(
    post, path = "/pipelines/{name}/resume", tag = "pipelines",
    params(OfPipeline),
    responses((status = 200, body = InForce), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub async fn resume(
    State(host): State<Arc<Host>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<OfPipeline>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    change(&host, caller, path, &headers, None, |definition| definition.paused = false).await
}

/// Starts a pipeline again on every host, those of its lanes that failed included.
#[utoipa::path(
    post, path = "/pipelines/{name}/restart", tag = "pipelines",
    params(OfPipeline),
    responses((status = 200, body = InForce), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub async fn restart(
    State(host): State<Arc<Host>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<OfPipeline>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    change(&host, caller, path, &headers, None, |definition| definition.restarts += 1).await
}

async fn change(
    host: &Host,
    Caller(by): Caller,
    path: Result<Path<OfPipeline>, PathRejection>,
    headers: &HeaderMap,
    note: Option<&str>,
    edit: impl Fn(&mut Definition),
) -> Result<Response, ApiError> {
    let Path(OfPipeline { name: pipeline }) = path?;
    check_is_of_log(host, &pipeline)?;
    let condition = condition(headers)?;
    host.control().definitions.in_force(&pipeline).await?;
    let definition = host.change(&Change { pipeline, condition, by }, edit).await?;
    Ok(answer(&definition, note).into_response())
}

/// What this host was started with is not changed by the log.
pub fn check_is_of_log(host: &Host, name: &str) -> Result<(), ApiError> {
    match host.deployment(name).as_deref().map(|deployment| &deployment.origin) {
        Some(Origin::File(file)) => {
            let file = file.display();
            Err(ApiError::conflict(format!("pipeline `{name}` is defined by {file}, with which this host was started"))
                .help("start the host without that file; then PUT the definition"))
        }
        _ => Ok(()),
    }
}

/// The answer about a definition that is in force.
pub fn answer(definition: &Definition, note: Option<&str>) -> impl IntoResponse + use<> {
    let body = InForce {
        name: definition.pipeline.clone(),
        version: definition.version(),
        paused: definition.paused,
        deleted: definition.text.is_none(),
        note: note.map(str::to_owned),
    };
    ([(ETAG, etag(body.version))], Json(body))
}

/// The version as HTTP writes it.
pub fn etag(version: Version) -> String {
    format!("\"{version}\"")
}

/// What the request wants to be in force.
pub fn condition(headers: &HeaderMap) -> Result<Condition, ApiError> {
    let value = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    let wrong =
        |header: &str, wanted: &str| ApiError::bad_request(format!("`{header}` is not understood")).help(wanted);
    match (value(IF_MATCH), value(IF_NONE_MATCH)) {
        (None, None) => Ok(Condition::Any),
        (Some("*"), None) => Ok(Condition::Present),
        (None, Some("*")) => Ok(Condition::Absent),
        (Some(version), None) => {
            let number = version.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(version);
            number.parse().map(Condition::Version).map_err(|_| wrong("If-Match", "send the ETag of an answer: \"3\""))
        }
        (None, Some(_)) => Err(wrong("If-None-Match", "send *, for a pipeline that must not exist")),
        (Some(_), Some(_)) => Err(wrong("If-None-Match", "send it or If-Match, not both")),
    }
}

/// The definition that a request carries.
pub fn text(headers: &HeaderMap, body: &[u8]) -> Result<String, ApiError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = match media_type.as_str() {
        "application/json" => true,
        "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => false,
        _ => {
            return Err(ApiError::unsupported_media_type(format!("`{media_type}` is not understood"))
                .help("set Content-Type to application/yaml or application/json"));
        }
    };
    if is_json && let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        return Err(ApiError::bad_request(format!("the body is not JSON: {error}")));
    }
    let text =
        str::from_utf8(body).map_err(|error| ApiError::bad_request(format!("the body is not UTF-8: {error}")))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(pairs: &[(HeaderName, &str)]) -> Option<Condition> {
        let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        condition(&headers).ok()
    }

    #[test]
    fn conditions_are_those_of_http() {
        assert_eq!(parsed(&[]), Some(Condition::Any));
        assert_eq!(parsed(&[(IF_MATCH, "\"3\"")]), Some(Condition::Version(3)));
        assert_eq!(parsed(&[(IF_MATCH, "*")]), Some(Condition::Present));
        assert_eq!(parsed(&[(IF_NONE_MATCH, "*")]), Some(Condition::Absent));
        for wrong in ["\"x\"", "W/\"3\"", "", "-1"] {
            assert_eq!(parsed(&[(IF_MATCH, wrong)]), None, "{wrong}");
        }
        assert_eq!(parsed(&[(IF_NONE_MATCH, "\"3\"")]), None);
        assert_eq!(parsed(&[(IF_MATCH, "*"), (IF_NONE_MATCH, "*")]), None);
    }

    #[test]
    fn a_body_is_yaml_or_json_and_says_which() {
        let of = |media_type: &str, body: &[u8]| {
            text(&HeaderMap::from_iter([(CONTENT_TYPE, media_type.parse().unwrap())]), body).map_err(|e| e.status())
        };
        assert_eq!(of("application/yaml; charset=utf-8", b"a: 1"), Ok("a: 1".to_owned()));
        assert_eq!(of("application/json", b"{\"a\": 1}"), Ok("{\"a\": 1}".to_owned()));
        assert_eq!(of("application/json", b"a: 1"), Err(StatusCode::BAD_REQUEST));
        assert_eq!(of("application/yaml", b"\xff"), Err(StatusCode::BAD_REQUEST));
        assert_eq!(of("text/csv", b"a"), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
}

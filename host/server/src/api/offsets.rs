//! How far the lanes of a pipeline have come, and setting that.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::definitions::{answer, check_is_of_log, condition};
use super::error::{ApiError, ErrorBody};
use super::guard::Caller;
use super::paths::OfPipeline;
use super::pipelines::find;
use crate::control::{Change, Condition};
use crate::host::{self, Host, LaneOffset, NewOffset, State as Deployed};

/// How far each lane of a pipeline has come, also while it is paused.
#[utoipa::path(
    get, path = "/pipelines/{name}/offsets", tag = "pipelines",
    params(OfPipeline),
    responses(
        (status = 200, body = Vec<LaneOffset>),
        (status = 404, body = ErrorBody),
        (status = 409, description = "It does not start, so its lanes are not known", body = ErrorBody),
    )
)]
pub async fn show(
    State(host): State<Arc<Host>>,
    path: Result<Path<OfPipeline>, PathRejection>,
) -> Result<Json<Vec<LaneOffset>>, ApiError> {
    let Path(OfPipeline { name }) = path?;
    let deployment = find(&host, &name)?;
    Ok(Json(host::lanes(host.runner(), &name, &deployment.state()).await?))
}

/// Sets positions of a paused pipeline: of tasks without state, sinks among them. Records that are read once more are
/// written once more: a table with a key holds each row once all the same, one without gets it twice.
#[utoipa::path(
    patch, path = "/pipelines/{name}/offsets", tag = "pipelines",
    params(
        OfPipeline,
        ("If-Match" = Option<String>, Header, description = "The version that must be in force, as an ETag"),
    ),
    request_body = Vec<NewOffset>,
    responses(
        (status = 200, body = super::definitions::InForce),
        (status = 404, body = ErrorBody),
        (status = 409, description = "It runs, or the task keeps state", body = ErrorBody),
        (status = 412, description = "Another version is in force, or another change came first", body = ErrorBody),
        (status = 422, description = "There is no such task, partition or offset", body = ErrorBody),
    )
)]
pub async fn patch(
    State(host): State<Arc<Host>>,
    Extension(Caller(by)): Extension<Caller>,
    path: Result<Path<OfPipeline>, PathRejection>,
    headers: HeaderMap,
    body: Result<Json<Vec<NewOffset>>, JsonRejection>,
) -> Result<Response, ApiError> {
    let (Path(OfPipeline { name: pipeline }), Json(wanted)) = (path?, body?);
    check_is_of_log(&host, &pipeline)?;
    let change = Change { pipeline, condition: condition(&headers)?, by };
    let pipeline = &change.pipeline;
    let in_force = host.control().definitions.in_force(pipeline).await?;
    change.check(Some(&in_force))?;
    let Deployed::Paused(loaded) = find(&host, pipeline)?.state() else {
        return Err(ApiError::conflict(format!("pipeline `{pipeline}` is not paused"))
            .help(format!("POST /pipelines/{pipeline}/pause first, and resume it when the offsets are set")));
    };
    let generation = in_force.generation + 1;
    host::set(host.runner(), &loaded.plan, generation, &wanted).await?;
    let change = Change { condition: Condition::Version(in_force.version()), ..change };
    let definition = host.change(&change, |definition| definition.generation = generation).await?;
    Ok(answer(&definition, None).into_response())
}

//! Runs of batches: their reports, and how one is begun.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody};
use super::paths::OfPipeline;
use super::pipelines::find;
use crate::batch::{Dates, Report, Scheduled};
use crate::host::Host;

/// The runs of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub struct Runs {
    /// Whether this host runs it now.
    running: bool,
    /// When it runs next: microseconds since 1970; none if it has no schedule.
    next: Option<i64>,
    /// Why the last run that this host knows of put nothing in place, if it did not: also where no report could be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// The reports of the last runs, the latest first.
    runs: Vec<Report>,
}

/// What a run is to read.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// The days whose folders are read anew, `2024-01-31..2024-02-01`; everything if it is left out.
    dates: Option<String>,
}

/// That a run has begun.
#[derive(Debug, Serialize, ToSchema)]
pub struct Begun {
    /// Where its report will be.
    report: String,
}

/// The reports of a batch's runs.
#[utoipa::path(
    get, path = "/pipelines/{name}/runs", tag = "batches",
    params(OfPipeline),
    responses(
        (status = 200, body = Runs),
        (status = 404, body = ErrorBody, description = "There is no such batch"),
        (status = 503, body = ErrorBody, description = "Its database does not answer"),
    )
)]
pub async fn list(
    State(host): State<Arc<Host>>,
    path: Result<Path<OfPipeline>, PathRejection>,
) -> Result<Json<Runs>, ApiError> {
    let Path(OfPipeline { name }) = path?;
    let batch = batch(&host, &name)?;
    let runs = batch.reports().await.map_err(|error| ApiError::unavailable(format!("{error:#}")))?;
    Ok(Json(Runs { running: batch.is_running(), next: batch.next(), problem: batch.ended().problem, runs }))
}

/// Begins a run, whatever the schedule. The answer does not wait for its end; a host that ends before that goes on with it when
/// it starts again.
#[utoipa::path(
    post, path = "/pipelines/{name}/runs", tag = "batches",
    params(OfPipeline),
    request_body = NewRun,
    responses(
        (status = 202, body = Begun),
        (status = 400, body = ErrorBody, description = "Days that are none, or cannot be read alone"),
        (status = 404, body = ErrorBody, description = "There is no such batch"),
        (status = 409, body = ErrorBody, description = "It runs already"),
        (status = 503, body = ErrorBody, description = "It does not begin: its database or the data directory does not answer"),
    )
)]
pub async fn begin(
    State(host): State<Arc<Host>>,
    path: Result<Path<OfPipeline>, PathRejection>,
    wanted: Result<Json<NewRun>, JsonRejection>,
) -> Result<(StatusCode, Json<Begun>), ApiError> {
    let (Path(OfPipeline { name }), Json(NewRun { dates })) = (path?, wanted?);
    let dates = dates.map(|dates| dates.parse::<Dates>()).transpose();
    let dates = dates.map_err(|error| ApiError::bad_request(format!("`dates`: {error}")).help("write FIRST..LAST"))?;
    let batch = batch(&host, &name)?;
    if dates.is_some() {
        batch.check_days().map_err(|error| ApiError::bad_request(format!("`dates`: {error:#}")))?;
    }
    if batch.is_running() {
        return Err(ApiError::conflict(format!("pipeline `{name}` runs already")).help("wait for its report"));
    }
    batch.begin(dates).await.map_err(|error| ApiError::unavailable(format!("the run did not begin: {error:#}")))?;
    Ok((StatusCode::ACCEPTED, Json(Begun { report: format!("/pipelines/{name}/runs") })))
}

fn batch(host: &Host, name: &str) -> Result<Arc<Scheduled>, ApiError> {
    let running = find(host, name)?.running();
    running.and_then(|running| running.batch().cloned()).ok_or_else(|| {
        ApiError::not_found(format!("pipeline `{name}` is no batch that runs here"))
            .help("a batch has the key `batch`; a paused one is resumed first")
    })
}

//! Live rows of a step, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError::Lagged;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody};
use super::paths::OfStep;
use super::pipelines::running;
use crate::host::Host;

/// Listeners at once: each row is written once for each of them.
const LISTENERS: usize = 32;

/// A listener has its place until it goes.
static PLACES: Semaphore = Semaphore::const_new(LISTENERS);

/// How long somebody listens.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TapOptions {
    /// The stream ends after so many seconds; without this when either side goes.
    seconds: Option<u32>,
}

/// The rows that a step gives from now on, one JSON object an event; personal data is masked. Whoever reads too
/// slowly misses rows and gets an event `skipped` with their number: a tap never slows the pipeline.
#[utoipa::path(
    get, path = "/pipelines/{name}/steps/{step}/tap", tag = "pipelines",
    params(OfStep, TapOptions),
    responses(
        (status = 200, description = "A stream of rows", content_type = "text/event-stream", body = String),
        (status = 400, description = "An option is not understood", body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "The pipeline does not run", body = ErrorBody),
        (status = 503, description = "As many listen as may", body = ErrorBody),
    )
)]
pub async fn tap(
    State(host): State<Arc<Host>>,
    path: Result<Path<OfStep>, PathRejection>,
    options: Result<Query<TapOptions>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let (Path(OfStep { name, step }), Query(options)) = (path?, options?);
    let running = running(&host, &name)?;
    let rows = running.live().and_then(|pipeline| pipeline.tap(&step)).ok_or_else(|| {
        ApiError::not_found(format!("pipeline `{name}` has no step `{step}`"))
            .help(format!("GET /pipelines/{name} shows what runs in it"))
    })?;
    let full =
        |_| ApiError::unavailable(format!("{LISTENERS} listen to live rows")).help("wait until one of them goes");
    let place = PLACES.try_acquire().map_err(full)?;
    let events = BroadcastStream::new(rows).map(move |row| {
        let _held = &place;
        Ok(match row {
            Ok(row) => Event::default().data(&*row),
            Err(Lagged(rows)) => Event::default().event("skipped").data(rows.to_string()),
        })
    });
    let time = options.seconds.map_or(Duration::MAX, |seconds| Duration::from_secs(seconds.into()));
    let events = events.take_until(Box::pin(sleep(time)));
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

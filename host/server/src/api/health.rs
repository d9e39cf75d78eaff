//! Whether the host is alive, and whether it has begun to work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use azenha_engine::status::LaneState;
use serde::Serialize;
use utoipa::ToSchema;

use crate::host::{Host, State as Deployed};

/// The answer to a health check.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`, or `restoring` while state is read back.
    status: &'static str,
}

/// Answers as long as the host runs.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, body = Health)))]
pub async fn live() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether everything has begun to work that can: pipelines are started, and lanes have their state back. What failed
/// does not count: the others go on without it.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses((status = 200, body = Health), (status = 503, description = "State is being read back", body = Health))
)]
pub async fn ready(State(host): State<Arc<Host>>) -> (StatusCode, Json<Health>) {
    if host.deployments().iter().any(|deployment| is_beginning(&deployment.state())) {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "restoring" }));
    }
    (StatusCode::OK, Json(Health { status: "ok" }))
}

fn is_beginning(state: &Deployed) -> bool {
    match state {
        Deployed::Starting => true,
        Deployed::Running(running) => {
            let mut lanes = running.tasks().iter().flat_map(|task| &task.lanes);
            lanes.any(|lane| matches!(lane.state(), LaneState::Joining | LaneState::Restoring))
        }
        Deployed::Paused(_) | Deployed::Failed(_) | Deployed::Deleted => false,
    }
}

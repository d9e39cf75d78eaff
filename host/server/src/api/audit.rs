//! Who changed what, and who is asking.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::{Extension, Json};
use azenha_model::Offset;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::asker::Asker;
use super::error::{ApiError, ErrorBody};
use crate::control::Written;
use crate::host::Host;

/// Entries of an answer, unless it is asked for others.
const ENTRIES: usize = 100;

/// The most entries of an answer.
const MOST_ENTRIES: usize = 1_000;

/// Which entries are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The offset of the first; without it the last ones come.
    from: Option<Offset>,
    /// How many at most: 100, or what is said here, up to 1,000.
    limit: Option<usize>,
}

/// Changes, in the order in which they were written.
#[derive(Debug, Serialize, ToSchema)]
pub struct Changes {
    /// The changes.
    entries: Vec<Written>,
    /// Where to go on from.
    next: Offset,
}

/// Who asks, as the host sees it.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Caller {
    /// The token's name; none on a host without tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `viewer`, `operator` or `deployer`; none if the host does not know who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
}

/// Who changed what: each change that was asked for with a known token, whether it was done or refused. Records that are
/// written to topics are none.
#[utoipa::path(
    get, path = "/audit", tag = "access", params(Wanted),
    responses(
        (status = 200, body = Changes),
        (status = 400, description = "A parameter is wrong", body = ErrorBody),
        (status = 503, description = "The log failed", body = ErrorBody),
    )
)]
pub async fn changes(
    State(host): State<Arc<Host>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Changes>, ApiError> {
    let Query(Wanted { from, limit }) = wanted.map_err(|rejection| {
        ApiError::bad_request(rejection.body_text()).help("write `?from=OFFSET&limit=NUMBER`, or leave them out")
    })?;
    let limit = limit.unwrap_or(ENTRIES);
    if !(1..=MOST_ENTRIES).contains(&limit) {
        return Err(ApiError::bad_request(format!("`limit` cannot be {limit}"))
            .help(format!("write a number from 1 to {MOST_ENTRIES}")));
    }
    let (entries, next) = host.control().audit.read(from, limit).await?;
    Ok(Json(Changes { entries, next }))
}

/// The name and the role of the token that is sent; neither if the host does not know it.
#[utoipa::path(get, path = "/whoami", tag = "access", responses((status = 200, body = Caller)))]
pub async fn whoami(asker: Option<Extension<Asker>>) -> Json<Caller> {
    let known = |Extension(asker): Extension<Asker>| Caller {
        name: asker.name().map(str::to_owned),
        role: Some(asker.role().to_string()),
    };
    Json(asker.map(known).unwrap_or_default())
}

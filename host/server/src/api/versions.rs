//! The versions of a pipeline: which there were, what another one would change, and the way back.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use azenha_engine::edition::Guard;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::definitions::{InForce, answer, check_is_of_log, condition};
use super::error::{ApiError, ErrorBody};
use super::guard::Caller;
use super::paths::OfPipeline;
use super::pipelines::find;
use crate::control::{Change, Definition, Version};
use crate::host::{Host, Running, SwapPlan};
use crate::program::Loaded;

/// The share of rows that new code may refuse or fail on, unless something else is said.
const SHARE: f64 = 0.5;

/// The records of each lane after which new code is trusted, unless something else is said.
const RECORDS: u64 = 1_000;

/// How a pipeline goes over to another version.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SwapOptions {
    /// Only says what would change.
    #[serde(default)]
    dry_run: bool,
    /// Steps, separated by commas, whose state is given up.
    #[serde(default)]
    reset: String,
    /// Steps, separated by commas, of which every group gives its result anew.
    #[serde(default)]
    recompute: String,
    /// Records of each lane after which new code is trusted; 0: at once. Before, the host goes back by itself if plugins
    /// refuse or fail on too many rows.
    probation: Option<u64>,
    /// Which share of them is too many: 0 to 1.
    share: Option<f64>,
}

/// A version of a pipeline that can be gone back to, or is in force.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionDetail {
    /// Its number.
    pub version: Version,
    /// When it was made: microseconds since 1970-01-01T00:00:00Z.
    pub at: i64,
    /// The name of the token that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why it was made, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether nothing ran.
    pub paused: bool,
    /// Whether the pipeline was deleted.
    pub deleted: bool,
    /// The digests of its plugins, by name.
    pub plugins: BTreeMap<String, String>,
    /// From where on lanes ran it; only those that ran other code before, or were opened anew.
    pub lanes: Vec<LaneBegin>,
}

/// A lane began to run a version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LaneBegin {
    /// The task.
    pub task: String,
    /// The partition of its input.
    pub partition: u32,
    /// The first offset that it read with that version.
    pub from: u64,
}

/// What would change.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DryRun {
    /// Whether it would be done.
    pub accepted: bool,
    /// Why not.
    pub problems: Vec<String>,
    /// What becomes of each task; none for a pipeline that is new, or whose version in force cannot be loaded.
    pub plan: Option<SwapPlan>,
}

/// The version to go back to.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RollbackOptions {
    /// None: the last one that ran other code.
    to: Option<Version>,
    /// Only says what would change.
    #[serde(default)]
    dry_run: bool,
}

fn steps(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|step| !step.is_empty()).map(str::to_owned).collect()
}

impl SwapOptions {
    /// Whether nothing is to be done.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// The steps whose state is given up.
    pub fn resets(&self) -> Vec<String> {
        steps(&self.reset)
    }

    /// What a new definition says beside its text. Code is on probation that takes the place of other code, which is not
    /// known where that cannot be loaded.
    pub fn note(&self, definition: &mut Definition, is_new: bool, plan: Option<&SwapPlan>) {
        let version = definition.version();
        definition.resets.extend(self.resets().into_iter().map(|step| (step, version)));
        definition.recomputes.extend(steps(&self.recompute).into_iter().map(|step| (step, version)));
        let records = self.probation.unwrap_or(RECORDS);
        let is_new_code = !is_new && plan.is_none_or(SwapPlan::changes_something);
        let guard = Guard { records, share: self.share.unwrap_or(SHARE) };
        definition.guard = (is_new_code && records > 0).then_some(guard);
    }

    /// Refuses what no pipeline could be told.
    pub fn check(&self, loaded: &Loaded) -> Result<(), ApiError> {
        if let Some(share) = self.share.filter(|share| !(0.0..=1.0).contains(share)) {
            return Err(ApiError::bad_request(format!("`share` is {share}")).help("give a number from 0 to 1"));
        }
        let aggregations = loaded.plan.tasks.iter().filter(|task| task.end.aggregation().is_some());
        let known: Vec<&str> = aggregations.map(|task| task.end_step()).collect();
        let named = self.resets().into_iter().chain(steps(&self.recompute));
        match named.into_iter().find(|step| !known.contains(&step.as_str())) {
            Some(step) => Err(ApiError::bad_request(format!("step `{step}` keeps no accumulators"))
                .help("steps that aggregate can be reset or recomputed; others make all rows anew by themselves")),
            None => Ok(()),
        }
    }
}

/// Refuses a change that what runs could not go on with.
pub fn check_plan(plan: Option<&SwapPlan>) -> Result<(), ApiError> {
    let problems = plan.map(SwapPlan::problems).unwrap_or_default();
    if problems.is_empty() {
        return Ok(());
    }
    Err(ApiError::conflict(format!("the state does not fit: {}", problems.join("; "))).help(
        "let the plugin read the version that there is, give the state up with `?reset=STEP` where only its version \
         differs, or give the step another name, with which it starts over",
    ))
}

/// The answer of a dry run.
pub fn dry_run(plan: Option<SwapPlan>) -> Response {
    let problems = plan.as_ref().map(SwapPlan::problems).unwrap_or_default();
    Json(DryRun { accepted: problems.is_empty(), problems, plan }).into_response()
}

/// The last versions of a pipeline, the one in force last: when and by whom each was made, and from which offset on each
/// lane ran it.
#[utoipa::path(
    get, path = "/pipelines/{name}/versions", tag = "pipelines",
    params(OfPipeline),
    responses((status = 200, body = Vec<VersionDetail>), (status = 404, body = ErrorBody))
)]
pub async fn list(
    State(host): State<Arc<Host>>,
    path: Result<Path<OfPipeline>, PathRejection>,
) -> Result<Json<Vec<VersionDetail>>, ApiError> {
    let Path(OfPipeline { name }) = path?;
    let deployment = find(&host, &name)?;
    let versions = host.control().definitions.look(|definitions| definitions.versions(&name));
    let begun = match deployment.running().as_deref().and_then(Running::live) {
        Some(pipeline) => pipeline.versions().await.map_err(|error| ApiError::unavailable(error.to_string()))?,
        None => Vec::new(),
    };
    let lanes_of = |version| {
        let lanes = begun.iter().filter(move |begun| begun.version == version);
        lanes.map(|lane| LaneBegin { task: lane.task.clone(), partition: lane.partition, from: lane.from }).collect()
    };
    let detail = |definition: &Arc<Definition>| VersionDetail {
        version: definition.version(),
        at: definition.at,
        by: definition.by.clone(),
        note: definition.note.clone(),
        paused: definition.paused,
        deleted: definition.text.is_none(),
        plugins: definition.plugins.clone(),
        lanes: lanes_of(definition.version()),
    };
    Ok(Json(versions.iter().map(detail).collect()))
}

/// Goes back to an earlier version, in the way in which a pipeline goes over to any other: lanes switch between two
/// batches, and go on with the state that there is. If the earlier code cannot read that, its step goes on from the state
/// that it had before, and reads again what it has read since. Refused where that is not kept, or rows would come twice.
#[utoipa::path(
    post, path = "/pipelines/{name}/rollback", tag = "pipelines",
    params(OfPipeline, RollbackOptions),
    responses(
        (status = 200, description = "It is in force as a new version; or what a dry run says", body = InForce),
        (status = 404, description = "There is no such pipeline, or no such version of it", body = ErrorBody),
        (status = 409, description = "The earlier code cannot go on with the state", body = ErrorBody),
        (status = 412, description = "Another version is in force, or another change came first", body = ErrorBody),
        (status = 422, description = "The earlier version does not run any more", body = ErrorBody),
    )
)]
pub async fn rollback(
    State(host): State<Arc<Host>>,
    Extension(Caller(by)): Extension<Caller>,
    path: Result<Path<OfPipeline>, PathRejection>,
    options: Result<Query<RollbackOptions>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (Path(OfPipeline { name }), Query(options)) = (path?, options?);
    check_is_of_log(&host, &name)?;
    let condition = condition(&headers)?;
    let in_force = host.control().definitions.in_force(&name).await?;
    let target = target(&host, &in_force, options.to)?;
    let text = target.text.clone().unwrap_or_default();
    let loaded = host.runner().load(&name, &text, &target.plugins).await?;
    let mut plan = host.plan_swap(&in_force, &loaded, &[]).await;
    let undone = match &mut plan {
        Some(plan) => {
            let found = plan.restore(&host.runner().log, (&loaded, target.version()), false).await;
            found.map_err(|error| ApiError::unavailable(error.to_string()))?
        }
        None => BTreeMap::new(),
    };
    if options.dry_run {
        return Ok(dry_run(plan));
    }
    check_plan(plan.as_ref())?;
    let edit = |definition: &mut Definition| {
        definition.go_back_to(&target, &undone, format!("back to version {}", target.version()));
    };
    let change = Change { pipeline: name, condition: condition.planned_for(Some(&in_force)), by };
    let definition = host.change(&change, edit).await?;
    Ok(answer(&definition, None).into_response())
}

fn target(host: &Host, in_force: &Definition, wanted: Option<Version>) -> Result<Arc<Definition>, ApiError> {
    let name = &in_force.pipeline;
    let found = host.control().definitions.look(|definitions| match wanted {
        None => definitions.other_code_before(in_force),
        Some(wanted) => {
            let mut versions = definitions.versions(name).into_iter();
            versions.find(|version| version.version() == wanted && version.text.is_some())
        }
    });
    found.ok_or_else(|| {
        let wanted = wanted.map_or("none with other code".to_owned(), |wanted| format!("no version {wanted}"));
        ApiError::not_found(format!("pipeline `{name}` has {wanted} to go back to"))
            .help(format!("GET /pipelines/{name}/versions lists what is kept"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_separated_by_commas() {
        assert_eq!(steps("count, total,"), ["count", "total"]);
        assert!(steps("").is_empty());
    }
}

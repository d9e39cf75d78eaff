//! What runs: pipelines, their tasks, and how each partition of each task does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::ETAG;
use axum::response::{IntoResponse, Response};
use azenha_engine::status::{LaneState, LaneStatus, Switched, TaskStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::definitions::etag;
use super::ends::Ends;
use super::error::{ApiError, ErrorBody};
use super::paths::OfPipeline;
use super::progress::{Progress, watermark_delay};
use crate::control::{Definition, Version};
use crate::host::{Deployment, Host, Origin, Running, State as Deployed};

/// A pipeline, and whether it does what it should.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PipelineSummary {
    /// Its name.
    pub name: String,
    /// `starting`, `paused`, `failed`, of a batch `waiting` or `running`, or the worst state of its lanes on this host: `running`, `elsewhere`,
    /// `stopped`, `joining`, `restoring`, `retrying` or `failed`.
    pub state: String,
    /// Why it does not start, why the version before goes on, what a lane failed on, or why the last run of a batch put nothing
    /// in place, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The file that defines it, if one does that this host was started with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The version of its definition in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// When that was made: microseconds since 1970-01-01T00:00:00Z.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Why it was made, if it went back to an earlier one: somebody wanted that, or the host by itself, for a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A pipeline in the list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ListedPipeline {
    /// Name, origin and state.
    #[serde(flatten)]
    pub summary: PipelineSummary,
    /// How far its lanes on this host have come.
    #[serde(flatten)]
    pub progress: Progress,
}

/// A pipeline with everything that runs in it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PipelineDetail {
    /// Name, origin and state.
    #[serde(flatten)]
    summary: PipelineSummary,
    /// What the log says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    definition: Option<DefinitionDetail>,
    /// The topic of what it refused, if it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter_topic: Option<String>,
    /// What runs, in the order of the data.
    tasks: Vec<TaskDetail>,
}

/// A definition, as the log holds it.
#[derive(Debug, Serialize, ToSchema)]
pub struct DefinitionDetail {
    /// The pipeline file, as it was sent.
    text: String,
    /// Whether nothing runs.
    paused: bool,
    /// How often it was started again.
    restarts: u64,
    /// How often positions were set.
    generation: u32,
    /// The digests of its plugins, by name.
    plugins: BTreeMap<String, String>,
    /// The name of the token with which it was changed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// When: microseconds since 1970-01-01T00:00:00Z.
    at: i64,
}

/// A reader of one topic.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskDetail {
    /// The step or sink that it runs; with `.fold` the first half of an aggregation.
    task: String,
    /// The topic that it reads.
    input: String,
    /// One for each partition of the topic.
    lanes: Vec<LaneDetail>,
}

/// A task's reader of one partition.
#[derive(Debug, Serialize, ToSchema)]
pub struct LaneDetail {
    /// The partition.
    partition: u32,
    /// `restoring`, `running`, `retrying`, `failed` or `stopped`.
    state: &'static str,
    /// What failed, if something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The next offset to read, as committed; none while state is read back, or if another host reads the partition.
    position: Option<u64>,
    /// The first offset that the partition holds; none while the log does not answer.
    start: Option<u64>,
    /// The offset of the partition's next record; none while the log does not answer.
    end: Option<u64>,
    /// Records that are not committed yet; none if position or end are not known here.
    lag: Option<u64>,
    /// Seconds between the watermark and now; none without event time.
    #[serde(skip_serializing_if = "Option::is_none")]
    watermark_delay: Option<f64>,
    /// Records read since the host started.
    records: u64,
    /// Dead letters written since the host started.
    dead_letters: u64,
    /// The version of the pipeline that it runs; none if that is a file's.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// The last time that it went over to another version on this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    switched: Option<SwitchDetail>,
}

/// How a lane went over to another version.
#[derive(Debug, Serialize, ToSchema)]
pub struct SwitchDetail {
    /// The version.
    version: u64,
    /// The first offset that is read with it.
    from: u64,
    /// How long the lane processed nothing, in milliseconds.
    pause_ms: f64,
}

/// Every pipeline of this host: its state, how far it is behind, and why its version was made if it went back to one.
#[utoipa::path(get, path = "/pipelines", tag = "pipelines", responses((status = 200, body = Vec<ListedPipeline>)))]
pub async fn list(State(host): State<Arc<Host>>) -> Json<Vec<ListedPipeline>> {
    let deployments: Vec<_> = host.deployments().into_iter().map(|it| (it.running(), it)).collect();
    let ends =
        Ends::of(host.log().as_ref(), deployments.iter().flat_map(|(running, _)| tasks(running.as_deref()))).await;
    let listed = deployments.iter().map(|(running, deployment)| ListedPipeline {
        summary: PipelineSummary::of(deployment),
        progress: Progress::of(tasks(running.as_deref()), &ends),
    });
    Json(listed.collect())
}

/// One pipeline with its definition and its tasks: state, offsets, lag and the last error of each partition. The
/// version of the definition is the ETag.
#[utoipa::path(
    get, path = "/pipelines/{name}", tag = "pipelines",
    params(OfPipeline),
    responses((status = 200, body = PipelineDetail), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(host): State<Arc<Host>>,
    path: Result<Path<OfPipeline>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(OfPipeline { name }) = path?;
    let deployment = find(&host, &name)?;
    let running = deployment.running();
    let tasks = tasks(running.as_deref());
    let ends = Ends::of(host.log().as_ref(), tasks).await;
    let tasks = tasks.iter().map(|task| TaskDetail::of(task, &ends)).collect();
    let definition = deployment.definition();
    let detail = PipelineDetail {
        summary: PipelineSummary::of(&deployment),
        definition: definition.as_deref().map(DefinitionDetail::of),
        dead_letter_topic: running.as_deref().map(|running| running.dead_letter_topic.clone()),
        tasks,
    };
    Ok(match definition {
        Some(definition) => ([(ETAG, etag(definition.version()))], Json(detail)).into_response(),
        None => Json(detail).into_response(),
    })
}

/// The tasks of what runs.
fn tasks(running: Option<&Running>) -> &[TaskStatus] {
    running.map(Running::tasks).unwrap_or_default()
}

/// What runs of the pipeline of that name.
pub fn running(host: &Host, name: &str) -> Result<Arc<Running>, ApiError> {
    find(host, name)?.running().ok_or_else(|| {
        ApiError::conflict(format!("pipeline `{name}` does not run")).help(format!("GET /pipelines/{name} says why"))
    })
}

/// The pipeline of that name.
pub fn find(host: &Host, name: &str) -> Result<Arc<Deployment>, ApiError> {
    host.deployment(name).ok_or_else(|| {
        let deployments = host.deployments();
        let names: Vec<&str> = deployments.iter().map(|deployment| deployment.name.as_str()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        ApiError::not_found(format!("there is no pipeline `{name}`")).help(format!("there is {known}"))
    })
}

impl PipelineSummary {
    fn of(deployment: &Deployment) -> Self {
        let (state, error) = match deployment.state() {
            Deployed::Starting => ("starting", None),
            Deployed::Running(running) => {
                let (state, error) = worst(&running);
                (state, deployment.held_back().or(error))
            }
            Deployed::Paused(_) => ("paused", None),
            Deployed::Failed(reason) => ("failed", Some(reason)),
            Deployed::Deleted => ("deleted", None),
        };
        let file = match &deployment.origin {
            Origin::File(file) => Some(file.display().to_string()),
            Origin::Log(_) => None,
        };
        let definition = deployment.definition();
        Self {
            name: deployment.name.clone(),
            state: state.to_owned(),
            error,
            file,
            version: definition.as_ref().map(|definition| definition.version()),
            since: definition.as_ref().map(|definition| definition.at),
            note: definition.and_then(|definition| definition.note.clone()),
        }
    }
}

/// The worst state of the lanes, and what failed there.
fn worst(running: &Running) -> (&'static str, Option<String>) {
    if let Some(batch) = running.batch() {
        return (if batch.is_running() { "running" } else { "waiting" }, batch.ended().problem);
    }
    let lanes = running.tasks().iter().flat_map(|task| &task.lanes);
    let worst = lanes.map(|lane| lane.state()).max_by_key(severity);
    worst.map_or(("running", None), |state| (state_name(&state), failure(state)))
}

impl DefinitionDetail {
    fn of(definition: &Definition) -> Self {
        Self {
            text: definition.text.clone().unwrap_or_default(),
            paused: definition.paused,
            restarts: definition.restarts,
            generation: definition.generation,
            plugins: definition.plugins.clone(),
            by: definition.by.clone(),
            at: definition.at,
        }
    }
}

impl TaskDetail {
    fn of(task: &TaskStatus, ends: &Ends) -> Self {
        let lanes = task.lanes.iter().map(|lane| LaneDetail::of(lane, &task.input, ends)).collect();
        Self { task: task.task.clone(), input: task.input.clone(), lanes }
    }
}

impl LaneDetail {
    fn of(lane: &LaneStatus, topic: &str, ends: &Ends) -> Self {
        let bounds = ends.bounds(topic, lane.partition);
        let (state, position) = (lane.state(), ends.committed(lane));
        Self {
            partition: lane.partition,
            state: state_name(&state),
            position,
            start: bounds.map(|bounds| bounds.start),
            end: bounds.map(|bounds| bounds.end),
            lag: ends.lag(topic, lane),
            watermark_delay: watermark_delay(lane),
            records: lane.counters.records.load(Relaxed),
            dead_letters: lane.counters.dead_letters.load(Relaxed),
            version: Some(lane.version.load(Relaxed)).filter(|version| *version > 0),
            switched: lane.switched().map(|Switched { version, from, pause }| SwitchDetail {
                version,
                from,
                pause_ms: pause.as_secs_f64() * 1_000.0,
            }),
            error: failure(state),
        }
    }
}

/// What the API and the metrics call a state.
pub fn state_name(state: &LaneState) -> &'static str {
    match state {
        LaneState::Joining => "joining",
        LaneState::Elsewhere => "elsewhere",
        LaneState::Restoring => "restoring",
        LaneState::Running => "running",
        LaneState::Retrying { .. } => "retrying",
        LaneState::Failed { .. } => "failed",
        LaneState::Stopped => "stopped",
    }
}

fn failure(state: LaneState) -> Option<String> {
    match state {
        LaneState::Retrying { error, .. } | LaneState::Failed { error } => Some(error),
        _ => None,
    }
}

fn severity(state: &LaneState) -> u8 {
    match state {
        LaneState::Elsewhere => 0,
        LaneState::Running => 1,
        LaneState::Stopped => 2,
        LaneState::Joining | LaneState::Restoring => 3,
        LaneState::Retrying { .. } => 4,
        LaneState::Failed { .. } => 5,
    }
}

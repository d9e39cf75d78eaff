//! What runs: pipelines, their tasks, and how each partition of each task does.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use azenha_engine::log::{Log, LogError};
use azenha_engine::status::{LaneState, LaneStatus, TaskStatus};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody};
use crate::host::{Host, Running};

/// A pipeline in the list.
#[derive(Debug, Serialize, ToSchema)]
pub struct PipelineSummary {
    /// Its name.
    name: String,
    /// The file that defines it.
    file: String,
    /// The worst state of its lanes: `running`, `stopped`, `restoring`, `retrying` or `failed`.
    state: &'static str,
}

/// A pipeline with everything that runs in it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PipelineDetail {
    /// Name, file and state.
    #[serde(flatten)]
    summary: PipelineSummary,
    /// The topic of what it refused.
    dead_letter_topic: String,
    /// What runs, in the order of the data.
    tasks: Vec<TaskDetail>,
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
    /// The next offset to read, as committed; none while state is read back.
    position: Option<u64>,
    /// The first offset that the partition holds.
    start: u64,
    /// The offset of the partition's next record.
    end: u64,
    /// Records between position and end.
    lag: u64,
    /// Records read since the host started.
    records: u64,
    /// Dead letters written since the host started.
    dead_letters: u64,
}

/// Every pipeline of this host.
#[utoipa::path(get, path = "/pipelines", tag = "pipelines", responses((status = 200, body = Vec<PipelineSummary>)))]
pub async fn list(State(host): State<Arc<Host>>) -> Json<Vec<PipelineSummary>> {
    Json(host.running().iter().map(PipelineSummary::of).collect())
}

/// One pipeline with its tasks: state, offsets, lag and the last error of each partition.
#[utoipa::path(
    get, path = "/pipelines/{name}", tag = "pipelines",
    params(("name" = String, Path, description = "The pipeline's name")),
    responses((status = 200, body = PipelineDetail), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(host): State<Arc<Host>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<PipelineDetail>, ApiError> {
    let Path(name) = name?;
    let running = find(&host, &name)?;
    let mut tasks = Vec::new();
    for task in running.pipeline.tasks() {
        tasks.push(TaskDetail::of(task, host.log().as_ref()).await?);
    }
    let dead_letter_topic = running.pipeline.plan().dead_letters.clone();
    Ok(Json(PipelineDetail { summary: PipelineSummary::of(running), dead_letter_topic, tasks }))
}

/// The pipeline of that name.
pub fn find<'a>(host: &'a Host, name: &str) -> Result<&'a Running, ApiError> {
    let found = host.running().iter().find(|running| running.name() == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = host.running().iter().map(Running::name).collect();
        ApiError::not_found(format!("there is no pipeline `{name}`")).help(format!("there is {}", names.join(", ")))
    })
}

impl PipelineSummary {
    fn of(running: &Running) -> Self {
        let lanes = running.pipeline.tasks().iter().flat_map(|task| &task.lanes);
        let worst = lanes.map(|lane| lane.state()).max_by_key(severity);
        Self {
            name: running.name().to_owned(),
            file: running.file.display().to_string(),
            state: worst.as_ref().map_or("running", state_name),
        }
    }
}

impl TaskDetail {
    async fn of(task: &TaskStatus, log: &dyn Log) -> Result<Self, LogError> {
        let mut lanes = Vec::new();
        for lane in &task.lanes {
            lanes.push(LaneDetail::of(lane, &task.input, log).await?);
        }
        Ok(Self { task: task.task.clone(), input: task.input.clone(), lanes })
    }
}

impl LaneDetail {
    async fn of(lane: &LaneStatus, topic: &str, log: &dyn Log) -> Result<Self, LogError> {
        let bounds = log.bounds(topic, lane.partition).await?;
        let (state, position) = (lane.state(), lane.committed());
        Ok(Self {
            partition: lane.partition,
            state: state_name(&state),
            position,
            start: bounds.start,
            end: bounds.end,
            lag: bounds.end.saturating_sub(position.unwrap_or(bounds.start)),
            records: lane.counters.records.load(Relaxed),
            dead_letters: lane.counters.dead_letters.load(Relaxed),
            error: match state {
                LaneState::Retrying { error, .. } | LaneState::Failed { error } => Some(error),
                _ => None,
            },
        })
    }
}

fn state_name(state: &LaneState) -> &'static str {
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

//! What is connected with what in a pipeline: topics, the tasks between them, and stores.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use azenha_model::Field;
use azenha_model::plan::{Aggregation, End, Plan, Stage, Target, Task, TopicKind};
use azenha_model::relation::{Assembling, Operator, Relation};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody};
use super::paths::OfPipeline;
use super::pipelines::find;
use crate::host::{Host, State as Deployed};

/// A pipeline as a graph, along which data flows.
#[derive(Debug, Serialize, ToSchema)]
pub struct Graph {
    /// What the data comes by, in the order of the plan.
    nodes: Vec<Node>,
    /// From where to where it flows.
    edges: Vec<Edge>,
}

/// A topic, a task, or what a store keeps rows in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Node {
    /// By which edges name it.
    id: String,
    /// `source`, `topic` or `internal` of topics, `task`, or `table`, `collection`, `index` or `objects` of a store.
    kind: &'static str,
    /// Its name.
    label: String,
    /// What a task does at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'static str>,
    /// The task's name, as the tasks of the pipeline have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    /// The store's connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
    /// The steps that a task runs, in order. Their rows can be seen.
    steps: Vec<StepNode>,
}

/// A step.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepNode {
    /// Its name.
    name: String,
    /// The plugin that it runs; none if the host does it by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<String>,
    /// The columns that enter the plugin's sandbox.
    reads: Vec<ReadColumn>,
}

/// A column that a plugin reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct ReadColumn {
    /// Its name; of a table of several, the table's name and a point before it.
    name: String,
    /// Whether it is personal data.
    personal: bool,
}

/// Data flows from one node to another.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct Edge {
    /// A node's id.
    from: String,
    /// A node's id.
    to: String,
}

/// A pipeline as a graph: its topics, what reads and writes them, which plugins run there and what they read.
#[utoipa::path(
    get, path = "/pipelines/{name}/graph", tag = "pipelines",
    params(OfPipeline),
    responses(
        (status = 200, body = Graph),
        (status = 404, body = ErrorBody),
        (status = 409, description = "It does not start, so its tasks are not known", body = ErrorBody),
    )
)]
pub async fn show(
    State(host): State<Arc<Host>>,
    path: Result<Path<OfPipeline>, PathRejection>,
) -> Result<Json<Graph>, ApiError> {
    let Path(OfPipeline { name }) = path?;
    match find(&host, &name)?.state() {
        Deployed::Running(running) => Ok(Json(Graph::of(running.plan()))),
        Deployed::Paused(loaded) => Ok(Json(Graph::of(&loaded.plan))),
        Deployed::Starting | Deployed::Failed(_) | Deployed::Deleted => {
            Err(ApiError::conflict(format!("pipeline `{name}` is not loaded"))
                .help(format!("GET /pipelines/{name} says why")))
        }
    }
}

impl Graph {
    fn of(plan: &Plan) -> Self {
        let (mut nodes, mut edges) = (Vec::new(), BTreeSet::new());
        let flows: BTreeSet<&str> =
            plan.tasks.iter().flat_map(|task| task.end.writes().chain([task.input.topic()])).collect();
        for topic in plan.topics.iter().filter(|topic| flows.contains(topic.name.as_str())) {
            let kind = match topic.kind {
                TopicKind::Source => "source",
                TopicKind::Output => "topic",
                TopicKind::Internal | TopicKind::Changelog | TopicKind::Compacted => "internal",
            };
            nodes.push(Node::named(topic_id(&topic.name), kind, &topic.name));
        }
        for task in &plan.tasks {
            let node = Node::of(task);
            edges.insert(Edge { from: topic_id(task.input.topic()), to: node.id.clone() });
            edges.extend(task.end.writes().map(|topic| Edge { from: node.id.clone(), to: topic_id(topic) }));
            if let Some(kept) = kept(&task.end) {
                edges.insert(Edge { from: node.id.clone(), to: kept.id.clone() });
                if nodes.iter().all(|known| known.id != kept.id) {
                    nodes.push(kept);
                }
            }
            nodes.push(node);
        }
        Self { nodes, edges: edges.into_iter().collect() }
    }
}

fn topic_id(topic: &str) -> String {
    format!("topic/{topic}")
}

impl Node {
    fn named(id: String, kind: &'static str, label: &str) -> Self {
        Self { id, kind, label: label.to_owned(), operation: None, task: None, connection: None, steps: Vec::new() }
    }

    fn of(task: &Task) -> Self {
        let mut steps: Vec<StepNode> = task.stages.iter().map(StepNode::of_stage).collect();
        steps.extend(StepNode::of_end(&task.end));
        let node = Self::named(format!("task/{}", task.name), "task", &task.name);
        Self { operation: Some(operation(&task.end)), task: Some(task.name.clone()), steps, ..node }
    }
}

/// What rows are kept in at the end of a task, outside the log.
fn kept(end: &End) -> Option<Node> {
    let (connection, name, kind) = match end {
        End::Store(output) => {
            let kind = match output.target {
                Target::Table { .. } => "table",
                Target::Collection { .. } => "collection",
                Target::Index { .. } => "index",
            };
            (&output.connection, &output.name, kind)
        }
        _ => {
            let output = end.objects()?;
            (&output.connection, &output.path, "objects")
        }
    };
    let node = Node::named(format!("store/{connection}/{name}"), kind, name);
    Some(Node { connection: Some(connection.clone()), ..node })
}

fn operation(end: &End) -> &'static str {
    match end {
        End::Topics(_) => "passes on",
        End::Exchange { .. } => "folds in parts",
        End::Aggregate { .. } => "aggregates",
        End::Store(_) | End::Objects(_) => "writes",
        End::Table { .. } => "keeps the table",
        End::Repartition { .. } => "sends by key",
        End::Lookup { .. } => "looks up",
        End::Relate { relation, .. } => match relation.operator {
            Operator::Join(_) => "joins",
            Operator::Assemble(_) => "assembles",
            Operator::Latest => "keeps the latest",
            Operator::Objects(_) => "writes",
        },
    }
}

impl StepNode {
    fn of_stage(stage: &Stage) -> Self {
        let reads = columns(&stage.plan.reads, &stage.plugin.input);
        Self { name: stage.plugin.step.clone(), plugin: Some(stage.plugin.plugin.clone()), reads }
    }

    fn of_end(end: &End) -> Option<Self> {
        match end {
            End::Lookup { lookup, .. } => Some(Self::without_plugin(&lookup.step)),
            End::Relate { relation, .. } => Some(Self::of_relation(relation)),
            end => end.aggregation().map(Self::of_aggregation),
        }
    }

    fn of_aggregation(aggregation: &Aggregation) -> Self {
        let Aggregation { plugin, plan, .. } = aggregation;
        let reads = columns(&plan.reads, &plugin.input);
        Self { name: plugin.step.clone(), plugin: Some(plugin.plugin.clone()), reads }
    }

    fn of_relation(relation: &Relation) -> Self {
        let Some(Assembling { plugin, plan, .. }) = relation.assembling() else {
            return Self::without_plugin(&relation.step);
        };
        let of_table = |(table, reads): (&azenha_model::relation::RelatedTable, &Vec<usize>)| {
            let named = |column: ReadColumn| ReadColumn { name: format!("{}.{}", table.name, column.name), ..column };
            columns(reads, &table.fields).into_iter().map(named).collect::<Vec<_>>()
        };
        let reads = relation.tables.iter().zip(&plan.reads).flat_map(of_table).collect();
        Self { name: relation.step.clone(), plugin: Some(plugin.clone()), reads }
    }

    fn without_plugin(step: &str) -> Self {
        Self { name: step.to_owned(), plugin: None, reads: Vec::new() }
    }
}

fn columns(reads: &[usize], fields: &[Field]) -> Vec<ReadColumn> {
    let read = reads.iter().filter_map(|index| fields.get(*index));
    read.map(|field| ReadColumn { name: field.name.clone(), personal: field.pii }).collect()
}

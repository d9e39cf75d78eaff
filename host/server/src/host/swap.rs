//! What a change of a pipeline's definition does to what runs, before it is made.

use std::collections::BTreeMap;
use std::sync::Arc;

use azenha_engine::EngineError;
use azenha_engine::difference::{Fate, Side, StateFate, TaskChange, between};
use azenha_engine::log::Log;
use azenha_engine::undo::{NoWay, Way, way};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Host;
use super::deployment::State;
use crate::control::{Definition, Version};
use crate::program::Loaded;

/// What another version changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwapPlan {
    /// Each task: those of the new version in the order of the data, then those that end.
    pub tasks: Vec<PlannedTask>,
}

/// What another version changes of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedTask {
    /// The task: a step's or sink's name, with `.fold` for the first half of an aggregation.
    pub task: String,
    /// The step that may be named to reset or recompute it.
    pub step: String,
    /// `untouched`, `switched` (its lanes go over between two batches), `added` or `removed`.
    pub change: String,
    /// `none`, `kept`, `migrated`, `reset`, `restored` (from before the versions that are undone), `unreadable` (only with a
    /// reset) or `unfit` (only under another name).
    pub state: String,
    /// More of the state, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The plugins whose code changes: digests before and after, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, Digests>,
}

/// The bytes of a plugin, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Digests {
    /// SHA-256 in hex.
    pub before: String,
    /// SHA-256 in hex.
    pub after: String,
}

impl SwapPlan {
    /// What goes from one program to another. Steps of which the state is given up are named.
    pub fn between(before: Side<'_>, after: &Loaded, resets: &[String]) -> Self {
        let changes = between(before, Side { plan: &after.plan, plugins: &after.plugins });
        Self { tasks: changes.into_iter().map(|change| PlannedTask::of(change, resets)).collect() }
    }

    /// Why the change cannot be made, for each task.
    pub fn problems(&self) -> Vec<String> {
        let is_problem = |task: &&PlannedTask| matches!(task.state.as_str(), "unreadable" | "unfit");
        let say = |task: &PlannedTask| format!("step `{}`: {}", task.step, task.detail.clone().unwrap_or_default());
        self.tasks.iter().filter(is_problem).map(say).collect()
    }

    /// Finds for each step whose state an earlier version cannot read how it goes on from a state before: the first version
    /// of which it undoes the work. Where there is no way, the problem says why. A host that goes back by itself does so, too,
    /// while no lane has such a state.
    pub async fn restore(
        &mut self,
        log: &Arc<dyn Log>,
        earlier: (&Loaded, Version),
        by_itself: bool,
    ) -> Result<BTreeMap<String, Version>, EngineError> {
        let mut undone = BTreeMap::new();
        for task in self.tasks.iter_mut().filter(|task| task.state == "unreadable") {
            let (detail, restored) = match way(log, &earlier.0.plan, &task.step, earlier.1).await {
                Ok(Way { from, records }) => {
                    undone.insert(task.step.clone(), from);
                    (format!("the state before version {from}; {records} records are read again"), true)
                }
                Err(NoWay::NotNeeded(_)) if by_itself => ("no lane has written another one".to_owned(), true),
                Err(NoWay::None(reason) | NoWay::NotNeeded(reason)) => {
                    let why = task.detail.take().unwrap_or_default();
                    (format!("{why}, and there is no going on from a state before: {reason}"), false)
                }
                Err(NoWay::Engine(error)) => return Err(error),
            };
            task.detail = Some(detail);
            if restored {
                "restored".clone_into(&mut task.state);
            }
        }
        Ok(undone)
    }

    /// Whether any code or wiring changes.
    pub fn changes_something(&self) -> bool {
        self.tasks.iter().any(|task| task.change != "untouched")
    }
}

impl PlannedTask {
    fn of(change: TaskChange, resets: &[String]) -> Self {
        let is_reset = resets.contains(&change.step);
        let (state, detail) = match change.state {
            StateFate::None => ("none", None),
            StateFate::Kept if is_reset => ("reset", None),
            StateFate::Kept => ("kept", None),
            StateFate::Migrated { from, to } if !is_reset => ("migrated", Some(format!("from version {from} to {to}"))),
            StateFate::Migrated { .. } => ("reset", None),
            StateFate::Unreadable { reason } if is_reset => ("reset", Some(reason)),
            StateFate::Unreadable { reason } => ("unreadable", Some(reason)),
            StateFate::Unfit { reason } => ("unfit", Some(reason)),
        };
        let fate = match change.fate {
            Fate::Untouched => "untouched",
            Fate::Switched => "switched",
            Fate::Added => "added",
            Fate::Removed => "removed",
        };
        let digests = |(name, (before, after)): (String, (String, String))| (name, Digests { before, after });
        Self {
            task: change.task,
            step: change.step,
            change: fate.to_owned(),
            state: state.to_owned(),
            detail,
            plugins: change.plugins.into_iter().map(digests).collect(),
        }
    }
}

impl Host {
    /// What another program changes of a pipeline as it is in force; none if that is not loaded here, or not loadable:
    /// nothing is known of its state then.
    pub async fn plan_swap(&self, in_force: &Definition, after: &Loaded, resets: &[String]) -> Option<SwapPlan> {
        let plan = |side| SwapPlan::between(side, after, resets);
        let deployment = self.deployment(&in_force.pipeline)?;
        match deployment.state() {
            State::Running(running) => {
                // A batch makes its tables anew with each run.
                let pipeline = running.live()?;
                let is_it = pipeline.version() == in_force.version() || deployment.held_back().is_some();
                // What runs is about to go over to what is in force.
                let next = if is_it { None } else { self.loaded(in_force).await };
                Some(match &next {
                    Some(loaded) => plan(Side { plan: &loaded.plan, plugins: &loaded.plugins }),
                    None => plan(Side { plan: pipeline.plan(), plugins: pipeline.plugins() }),
                })
            }
            State::Paused(loaded) => Some(plan(Side { plan: &loaded.plan, plugins: &loaded.plugins })),
            State::Starting | State::Failed(_) | State::Deleted => {
                let loaded = self.loaded(in_force).await?;
                Some(plan(Side { plan: &loaded.plan, plugins: &loaded.plugins }))
            }
        }
    }

    async fn loaded(&self, definition: &Definition) -> Option<Loaded> {
        let text = definition.text.as_deref()?;
        self.runner().load(&definition.pipeline, text, &definition.plugins).await.ok()
    }
}

//! What another version of a pipeline changes: for each task, whether its lanes go on, go over, end or begin, and what
//! becomes of its state.

use std::collections::{BTreeMap, HashMap};

use azenha_model::plan::{Aggregation, End as EndPlan, Plan, Task};
use azenha_sandbox::Plugin;

use crate::aggregation::definition;
use crate::end::{Definition, Unfit, kept_under, lookup_definition};

/// A version of a pipeline: its plan, and its plugins by their names there.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// What runs.
    pub plan: &'a Plan,
    /// With which code.
    pub plugins: &'a HashMap<String, Plugin>,
}

/// What becomes of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is the same.
    Untouched,
    /// Its lanes go over between two batches.
    Switched,
    /// It begins.
    Added,
    /// It ends.
    Removed,
}

/// What becomes of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateFate {
    /// There is none.
    None,
    /// It is gone on with.
    Kept,
    /// The new code makes it its own.
    Migrated {
        /// The version of the accumulators that there are.
        from: u32,
        /// The one that is written from then on.
        to: u32,
    },
    /// It can be gone on with only from nothing.
    Unreadable {
        /// Why, for people.
        reason: String,
    },
    /// Other rows than these are in it: the step needs another name.
    Unfit {
        /// Why, for people.
        reason: String,
    },
}

/// What another version changes of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskChange {
    /// The task.
    pub task: String,
    /// The step whose state it keeps, or whose rows it gives on.
    pub step: String,
    /// What becomes of it.
    pub fate: Fate,
    /// What becomes of its state.
    pub state: StateFate,
    /// Plugins whose code is another one: their names, with the digests before and after.
    pub plugins: BTreeMap<String, (String, String)>,
}

/// What changes from one version to another: the tasks of the later one in its order, then those that end.
pub fn between(before: Side<'_>, after: Side<'_>) -> Vec<TaskChange> {
    let same = |task: &Task, other: &Task| task.name == other.name && task.input.topic() == other.input.topic();
    let changed = after.plan.tasks.iter().map(|task| {
        let old = before.plan.tasks.iter().find(|old| same(old, task));
        let Some(old) = old else { return begins(before.plan, task) };
        change((before, old), (after, task))
    });
    let is_gone = |old: &&Task| !after.plan.tasks.iter().any(|task| same(task, old));
    let gone = before.plan.tasks.iter().filter(is_gone).map(|old| of_one_side(old, Fate::Removed, StateFate::None));
    changed.chain(gone).collect()
}

fn of_one_side(task: &Task, fate: Fate, state: StateFate) -> TaskChange {
    let (task, step) = (task.name.clone(), task.end_step().to_owned());
    TaskChange { task, step, fate, state, plugins: BTreeMap::new() }
}

/// A task that nobody is. A state that there is under its name belongs to positions in another topic.
fn begins(before: &Plan, task: &Task) -> TaskChange {
    let namesake = before.tasks.iter().find(|old| old.name == task.name && old.is_stateful() && task.is_stateful());
    let state = namesake.map_or(StateFate::None, |old| {
        let (was, is) = (old.input.topic(), task.input.topic());
        StateFate::Unfit { reason: format!("it was made of topic `{was}`, and the step reads `{is}` now") }
    });
    of_one_side(task, Fate::Added, state)
}

fn change((before, old): (Side<'_>, &Task), (after, task): (Side<'_>, &Task)) -> TaskChange {
    let digest = |side: Side<'_>, name: &str| side.plugins.get(name).map(|plugin| plugin.digest().to_owned());
    let plugins: BTreeMap<String, (String, String)> = task
        .plugins()
        .filter_map(|name| Some((name.to_owned(), (digest(before, name)?, digest(after, name)?))))
        .filter(|(_, (before, after))| before != after)
        .collect();
    let fate = if old == task && plugins.is_empty() { Fate::Untouched } else { Fate::Switched };
    let state = state_fate(&old.end, &task.end);
    TaskChange { task: task.name.clone(), step: task.end_step().to_owned(), fate, state, plugins }
}

fn state_fate(before: &EndPlan, after: &EndPlan) -> StateFate {
    match (before, after) {
        (EndPlan::Topics(_) | EndPlan::Store(_), EndPlan::Topics(_) | EndPlan::Store(_)) => StateFate::None,
        (EndPlan::Aggregate { aggregation: old, .. }, EndPlan::Aggregate { aggregation: new, .. }) => {
            of_definitions(&definition(old), &definition(new)).unwrap_or_else(|| of_accumulators(old, new))
        }
        (EndPlan::Exchange { aggregation: old, .. }, EndPlan::Exchange { aggregation: new, .. }) => {
            of_definitions(&definition(old), &definition(new)).unwrap_or_else(|| on_the_way(old, new))
        }
        (EndPlan::Repartition { lookup: old, .. }, EndPlan::Repartition { lookup: new, .. })
        | (EndPlan::Lookup { lookup: old, .. }, EndPlan::Lookup { lookup: new, .. }) => {
            of_definitions(&lookup_definition(old), &lookup_definition(new)).unwrap_or(StateFate::Kept)
        }
        (EndPlan::Objects(_), EndPlan::Objects(_)) => StateFate::Kept,
        (old, new) => match (kept_under(old), kept_under(new)) {
            (Some(old), Some(new)) => of_rows(&old, new),
            _ => StateFate::Unfit { reason: "another kind of step keeps it".to_owned() },
        },
    }
}

fn of_definitions(before: &str, after: &str) -> Option<StateFate> {
    (before != after).then(|| StateFate::Unfit { reason: format!("it is of `{before}`, not of `{after}`") })
}

fn of_accumulators(before: &Aggregation, after: &Aggregation) -> StateFate {
    let (from, to) = (before.plan.state_version, after.plan.state_version);
    if from == to {
        StateFate::Kept
    } else if after.plan.reads(from) {
        StateFate::Migrated { from, to }
    } else {
        let reason =
            format!("its accumulators have version {from}; the plugin writes version {to} and does not read {from}");
        StateFate::Unreadable { reason }
    }
}

/// What the first half of an aggregation has sent is understood by the second one, whichever code it runs.
fn on_the_way(before: &Aggregation, after: &Aggregation) -> StateFate {
    let reads = |aggregation: &Aggregation| {
        let input = &aggregation.plugin.input;
        let read = aggregation.plan.reads.iter().map(|index| (input[*index].name.clone(), input[*index].data_type));
        read.collect::<Vec<_>>()
    };
    let (merged, merges) = (before.plan.merges, after.plan.merges);
    if merged != merges {
        let reason = "rows or accumulators are on their way that the other one does not take".to_owned();
        return StateFate::Unfit { reason };
    }
    if !merges && reads(before) != reads(after) {
        let reason = "rows are on their way with the columns that the code before reads".to_owned();
        return StateFate::Unfit { reason };
    }
    StateFate::None
}

fn of_rows(before: &Definition, after: Definition) -> StateFate {
    let (old, new) = (before.text(), after.text());
    match after.after(before) {
        Ok(_) => StateFate::Kept,
        Err(Unfit::Other) => StateFate::Unfit { reason: format!("it is of `{old}`, not of `{new}`") },
        Err(Unfit::Returning(reader)) => StateFate::Unfit {
            reason: format!("`{reader}` read it before, but not all the time: give what reads it another name"),
        },
    }
}

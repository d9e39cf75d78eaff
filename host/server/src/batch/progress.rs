//! How far a run has come, and how long it may take.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use azenha_engine::status::TaskStatus;
use azenha_model::Offset;

use super::history::Past;

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Records that every task together has read and committed.
    pub done: u64,
    /// Records that they will have.
    pub total: u64,
    /// How long the rest will take, as far as that can be told from what was done since the run went on.
    pub left: Option<Duration>,
}

/// Watches the tasks of a run.
pub struct Watch {
    /// Of each topic and partition the records before each offset.
    before: HashMap<(String, u32), Vec<(Offset, u64)>>,
    started: Instant,
    /// What was done already when the run went on.
    first: Option<u64>,
}

impl Watch {
    /// Watches the reading of a past.
    pub fn new(past: &[Past]) -> Self {
        let mut before: HashMap<(String, u32), Vec<(Offset, u64)>> = HashMap::new();
        for Past { topic, partition, offset, announcement, .. } in past {
            let sums = before.entry((topic.clone(), *partition)).or_default();
            let sum = sums.last().map_or(0, |(_, sum)| *sum) + announcement.rows;
            sums.push((*offset, sum));
        }
        Self { before, started: Instant::now(), first: None }
    }

    /// How far the tasks are now.
    pub fn look(&mut self, tasks: &[TaskStatus]) -> Progress {
        let (mut done, mut total) = (0, 0);
        for (task, lane) in tasks.iter().flat_map(|task| task.lanes.iter().map(move |lane| (task, lane))) {
            let Some(sums) = self.before.get(&(task.input.clone(), lane.partition)) else { continue };
            total += sums.last().map_or(0, |(_, sum)| *sum);
            let read = sums.partition_point(|(offset, _)| *offset < lane.committed().unwrap_or(0));
            done += read.checked_sub(1).map_or(0, |last| sums[last].1);
        }
        let first = *self.first.get_or_insert(done);
        let left =
            (done > first).then(|| self.started.elapsed().mul_f64((total - done) as f64 / (done - first) as f64));
        Progress { done, total, left }
    }
}

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
    /// Of each topic and partition the records before some offsets; between these there are as many at each.
    before: HashMap<(String, u32), Vec<(Offset, u64)>>,
    pace: Pace,
}

impl Watch {
    /// Watches the reading of a past.
    pub fn new(past: &[Past]) -> Self {
        let mut before: HashMap<(String, u32), Vec<(Offset, u64)>> = HashMap::new();
        for Past { topic, partition, offsets, records, .. } in past {
            let sums = before.entry((topic.clone(), *partition)).or_insert_with(|| vec![(offsets.start, 0)]);
            let sum = sums.last().map_or(0, |(_, sum)| *sum);
            sums.push((offsets.end, sum + records));
        }
        Self { before, pace: Pace::default() }
    }

    /// How far the tasks are now.
    pub fn look(&mut self, tasks: &[TaskStatus]) -> Progress {
        let (mut done, mut total) = (0, 0);
        for (task, lane) in tasks.iter().flat_map(|task| task.lanes.iter().map(move |lane| (task, lane))) {
            let Some(sums) = self.before.get(&(task.input.clone(), lane.partition)) else { continue };
            total += sums.last().map_or(0, |(_, sum)| *sum);
            done += records_before(sums, lane.committed().unwrap_or(0));
        }
        self.pace.progress(done, total)
    }
}

/// The records before an offset.
fn records_before(sums: &[(Offset, u64)], offset: Offset) -> u64 {
    let next = sums.partition_point(|(known, _)| *known <= offset);
    match (next.checked_sub(1).map(|last| sums[last]), sums.get(next)) {
        (None, _) => 0,
        (Some((_, all)), None) => all,
        (Some((from, before)), Some((to, after))) => {
            before + ((after - before) as f64 * (offset - from) as f64 / (to - from) as f64) as u64
        }
    }
}

/// How quickly something is done.
pub struct Pace {
    started: Instant,
    /// What was done already when it went on.
    first: Option<u64>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { started: Instant::now(), first: None }
    }
}

impl Pace {
    /// What is done, and how long the rest will take.
    pub fn progress(&mut self, done: u64, total: u64) -> Progress {
        let first = *self.first.get_or_insert(done);
        let rest = total.saturating_sub(done) as f64;
        let left = (done > first).then(|| self.started.elapsed().mul_f64(rest / (done - first) as f64));
        Progress { done, total, left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_objects_and_of_topics_are_counted_up_to_an_offset() {
        // Three objects of 10, 0 and 5 records, announced at 7, 8 and 10.
        let objects = [(7, 0), (8, 10), (9, 10), (11, 15)];
        let counted: Vec<u64> = [0, 7, 8, 9, 11, 12].map(|offset| records_before(&objects, offset)).into();
        assert_eq!(counted, [0, 0, 10, 10, 15, 15]);
        // A partition that holds the offsets 100..300, and 100 records.
        assert_eq!([100, 200, 300].map(|offset| records_before(&[(100, 0), (300, 100)], offset)), [0, 50, 100]);
    }
}

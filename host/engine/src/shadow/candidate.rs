//! The code that is tried, and how it is asked.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azenha_model::plan::{Aggregation, Plan, Stage};
use azenha_sandbox::{Failure, FailureKind, OpenError, Plugin};

use super::groups::Groups;
use super::rows::Transforms;
use super::tally::Tally;
use super::{Call, nanos};
use crate::clock::Clock;
use crate::difference::Side;
use crate::error::EngineError;

/// A candidate for the code of a step.
#[derive(Debug)]
pub struct Candidate {
    step: String,
    plugin: Plugin,
    code: Code,
}

#[derive(Debug)]
enum Code {
    Transform { live: Box<Stage>, tried: Box<Stage> },
    Aggregate { live: Box<Aggregation>, tried: Box<Aggregation> },
}

/// Why code cannot work beside that of a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// There is no plugin in the step.
    #[error("no plugin runs in step `{0}` that could have another one beside it: transforms and aggregates can")]
    NoPlugin(String),
    /// It gets other columns.
    #[error("step `{0}` gets other columns in the candidate than in what runs")]
    Input(String),
    /// What it keeps of a group is not what the live plugin keeps.
    #[error("the candidate keeps accumulators of version {candidate}, and the live plugin of version {live}")]
    StateVersion {
        /// That of the live plugin.
        live: u32,
        /// That of the candidate.
        candidate: u32,
    },
    /// One merges, the other does not.
    #[error("one of the candidate and the live plugin merges accumulators, and the other does not")]
    Merging,
    /// It reads what rows are folded without.
    #[error("the candidate reads column `{0}`, which the live plugin does not: rows are folded without it")]
    Reads(String),
}

impl Candidate {
    /// The code of a step as another version of the pipeline has it.
    pub fn of(step: &str, live: &Plan, tried: Side<'_>) -> Result<Self, Unfit> {
        let missing = || Unfit::NoPlugin(step.to_owned());
        let code = match (stage(live, step), stage(tried.plan, step)) {
            (Some(live), Some(tried)) if live.plugin.input != tried.plugin.input => {
                return Err(Unfit::Input(step.to_owned()));
            }
            (Some(live), Some(tried)) => {
                Code::Transform { live: Box::new(live.clone()), tried: Box::new(tried.clone()) }
            }
            _ => {
                let live = aggregation(live, step).ok_or_else(missing)?;
                let tried = aggregation(tried.plan, step).ok_or_else(missing)?;
                check(live, tried)?;
                Code::Aggregate { live: Box::new(live.clone()), tried: Box::new(tried.clone()) }
            }
        };
        let name = match &code {
            Code::Transform { tried, .. } => &tried.plugin.plugin,
            Code::Aggregate { tried, .. } => &tried.plugin.plugin,
        };
        let plugin = tried.plugins.get(name).ok_or_else(missing)?.clone();
        Ok(Self { step: step.to_owned(), plugin, code })
    }

    /// The step.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// The digest of its plugin.
    pub fn digest(&self) -> &str {
        self.plugin.digest()
    }

    /// Its plugin, as the definition calls it.
    pub fn plugin_name(&self) -> &str {
        self.plugin.name()
    }
}

fn stage<'a>(plan: &'a Plan, step: &str) -> Option<&'a Stage> {
    plan.tasks.iter().flat_map(|task| &task.stages).find(|stage| stage.plugin.step == step)
}

fn aggregation<'a>(plan: &'a Plan, step: &str) -> Option<&'a Aggregation> {
    let aggregations = plan.tasks.iter().filter_map(|task| task.end.aggregation());
    aggregations.into_iter().find(|aggregation| aggregation.plugin.step == step)
}

fn check(live: &Aggregation, tried: &Aggregation) -> Result<(), Unfit> {
    let (versions, merge) = ([live, tried].map(|it| it.plan.state_version), [live, tried].map(|it| it.plan.merges));
    if live.plugin.input != tried.plugin.input || live.by != tried.by {
        return Err(Unfit::Input(live.plugin.step.clone()));
    }
    if versions[0] != versions[1] {
        return Err(Unfit::StateVersion { live: versions[0], candidate: versions[1] });
    }
    if merge[0] != merge[1] {
        return Err(Unfit::Merging);
    }
    match tried.plan.reads.iter().find(|column| !live.plan.reads.contains(column)) {
        Some(column) => Err(Unfit::Reads(tried.plugin.input[*column].name.clone())),
        None => Ok(()),
    }
}

/// Asks the candidate what the live plugin was asked.
pub enum Examiner {
    /// A transform.
    Transform(Box<Transforms>),
    /// An aggregate.
    Aggregate(Box<Groups>),
}

impl Examiner {
    /// Opens the candidate.
    pub fn open(candidate: Candidate) -> Result<Self, EngineError> {
        let Candidate { step, plugin, code } = candidate;
        let refused = |source: OpenError| EngineError::Open { step: step.clone(), source };
        Ok(match code {
            Code::Transform { live, tried } => {
                let opened = plugin.open_transform(&tried.plugin.config, &tried.plugin.input).map_err(refused)?;
                Self::Transform(Box::new(Transforms::new(opened, *live, *tried)))
            }
            Code::Aggregate { live, tried } => {
                let used = &tried.plugin;
                let opened = plugin.open_aggregate(&used.config, &used.input, &tried.key_fields()).map_err(refused)?;
                Self::Aggregate(Box::new(Groups::new(opened, &live, &tried)?))
            }
        })
    }

    /// Bytes of memory that the candidate holds.
    pub fn memory(&self) -> usize {
        match self {
            Self::Transform(rows) => rows.memory(),
            Self::Aggregate(groups) => groups.memory(),
        }
    }

    /// Asks, and compares the answers. `Ok(Err(…))`: of a call that did for the live plugin, nothing went through.
    pub fn examine(&mut self, call: Call, watch: &mut Stopwatch, tally: &Mutex<Tally>) -> Result<Judged, EngineError> {
        match (self, call) {
            (Self::Transform(rows), Call::Process { input, source, live }) => {
                rows.process(&input, &source, live, watch, tally)
            }
            (Self::Aggregate(groups), Call::Fold { keys, rows, groups: of, before, live }) => {
                groups.fold(&keys, (&rows, &of, &before), live, watch, tally)
            }
            (Self::Aggregate(groups), Call::Merge { keys, left, right, live }) => {
                groups.merge(&keys, (&left, &right), live, watch, tally)
            }
            (Self::Aggregate(groups), Call::Finish { keys, accumulators, live }) => {
                groups.finish(keys, &accumulators, live, watch, tally)
            }
            (Self::Transform(_) | Self::Aggregate(_), _) => {
                Err(EngineError::Setup("another kind of plugin runs in the step".to_owned()))
            }
        }
    }
}

/// Whether anything of a call went through; with the failure if not, although it did for the live plugin.
pub type Judged = Result<(), String>;

/// Processor time of the candidate's calls, and of everything.
pub struct Stopwatch {
    clock: Arc<dyn Clock>,
    begun: Duration,
    in_calls: Duration,
}

impl Stopwatch {
    /// Begins now, on whatever thread it is reset on.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, begun: Duration::ZERO, in_calls: Duration::ZERO }
    }

    /// Times a call of the candidate.
    pub fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begun = self.clock.busy();
        let answer = call();
        self.in_calls += self.clock.busy().saturating_sub(begun);
        answer
    }

    /// Nanoseconds of the candidate's calls and of everything since this was last asked.
    pub fn reset(&mut self) -> (u64, u64) {
        let now = self.clock.busy();
        let all = now.saturating_sub(std::mem::replace(&mut self.begun, now));
        (nanos(std::mem::take(&mut self.in_calls)), nanos(all))
    }
}

/// So many calls are made of one, to find the rows on which the candidate fails.
const CALLS: usize = 64;

/// A part of a call, and what the candidate answered.
pub type Part<T> = (Range<usize>, Result<T, Failure>);

/// Calls `call` with ranges of `0..rows` that cover it in order, halved where it fails. What is not found out after a few
/// calls, or takes too much time or memory, has failed as a whole.
pub fn halved<T>(rows: usize, mut call: impl FnMut(Range<usize>) -> Result<T, Failure>) -> Vec<Part<T>> {
    let (mut parts, mut calls) = (Vec::new(), 0);
    let mut waiting: Vec<Range<usize>> = std::iter::once(0..rows).collect();
    while let Some(range) = waiting.pop() {
        calls += 1;
        match call(range.clone()) {
            Err(failure) if range.len() > 1 && calls < CALLS && !is_exhaustion(&failure) => {
                let middle = range.start + range.len() / 2;
                waiting.push(middle..range.end);
                waiting.push(range.start..middle);
            }
            answer => parts.push((range, answer)),
        }
    }
    parts
}

fn is_exhaustion(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::Timeout | FailureKind::Memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which parts went through, and which did not, for a plugin that fails on some rows; and how often it was asked.
    fn run(rows: usize, kind: FailureKind, guilty: &[usize]) -> (Vec<Range<usize>>, Vec<Range<usize>>, usize) {
        let mut calls = 0;
        let parts = halved(rows, |range| {
            calls += 1;
            let fails = guilty.iter().any(|row| range.contains(row));
            if fails { Err(Failure { kind, message: "no".to_owned(), stack: Vec::new() }) } else { Ok(()) }
        });
        let covered: Vec<usize> = parts.iter().flat_map(|(range, _)| range.clone()).collect();
        assert_eq!(covered, (0..rows).collect::<Vec<_>>(), "each row once, in order");
        let (done, failed): (Vec<_>, Vec<_>) = parts.into_iter().partition(|(_, answer)| answer.is_ok());
        let ranges = |parts: Vec<Part<()>>| parts.into_iter().map(|(range, _)| range).collect();
        (ranges(done), ranges(failed), calls)
    }

    #[test]
    fn a_row_on_which_the_candidate_traps_is_found_and_the_others_go_through() {
        let (_, failed, calls) = run(4096, FailureKind::Trap, &[1000]);
        assert_eq!(failed, vec![1000..1001]);
        assert!(calls <= 25, "{calls} calls");
    }

    #[test]
    fn a_candidate_that_traps_on_everything_is_not_asked_for_every_row() {
        let guilty: Vec<usize> = (0..4096).collect();
        let (done, _, calls) = run(4096, FailureKind::Trap, &guilty);
        assert!(done.is_empty());
        assert!(calls <= 2 * CALLS, "{calls} calls");
    }

    #[test]
    fn a_candidate_that_never_ends_is_asked_once() {
        let (done, failed, calls) = run(4096, FailureKind::Timeout, &[7]);
        assert_eq!((done, failed, calls), (vec![], std::iter::once(0..4096).collect(), 1));
    }
}

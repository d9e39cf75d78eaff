//! A batch on which a plugin fails is halved until the guilty rows are alone; the rest goes on. A plugin
//! that fails on everything is stopped.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use azenha_sandbox::{Failure, FailureKind};

use crate::clock::Clock;

/// So many rows that fail alone, one after the other without a success between them, and the plugin is bad.
const FAILED_ROWS: u32 = 100;

/// Calls out of time or memory are expensive: beside the halvings that isolating one row takes, so many
/// without a success between them, and the plugin is bad.
const SPARE_EXHAUSTIONS: u32 = 4;

/// What a plugin may make of one batch, in bytes: a call is bounded by the sandbox, but a batch that was halved is
/// many calls.
const BATCH_BYTES: usize = 256 << 20;

/// So many rows, or groups, a call at most.
const CALL_ROWS: usize = 16_384;

/// How long a batch on which a plugin fails may take in all: other lanes share the thread.
const BATCH_TIME: Duration = Duration::from_secs(20);

/// A plugin with which there is no going on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPlugin {
    /// Row after row did not go through.
    #[error("the plugin fails again and again: {0}")]
    Fails(String),
    /// A batch made more than the host can hold.
    #[error("the plugin makes more than {} MiB of one batch of {rows} rows", BATCH_BYTES >> 20)]
    Floods {
        /// Rows of the batch.
        rows: usize,
    },
    /// A batch on which it failed took too long.
    #[error("the plugin took more than {BATCH_TIME:?} for one batch of {rows} rows, on some of which it fails: {last}")]
    Stalls {
        /// Rows of the batch.
        rows: usize,
        /// The last failure.
        last: String,
    },
}

/// A part of a batch.
#[derive(Debug)]
pub enum Part<T> {
    /// Rows that went through together.
    Done(Range<usize>, T),
    /// A row on which the plugin fails even when it is alone.
    Guilty(usize, Failure),
}

/// What calls of a plugin cost.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Calls that failed.
    pub failures: u64,
    /// Nanoseconds in calls.
    pub nanos: u64,
    /// Rows, or groups, that a plugin was to take.
    pub rows: u64,
}

impl Usage {
    /// What several plugins cost that worked on the same rows.
    pub fn and(self, other: Self) -> Self {
        Self {
            failures: self.failures + other.failures,
            nanos: self.nanos + other.nanos,
            rows: self.rows.max(other.rows),
        }
    }
}

/// Remembers how a plugin did, over batches: what tells a bad row from a bad plugin.
#[derive(Debug)]
pub struct Guard {
    clock: Arc<dyn Clock>,
    failed_rows: u32,
    exhaustions: u32,
    usage: Usage,
}

impl Guard {
    /// A guard that times calls by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, failed_rows: 0, exhaustions: 0, usage: Usage::default() }
    }

    /// What calls cost since this was last asked.
    pub fn take_usage(&mut self) -> Usage {
        std::mem::take(&mut self.usage)
    }

    fn succeeded(&mut self) {
        self.failed_rows = 0;
        self.exhaustions = 0;
    }

    /// A call with `rows` of a batch of `of` failed.
    fn failed(&mut self, rows: usize, of: usize, failure: &Failure) -> Result<(), BadPlugin> {
        self.usage.failures += 1;
        if rows <= 1 {
            self.failed_rows += 1;
        }
        if matches!(failure.kind, FailureKind::Timeout | FailureKind::Memory) {
            self.exhaustions += 1;
        }
        let halvings = usize::BITS - of.leading_zeros();
        if self.failed_rows >= FAILED_ROWS || self.exhaustions > halvings + SPARE_EXHAUSTIONS {
            return Err(BadPlugin::Fails(failure.message.clone()));
        }
        Ok(())
    }
}

impl Guard {
    /// A batch on which the plugin failed has its time; one that only takes long is its author's choice.
    fn in_time(&self, begun: Duration, rows: usize, last: Option<&Failure>) -> Result<(), BadPlugin> {
        match last {
            Some(last) if self.clock.elapsed().saturating_sub(begun) > BATCH_TIME => {
                Err(BadPlugin::Stalls { rows, last: last.message.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// Calls `call` with ranges of `0..rows` that cover it in order, each as large as the plugin bears. `bytes` says what
/// the host holds of a result.
pub fn in_parts<T>(
    rows: usize,
    guard: &mut Guard,
    bytes: impl Fn(&T) -> usize,
    mut call: impl FnMut(Range<usize>) -> Result<T, Failure>,
) -> Result<Vec<Part<T>>, BadPlugin> {
    let begun = guard.clock.elapsed();
    guard.usage.rows += rows as u64;
    let (mut held, mut last) = (0, None);
    let mut parts = Vec::new();
    let chunks = (0..rows).step_by(CALL_ROWS).map(|start| start..rows.min(start + CALL_ROWS));
    let mut waiting: Vec<Range<usize>> = chunks.rev().collect();
    while let Some(range) = waiting.pop() {
        let start = guard.clock.elapsed();
        let outcome = call(range.clone());
        guard.usage.nanos += guard.clock.elapsed().saturating_sub(start).as_nanos() as u64;
        match outcome {
            Ok(value) => {
                guard.succeeded();
                held += bytes(&value);
                if held > BATCH_BYTES {
                    return Err(BadPlugin::Floods { rows });
                }
                guard.in_time(begun, rows, last.as_ref())?;
                parts.push(Part::Done(range, value));
            }
            Err(failure) => {
                guard.failed(range.len(), rows, &failure)?;
                guard.in_time(begun, rows, Some(&failure))?;
                last = Some(failure.clone());
                if range.len() <= 1 {
                    parts.push(Part::Guilty(range.start, failure));
                } else {
                    let middle = range.start + range.len() / 2;
                    waiting.push(middle..range.end);
                    waiting.push(range.start..middle);
                }
            }
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn guard() -> Guard {
        Guard::new(Arc::new(SystemClock::start()))
    }

    fn failure(kind: FailureKind) -> Failure {
        Failure { kind, message: "no".to_owned(), stack: Vec::new() }
    }

    /// Runs a plugin that fails on some rows; gives the rows that went through and the guilty ones.
    fn run(rows: usize, kind: FailureKind, guilty: &[usize]) -> Result<(Vec<usize>, Vec<usize>), BadPlugin> {
        let parts = in_parts(
            rows,
            &mut guard(),
            |()| 0,
            |range| {
                if guilty.iter().any(|row| range.contains(row)) { Err(failure(kind)) } else { Ok(()) }
            },
        )?;
        let (mut done, mut alone) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Part::Done(range, ()) => done.extend(range),
                Part::Guilty(row, _) => alone.push(row),
            }
        }
        Ok((done, alone))
    }

    #[test]
    fn only_the_guilty_rows_are_left_out_and_order_is_kept() {
        let (done, alone) = run(1000, FailureKind::Trap, &[0, 499, 500, 999]).unwrap();
        assert_eq!(alone, [0, 499, 500, 999]);
        assert_eq!(done.len(), 996);
        assert!(done.is_sorted());
    }

    #[test]
    fn one_row_that_never_ends_is_isolated_wherever_it_stands() {
        for guilty in [0, 1, 2047, 4095] {
            let (done, alone) = run(4096, FailureKind::Timeout, &[guilty]).unwrap();
            assert_eq!((done.len(), alone), (4095, vec![guilty]));
        }
    }

    #[test]
    fn a_plugin_that_fails_on_every_row_is_stopped_after_a_hundred() {
        let mut calls = 0;
        let result = in_parts(
            4096,
            &mut guard(),
            |()| 0,
            |_| {
                calls += 1;
                Err::<(), _>(failure(FailureKind::Error))
            },
        );
        assert!(result.is_err());
        assert!(calls < 250, "{calls} calls");
    }

    #[test]
    fn a_plugin_that_never_ends_is_stopped_after_a_few_calls() {
        let mut calls = 0;
        let result = in_parts(
            4096,
            &mut guard(),
            |()| 0,
            |_| {
                calls += 1;
                Err::<(), _>(failure(FailureKind::Timeout))
            },
        );
        assert!(result.is_err());
        assert!(calls <= 18, "{calls} calls");
    }

    #[test]
    fn a_plugin_that_makes_too_much_of_a_batch_row_by_row_is_stopped() {
        let result = in_parts(4096, &mut guard(), Vec::len, |range| match range.len() {
            1 => Ok(vec![0u8; 1 << 20]),
            _ => Err(failure(FailureKind::Error)),
        });
        assert_eq!(result.err(), Some(BadPlugin::Floods { rows: 4096 }));
    }

    #[test]
    fn without_rows_there_is_no_call_and_many_rows_are_several() {
        let mut calls = Vec::new();
        for rows in [0, 40_000] {
            in_parts(
                rows,
                &mut guard(),
                |()| 0,
                |range| {
                    calls.push(range);
                    Ok(())
                },
            )
            .unwrap();
        }
        assert_eq!(calls, [0..16_384, 16_384..32_768, 32_768..40_000]);
    }

    #[test]
    fn failures_are_counted_over_batches_until_a_row_goes_through() {
        let mut guard = guard();
        let fail = |guard: &mut Guard| in_parts(1, guard, |()| 0, |_| Err::<(), _>(failure(FailureKind::Trap)));
        for _ in 0..99 {
            assert!(fail(&mut guard).is_ok());
        }
        in_parts(1, &mut guard, |()| 0, |_| Ok(())).unwrap();
        for _ in 0..99 {
            assert!(fail(&mut guard).is_ok());
        }
        assert!(fail(&mut guard).is_err());
    }
}

//! A batch on which a plugin fails is halved until the guilty rows are alone; the rest goes on. A plugin
//! that fails on everything is stopped.

use std::ops::Range;
use std::sync::Arc;

use azenha_sandbox::{Failure, FailureKind};

use crate::clock::Clock;

/// So many rows that fail alone, one after the other without a success between them, and the plugin is bad.
const FAILED_ROWS: u32 = 100;

/// Calls out of time or memory are expensive: beside the halvings that isolating one row takes, so many
/// without a success between them, and the plugin is bad.
const SPARE_EXHAUSTIONS: u32 = 4;

/// The plugin fails on everything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plugin fails on everything: {0}")]
pub struct BadPlugin(pub String);

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
            return Err(BadPlugin(failure.message.clone()));
        }
        Ok(())
    }
}

/// Calls `call` with ranges of `0..rows` that cover it in order, each as large as the plugin bears.
pub fn in_parts<T>(
    rows: usize,
    guard: &mut Guard,
    mut call: impl FnMut(Range<usize>) -> Result<T, Failure>,
) -> Result<Vec<Part<T>>, BadPlugin> {
    let mut parts = Vec::new();
    let mut waiting: Vec<Range<usize>> = std::iter::once(0..rows).collect();
    while let Some(range) = waiting.pop() {
        let start = guard.clock.elapsed();
        let outcome = call(range.clone());
        guard.usage.nanos += guard.clock.elapsed().saturating_sub(start).as_nanos() as u64;
        match outcome {
            Ok(value) => {
                guard.succeeded();
                parts.push(Part::Done(range, value));
            }
            Err(failure) => {
                guard.failed(range.len(), rows, &failure)?;
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
        Failure { kind, message: "no".to_owned() }
    }

    /// Runs a plugin that fails on some rows; gives the rows that went through and the guilty ones.
    fn run(rows: usize, kind: FailureKind, guilty: &[usize]) -> Result<(Vec<usize>, Vec<usize>), BadPlugin> {
        let parts = in_parts(rows, &mut guard(), |range| {
            if guilty.iter().any(|row| range.contains(row)) { Err(failure(kind)) } else { Ok(()) }
        })?;
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
        let result = in_parts(4096, &mut guard(), |_| {
            calls += 1;
            Err::<(), _>(failure(FailureKind::Error))
        });
        assert!(result.is_err());
        assert!(calls < 250, "{calls} calls");
    }

    #[test]
    fn a_plugin_that_never_ends_is_stopped_after_a_few_calls() {
        let mut calls = 0;
        let result = in_parts(4096, &mut guard(), |_| {
            calls += 1;
            Err::<(), _>(failure(FailureKind::Timeout))
        });
        assert!(result.is_err());
        assert!(calls <= 18, "{calls} calls");
    }

    #[test]
    fn failures_are_counted_over_batches_until_a_row_goes_through() {
        let mut guard = guard();
        let fail = |guard: &mut Guard| in_parts(1, guard, |_| Err::<(), _>(failure(FailureKind::Trap)));
        for _ in 0..99 {
            assert!(fail(&mut guard).is_ok());
        }
        in_parts(1, &mut guard, |_| Ok(())).unwrap();
        for _ in 0..99 {
            assert!(fail(&mut guard).is_ok());
        }
        assert!(fail(&mut guard).is_err());
    }
}

//! How a candidate is asked so that its failures are found, and what its answers say.

use std::ops::Range;

use azenha_model::plugin::Rejection;
use azenha_sandbox::{Failure, FailureKind};

use super::tally::{Answer, Problems};

/// So many calls are made of one, to find the rows on which the candidate fails.
const CALLS: usize = 64;

/// A part of a call, and what a plugin answered.
pub type Part<T> = (Range<usize>, Result<T, Failure>);

/// What a plugin made of a part of a call.
pub type Done<T> = (Range<usize>, T);

/// Whether anything of a call went through; with the failure if not, although it did for the live plugin.
pub type Judged = Result<(), String>;

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

/// An answer to a whole call.
pub fn whole<T>(rows: usize, answer: Result<T, Failure>) -> Vec<Part<T>> {
    vec![(0..rows, answer)]
}

/// Judges a candidate by its answers.
pub fn judge<T>(live_went_through: bool, answers: &[Part<T>]) -> Judged {
    let is_done = answers.iter().any(|(_, answer)| answer.is_ok());
    let failure = answers.iter().rev().find_map(|(_, answer)| answer.as_ref().err());
    match failure {
        Some(failure) if live_went_through && !is_done => Err(failure.message.clone()),
        _ => Ok(()),
    }
}

/// Takes answers apart into what was done, and what was refused or failed on; `apart` does so with one.
pub fn sorted<T, U>(parts: Vec<Part<T>>, apart: impl Fn(T) -> (U, Vec<Rejection>)) -> (Vec<Done<U>>, Problems) {
    let (mut done, mut problems) = (Vec::new(), Problems::new());
    for (range, answer) in parts {
        match answer.map(&apart) {
            Ok((made, rejected)) => {
                let problem = |Rejection { row, reason, .. }| (range.start as u32 + row, Answer::Rejected(reason));
                problems.extend(rejected.into_iter().map(problem));
                done.push((range, made));
            }
            Err(failure) => {
                problems.extend(range.map(|row| (row as u32, Answer::Failed(failure.message.clone()))));
            }
        }
    }
    (done, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: FailureKind) -> Failure {
        Failure { kind, message: "no".to_owned(), stack: Vec::new() }
    }

    /// Which parts went through, and which did not, for a plugin that fails on some rows; and how often it was asked.
    fn run(rows: usize, kind: FailureKind, guilty: &[usize]) -> (Vec<Range<usize>>, Vec<Range<usize>>, usize) {
        let mut calls = 0;
        let parts = halved(rows, |range| {
            calls += 1;
            let fails = guilty.iter().any(|row| range.contains(row));
            if fails { Err(failure(kind)) } else { Ok(()) }
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

    #[test]
    fn a_candidate_has_failed_if_nothing_went_through_that_did_for_the_live_plugin() {
        let fails = || Err(failure(FailureKind::Trap));
        assert_eq!(judge::<()>(true, &[(0..2, fails()), (2..4, fails())]), Err("no".to_owned()));
        assert_eq!(judge(true, &[(0..2, fails()), (2..4, Ok(()))]), Ok(()));
        assert_eq!(judge::<()>(false, &whole(1, fails())), Ok(()), "it did not for the live plugin either");
        assert_eq!(judge(true, &whole(1, Ok(()))), Ok(()));
    }

    #[test]
    fn what_was_refused_or_failed_on_has_its_place_in_the_whole_call() {
        let refuses = |row| Rejection { row, reason: "no room".to_owned(), part: None };
        let parts = vec![(0..2, Ok(vec![refuses(1)])), (2..4, Err(failure(FailureKind::Trap))), (4..7, Ok(vec![]))];
        let (done, problems) = sorted(parts, |rejected| ((), rejected));
        assert_eq!(done, [(0..2, ()), (4..7, ())]);
        let (refused, failed) = (Answer::Rejected("no room".to_owned()), Answer::Failed("no".to_owned()));
        assert_eq!(problems, Problems::from([(1, refused), (2, failed.clone()), (3, failed)]));
    }
}

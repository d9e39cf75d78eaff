//! When a lane commits.

use std::time::Duration;

use super::Lane;
use super::probation::Probation;
use crate::end::PENDING_BYTES;

/// How many times in an interval a lane may commit what tasks of ours wrote: hosts do not agree on their ticks.
const HURRY: u32 = 4;
/// How long a lane waits for a row that new code does not fail on, while it has failed on all: what is committed is not done
/// again by other code.
const DOUBT: Duration = Duration::from_secs(2);
/// How long the first of what several lanes wrote waits for the rest: less than a transaction takes, which those who come too
/// late would have to wait for.
const SETTLE: Duration = Duration::from_millis(4);

impl Lane {
    /// Something waits for a commit from now on.
    pub(super) fn wait_for_commit(&mut self) {
        if self.waiting.is_some() {
            return;
        }
        let now = self.context.clock.elapsed();
        self.waiting = Some(now);
        if self.context.roll_interval().is_some() {
            // Objects begin to grow.
            self.last_commit = Some(now);
        }
    }

    /// Whether so much waits that it must be committed before more comes.
    pub(super) fn is_full(&mut self) -> bool {
        // A commit that was promised is made where it was promised, and not before.
        let end = self.intake.end();
        end.promised().is_none() && (end.is_full() || self.dead.bytes() >= PENDING_BYTES)
    }

    /// Whether the next commit may begin when its time has come.
    pub(super) fn may_commit(&mut self) -> bool {
        self.waiting.is_some() && self.intake.end().promised().is_none()
    }

    /// How long until the next commit may begin; what comes after a pause need not wait at all.
    pub(super) fn due_in(&self) -> Duration {
        self.due().max(self.doubted_until()).saturating_sub(self.context.clock.elapsed())
    }

    fn due(&self) -> Duration {
        let Some(last) = self.last_commit else { return Duration::ZERO };
        let interval = self.context.options.commit_interval;
        if let Some(every) = self.context.roll_interval() {
            if self.is_awaited() { Duration::ZERO } else { last + every }
        } else if self.context.reads_source() {
            // All lanes commit at the same ticks: they share transactions, and what they send on arrives together.
            next_tick(last, interval)
        } else {
            // What a task of ours wrote has waited for a tick already; what others of its lanes wrote at that tick comes
            // a moment later.
            let settled = self.waiting.map(|since| since + SETTLE.min(interval / HURRY));
            settled.unwrap_or_default().max(last + interval / HURRY)
        }
    }

    fn doubted_until(&self) -> Duration {
        let tried = self.tried.max(self.records);
        let has_only_failed = |probation: &Probation| probation.has_only_failed(tried, self.dead.blamed());
        match self.waiting.filter(|_| self.probation.as_ref().is_some_and(has_only_failed)) {
            Some(since) => since + DOUBT,
            None => Duration::ZERO,
        }
    }

    /// Whether a commit is to begin now.
    pub(super) fn is_due(&mut self) -> bool {
        let is_full = !self.steps.are_kept() && self.is_full();
        self.may_commit() && (is_full || self.due_in().is_zero())
    }

    /// Whether everything is read that somebody waits for, and some of it is not committed: then nobody waits for objects to
    /// grow.
    fn is_awaited(&self) -> bool {
        let end = self.awaited.borrow().get(self.partition as usize).copied();
        end.is_some_and(|end| self.uncommitted < end && end <= self.position)
    }
}

/// The first multiple of the interval after a time.
fn next_tick(last: Duration, interval: Duration) -> Duration {
    let interval = interval.as_nanos().max(1);
    let ticks = last.as_nanos() / interval + 1;
    Duration::from_nanos_u128(ticks * interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_of_all_lanes_fall_on_the_same_ticks() {
        let ms = Duration::from_millis;
        for (last, due) in [(0, 100), (1, 100), (99, 100), (100, 200), (250, 300)] {
            assert_eq!(next_tick(ms(last), ms(100)), ms(due), "after {last} ms");
        }
    }
}

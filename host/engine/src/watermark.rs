//! Watermarks: how far event time has come, decided row by row so that batch boundaries change nothing.

use std::collections::BTreeMap;

use crate::status::NO_TIME;

/// The watermark of one source partition: the highest event time seen, less the lateness. Behind a lookup, what the rows
/// themselves say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceWatermark {
    highest: i64,
    /// None: the rows themselves say it.
    lateness: Option<i64>,
    /// Where rows that say it, an earlier run, or the end of a finite one, have brought it at least.
    reached: i64,
}

impl SourceWatermark {
    /// A watermark that goes on from an earlier run: the highest event time seen and the watermark reached, in
    /// microseconds, or [`NO_TIME`]; `lateness` in microseconds, none if the rows themselves say how far time has come.
    pub fn resumed(highest: i64, reached: i64, lateness: Option<i64>) -> Self {
        Self { highest, lateness, reached }
    }

    /// The highest event time seen, in microseconds, or [`NO_TIME`].
    pub fn highest(self) -> i64 {
        self.highest
    }

    /// The watermark in microseconds, or [`NO_TIME`]: nothing older is waited for.
    pub fn value(self) -> i64 {
        match self.lateness {
            Some(lateness) if self.highest != NO_TIME => self.highest.saturating_sub(lateness).max(self.reached),
            _ => self.reached,
        }
    }

    /// Takes a row in and gives the watermark that stood *before* it: what decides whether it is late.
    pub fn pass(&mut self, event_time: i64) -> i64 {
        let before = self.value();
        self.highest = self.highest.max(event_time);
        before
    }

    /// Takes a row in that says how far its own partition had come before it, and how far all partitions had. Gives what
    /// decides whether it is late.
    pub fn pass_told(&mut self, event_time: i64, watermark: i64, reached: i64) -> i64 {
        self.advance_to(reached);
        self.highest = self.highest.max(event_time);
        self.value().max(watermark)
    }

    /// Raises the watermark to `target`, in microseconds: what closes windows at the end of a finite run.
    pub fn advance_to(&mut self, target: i64) {
        self.reached = self.reached.max(target);
    }
}

/// What a sender last said of its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It holds the receiver's watermark back to this one (microseconds).
    At(i64),
    /// It has no data and holds nothing back.
    Idle,
}

/// The watermark of a receiver: the lowest of its senders that are not idle.
///
/// A sender that was never heard of holds everything back, until it has been without records for long
/// enough to call itself idle: a host that starts its lanes one after the other closes nothing too early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverWatermark {
    senders: BTreeMap<u32, Progress>,
    expected: u32,
    /// Never goes back, even if an idle sender wakes up with older rows.
    reached: i64,
}

impl ReceiverWatermark {
    /// A watermark over senders `0..expected`.
    pub fn new(expected: u32) -> Self {
        Self { senders: BTreeMap::new(), expected, reached: NO_TIME }
    }

    /// A watermark that goes on from an earlier run: what each sender said last, and what was reached, in microseconds,
    /// or [`NO_TIME`].
    pub fn resumed(expected: u32, senders: &[(u32, Progress)], reached: i64) -> Self {
        let mut watermark = Self::new(expected);
        senders.iter().for_each(|(sender, progress)| watermark.report(*sender, *progress));
        watermark.reached = watermark.reached.max(reached);
        watermark
    }

    /// Takes in what a sender says. Its own progress never goes back.
    pub fn report(&mut self, sender: u32, progress: Progress) {
        let merged = match (self.senders.get(&sender), progress) {
            (Some(Progress::At(known)), Progress::At(new)) => Progress::At((*known).max(new)),
            (_, new) => new,
        };
        self.senders.insert(sender, merged);
        self.reached = self.reached.max(self.lowest());
    }

    fn lowest(&self) -> i64 {
        if self.senders.len() < self.expected as usize {
            return NO_TIME;
        }
        let times = self.senders.values().filter_map(|progress| match progress {
            Progress::At(time) => Some(*time),
            Progress::Idle => None,
        });
        times.min().unwrap_or(NO_TIME)
    }

    /// The watermark in microseconds, or [`NO_TIME`]: windows that end at or before it are closed.
    pub fn value(&self) -> i64 {
        self.reached
    }

    /// What was reported, for the state.
    pub fn senders(&self) -> impl Iterator<Item = (u32, Progress)> {
        self.senders.iter().map(|(sender, progress)| (*sender, *progress))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_judged_by_what_came_before_it() {
        let mut watermark = SourceWatermark::resumed(NO_TIME, NO_TIME, Some(10));
        assert_eq!(watermark.pass(100), NO_TIME);
        assert_eq!(watermark.pass(50), 90);
        assert_eq!(watermark.pass(120), 90);
        assert_eq!(watermark.pass(1), 110);
    }

    #[test]
    fn closing_windows_at_the_end_of_a_run_leaves_the_highest_event_time_as_it_was() {
        let mut watermark = SourceWatermark::resumed(100, NO_TIME, Some(10));
        watermark.advance_to(200);
        assert_eq!((watermark.highest(), watermark.value()), (100, 200));
        assert_eq!(watermark.pass(150), 200);
        assert_eq!(SourceWatermark::resumed(150, 200, Some(10)).value(), 200);
    }

    #[test]
    fn a_row_that_says_its_watermark_is_judged_by_it_and_closes_nothing_before_all_partitions_have_come_so_far() {
        let mut watermark = SourceWatermark::resumed(NO_TIME, NO_TIME, None);
        assert_eq!(watermark.pass_told(100, 90, 20), 90);
        assert_eq!(watermark.value(), 20);
        // A partition that was idle and comes back with old rows.
        assert_eq!(watermark.pass_told(5, NO_TIME, 40), 40);
        assert_eq!((watermark.value(), watermark.highest()), (40, 100));
    }

    #[test]
    fn a_receiver_waits_for_every_sender_to_report_once() {
        let mut watermark = ReceiverWatermark::new(2);
        watermark.report(0, Progress::At(500));
        assert_eq!(watermark.value(), NO_TIME);
        watermark.report(1, Progress::Idle);
        assert_eq!(watermark.value(), 500);
    }

    #[test]
    fn the_slowest_sender_decides_and_an_idle_one_does_not() {
        let mut watermark = ReceiverWatermark::new(3);
        watermark.report(0, Progress::At(500));
        watermark.report(1, Progress::At(100));
        watermark.report(2, Progress::Idle);
        assert_eq!(watermark.value(), 100);
        watermark.report(1, Progress::At(300));
        assert_eq!(watermark.value(), 300);
    }

    #[test]
    fn a_watermark_never_goes_back() {
        let mut watermark = ReceiverWatermark::new(2);
        watermark.report(0, Progress::At(500));
        watermark.report(1, Progress::Idle);
        watermark.report(1, Progress::At(20));
        assert_eq!(watermark.value(), 500);
        watermark.report(0, Progress::At(400));
        assert_eq!(watermark.value(), 500);
    }
}

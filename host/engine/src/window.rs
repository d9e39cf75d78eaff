//! Which windows a row belongs to. Windows are half open, `start..end`, in microseconds of event time,
//! aligned to 1970-01-01T00:00:00Z.

use azenha_model::plan::Window;

/// A window's bounds in microseconds: `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first microsecond in it.
    pub start: i64,
    /// The first microsecond after it.
    pub end: i64,
}

impl Span {
    /// Whether rows in it are not late.
    pub fn is_open(self, watermark: i64) -> bool {
        self.end > watermark
    }
}

/// Where a row belongs, given the watermark that stood before it.
pub trait Assign {
    /// Calls `each` with every window of `time` that is still open; says whether there was one. A row
    /// without an open window is late.
    fn assign(&self, time: i64, watermark: i64, each: impl FnMut(Span)) -> bool;

    /// How far past the highest event time the last window that a row can be in may end.
    fn reach(&self) -> i64;
}

impl Assign for Window {
    fn assign(&self, time: i64, watermark: i64, mut each: impl FnMut(Span)) -> bool {
        match *self {
            Self::Tumbling { size } => {
                let start = time - time.rem_euclid(size);
                let span = Span { start, end: start.saturating_add(size) };
                let open = span.is_open(watermark);
                if open {
                    each(span);
                }
                open
            }
            Self::Hopping { size, hop } => {
                let latest = time - time.rem_euclid(hop);
                let mut open = false;
                let mut start = latest;
                while start.saturating_add(size) > time {
                    let span = Span { start, end: start.saturating_add(size) };
                    if span.is_open(watermark) {
                        open = true;
                        each(span);
                    }
                    start -= hop;
                }
                open
            }
            // A row at or after the watermark can't touch a session that has closed (its end is at most the
            // watermark), so that when a session closes does not depend on how rows were batched. An older
            // one could, hence it is late although its own gap may reach beyond the watermark.
            Self::Session { gap } => {
                let open = time >= watermark;
                if open {
                    each(Span { start: time, end: time.saturating_add(gap) });
                }
                open
            }
        }
    }

    fn reach(&self) -> i64 {
        match *self {
            Self::Tumbling { size } | Self::Hopping { size, .. } => size,
            Self::Session { gap } => gap,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::NO_TIME;

    fn windows(window: Window, time: i64, watermark: i64) -> Vec<(i64, i64)> {
        let mut spans = Vec::new();
        let open = window.assign(time, watermark, |span| spans.push((span.start, span.end)));
        assert_eq!(open, !spans.is_empty());
        spans
    }

    #[test]
    fn a_tumbling_window_holds_its_start_and_not_its_end() {
        let window = Window::Tumbling { size: 10 };
        assert_eq!(windows(window, 20, NO_TIME), [(20, 30)]);
        assert_eq!(windows(window, 29, NO_TIME), [(20, 30)]);
        assert_eq!(windows(window, 30, NO_TIME), [(30, 40)]);
        assert_eq!(windows(window, -1, NO_TIME), [(-10, 0)]);
    }

    #[test]
    fn a_row_is_late_when_its_window_ended_at_the_watermark() {
        let window = Window::Tumbling { size: 10 };
        assert_eq!(windows(window, 25, 29), [(20, 30)]);
        assert_eq!(windows(window, 25, 30), []);
    }

    #[test]
    fn a_row_goes_to_those_hopping_windows_that_are_open() {
        let window = Window::Hopping { size: 10, hop: 4 };
        assert_eq!(windows(window, 9, NO_TIME), [(8, 18), (4, 14), (0, 10)]);
        assert_eq!(windows(window, 9, 10), [(8, 18), (4, 14)]);
        assert_eq!(windows(window, 9, 18), []);
    }

    #[test]
    fn a_row_older_than_the_watermark_is_late_for_every_session() {
        let window = Window::Session { gap: 10 };
        assert_eq!(windows(window, 100, 100), [(100, 110)]);
        assert_eq!(windows(window, 99, 100), []);
    }
}

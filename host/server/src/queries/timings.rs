//! How long answers take.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With rows, or without any.
    Answered,
    /// The request was wrong.
    Refused,
    /// The database did not answer.
    Failed,
}

impl Ended {
    /// Each of them, with its name in metrics.
    pub const ALL: [(Self, &str); 3] =
        [(Self::Answered, "answered"), (Self::Refused, "refused"), (Self::Failed, "failed")];
}

/// Upper bounds of the buckets, in microseconds; a last one has no bound.
pub const BUCKETS: [u64; 13] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000];

/// A histogram for each end.
#[derive(Debug, Default)]
pub struct Timings([Histogram; Ended::ALL.len()]);

/// Durations by bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    /// How many fell into each bucket.
    counts: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

impl Timings {
    /// Counts an answer.
    pub fn count(&self, ended: Ended, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let histogram = &self.0[ended as usize];
        histogram.counts[BUCKETS.partition_point(|bound| micros > *bound)].fetch_add(1, Relaxed);
        histogram.micros.fetch_add(micros, Relaxed);
    }

    /// The sum in seconds, and each bucket's bound in seconds with its count.
    pub fn read(&self, ended: Ended) -> (f64, Vec<(f64, u64)>) {
        let histogram = &self.0[ended as usize];
        let bounds = BUCKETS.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
        let counts = histogram.counts.iter().map(|count| count.load(Relaxed));
        (histogram.micros.load(Relaxed) as f64 / 1e6, bounds.zip(counts).collect())
    }
}

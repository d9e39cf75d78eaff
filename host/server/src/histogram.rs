//! Durations by bucket, as metrics tell them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds; a last one has no bound.
const BUCKETS: [u64; 13] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000];

/// How long things took.
#[derive(Debug, Default)]
pub struct Histogram {
    /// How many fell into each bucket.
    counts: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub fn count(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts[BUCKETS.partition_point(|bound| micros > *bound)].fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    /// The sum in seconds, and each bucket's bound in seconds with its count.
    pub fn read(&self) -> (f64, Vec<(f64, u64)>) {
        let bounds = BUCKETS.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        (self.micros.load(Relaxed) as f64 / 1e6, bounds.zip(counts).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::default();
        for micros in [500, 501, 20_000_000] {
            histogram.count(Duration::from_micros(micros));
        }
        let (sum, buckets) = histogram.read();
        let filled: Vec<(f64, u64)> = buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.0005, 1), (0.001, 1), (f64::INFINITY, 1)]);
        assert!((sum - 20.001_001).abs() < 1e-9, "{sum}");
    }
}

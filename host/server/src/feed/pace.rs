//! How fast records are fed: as fast as they go, or so many a second over all files together.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A bound on records a second, shared by every feed.
#[derive(Debug)]
pub struct Pace {
    /// Records a second; none: no bound.
    rate: Option<u32>,
    /// When the next records may go.
    next: Mutex<Instant>,
}

impl Pace {
    /// At most `rate` records a second.
    pub fn new(rate: Option<u32>) -> Self {
        Self { rate, next: Mutex::new(Instant::now()) }
    }

    /// How many records are fed at once: what goes in a tenth of a second.
    pub fn stride(&self) -> Option<usize> {
        self.rate.map(|rate| (rate as usize / 10).max(1))
    }

    /// Waits until `records` more may go.
    pub async fn admit(&self, records: usize) {
        if let Some(rate) = self.rate {
            sleep_until(self.turn(records, rate, Instant::now())).await;
        }
    }

    /// When `records` that are ready `now` may go; whoever asks next comes after them.
    fn turn(&self, records: usize, rate: u32, now: Instant) -> Instant {
        let taken = Duration::from_secs_f64(records as f64 / f64::from(rate.max(1)));
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(now);
        *next = turn + taken;
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_asks_shares_one_rate() {
        let pace = Pace::new(Some(100));
        let now = Instant::now();
        let waits: Vec<u128> = (0..4).map(|_| pace.turn(10, 100, now).duration_since(now).as_millis()).collect();
        assert_eq!(waits, [0, 100, 200, 300]);
        let later = now + Duration::from_secs(10);
        assert_eq!(pace.turn(10, 100, later), later, "time that went unused is not made up for");
    }
}

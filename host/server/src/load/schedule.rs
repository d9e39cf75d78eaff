//! When records are due. The world does not click more slowly because a system is slow, so time that was lost is
//! made up for.

use std::time::Duration;

/// Records are sent so long together, so that a high rate does not mean as many calls.
const TICKS_PER_SECOND: u32 = 200;

/// A steady rate from the beginning of a load on.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Records a second.
    rate: u32,
}

impl Schedule {
    /// `rate` records a second, at least one.
    pub fn new(rate: u32) -> Self {
        Self { rate: rate.max(1) }
    }

    /// How many records may go now, of `left` that are to come, or how long to wait until some may. `sent` were
    /// sent in the time `elapsed` since the beginning.
    pub fn due(self, sent: u64, left: u64, elapsed: Duration) -> Result<u64, Duration> {
        let due = self.by(elapsed).saturating_sub(sent).min(left);
        let together = u64::from((self.rate / TICKS_PER_SECOND).max(1)).min(left);
        if due >= together { Ok(due) } else { Err(self.when(sent + together).saturating_sub(elapsed)) }
    }

    /// Records that are due by then.
    fn by(self, elapsed: Duration) -> u64 {
        let due = elapsed.as_nanos() * u128::from(self.rate) / 1_000_000_000;
        u64::try_from(due).unwrap_or(u64::MAX)
    }

    /// When so many records are due.
    fn when(self, records: u64) -> Duration {
        let nanos = (u128::from(records) * 1_000_000_000).div_ceil(u128::from(self.rate));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn records_go_when_they_are_due_and_a_high_rate_in_portions() {
        let schedule = Schedule::new(20_000);
        assert_eq!(schedule.due(0, 1_000_000, Duration::ZERO), Err(5 * MILLISECOND));
        assert_eq!(schedule.due(0, 1_000_000, 4 * MILLISECOND), Err(MILLISECOND));
        assert_eq!(schedule.due(0, 1_000_000, 5 * MILLISECOND), Ok(100));
        assert_eq!(schedule.due(100, 1_000_000, 5 * MILLISECOND), Err(5 * MILLISECOND));
        let slow = Schedule::new(2);
        assert_eq!(slow.due(3, 100, 1_000 * MILLISECOND), Err(1_000 * MILLISECOND));
        assert_eq!(slow.due(3, 100, 2_000 * MILLISECOND), Ok(1));
    }

    #[test]
    fn time_that_was_lost_is_made_up_for() {
        assert_eq!(Schedule::new(1_000).due(100, u64::MAX, Duration::from_secs(2)), Ok(1_900));
    }

    #[test]
    fn the_last_records_do_not_wait_for_a_whole_portion() {
        let schedule = Schedule::new(20_000);
        assert_eq!(schedule.due(0, 7, Duration::from_micros(350)), Ok(7));
        assert_eq!(schedule.due(0, 7, 5 * MILLISECOND), Ok(7));
    }

    #[test]
    fn whoever_waits_as_long_as_told_may_go() {
        for rate in [1, 3, 7, 999, 1_001, 333_333, u32::MAX] {
            let (schedule, sent) = (Schedule::new(rate), 1_000_000_007);
            let elapsed = schedule.when(sent);
            let wait = schedule.due(sent, u64::MAX, elapsed).unwrap_err();
            assert!(schedule.due(sent, u64::MAX, elapsed + wait).is_ok(), "{rate}");
        }
    }
}

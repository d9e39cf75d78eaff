//! When batches run.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use croner::Cron;

/// Times of a calendar in UTC, as cron writes them: minute, hour, day of the month, month, day of the week.
#[derive(Clone, PartialEq)]
pub struct Schedule(Cron);

impl Schedule {
    /// Reads `0 3 * * *`, or one of cron's names such as `@daily`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_named = text.starts_with('@');
        let parts = text.split_whitespace().count();
        if !is_named && parts != 5 {
            return Err(format!(
                "it has {parts} parts, and a schedule has five: minute, hour, day, month, day of the week"
            ));
        }
        Cron::from_str(text).map(Self).map_err(|error| error.to_string())
    }

    /// The first of its times after one, both in microseconds since 1970; none if there is none.
    pub fn next_after(&self, time: i64) -> Option<i64> {
        let time = DateTime::<Utc>::from_timestamp_micros(time)?;
        self.0.find_next_occurrence(&time, false).ok().map(|next| next.timestamp_micros())
    }

    /// The last of its times that is not after one, both in microseconds since 1970; none if there is none.
    pub fn last_until(&self, time: i64) -> Option<i64> {
        let time = DateTime::<Utc>::from_timestamp_micros(time)?;
        self.0.find_previous_occurrence(&time, true).ok().map(|last| last.timestamp_micros())
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({self})")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        text.parse::<DateTime<Utc>>().unwrap().timestamp_micros()
    }

    #[test]
    fn times_of_a_day_are_those_of_utc() {
        let daily = Schedule::parse("0 3 * * *").unwrap();
        assert_eq!(daily.next_after(micros("2024-02-28T03:00:00Z")), Some(micros("2024-02-29T03:00:00Z")));
        assert_eq!(daily.next_after(micros("2024-02-28T02:59:59Z")), Some(micros("2024-02-28T03:00:00Z")));
        assert_eq!(daily.last_until(micros("2024-03-01T02:59:59Z")), Some(micros("2024-02-29T03:00:00Z")));
        assert_eq!(daily.last_until(micros("2024-03-01T03:00:00Z")), Some(micros("2024-03-01T03:00:00Z")));
        let mondays = Schedule::parse("30 6 * * 1").unwrap();
        assert_eq!(mondays.next_after(micros("2024-02-29T00:00:00Z")), Some(micros("2024-03-04T06:30:00Z")));
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for wrong in ["", "daily", "0 3 * *", "0 25 * * *", "* * * * * *", "0 3 32 * *"] {
            assert!(Schedule::parse(wrong).is_err(), "{wrong}");
        }
    }
}

//! Values that Rust has no type of its own for, and how they are written.

use std::fmt;
use std::str::FromStr;

/// Days since 1970-01-01; written `2024-02-29`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i32);

/// Microseconds since midnight; written `23:59:59` or `23:59:59.000001`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// Microseconds since 1970-01-01T00:00:00Z; written `2024-02-29T23:59:59Z`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// Text that holds one JSON value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Json<T>(pub T);

/// Text that is no value of the type that it was read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// What was found.
    pub found: String,
    /// What would be right.
    pub expected: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not {}", self.found, self.expected)
    }
}

impl std::error::Error for Malformed {}

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

impl Date {
    /// Year, month (from 1) and day (from 1) in the Gregorian calendar.
    pub fn year_month_day(self) -> (i32, u8, u8) {
        // Years are counted from 1 March, so that the leap day comes last; 400 years have 146,097 days.
        let days = i64::from(self.0) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = 400 * era + year_of_era + i64::from(month <= 2);
        (year as i32, month as u8, day as u8)
    }

    /// The date with this year, month and day; none if there is no such day.
    pub fn from_year_month_day(year: i32, month: u8, day: u8) -> Option<Self> {
        let (shifted_year, shifted_month) = if month > 2 {
            (i64::from(year), i64::from(month) - 3)
        } else {
            (i64::from(year) - 1, i64::from(month) + 9)
        };
        let (era, year_of_era) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
        let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(day) - 1;
        let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let date = Self(i32::try_from(146_097 * era + day_of_era - 719_468).ok()?);
        (date.year_month_day() == (year, month, day)).then_some(date)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.year_month_day();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Date {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parse = || {
            let (rest, day) = text.rsplit_once('-')?;
            let (year, month) = rest.rsplit_once('-')?;
            Self::from_year_month_day(year.parse().ok()?, two_digits(month)?, two_digits(day)?)
        };
        parse().ok_or_else(|| Malformed { found: text.to_owned(), expected: "a date such as 2024-02-29" })
    }
}

fn two_digits(text: &str) -> Option<u8> {
    (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0 / SECOND, self.0 % SECOND);
        write!(f, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        if micros != 0 {
            write!(f, ".{micros:06}")?;
        }
        Ok(())
    }
}

impl FromStr for Time {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parse = || {
            let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
            let mut parts = clock.split(':').map(two_digits);
            let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
            let digits = (1..=6).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
            if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 59 || !digits {
                return None;
            }
            let micros: i64 = format!("{fraction:0<6}").parse().ok()?;
            Some(Self((i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds)) * SECOND + micros))
        };
        parse().ok_or_else(|| Malformed { found: text.to_owned(), expected: "a time such as 23:59:59 or 23:59:59.25" })
    }
}

impl Timestamp {
    /// The day, in UTC.
    pub fn date(self) -> Date {
        Date(self.0.div_euclid(DAY) as i32)
    }

    /// The time of the day, in UTC.
    pub fn time(self) -> Time {
        Time(self.0.rem_euclid(DAY))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{}Z", self.date(), self.time())
    }
}

impl FromStr for Timestamp {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parse = || {
            let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
            let (date, time): (Date, Time) = (date.parse().ok()?, time.parse().ok()?);
            i64::from(date.0).checked_mul(DAY)?.checked_add(time.0).map(Self)
        };
        parse().ok_or_else(|| Malformed { found: text.to_owned(), expected: "a time such as 2024-02-29T23:59:59Z" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_agree_with_the_calendar() {
        for (days, written) in [(0, "1970-01-01"), (-1, "1969-12-31"), (19_782, "2024-02-29"), (-719_528, "0000-01-01")]
        {
            assert_eq!(Date(days).to_string(), written);
            assert_eq!(written.parse(), Ok(Date(days)));
        }
    }

    #[test]
    fn every_day_of_eight_centuries_is_written_and_read_back() {
        for days in -146_097..146_097 {
            let (year, month, day) = Date(days).year_month_day();
            assert_eq!(Date::from_year_month_day(year, month, day), Some(Date(days)));
        }
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        for wrong in ["2023-02-29", "2024-13-01", "2024-00-10", "2024-1-01", "2024", "", "2024-01-+1"] {
            assert!(wrong.parse::<Date>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_before_1970_keep_their_time_of_day() {
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999999Z");
        assert_eq!("1969-12-31T23:59:59.999999Z".parse(), Ok(Timestamp(-1)));
    }

    #[test]
    fn malformed_times_are_refused() {
        for wrong in ["24:00:00", "1:00:00", "10:60:00", "10:00", "10:00:00.", "10:00:00.1234567", "10:00:00:00"] {
            assert!(wrong.parse::<Time>().is_err(), "{wrong}");
        }
    }
}

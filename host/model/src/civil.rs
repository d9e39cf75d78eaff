//! Dates and times of the proleptic Gregorian calendar: as numbers in columns, and as text outside.
//!
//! Text is read in the years 1 to 9999; it is written for every number, with a sign before the year outside
//! of these (ISO 8601's expanded form), so that writing never fails.

use std::ops::RangeInclusive;

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// Microseconds in a day.
pub const DAY: i64 = 24 * HOUR;

/// The timestamps, in microseconds UTC, of the years 1 to 9999: what text can say, and what every store keeps.
pub const TIMESTAMPS: RangeInclusive<i64> = -719_162 * DAY..=2_932_897 * DAY - 1;

/// Days since 1970-01-01 from `YYYY-MM-DD`.
pub fn parse_date(text: &str) -> Option<i32> {
    let mut reader = Reader(text.as_bytes());
    let days = reader.date()?;
    reader.end()?;
    i32::try_from(days).ok()
}

/// Microseconds since midnight from `HH:MM:SS[.f]`. Digits after the sixth are dropped; ten or more are refused.
pub fn parse_time(text: &str) -> Option<i64> {
    let mut reader = Reader(text.as_bytes());
    let micros = reader.time()?;
    reader.end()?;
    Some(micros)
}

/// Microseconds UTC from `YYYY-MM-DDTHH:MM:SS[.f]` and `Z` or `±HH:MM`. A space may stand for the `T`.
/// The fraction is read as in [`parse_time`].
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let mut reader = Reader(text.as_bytes());
    let days = reader.date()?;
    reader.any_of(b"Tt ")?;
    let time = reader.time()?;
    let offset = reader.zone()?;
    reader.end()?;
    let micros = days * DAY + time - offset;
    TIMESTAMPS.contains(&micros).then_some(micros)
}

/// What remains to be read of a date or time.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn date(&mut self) -> Option<i64> {
        let year = self.digits(4)?;
        self.any_of(b"-")?;
        let month = self.digits(2)?;
        self.any_of(b"-")?;
        let day = self.digits(2)?;
        let exists = year >= 1 && (1..=12).contains(&month) && day >= 1 && day <= days_of_month(year, month);
        exists.then(|| days_from_civil(year, month, day))
    }

    fn time(&mut self) -> Option<i64> {
        let hour = self.digits(2)?;
        self.any_of(b":")?;
        let minute = self.digits(2)?;
        self.any_of(b":")?;
        let second = self.digits(2)?;
        let fraction = self.fraction()?;
        let exists = hour < 24 && minute < 60 && second < 60;
        exists.then_some(hour * HOUR + minute * MINUTE + second * SECOND + fraction)
    }

    /// The microseconds of `.f`; zero if there is none.
    fn fraction(&mut self) -> Option<i64> {
        if self.any_of(b".").is_none() {
            return Some(0);
        }
        let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&length) {
            return None;
        }
        let nanos = self.digits(length)? * 10_i64.pow(9 - length as u32);
        Some(nanos / 1000)
    }

    /// The microseconds that a zone is ahead of UTC.
    fn zone(&mut self) -> Option<i64> {
        let sign = match self.any_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hours = self.digits(2)?;
        self.any_of(b":")?;
        let minutes = self.digits(2)?;
        (hours < 24 && minutes < 60).then_some(sign * (hours * HOUR + minutes * MINUTE))
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
    }

    fn any_of(&mut self, choices: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        choices.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// `YYYY-MM-DD` from days since 1970-01-01.
pub fn format_date(days: i32) -> String {
    let mut out = String::with_capacity(10);
    push_date(&mut out, days);
    out
}

/// `HH:MM:SS[.ffffff]` from microseconds since midnight.
pub fn format_time(micros: i64) -> String {
    let mut out = String::with_capacity(15);
    push_time(&mut out, micros);
    out
}

/// `YYYY-MM-DD HH:MM:SS[.ffffff]`, as SQL has it, from microseconds UTC.
pub fn format_timestamp(micros: i64) -> String {
    let mut out = String::with_capacity(26);
    push_days(&mut out, micros.div_euclid(DAY));
    out.push(' ');
    push_time(&mut out, micros.rem_euclid(DAY));
    out
}

/// Appends `YYYY-MM-DDTHH:MM:SS[.ffffff]Z` (ISO 8601) of microseconds UTC.
pub fn push_iso(out: &mut String, micros: i64) {
    push_days(out, micros.div_euclid(DAY));
    out.push('T');
    push_time(out, micros.rem_euclid(DAY));
    out.push('Z');
}

/// Appends what [`format_date`] gives.
pub fn push_date(out: &mut String, days: i32) {
    push_days(out, i64::from(days));
}

/// Appends what [`format_time`] gives.
pub fn push_time(out: &mut String, micros: i64) {
    push_digits(out, micros / HOUR, 2);
    out.push(':');
    push_digits(out, micros % HOUR / MINUTE, 2);
    out.push(':');
    push_digits(out, micros % MINUTE / SECOND, 2);
    let fraction = micros % SECOND;
    if fraction != 0 {
        out.push('.');
        push_digits(out, fraction, 6);
    }
}

fn push_days(out: &mut String, days: i64) {
    let (year, month, day) = civil_from_days(days);
    match year {
        0..=9999 => {}
        ..0 => out.push('-'),
        _ => out.push('+'),
    }
    push_digits(out, year, 4);
    out.push('-');
    push_digits(out, month, 2);
    out.push('-');
    push_digits(out, day, 2);
}

/// The digits of a number without its sign, at least `width`.
fn push_digits(out: &mut String, value: i64, width: u32) {
    let value = value.unsigned_abs();
    let digits = value.checked_ilog10().map_or(1, |log| log + 1).max(width);
    for place in (0..digits).rev() {
        out.push(char::from(b'0' + (value / 10_u64.pow(place) % 10) as u8));
    }
}

// The two conversions are Howard Hinnant's, https://howardhinnant.github.io/date_algorithms.html: years start
// in March, so that the leap day is a year's last, and 400 of them, an era, always have 146,097 days.
const DAYS_OF_ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

/// Days since 1970-01-01.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    year.div_euclid(400) * DAYS_OF_ERA + day_of_era - EPOCH
}

/// Year, month and day from days since 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH;
    let day_of_era = days.rem_euclid(DAYS_OF_ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = days.div_euclid(DAYS_OF_ERA) * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_the_years_1_to_9999_follows_its_predecessor_and_comes_back_from_text() {
        let mut expected = *TIMESTAMPS.start() / DAY;
        for year in 1..=9999 {
            for month in 1..=12 {
                for day in 1..=days_of_month(year, month) {
                    assert_eq!(days_from_civil(year, month, day), expected);
                    assert_eq!(civil_from_days(expected), (year, month, day));
                    expected += 1;
                }
            }
        }
        assert_eq!(expected * DAY - 1, *TIMESTAMPS.end());
        assert_eq!(parse_date(&format_date(19_726)), Some(19_726));
    }

    #[test]
    fn timestamps_are_read_in_every_zone() {
        let noon = 1_704_369_600 * SECOND;
        for text in [
            "2024-01-04T12:00:00Z",
            "2024-01-04 12:00:00z",
            "2024-01-04t14:30:00+02:30",
            "2024-01-03T23:00:00.000000-13:00",
        ] {
            assert_eq!(parse_timestamp(text), Some(noon), "{text}");
        }
        assert_eq!(parse_timestamp("1969-12-31T23:59:59.9999999Z"), Some(-1));
        assert_eq!(parse_timestamp("2024-01-04T12:00:00.5Z"), Some(noon + 500_000));
    }

    #[test]
    fn what_is_no_date_or_time_is_refused() {
        for text in
            ["", "2024-1-04", "2023-02-29", "1900-02-29", "2024-13-01", "0000-01-01", "2024-01-00", "2024-01-011"]
        {
            assert_eq!(parse_date(text), None, "{text}");
        }
        for text in
            ["", "24:00:00", "23:60:00", "23:59:60", "1:00:00", "10:00", "10:00:00.", "10:00:00.1234567890", "+1:00:00"]
        {
            assert_eq!(parse_time(text), None, "{text}");
        }
        for text in [
            "2024-01-04T12:00:00",
            "2024-01-04T12:00:00+0100",
            "2024-01-04T12:00:00+24:00",
            "2024-01-04_12:00:00Z",
            "2024-01-04T12:00:00Z ",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn text_is_written_for_every_number() {
        assert_eq!(format_timestamp(0), "1970-01-01 00:00:00");
        assert_eq!(format_timestamp(-1), "1969-12-31 23:59:59.999999");
        assert_eq!(format_timestamp(1_704_368_738_050_000), "2024-01-04 11:45:38.050000");
        assert_eq!(format_timestamp(i64::MAX), "+294247-01-10 04:00:54.775807");
        assert_eq!(format_timestamp(i64::MIN), "-290308-12-21 19:59:05.224192");
        assert_eq!(format_date(i32::MIN), "-5877641-06-23");
        assert_eq!(format_date(i32::MAX), "+5881580-07-11");
        assert_eq!(format_time(DAY - 1), "23:59:59.999999");
        let mut iso = String::new();
        push_iso(&mut iso, *TIMESTAMPS.end());
        assert_eq!(iso, "9999-12-31T23:59:59.999999Z");
        assert_eq!(parse_timestamp(&iso), Some(*TIMESTAMPS.end()));
    }
}

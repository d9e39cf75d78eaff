//! Values of parameters and of answers.

use std::fmt;

use crate::civil::{self, parse_date, parse_time, parse_timestamp};
use crate::types::{DECIMAL_PRECISION, DataType};
use crate::units::parse_duration;

/// A value that goes into a statement, or comes out of one.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// There is none.
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Int64(i64),
    /// A floating-point number.
    Float64(f64),
    /// A decimal number as text, with all its digits.
    Decimal(String),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// Text that holds one JSON value.
    Json(String),
}

/// How the present, and what lies before it, is written: `now`, `now-15m`.
const NOW: &str = "now";

impl Value {
    /// Reads a value as people write it; `now` is the present, in microseconds since 1970, for `now-15m`.
    ///
    /// # Errors
    /// What would be right.
    pub fn read(data_type: DataType, text: &str, now: i64) -> Result<Self, &'static str> {
        match data_type {
            DataType::Boolean => text.parse().map(Self::Boolean).map_err(|_| "write `true` or `false`"),
            DataType::Int64 => text.parse().map(Self::Int64).map_err(|_| "write a whole number of 64 bits"),
            DataType::Float64 => {
                let number = text.parse().ok().filter(|number: &f64| number.is_finite());
                number.map(Self::Float64).ok_or("write a number")
            }
            DataType::Decimal { scale } => decimal(text, scale).ok_or("write a number with no more digits after the point"),
            // No database takes this character in a text.
            DataType::Text if text.contains('\0') => Err("leave out the character NUL"),
            DataType::Text => Ok(Self::Text(text.to_owned())),
            DataType::Date => parse_date(text).map(Self::Date).ok_or("write a date as 2026-01-31"),
            DataType::Time => parse_time(text).map(Self::Time).ok_or("write a time as 23:59:59"),
            DataType::Timestamp => {
                relative(text, now).or_else(|| parse_timestamp(text)).map(Self::Timestamp).ok_or(
                    "write a time as 2026-01-31T12:00:00Z (in a URL `+` is `%2B`), or `now-15m` for a quarter of an hour ago",
                )
            }
            DataType::Bytes | DataType::Json => Err("values of this type cannot be written here"),
        }
    }
}

/// The present or a time before it.
fn relative(text: &str, now: i64) -> Option<i64> {
    match text.strip_prefix(NOW)? {
        "" => Some(now),
        ago => {
            let before = i64::try_from(parse_duration(ago.strip_prefix('-')?)?.as_micros()).ok()?;
            now.checked_sub(before).filter(|then| civil::TIMESTAMPS.contains(then))
        }
    }
}

fn decimal(text: &str, scale: u8) -> Option<Value> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let fits = whole.len() + usize::from(scale) <= usize::from(DECIMAL_PRECISION);
    let is_one =
        are_digits(whole) && are_digits(fraction) && fits && fraction.trim_end_matches('0').len() <= scale.into();
    is_one.then(|| Value::Decimal(text.to_owned()))
}

/// As [`Value::read`] reads it, but for what it does not read: nothing, bytes and JSON.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null | Self::Bytes(_) => Ok(()),
            Self::Boolean(value) => write!(formatter, "{value}"),
            Self::Int64(value) => write!(formatter, "{value}"),
            Self::Float64(value) => write!(formatter, "{value}"),
            Self::Decimal(text) | Self::Text(text) | Self::Json(text) => formatter.write_str(text),
            Self::Date(days) => formatter.write_str(&civil::format_date(*days)),
            Self::Time(micros) => formatter.write_str(&civil::format_time(*micros)),
            Self::Timestamp(micros) => {
                let mut text = String::new();
                civil::push_iso(&mut text, *micros);
                formatter.write_str(&text)
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    const NOON: i64 = 1_769_860_800_000_000;

    #[test]
    fn what_is_written_is_read_again() {
        for (data_type, text) in [
            (DataType::Boolean, "true"),
            (DataType::Int64, "-9223372036854775808"),
            (DataType::Float64, "1.5"),
            (DataType::Decimal { scale: 2 }, "-12.50"),
            (DataType::Text, "it's; -- \"text\""),
            (DataType::Date, "2026-01-31"),
            (DataType::Time, "23:59:59.500000"),
            (DataType::Timestamp, "2026-01-31T12:00:00Z"),
        ] {
            assert_eq!(Value::read(data_type, text, 0).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_time_may_be_given_by_how_long_ago_it_was() {
        let read = |text| Value::read(DataType::Timestamp, text, NOON);
        assert_eq!(read("now"), Ok(Value::Timestamp(NOON)));
        assert_eq!(read("now-15m"), Ok(Value::Timestamp(NOON - 900_000_000)));
        assert_eq!(read("2026-01-31T09:00:00-03:00"), Ok(Value::Timestamp(NOON)));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (data_type, text) in [
            (DataType::Boolean, "yes"),
            (DataType::Int64, "9223372036854775808"),
            (DataType::Int64, "1; DROP TABLE x"),
            (DataType::Float64, "NaN"),
            (DataType::Float64, "inf"),
            (DataType::Decimal { scale: 2 }, "1.234"),
            (DataType::Decimal { scale: 2 }, "1e5"),
            (DataType::Text, "a\0b"),
            (DataType::Date, "2026-02-30"),
            (DataType::Timestamp, "now+15m"),
            (DataType::Timestamp, "now-36501d"),
            (DataType::Timestamp, "yesterday"),
            (DataType::Timestamp, "2026-01-31T12:00:00"),
        ] {
            assert!(Value::read(data_type, text, NOON).is_err(), "{text}");
        }
    }
}

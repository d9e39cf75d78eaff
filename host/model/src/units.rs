//! Durations and sizes as people write them: `30s`, `64MiB`.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, SchemaGenerator, json_schema};

use crate::yaml::{FromNode, Node, Report, Value};

/// A duration in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Micros(pub i64);

impl Micros {
    pub fn duration(self) -> Duration {
        Duration::from_micros(self.0.unsigned_abs())
    }
}

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(pub u64);

const DURATIONS: &[(&str, u64)] =
    &[("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];

/// 36500 days: sums and small multiples of durations and times stay within 63 bits.
const MAX_DURATION: i64 = 36_500 * 86_400_000_000;

const SIZES: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// A whole number and a unit, in the smallest unit; nothing if it is not one or too large for 63 bits.
fn measure(text: &str, units: &[(&str, u64)]) -> Option<i64> {
    let (digits, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    i64::try_from(digits.parse::<u64>().ok()?.checked_mul(*factor)?).ok()
}

/// A duration as people write it: `500ms`, `30s`, `2m`; nothing if it is none, or longer than 36500 days.
pub fn parse_duration(text: &str) -> Option<Duration> {
    measure(text, DURATIONS).filter(|measured| *measured <= MAX_DURATION).map(|measured| Micros(measured).duration())
}

fn read(node: &Node, what: &str, units: &[(&str, u64)], most: i64, help: &str, report: &mut Report) -> Option<i64> {
    let text = match &node.value {
        Value::Number(number) => number.to_string(),
        _ => String::from_node(node, report)?,
    };
    let measured = measure(&text, units).filter(|measured| *measured <= most);
    if measured.is_none() {
        report.error(node.place, format!("{} is not {what}", node.quoted(&text))).suggest(help);
    }
    measured
}

impl FromNode for Micros {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let help = "write a whole number and its unit: `500ms`, `30s`, `2m`, `1h`, `1d`; at most `36500d`";
        read(node, "a duration", DURATIONS, MAX_DURATION, help, report).map(Self)
    }
}

impl FromNode for Bytes {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let help = "write a whole number and its unit: `512B`, `64KiB`, `64MiB`, `1GiB`, `1TiB`";
        read(node, "a size", SIZES, i64::MAX, help, report).map(|bytes| Self(bytes.unsigned_abs()))
    }
}

impl JsonSchema for Bytes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]+(B|KiB|MiB|GiB|TiB)|.*\\$\\{.*)$", "examples": ["64MiB"] })
    }
}

impl JsonSchema for Micros {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d)|.*\\$\\{.*)$", "examples": ["500ms", "30s", "2m"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(measure("500ms", DURATIONS), Some(500_000));
        assert_eq!(measure("2m", DURATIONS), Some(120_000_000));
        assert_eq!(measure("1d", DURATIONS), Some(86_400_000_000));
        assert_eq!(measure("64MiB", SIZES), Some(64 << 20));
    }

    #[test]
    fn what_has_no_unit_or_an_unknown_one_or_is_too_large_is_refused() {
        for wrong in ["30", "s", "", "1.5s", "-1s", "30 s", "30sec", "9999999999999d", "30S"] {
            assert_eq!(measure(wrong, DURATIONS), None, "{wrong}");
        }
    }
}

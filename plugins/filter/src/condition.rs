//! The configuration: conditions as they are written.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A condition on a row.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(untagged))]
pub enum Condition {
    /// Every one of these holds.
    All {
        /// The conditions.
        all: Vec<Condition>,
    },
    /// At least one of these holds.
    Any {
        /// The conditions.
        any: Vec<Condition>,
    },
    /// This does not hold.
    Not {
        /// The condition.
        not: Box<Condition>,
    },
    /// A value meets a test.
    Column {
        /// The column whose value is tested.
        column: String,
        /// The test.
        #[cfg_attr(test, schemars(flatten))]
        test: Test,
    },
}

/// A test of one value. Decimals may be written as text; dates, times and timestamps are: `2024-02-29`,
/// `23:59:59`, `2024-02-29T23:59:59Z`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// The value equals this.
    Is(Value),
    /// The value is absent, or another than this.
    IsNot(Value),
    /// The value is one of these.
    In(Vec<Value>),
    /// The value is greater than this.
    Above(Value),
    /// The value is less than this.
    Below(Value),
    /// The value is this or greater.
    AtLeast(Value),
    /// The value is this or less.
    AtMost(Value),
    /// The text contains this.
    Contains(String),
    /// The text starts with this.
    StartsWith(String),
    /// The text ends with this.
    EndsWith(String),
    /// `true`: the value is there; `false`: it is absent.
    Present(bool),
    /// `true`: the value is absent; `false`: it is there.
    Absent(bool),
}

/// Written by hand so that an error says what is wrong with the one form that was meant, where a derived
/// one could only say that none of the forms fits.
impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut entries = Map::<String, Value>::deserialize(deserializer)?;
        let one_key = entries.len() == 1;
        let condition = if let Some(column) = entries.remove("column") {
            let column =
                column.as_str().ok_or_else(|| D::Error::custom("`column` is the name of a column"))?.to_owned();
            let wrong = match entries.keys().find(|key| !TESTS.contains(&key.as_str())) {
                Some(unknown) => Some(format!("`{unknown}` is no test")),
                None if entries.len() != 1 => Some(format!("column `{column}` has {} tests", entries.len())),
                None => None,
            };
            if let Some(wrong) = wrong {
                return Err(D::Error::custom(format!("{wrong}; one of these is right: {}", TESTS.join(", "))));
            }
            return Ok(Self::Column { column, test: read(Value::Object(entries))? });
        } else if let Some(all) = entries.remove("all") {
            Self::All { all: read(all)? }
        } else if let Some(any) = entries.remove("any") {
            Self::Any { any: read(any)? }
        } else if let Some(not) = entries.remove("not") {
            Self::Not { not: read(not)? }
        } else {
            return Err(D::Error::custom("a condition is one of `column` with a test, `all`, `any` and `not`"));
        };
        if one_key { Ok(condition) } else { Err(D::Error::custom("`all`, `any` and `not` stand alone in a condition")) }
    }
}

/// The names of the tests, for messages.
const TESTS: [&str; 12] = [
    "is",
    "is_not",
    "in",
    "above",
    "below",
    "at_least",
    "at_most",
    "contains",
    "starts_with",
    "ends_with",
    "present",
    "absent",
];

fn read<T: serde::de::DeserializeOwned, E: Error>(value: Value) -> Result<T, E> {
    serde_json::from_value(value).map_err(E::custom)
}

//! The configuration.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// What becomes of the columns.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The columns of the output, by name.
    #[serde(default)]
    pub columns: BTreeMap<String, Definition>,
    /// Columns of the input that end here.
    #[serde(default)]
    pub drop: Vec<String>,
    /// Whether the input's other columns are passed on: those that are neither dropped nor renamed.
    #[serde(default = "yes")]
    pub keep_others: bool,
}

fn yes() -> bool {
    true
}

/// Where a column comes from: one of `from`, `constant`, `concatenate`, `date_part` and `length`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// A column of the input.
    pub from: Option<String>,
    /// With `from`: the type to convert to, such as `int64` or `decimal(2)`.
    pub cast: Option<String>,
    /// The same text, number or boolean in every row.
    pub constant: Option<Value>,
    /// Text from several parts; absent if one of them is.
    pub concatenate: Option<Vec<Part>>,
    /// A part of a date, time or timestamp.
    pub date_part: Option<DatePart>,
    /// A column of type json: how many items its list has; absent if it is no list.
    pub length: Option<String>,
}

/// A part of a concatenation.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Part {
    /// This text.
    Text(String),
    /// The value of a column, as text.
    Column {
        /// The column.
        column: String,
    },
}

/// A part of a point in time.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DatePart {
    /// A column of type date, time or timestamp.
    pub of: String,
    /// The part.
    pub part: PartName,
}

/// The parts of a point in time, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PartName {
    /// The year.
    Year,
    /// From 1.
    Month,
    /// From 1.
    Day,
    /// From 1 (Monday) to 7.
    Weekday,
    /// From 0.
    Hour,
    /// From 0.
    Minute,
    /// From 0.
    Second,
}

//! The types that cross the boundary, as `wit/` defines them.

/// The bindings of what every world shares. The worlds' own bindings are made in the plugin's crate (see
/// [`crate::guest`]), so that a plugin carries the description of its own world alone.
#[allow(missing_docs, reason = "the documentation of what is generated stands in the contract")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package azenha:sdk;
            world shared {
                import azenha:plugin/log@0.1.0;
                import azenha:plugin/data@0.1.0;
            }
        ",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
    });
}

use std::fmt;
use std::str::FromStr;

/// A refused row with its index in the batch (in `finish`: the group's index).
pub use bindings::azenha::plugin::data::Rejection as RejectedRow;
pub use bindings::azenha::plugin::data::{Batch, Column, DataType, Field, Problem, Strings, Values};
pub use bindings::azenha::plugin::log as host_log;

/// The type as pipeline files write it.
impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::Int64 => f.write_str("int64"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal(scale) => write!(f, "decimal({scale})"),
            Self::Text => f.write_str("text"),
            Self::Bytes => f.write_str("bytes"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Json => f.write_str("json"),
        }
    }
}

/// Reads the type as pipeline files write it; the error says what would be right.
impl FromStr for DataType {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let simple = [
            Self::Boolean,
            Self::Int64,
            Self::Float64,
            Self::Text,
            Self::Bytes,
            Self::Date,
            Self::Time,
            Self::Timestamp,
            Self::Json,
        ];
        let scale = || name.strip_prefix("decimal(")?.strip_suffix(')')?.parse().ok().filter(|scale| *scale <= 38);
        let found = simple.into_iter().find(|known| known.to_string() == name);
        found.or_else(|| scale().map(Self::Decimal)).ok_or_else(|| {
            let known: Vec<String> = simple.iter().map(Self::to_string).collect();
            format!("`{name}` is not a type; types are {} and decimal(SCALE)", known.join(", "))
        })
    }
}

impl Field {
    /// A column's name and type; `nullable` says whether values may be absent.
    pub fn new(name: impl Into<String>, data_type: DataType, nullable: bool) -> Self {
        Self { name: name.into(), data_type, nullable }
    }
}

impl Column {
    /// A column without absent values.
    pub fn of(values: Values) -> Self {
        Self { values, validity: None }
    }
}

impl Problem {
    /// A problem with no particular place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), config_path: None, input: None }
    }

    /// A problem at a place in the configuration: a JSON pointer such as `/columns/0/from`.
    pub fn at(config_path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { config_path: Some(config_path.into()), ..Self::new(message) }
    }

    /// A problem with the input column that has this index.
    pub fn with_input(index: usize, message: impl Into<String>) -> Self {
        Self { input: Some(index as u32), ..Self::new(message) }
    }
}

impl<M: Into<String>> From<M> for Problem {
    fn from(message: M) -> Self {
        Self::new(message)
    }
}

/// Why a row, or a part of it, is refused. The row goes to the dead letters with this reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// For the people who look at dead letters: what was wrong with the row.
    pub reason: String,
    /// The part that was refused, for instance `items[3]`; none: the whole row.
    pub part: Option<String>,
}

impl Rejection {
    /// The whole row is refused.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), part: None }
    }

    /// A part of the row is refused.
    pub fn of_part(part: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), part: Some(part.into()) }
    }

    /// The refusal of the row (or group) with this index.
    pub fn at_row(self, row: u32) -> RejectedRow {
        RejectedRow { row, reason: self.reason, part: self.part }
    }
}

impl<R: Into<String>> From<R> for Rejection {
    fn from(reason: R) -> Self {
        Self::new(reason)
    }
}

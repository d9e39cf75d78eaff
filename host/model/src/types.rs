//! Column types, and their place in Arrow.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema, TimeUnit};
use serde::{Deserialize, Serialize};

/// The type of a column's values: the host's counterpart of `data-type` in `wit/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// True or false.
    Boolean,
    /// A whole number of 64 bits, with a sign.
    Int64,
    /// A floating-point number of 64 bits.
    Float64,
    /// A fixed-point number of at most 38 digits.
    Decimal {
        /// How many of the digits stand after the point.
        scale: u8,
    },
    /// UTF-8.
    Text,
    /// Any bytes.
    Bytes,
    /// Days since 1970-01-01.
    Date,
    /// Microseconds since midnight.
    Time,
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    /// Text that holds one JSON value.
    Json,
}

/// The digits that a decimal may have.
pub const DECIMAL_PRECISION: u8 = 38;

impl DataType {
    /// The Arrow type that holds such a column in the host. Text and JSON share one.
    pub fn arrow(self) -> ArrowType {
        match self {
            Self::Boolean => ArrowType::Boolean,
            Self::Int64 => ArrowType::Int64,
            Self::Float64 => ArrowType::Float64,
            Self::Decimal { scale } => ArrowType::Decimal128(DECIMAL_PRECISION, scale as i8),
            Self::Text | Self::Json => ArrowType::Utf8,
            Self::Bytes => ArrowType::Binary,
            Self::Date => ArrowType::Date32,
            Self::Time => ArrowType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::Int64 => f.write_str("int64"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal { scale } => write!(f, "decimal({scale})"),
            Self::Text => f.write_str("text"),
            Self::Bytes => f.write_str("bytes"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Json => f.write_str("json"),
        }
    }
}

/// A type's name that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a type; types are boolean, int64, float64, decimal(SCALE), text, bytes, date, time, timestamp and json"
)]
pub struct UnknownType(pub String);

impl FromStr for DataType {
    type Err = UnknownType;

    fn from_str(name: &str) -> Result<Self, UnknownType> {
        Ok(match name {
            "boolean" => Self::Boolean,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "text" => Self::Text,
            "bytes" => Self::Bytes,
            "date" => Self::Date,
            "time" => Self::Time,
            "timestamp" => Self::Timestamp,
            "json" => Self::Json,
            _ => {
                let scale = name
                    .strip_prefix("decimal(")
                    .and_then(|rest| rest.strip_suffix(')'))
                    .and_then(|digits| digits.parse::<u8>().ok())
                    .filter(|scale| *scale <= DECIMAL_PRECISION);
                match scale {
                    Some(scale) => Self::Decimal { scale },
                    None => return Err(UnknownType(name.to_owned())),
                }
            }
        })
    }
}

/// A column's name and type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Field {
    /// Unique among the columns of a stream.
    pub name: String,
    /// What its values are.
    pub data_type: DataType,
    /// Whether values may be absent.
    pub nullable: bool,
    /// Personal data: granted to a plugin only by name, and masked in taps, logs and dead letters.
    pub pii: bool,
}

impl Field {
    /// A field that is not personal data.
    pub fn new(name: impl Into<String>, data_type: DataType, nullable: bool) -> Self {
        Self { name: name.into(), data_type, nullable, pii: false }
    }

    /// The same field in Arrow's terms.
    pub fn arrow(&self) -> ArrowField {
        ArrowField::new(&self.name, self.data_type.arrow(), self.nullable)
    }
}

/// A field as JSON has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    /// As a pipeline file writes it; a `?` after it: values may be absent.
    #[serde(rename = "type")]
    data_type: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pii: bool,
}

impl From<Field> for Written {
    fn from(field: Field) -> Self {
        let absent = if field.nullable { "?" } else { "" };
        Self { name: field.name, data_type: format!("{}{absent}", field.data_type), pii: field.pii }
    }
}

impl TryFrom<Written> for Field {
    type Error = UnknownType;

    fn try_from(written: Written) -> Result<Self, UnknownType> {
        let Written { name, data_type, pii } = written;
        let (data_type, nullable) = match data_type.strip_suffix('?') {
            Some(data_type) => (data_type, true),
            None => (data_type.as_str(), false),
        };
        Ok(Self { pii, ..Self::new(name, data_type.parse()?, nullable) })
    }
}

/// The columns of a stream, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Schema {
    /// Their names are distinct.
    pub fields: Vec<Field>,
}

impl Schema {
    /// The schema of these columns.
    pub fn new(fields: Vec<Field>) -> Self {
        Self { fields }
    }

    /// The index of the column called `name`.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// The schema of a `RecordBatch` with these columns.
    pub fn arrow(&self) -> Arc<ArrowSchema> {
        Arc::new(ArrowSchema::new(self.fields.iter().map(Field::arrow).collect::<Vec<_>>()))
    }

    /// The names, for messages: `a, b, c`.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.fields.iter().map(|field| field.name.as_str()).collect();
        names.join(", ")
    }
}

/// What can be read like a column of any stream: where a record stands in its topic.
/// A column of the same name that a plugin makes takes its place.
pub mod meta {
    use super::{DataType, Field};

    /// The record's key.
    pub const KEY: &str = "$key";
    /// The record's value, as it came.
    pub const VALUE: &str = "$value";
    /// The record's timestamp.
    pub const TIMESTAMP: &str = "$timestamp";
    /// The topic that the record stands in.
    pub const TOPIC: &str = "$topic";
    /// The record's partition.
    pub const PARTITION: &str = "$partition";
    /// The record's offset.
    pub const OFFSET: &str = "$offset";
    /// What the row does to the one with its key: [`OP_UPSERT`] or [`OP_DELETE`].
    pub const OP: &str = "$op";
    /// Where the record is kept: the path of its object, or `TOPIC/PARTITION` if it stands in the topic itself.
    pub const OBJECT: &str = "$object";
    /// Its place there: the number of its line or row, from 1, or its offset.
    pub const LINE: &str = "$line";
    /// Which version of the pipeline made the row. Only topics between tasks have it, for sinks: were it one of
    /// [`fields`], what a plugin gives could follow from it.
    pub const VERSION: &str = "$version";

    /// `$op` of a row that replaces the one with its key (or is new).
    pub const OP_UPSERT: &str = "u";
    /// `$op` of a row that is deleted; only its key columns are set.
    pub const OP_DELETE: &str = "d";

    /// The columns that set a row's metadata if a plugin makes them.
    pub const SETTABLE: [&str; 3] = [KEY, TIMESTAMP, OP];

    /// The metadata columns, in the order in which they follow a stream's own in a plugin's `open`.
    pub fn fields() -> Vec<Field> {
        vec![
            Field::new(KEY, DataType::Bytes, true),
            Field::new(TIMESTAMP, DataType::Timestamp, false),
            Field::new(TOPIC, DataType::Text, false),
            Field::new(PARTITION, DataType::Int64, false),
            Field::new(OFFSET, DataType::Int64, false),
            Field::new(OP, DataType::Text, false),
            Field::new(VALUE, DataType::Bytes, true),
            Field::new(OBJECT, DataType::Text, false),
            Field::new(LINE, DataType::Int64, false),
        ]
    }
}

//! What values mean beside what they say themselves: the unit of a number, the scale of a decimal.

use azenha_model::DataType;
use azenha_model::plan::{Decimals, StreamColumn, TimeFormat};

/// What is known of the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// They say all themselves. A number is no date or time then, because its unit is missing.
    Plain,
    /// Numbers count these.
    Count(TimeFormat),
    /// Strings are base64 of an unscaled number that has so many digits after the point.
    Unscaled(i64),
    /// They are this, which is no value of the column's type.
    Foreign(&'static str),
}

/// What a schema says of a field, in the terms of Kafka Connect.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Described<'a> {
    /// `int32`, `string`, …
    pub kind: Option<&'a str>,
    /// The meaning of the type: `io.debezium.time.Date`, …
    pub name: Option<&'a str>,
    /// Of a decimal.
    pub scale: Option<i64>,
}

/// What the names of types that have to do with time mean.
#[derive(Clone, Copy)]
enum Temporal {
    Days,
    OfDay(TimeFormat),
    Instant(TimeFormat),
    Other,
}

const TEMPORAL: &[(&str, Temporal)] = &[
    ("io.debezium.time.Date", Temporal::Days),
    ("io.debezium.time.IsoDate", Temporal::Days),
    ("org.apache.kafka.connect.data.Date", Temporal::Days),
    ("io.debezium.time.Time", Temporal::OfDay(TimeFormat::Millis)),
    ("io.debezium.time.MicroTime", Temporal::OfDay(TimeFormat::Micros)),
    ("io.debezium.time.NanoTime", Temporal::OfDay(TimeFormat::Nanos)),
    ("io.debezium.time.ZonedTime", Temporal::OfDay(TimeFormat::Iso)),
    ("io.debezium.time.IsoTime", Temporal::OfDay(TimeFormat::Iso)),
    ("org.apache.kafka.connect.data.Time", Temporal::OfDay(TimeFormat::Millis)),
    ("io.debezium.time.Timestamp", Temporal::Instant(TimeFormat::Millis)),
    ("io.debezium.time.MicroTimestamp", Temporal::Instant(TimeFormat::Micros)),
    ("io.debezium.time.NanoTimestamp", Temporal::Instant(TimeFormat::Nanos)),
    ("io.debezium.time.ZonedTimestamp", Temporal::Instant(TimeFormat::Iso)),
    ("io.debezium.time.IsoTimestamp", Temporal::Instant(TimeFormat::Iso)),
    ("org.apache.kafka.connect.data.Timestamp", Temporal::Instant(TimeFormat::Millis)),
    ("io.debezium.time.Year", Temporal::Other),
    ("io.debezium.time.Interval", Temporal::Other),
    ("io.debezium.time.MicroDuration", Temporal::Other),
    ("io.debezium.time.NanoDuration", Temporal::Other),
];

const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";

impl Meaning {
    /// What the source says of a column.
    pub fn declared(column: &StreamColumn, decimals: Decimals) -> Self {
        match column.field.data_type {
            DataType::Time | DataType::Timestamp => counted(column.time_format),
            DataType::Decimal { scale } if decimals == Decimals::Precise => Self::Unscaled(scale.into()),
            _ => Self::Plain,
        }
    }

    /// What a schema says of it; None if nothing, so that what is declared holds.
    pub fn described(column: &StreamColumn, schema: Described<'_>) -> Option<Self> {
        let data_type = column.field.data_type;
        if let Some((name, temporal)) = TEMPORAL.iter().find(|(name, _)| schema.name == Some(name)) {
            return Some(match (data_type, *temporal) {
                (DataType::Date, Temporal::Days) => Self::Plain,
                (DataType::Time, Temporal::OfDay(unit)) | (DataType::Timestamp, Temporal::Instant(unit)) => {
                    counted(unit)
                }
                (DataType::Date | DataType::Time | DataType::Timestamp | DataType::Boolean, _) => Self::Foreign(name),
                _ => Self::Plain,
            });
        }
        match (data_type, schema.name, schema.kind) {
            (DataType::Decimal { .. } | DataType::Int64, Some(DECIMAL), _) => schema.scale.map(Self::Unscaled),
            (_, Some(DECIMAL), _) => Some(Self::Foreign(DECIMAL)),
            (DataType::Bytes, _, Some("bytes")) => Some(Self::Plain),
            (_, _, Some("bytes")) => Some(Self::Foreign("bytes")),
            (DataType::Decimal { .. }, _, Some("string")) => Some(Self::Plain),
            _ => None,
        }
    }
}

fn counted(unit: TimeFormat) -> Meaning {
    match unit {
        TimeFormat::Iso => Meaning::Plain,
        unit => Meaning::Count(unit),
    }
}

//! What the records of topics are written in.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the records of a topic are written in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A JSON object each.
    #[default]
    Json,
    /// Anything: nothing is read of them.
    Bytes,
    /// By schemas of a registry: each record begins with the id of its own.
    Registered {
        /// What the schemas are.
        kind: SchemaKind,
        /// The registry's URL if the pipeline names one; otherwise it is the host's.
        registry: Option<String>,
    },
    /// What Debezium writes of a table's changes, as JSON, with or without the schema beside each. Nobody else writes
    /// it.
    Debezium {
        /// What a decimal in a string is, where no schema beside it says so.
        decimals: Decimals,
    },
    /// The same in Avro, values and keys by schemas of a registry.
    DebeziumAvro {
        /// The registry's URL if the pipeline names one; otherwise it is the host's.
        registry: Option<String>,
    },
}

impl Format {
    /// What the schemas are that records name, and the URL of their registry if the pipeline names one. None if
    /// records name no schemas.
    pub fn registered(&self) -> Option<(SchemaKind, Option<&String>)> {
        match self {
            Self::Json | Self::Bytes | Self::Debezium { .. } => None,
            Self::Registered { kind, registry } => Some((*kind, registry.as_ref())),
            Self::DebeziumAvro { registry } => Some((SchemaKind::Avro, registry.as_ref())),
        }
    }

    /// The same, wherever its schemas are kept.
    pub fn without_registry(&self) -> Self {
        match self {
            Self::Registered { kind, .. } => Self::Registered { kind: *kind, registry: None },
            Self::DebeziumAvro { .. } => Self::DebeziumAvro { registry: None },
            Self::Json | Self::Bytes | Self::Debezium { .. } => self.clone(),
        }
    }

    /// Whether records are changes of rows that a database has, instead of rows.
    pub fn is_change_stream(&self) -> bool {
        matches!(self, Self::Debezium { .. } | Self::DebeziumAvro { .. })
    }
}

/// What a registry's schema is written in, and the records that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaKind {
    /// Apache Avro.
    Avro,
    /// JSON Schema.
    JsonSchema,
}

impl fmt::Display for SchemaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avro => "Avro",
            Self::JsonSchema => "JSON Schema",
        })
    }
}

/// A schema as a registry has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisteredSchema {
    /// What it is written in; none if that is something else than records here can be.
    pub kind: Option<SchemaKind>,
    /// The schema itself.
    pub text: String,
    /// Schemas that it names, all the way down: the names, and their texts.
    pub references: Vec<(String, String)>,
}

/// The registry's name for what the values of a topic are written with.
pub fn value_subject(topic: &str) -> String {
    format!("{topic}-value")
}

/// What a change stream without schemas means by a decimal in a string: the connector's `decimal.handling.mode`. The
/// string itself does not tell, because `1000` is a number and base64. A decimal that is a JSON number or a structure
/// is read in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decimals {
    /// Base64 of the unscaled number: Debezium's default.
    #[default]
    Precise,
    /// The number as text.
    String,
}

/// How a timestamp is written, and in a change stream a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    /// Seconds, since 1970 or midnight.
    Seconds,
    /// Milliseconds: what topics hold unless the schema says otherwise.
    #[default]
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds; columns hold microseconds, rounded down.
    Nanos,
    /// ISO 8601 text.
    Iso,
}

impl TimeFormat {
    /// The microseconds in a count, rounded down. None for text, and if 64 bits do not hold them.
    #[inline]
    pub fn micros_of(self, count: i64) -> Option<i64> {
        match self {
            Self::Seconds => count.checked_mul(1_000_000),
            Self::Millis => count.checked_mul(1_000),
            Self::Micros => Some(count),
            Self::Nanos => Some(count.div_euclid(1_000)),
            Self::Iso => None,
        }
    }
}

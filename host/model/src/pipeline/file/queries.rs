//! Queries: what the host answers over HTTP.

use std::borrow::Cow;

use schemars::{JsonSchema, SchemaGenerator, json_schema};

use crate::units::Micros;
use crate::yaml::{Entries, FromKeys, FromNode, Keys, Node, Report, Spanned, Value, from_keys};

/// A question that the host answers over HTTP with rows of a store, as JSON.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct QueryDef {
    /// Where it is answered: `/orders/{customer}`. What stands in braces is a parameter.
    pub path: Spanned<String>,
    /// The name of a connection of the host's configuration, to a SQL database or, for a `search`, a search engine.
    pub connection: Spanned<String>,
    /// One `SELECT`, in which `:name` stands for a parameter's value. Without `ORDER BY` and `LIMIT` where there is an
    /// `order_by`.
    pub sql: Option<Spanned<String>>,
    /// Instead of a statement: an index, or a table with a full-text index, and what its rows must have.
    pub search: Option<Spanned<SearchDef>>,
    /// The columns of the statement, or of the index, and their types.
    pub columns: Spanned<Entries<Spanned<String>>>,
    /// What a request says: those of the path, and what stands behind the `?`.
    pub parameters: Option<Entries<ParameterDef>>,
    /// Columns that rows are sorted by, which together tell every row apart: `[at desc, id]`. With it, answers are
    /// pages.
    pub order_by: Option<Spanned<Vec<Spanned<String>>>>,
    /// How many rows an answer has; 50 by default, at most 500.
    pub limit: Option<RowLimitDef>,
    /// How long the database may take; 2 s by default, at most 30 s.
    pub time_limit: Option<Spanned<Micros>>,
    /// A sink of this pipeline, whose progress is told with the answer.
    pub freshness: Option<Spanned<String>>,
}
from_keys!(
    QueryDef, "a query",
    required: [path, connection, columns],
    optional: [sql, search, parameters, order_by, limit, time_limit, freshness]
);

/// What a search finds: the rows that satisfy all of it. A parameter that is null asks for nothing.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct SearchDef {
    /// The index, or the table with a full-text index.
    pub index: Spanned<String>,
    /// Parameters, each with the columns in which all its words stand.
    #[schemars(rename = "match")]
    pub matches: Option<Entries<Spanned<Vec<Spanned<String>>>>>,
    /// Parameters that name values as `COLUMN:VALUE`, with commas between them, each with the columns that may be named: one
    /// of the values stands in its column.
    pub any: Option<Entries<Spanned<Vec<Spanned<String>>>>>,
    /// Parameters, each with the column that equals it.
    pub equal: Option<Entries<Spanned<String>>>,
    /// Parameters, each with the column that is not less.
    pub from: Option<Entries<Spanned<String>>>,
    /// Parameters, each with the column that is less.
    pub before: Option<Entries<Spanned<String>>>,
}

impl FromKeys for SearchDef {
    const KEYS: &'static [&'static str] = &["index", "match", "any", "equal", "from", "before"];
}

impl FromNode for SearchDef {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let mut keys = Keys::of("a search", node, Self::KEYS, report)?;
        let index = keys.required("index");
        let (matches, any, equal) = (keys.optional("match"), keys.optional("any"), keys.optional("equal"));
        let (from, before) = (keys.optional("from"), keys.optional("before"));
        Some(Self { index: index?, matches, any, equal, from, before })
    }
}

/// How many rows an answer has.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct RowLimitDef {
    /// Where the request's `limit` does not say.
    pub default: Option<Spanned<u32>>,
    /// The most that a request may ask for; at most 10000.
    pub max: Option<Spanned<u32>>,
}
from_keys!(RowLimitDef, "a limit of rows", required: [], optional: [default, max]);

/// A parameter: its type, or a mapping with more.
#[derive(Debug, Clone)]
pub(crate) struct ParameterDef {
    pub data_type: Spanned<String>,
    pub default: Option<Spanned<Scalar>>,
    pub min: Option<Spanned<Scalar>>,
    pub max: Option<Spanned<Scalar>>,
    pub max_length: Option<Spanned<u32>>,
}

impl FromKeys for ParameterDef {
    const KEYS: &'static [&'static str] = &["type", "default", "min", "max", "max_length"];
}

impl FromNode for ParameterDef {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        if !matches!(node.value, Value::Mapping(_)) {
            let data_type = Spanned::from_node(node, report)?;
            return Some(Self { data_type, default: None, min: None, max: None, max_length: None });
        }
        let mut keys = Keys::of("a parameter", node, Self::KEYS, report)?;
        let data_type = keys.required("type");
        let (default, min, max) = (keys.optional("default"), keys.optional("min"), keys.optional("max"));
        let max_length = keys.optional("max_length");
        Some(Self { data_type: data_type?, default, min, max, max_length })
    }
}

/// A value, as the file writes it.
#[derive(Debug, Clone)]
pub(crate) struct Scalar(pub String);

impl FromNode for Scalar {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Number(number) => Some(Self(number.to_string())),
            Value::Bool(value) => Some(Self(value.to_string())),
            _ => String::from_node(node, report).map(Self),
        }
    }
}

impl JsonSchema for ParameterDef {
    fn schema_name() -> Cow<'static, str> {
        "ParameterDef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        let data_type = serde_json::json!({
            "type": "string",
            "pattern": r"^(boolean|int64|float64|decimal\([0-9]+\)|text|date|time|timestamp)\??$",
            "description": "What its values are; `?` after it: null, where a request does not give one.",
        });
        let value = |description: &str| serde_json::json!({ "type": ["string", "number", "boolean"], "description": description });
        json_schema!({
            "description": "A parameter: its type, or a mapping with more.",
            "anyOf": [
                data_type,
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["type"],
                    "properties": {
                        "type": data_type,
                        "default": value("Its value where a request does not give one; a timestamp may be `now-15m`."),
                        "min": value("The least value, of numbers, dates and timestamps."),
                        "max": value("The greatest value, of numbers, dates and timestamps."),
                        "max_length": {
                            "type": "integer",
                            "description": "Characters that a text has at most; 1000 by default.",
                        },
                    },
                },
            ],
        })
    }
}

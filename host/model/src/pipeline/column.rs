//! A source's column as the file describes it.

use std::borrow::Cow;

use schemars::{JsonSchema, SchemaGenerator, json_schema};

use crate::names::unknown;
use crate::plan::{StreamColumn, TimeFormat};
use crate::types::{DataType, Field};
use crate::yaml::{FromKeys, FromNode, Keys, Named, Node, Report, Spanned, Value};

/// A column: its type, or a mapping with more.
#[derive(Debug, Clone)]
pub(crate) struct ColumnDef {
    pub data_type: Spanned<String>,
    pub path: Option<Spanned<String>>,
    pub pii: bool,
}

impl FromKeys for ColumnDef {
    const KEYS: &'static [&'static str] = &["type", "path", "pii"];
}

impl FromNode for ColumnDef {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        if !matches!(node.value, Value::Mapping(_)) {
            return Some(Self { data_type: Spanned::from_node(node, report)?, path: None, pii: false });
        }
        let mut keys = Keys::of("a column", node, Self::KEYS, report)?;
        let (data_type, path, pii) = (keys.required("type"), keys.optional("path"), keys.optional("pii"));
        Some(Self { data_type: data_type?, path, pii: pii.unwrap_or(false) })
    }
}

/// The types of columns as a pattern, with the units of timestamps and times, and the `?` of nullable columns.
const TYPE_PATTERN: &str = r"^(boolean|int64|float64|decimal\([0-9]+\)|text|bytes|date|time(\((ms|us|ns)\))?|timestamp(\((s|ms|us|ns|iso)\))?|json)\??$";

impl JsonSchema for ColumnDef {
    fn schema_name() -> Cow<'static, str> {
        "ColumnDef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        let data_type = serde_json::json!({
            "type": "string",
            "pattern": TYPE_PATTERN,
            "description": "The column's type; `?` after it allows absent values. A timestamp says how it is \
                            written: `timestamp(ms)` (the default), `(s)`, `(us)`, `(ns)` or `(iso)`. In change \
                            streams a time that is a number says it too: `time(ms)`, `(us)` or `(ns)`.",
        });
        json_schema!({
            "description": "A column: its type, or a mapping with more.",
            "anyOf": [
                data_type,
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["type"],
                    "properties": {
                        "type": data_type,
                        "path": {
                            "type": "string",
                            "description": "Where the value stands in the record: the names of nested members, \
                                            with dots between them. By default the column's name.",
                        },
                        "pii": {
                            "type": "boolean",
                            "description": "Personal data: granted to a plugin only by name, and masked where \
                                            people look on.",
                        },
                    },
                },
            ],
        })
    }
}

const TYPE_NAMES: &[&str] = &[
    "boolean",
    "int64",
    "float64",
    "decimal(2)",
    "text",
    "bytes",
    "date",
    "time",
    "timestamp",
    "timestamp(ms)",
    "timestamp(s)",
    "timestamp(us)",
    "timestamp(ns)",
    "timestamp(iso)",
    "json",
];

impl Named<ColumnDef> {
    /// The column, if name, type and path are right.
    pub fn checked(&self, report: &mut Report) -> Option<StreamColumn> {
        let name = &self.name;
        if name.value.is_empty() || name.value.starts_with('$') {
            report
                .error(name.place, format!("a column cannot be called `{}`", name.value))
                .suggest("names are not empty, and those that begin with `$` are metadata");
            return None;
        }
        let (data_type, nullable, time_format) = parse_type(&self.value.data_type, report)?;
        let path = match &self.value.path {
            Some(path) => parse_path(path, report)?,
            None => vec![name.value.clone()],
        };
        let field = Field { name: name.value.clone(), data_type, nullable, pii: self.value.pii };
        Some(StreamColumn { field, path, time_format })
    }
}

fn parse_type(written: &Spanned<String>, report: &mut Report) -> Option<(DataType, bool, TimeFormat)> {
    let (name, nullable) = match written.value.strip_suffix('?') {
        Some(name) => (name, true),
        None => (written.value.as_str(), false),
    };
    let (data_type, time_format) = match name {
        "timestamp(s)" => (Ok(DataType::Timestamp), TimeFormat::Seconds),
        "timestamp(ms)" => (Ok(DataType::Timestamp), TimeFormat::Millis),
        "timestamp(us)" => (Ok(DataType::Timestamp), TimeFormat::Micros),
        "timestamp(ns)" => (Ok(DataType::Timestamp), TimeFormat::Nanos),
        "timestamp(iso)" => (Ok(DataType::Timestamp), TimeFormat::Iso),
        "time" => (Ok(DataType::Time), TimeFormat::Iso),
        "time(ms)" => (Ok(DataType::Time), TimeFormat::Millis),
        "time(us)" => (Ok(DataType::Time), TimeFormat::Micros),
        "time(ns)" => (Ok(DataType::Time), TimeFormat::Nanos),
        _ => (name.parse(), TimeFormat::Millis),
    };
    if data_type.is_err() {
        report
            .error(written.place, format!("`{}` is not a type", written.value))
            .suggest(format!("{}; `?` after a type allows absent values", unknown(name, "types are", TYPE_NAMES)));
    }
    Some((data_type.ok()?, nullable, time_format))
}

fn parse_path(written: &Spanned<String>, report: &mut Report) -> Option<Vec<String>> {
    let members: Vec<String> = written.value.split('.').map(str::to_owned).collect();
    if members.iter().any(String::is_empty) {
        report
            .error(written.place, format!("the path `{}` has an empty member", written.value))
            .suggest("write the names of nested members with dots between them: `customer.address.city`");
        return None;
    }
    Some(members)
}

//! Schemas that stand beside what they describe, in each record again: `{"schema": …, "payload": …}`. One is read when
//! it is met first; later records that begin with the same bytes are recognized by them.

use azenha_model::plan::StreamColumn;
use serde_json::Value;

use super::meaning::{Described, Meaning};
use crate::decoded::Refusal;
use crate::json::{Kind, Locator, of_fault};

/// Schemas that are kept. A topic has one, and another while the table's columns change.
const KEPT: usize = 4;

/// Finds what records hold, and what their schemas say of it.
pub(super) struct Embedded {
    /// The columns that are read.
    columns: Vec<StreamColumn>,
    /// What holds where a schema says nothing.
    declared: Vec<Meaning>,
    locator: Locator,
    schema: usize,
    payload: usize,
    known: Vec<Known>,
}

struct Known {
    /// A record up to its payload.
    opening: String,
    schema: String,
    meanings: Vec<Meaning>,
}

/// What a record holds.
#[derive(Clone, Copy)]
pub(super) struct Payload<'a> {
    pub text: &'a str,
    /// What is known of its values, by builder.
    pub meanings: &'a [Meaning],
}

impl Embedded {
    pub fn new(columns: Vec<StreamColumn>, declared: Vec<Meaning>) -> Self {
        let mut locator = Locator::new();
        let (schema, payload) = (locator.want(&[], "schema"), locator.want(&[], "payload"));
        Self { columns, declared, locator, schema, payload, known: Vec::new() }
    }

    /// The payload of a record that begins like an earlier one. If it is no JSON object, the record has another form.
    #[inline]
    pub fn familiar<'a>(&'a self, record: &'a str) -> Option<Payload<'a>> {
        self.known.iter().find_map(|known| {
            let text = record.strip_prefix(&known.opening)?.trim_end().strip_suffix('}')?;
            Some(Payload { text, meanings: &known.meanings })
        })
    }

    /// The payload of any record: the record itself, if it has no schema.
    pub fn open<'a>(&'a mut self, record: &'a str) -> Result<Payload<'a>, Refusal> {
        if !may_be_embedded(record) {
            return Ok(Payload { text: record, meanings: &self.declared });
        }
        let Self { locator, .. } = self;
        locator
            .locate(record)
            .map_err(|(fault, at)| of_fault(fault, at, record, |slot| locator.path(slot).to_owned()))?;
        let (schema, payload) = (locator.found(self.schema, record), locator.found(self.payload, record));
        match (schema, payload) {
            ((Kind::Object, schema), (Kind::Object | Kind::Null, text)) => {
                let opening = text.as_ptr().addr() - record.as_ptr().addr();
                let known = self.learn(schema, &record[..opening])?;
                Ok(Payload { text, meanings: &self.known[known].meanings })
            }
            ((Kind::Null | Kind::Missing, _), (Kind::Object | Kind::Null, text)) => {
                Ok(Payload { text, meanings: &self.declared })
            }
            _ => Ok(Payload { text: record, meanings: &self.declared }),
        }
    }

    /// The index among the known of a schema.
    fn learn(&mut self, schema: &str, opening: &str) -> Result<usize, Refusal> {
        if let Some(known) = self.known.iter().position(|known| known.schema == schema) {
            opening.clone_into(&mut self.known[known].opening);
            return Ok(known);
        }
        let described: Value = serde_json::from_str(schema)
            .map_err(|error| (Some("schema".to_owned()), format!("the record's schema cannot be read: {error}")))?;
        let row = row_of(&described);
        let meaning = |(column, declared): (&StreamColumn, &Meaning)| {
            field(row, &path(column)).and_then(|field| Meaning::described(column, terms(field))).unwrap_or(*declared)
        };
        let meanings = self.columns.iter().zip(&self.declared).map(meaning).collect();
        if self.known.len() == KEPT {
            self.known.remove(0);
        }
        self.known.push(Known { opening: opening.to_owned(), schema: schema.to_owned(), meanings });
        Ok(self.known.len() - 1)
    }
}

/// Whether a record's first member is one of the two. An event without a schema has other members.
fn may_be_embedded(record: &str) -> bool {
    let inside = record.trim_start().strip_prefix('{').map_or("", str::trim_start);
    inside.starts_with(r#""schema""#) || inside.starts_with(r#""payload""#)
}

/// The schema of the row: inside an event's, or, of a key, the whole.
fn row_of(schema: &Value) -> &Value {
    let member = |name: &str| member(schema, name);
    member("after").or_else(|| member("before")).unwrap_or(schema)
}

fn member<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    schema["fields"].as_array()?.iter().find(|field| field["field"] == name)
}

fn field<'a>(schema: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(schema, |schema, name| member(schema, name))
}

/// The path of a column in the row.
pub(super) fn path(column: &StreamColumn) -> Vec<&str> {
    match column.path.is_empty() {
        true => vec![&column.field.name],
        false => column.path.iter().map(String::as_str).collect(),
    }
}

fn terms(field: &Value) -> Described<'_> {
    let scale = field["parameters"]["scale"].as_str().and_then(|scale| scale.parse().ok());
    Described { kind: field["type"].as_str(), name: field["name"].as_str(), scale }
}

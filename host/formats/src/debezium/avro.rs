//! Change events in Avro. A datum is written as the JSON that it stands for, and read as that: so there is one way to
//! read an event, whatever it came in.

use std::collections::BTreeSet;

use arrow_array::Array;
use azenha_model::plan::{Decimals, SchemaKind, StreamColumn, StreamInput};
use azenha_model::{Field, Records};
use serde_json::Value;

use super::embedded::{Embedded, path};
use super::json::key_row;
use super::meaning::{Described, Meaning};
use super::position::MEMBERS;
use super::reader::{Change, EventReader, HEAD, KeyReader, Outcome, in_key};
use super::rows::{Rows, Wants};
use crate::avro::{AvroSchema, Pick, Picked, push_datum};
use crate::column::ColumnBuilder;
use crate::decoded::{ChangesBuilder, Decoded, Refusal, Row, decode_each};
use crate::wire::{PREFIX, Readers, RegisteredSchema, schema_id};

/// Decodes the change events of one stream, each by the schema that it was written with. Made once for a lane.
pub(crate) struct DebeziumAvroDecoder {
    /// The columns of the stream.
    width: usize,
    /// The columns to decode, with their indices in the stream.
    columns: Vec<(usize, ColumnBuilder)>,
    /// The columns that are read.
    read: Vec<StreamColumn>,
    events: EventReader,
    keys: KeyReader,
    /// For keys in JSON.
    key_schemas: Embedded,
    schemas: Readers<Schema>,
    /// What is read of events and of keys.
    pick: Pick,
    scratch: String,
}

/// A schema of events or of keys.
struct Schema {
    avro: AvroSchema,
    picked: Picked,
    /// What it says of the columns.
    meanings: Vec<Meaning>,
}

impl DebeziumAvroDecoder {
    pub fn new(input: &StreamInput) -> Self {
        let StreamInput { columns, needed, key, .. } = input;
        let wants = Wants { columns, needed, key };
        let read: Vec<StreamColumn> = wants.read().cloned().collect();
        let declared = read.iter().map(declared).collect();
        Self {
            width: columns.len(),
            columns: needed.iter().map(|index| (*index, ColumnBuilder::new(&columns[*index]))).collect(),
            events: EventReader::new(&wants),
            keys: KeyReader::new(&wants),
            key_schemas: Embedded::new(read.clone(), declared),
            read,
            schemas: Readers::new(SchemaKind::Avro),
            pick: pick(&wants),
            scratch: String::new(),
        }
    }

    /// The ids of schemas that have to be learned before these records are decoded: those of values and keys.
    pub fn missing(&self, records: &Records) -> BTreeSet<u32> {
        let mut missing = self.schemas.missing(&records.values);
        missing.append(&mut self.schemas.missing(&records.keys));
        missing
    }

    /// Takes the schema with an id; none: the registry does not know it.
    pub fn learn(&mut self, id: u32, schema: Option<&RegisteredSchema>) {
        let Self { read, pick, .. } = self;
        self.schemas.learn(id, schema, |schema| {
            let described: Value = serde_json::from_str(&schema.text).map_err(|error| error.to_string())?;
            let row = row_of(&described);
            let meaning = |column: &StreamColumn| {
                let field = field(row, &path(column));
                field.and_then(|field| Meaning::described(column, terms(field))).unwrap_or_else(|| declared(column))
            };
            let avro = parsed(schema)?;
            Ok(Schema { picked: pick.of(&avro), avro, meanings: read.iter().map(meaning).collect() })
        });
    }

    /// Decodes records. Each gives a row or is refused.
    pub fn decode(&mut self, records: &Records) -> Decoded {
        let Self { width, columns, events, keys, key_schemas, schemas, scratch, .. } = self;
        let mut changes = ChangesBuilder::new(records.len());
        let decoded = decode_each(*width, columns, records.len(), |record, before, columns| {
            let mut rows = Rows { columns, before, unavailable: changes.unavailable(before) };
            let outcome = match records.values.is_valid(record) {
                true => event(events, schemas, records.values.value(record), scratch, &mut rows)?,
                false => Outcome::OfKey(Change::TOMBSTONE),
            };
            let change = match outcome {
                Outcome::Row(change) => change,
                Outcome::OfKey(change) => {
                    let key = records.keys.is_valid(record).then(|| records.keys.value(record));
                    match key.filter(|key| schema_id(key).is_some()) {
                        Some(key) => avro_key_row(keys, schemas, key, scratch, &mut rows).map_err(in_key)?,
                        None => key_row(keys, key_schemas, key, &mut rows)?,
                    }
                    change
                }
            };
            changes.push(change.kind, change.position);
            Ok(if change.kind.is_delete() { Row::Deleted } else { Row::Added })
        });
        self.schemas.forget_passing();
        changes.of(decoded, &self.columns)
    }
}

/// Reads an event.
fn event(
    events: &mut EventReader,
    schemas: &Readers<Schema>,
    record: &[u8],
    scratch: &mut String,
    rows: &mut Rows<'_>,
) -> Result<Outcome, Refusal> {
    let meanings = write_text(schemas, record, scratch)?;
    events.locate(scratch)?;
    events.read(scratch, meanings, rows)
}

/// Reads a key.
fn avro_key_row(
    keys: &mut KeyReader,
    schemas: &Readers<Schema>,
    key: &[u8],
    scratch: &mut String,
    rows: &mut Rows<'_>,
) -> Result<(), Refusal> {
    keys.expect(Some(key))?;
    let meanings = write_text(schemas, key, scratch)?;
    keys.read(scratch, meanings, rows)
}

/// Writes a datum as JSON, and says what its schema says of the columns.
fn write_text<'a>(schemas: &'a Readers<Schema>, record: &[u8], scratch: &mut String) -> Result<&'a [Meaning], Refusal> {
    let (id, schema) = schemas.of(record).map_err(|reason| (None, reason))?;
    scratch.clear();
    push_datum(&schema.avro, &schema.picked, record, PREFIX, scratch)
        .map_err(|reason| (None, format!("{reason} by schema {id}")))?;
    Ok(&schema.meanings)
}

/// What is read: what readers of events and of keys look for.
fn pick(wants: &Wants<'_>) -> Pick {
    let mut pick = Pick::new();
    for path in HEAD {
        pick.add(path.iter().copied());
    }
    MEMBERS.iter().for_each(|member| pick.add(["source", member].into_iter()));
    // A row is there even if no column of it is read.
    pick.field("after");
    wants.read().for_each(|column| pick.add(["after"].into_iter().chain(path(column))));
    for (_, column) in wants.of_key() {
        pick.add(["before"].into_iter().chain(path(column)));
        pick.add(path(column).into_iter());
    }
    pick
}

fn parsed(schema: &RegisteredSchema) -> Result<AvroSchema, String> {
    let references: Vec<&str> = schema.references.iter().map(|(_, text)| text.as_str()).collect();
    AvroSchema::parse(&schema.text, &references).map_err(|error| error.to_string())
}

/// What holds where a schema says nothing: decimals have become text.
fn declared(column: &StreamColumn) -> Meaning {
    Meaning::declared(column, Decimals::String)
}

/// Why events of a schema cannot be read as these columns, by their indices.
///
/// # Errors
/// If no event of the schema can be read.
pub(crate) fn unreadable(schema: &RegisteredSchema, columns: &[StreamColumn]) -> Result<Vec<(usize, String)>, String> {
    parsed(schema)?;
    let described: Value = serde_json::from_str(&schema.text).map_err(|error| error.to_string())?;
    if member(&described, "op").is_none() {
        return Err("it is not of Debezium's change events: they have a field `op`".to_owned());
    }
    let row = row_of(&described);
    let reason = |column: &StreamColumn| {
        let Field { name, data_type, nullable, .. } = &column.field;
        match field(row, &path(column)).map(|field| Meaning::described(column, terms(field))) {
            None if *nullable => None,
            None => Some(format!("column `{name}` is not nullable, but the table has no column like it")),
            Some(Some(Meaning::Foreign(other))) => {
                Some(format!("column `{name}` is of type {data_type}, but the field is {other}"))
            }
            Some(_) => None,
        }
    };
    Ok(columns.iter().enumerate().filter_map(|(index, column)| Some((index, reason(column)?))).collect())
}

/// The schema of the row: inside an event's, or, of a key, the whole.
fn row_of(schema: &Value) -> &Value {
    // It stands where it is named first; the other field only names it.
    let inside = |name: &str| record_in(&member(schema, name)?["type"]);
    inside("before").or_else(|| inside("after")).unwrap_or(schema)
}

fn member<'a>(record: &'a Value, name: &str) -> Option<&'a Value> {
    record["fields"].as_array()?.iter().find(|field| field["name"] == name)
}

/// The record that a type is, or a union's branch.
fn record_in(described: &Value) -> Option<&Value> {
    match described {
        Value::Array(branches) => branches.iter().find_map(record_in),
        Value::Object(members) if members.contains_key("fields") => Some(described),
        _ => None,
    }
}

fn field<'a>(row: &'a Value, path: &[&str]) -> Option<&'a Value> {
    let (last, parents) = path.split_last()?;
    let inner = parents.iter().try_fold(row, |record, name| record_in(&member(record, name)?["type"]))?;
    member(inner, last)
}

/// What a field's values are once they are JSON. Connect's names stand beside Avro's types.
fn terms(field: &Value) -> Described<'_> {
    let described = match &field["type"] {
        Value::Array(branches) => branches.iter().find(|branch| *branch != "null").unwrap_or(&Value::Null),
        alone => alone,
    };
    if described["logicalType"] == "decimal" {
        return Described { kind: Some("string"), ..Described::default() };
    }
    let kind = described.as_str().or_else(|| described["type"].as_str());
    Described { kind, name: described["connect.name"].as_str(), scale: None }
}

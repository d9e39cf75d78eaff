//! JSON records behind the id of their JSON Schema: checked against it, then decoded as all JSON is.

use std::collections::BTreeSet;
use std::slice;

use arrow_array::{Array, BinaryArray};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use azenha_model::plan::{OutputColumn, SchemaKind, StreamColumn, TimeFormat};
use azenha_model::{DataType, Field, Records};
use jsonschema::{Retrieve, Uri, Validator};
use serde_json::{Map, Value, json};

use crate::decoded::{Decoded, Refused};
use crate::json::JsonDecoder;
use crate::wire::{PREFIX, Readers, RegisteredSchema, prefix};

/// Decodes the records of one stream, each checked against the schema that it was written with. Made once for a lane.
pub(crate) struct JsonSchemaDecoder {
    json: JsonDecoder,
    validators: Readers<Validator>,
}

impl JsonSchemaDecoder {
    pub fn new(columns: &[StreamColumn], needed: &[usize], key: &[usize]) -> Self {
        Self { json: JsonDecoder::new(columns, needed, key), validators: Readers::new(SchemaKind::JsonSchema) }
    }

    pub fn missing(&self, records: &Records) -> BTreeSet<u32> {
        self.validators.missing(&records.values)
    }

    pub fn learn(&mut self, id: u32, schema: Option<&RegisteredSchema>) {
        self.validators.learn(id, schema, validator);
    }

    pub fn decode(&mut self, records: &Records) -> Decoded {
        let mut refused = Vec::new();
        let mut kept = Vec::with_capacity(records.len());
        for record in 0..records.len() {
            match records.values.is_valid(record).then(|| self.check(records.values.value(record))) {
                Some(Err((field, reason))) => refused.push(Refused { record: record as u32, field, reason }),
                None | Some(Ok(())) => kept.push(record),
            }
        }
        self.validators.forget_passing();
        let mut decoded = self.json.decode(&without_prefix(records, &kept));
        let original = |record: &mut u32| *record = kept[*record as usize] as u32;
        decoded.rows.iter_mut().for_each(original);
        decoded.rejected.iter_mut().for_each(|refused| original(&mut refused.record));
        decoded.rejected.extend(refused);
        decoded.rejected.sort_by_key(|refused| refused.record);
        decoded
    }

    /// Whether a record is what its schema says. What is no JSON is left to the decoder, which says where it breaks.
    fn check(&self, record: &[u8]) -> Result<(), (Option<String>, String)> {
        let (id, validator) = self.validators.of(record).map_err(|reason| (None, reason))?;
        let Ok(value) = serde_json::from_slice(&record[PREFIX..]) else { return Ok(()) };
        validator.validate(&value).map_err(|error| {
            let path = error.instance_path().to_string();
            let field = path.strip_prefix('/').filter(|path| !path.is_empty()).map(|path| path.replace('/', "."));
            let what = field.as_ref().map_or("record".to_owned(), |field| format!("field `{field}`"));
            // The value may be personal data.
            (field, format!("{what} breaks schema {id}: {}", error.masked()))
        })
    }
}

/// The records at some indices, without what stands before their JSON.
fn without_prefix(records: &Records, kept: &[usize]) -> Records {
    let mut bytes = Vec::with_capacity(records.bytes());
    let mut offsets = Vec::with_capacity(kept.len() + 1);
    offsets.push(0);
    for record in kept {
        if records.values.is_valid(*record) {
            bytes.extend_from_slice(records.values.value(*record).get(PREFIX..).unwrap_or_default());
        }
        offsets.push(bytes.len() as i32);
    }
    let valid: NullBuffer = kept.iter().map(|record| records.values.is_valid(*record)).collect();
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Records {
        timestamps: kept.iter().map(|record| records.timestamps[*record]).collect(),
        keys: kept.iter().map(|record| records.keys.is_valid(*record).then(|| records.keys.value(*record))).collect(),
        values: BinaryArray::new(offsets, Buffer::from_vec(bytes), Some(valid)),
    }
}

/// What names without a URL of their own are relative to.
const BASE: &str = "registry:///";

fn validator(schema: &RegisteredSchema) -> Result<Validator, String> {
    let bad = |reason: String| format!("it is no JSON Schema that can be used: {reason}");
    let parsed: Value = serde_json::from_str(&schema.text).map_err(|error| bad(error.to_string()))?;
    let references = References(schema.references.clone());
    jsonschema::options()
        .with_base_uri(BASE)
        .with_retriever(references)
        .build(&parsed)
        .map_err(|error| bad(error.to_string()))
}

/// The schemas that a schema names. Nothing else is ever fetched.
struct References(Vec<(String, String)>);

impl Retrieve for References {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let is_meant = |name: &str| uri.as_str() == name || uri.path().as_str().trim_start_matches('/') == name;
        match self.0.iter().find(|(name, _)| is_meant(name)) {
            Some((_, text)) => Ok(serde_json::from_str(text)?),
            None => Err(format!("`{uri}` is not among the references that the registry has for it").into()),
        }
    }
}

/// Puts the id of their schema before the JSON of records.
pub(crate) fn with_prefix(values: &BinaryArray, schema: u32) -> BinaryArray {
    let prefix = prefix(schema);
    let mut bytes = Vec::with_capacity(values.value_data().len() + values.len() * PREFIX);
    let mut offsets = Vec::with_capacity(values.len() + 1);
    offsets.push(0);
    for value in values {
        if let Some(value) = value {
            bytes.extend_from_slice(&prefix);
            bytes.extend_from_slice(value);
        }
        offsets.push(bytes.len() as i32);
    }
    BinaryArray::new(OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes), values.nulls().cloned())
}

/// What records of a topic are written with. It allows no other members, so that columns may be added later: a
/// registry counts that as compatible only then.
pub(crate) fn json_schema(topic: &str, columns: &[OutputColumn]) -> RegisteredSchema {
    let members: Map<String, Value> =
        columns.iter().map(|column| (column.field.name.clone(), member(&column.field))).collect();
    let required = columns.iter().map(|column| &column.field).filter(|field| !field.nullable);
    let required: Vec<&str> = required.map(|field| field.name.as_str()).collect();
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": topic,
        "type": "object",
        "properties": members,
        "required": required,
        "additionalProperties": false,
    });
    RegisteredSchema { kind: Some(SchemaKind::JsonSchema), text: schema.to_string(), references: Vec::new() }
}

/// The schema of a column's values, as [`crate::json`] writes them.
fn member(field: &Field) -> Value {
    let (name, detail) = match field.data_type {
        DataType::Json => return json!({}),
        DataType::Boolean => ("boolean", None),
        DataType::Int64 | DataType::Timestamp => ("integer", None),
        // JSON has no NaN: null stands for it.
        DataType::Float64 => return json!({ "type": ["number", "null"] }),
        DataType::Decimal { .. } | DataType::Text | DataType::Time => ("string", None),
        DataType::Bytes => ("string", Some(("contentEncoding", "base64"))),
        DataType::Date => ("string", Some(("format", "date"))),
    };
    let mut schema = Map::new();
    schema.insert("type".to_owned(), if field.nullable { json!([name, "null"]) } else { json!(name) });
    schema.extend(detail.map(|(key, value)| (key.to_owned(), json!(value))));
    Value::Object(schema)
}

/// Why records of a schema cannot be read as these columns, as far as a schema without references tells: a member
/// that the schema does not have, or whose type is another.
pub(crate) fn unreadable(schema: &RegisteredSchema, columns: &[StreamColumn]) -> Result<Vec<(usize, String)>, String> {
    validator(schema)?;
    let schema: Value = serde_json::from_str(&schema.text).map_err(|error| error.to_string())?;
    let reason = |(index, column): (usize, &StreamColumn)| Some((index, misfit(&schema, column)?));
    Ok(columns.iter().enumerate().filter_map(reason).collect())
}

fn misfit(schema: &Value, column: &StreamColumn) -> Option<String> {
    let name = &column.field.name;
    let path = if column.path.is_empty() { slice::from_ref(name) } else { &column.path };
    let mut inner = schema;
    for member in path {
        let Some(found) = inner["properties"].get(member) else {
            let closed = inner["additionalProperties"] == Value::Bool(false);
            let missing = closed && !column.field.nullable;
            return missing.then(|| format!("column `{name}` is not nullable, but there is no member `{member}`"));
        };
        inner = found;
    }
    let types: Vec<&str> = match &inner["type"] {
        Value::String(only) => vec![only],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let wanted = json_types(column);
    let fits = types.iter().any(|found| wanted.contains(found));
    (!fits).then(|| {
        format!("column `{name}` is of type {}, but the member is {}", column.field.data_type, types.join(" or "))
    })
}

/// The types of JSON that a column is read from.
fn json_types(column: &StreamColumn) -> &'static [&'static str] {
    match column.field.data_type {
        DataType::Json => &["boolean", "integer", "number", "string", "array", "object"],
        DataType::Boolean => &["boolean"],
        DataType::Int64 | DataType::Float64 => &["integer", "number"],
        DataType::Timestamp if column.time_format != TimeFormat::Iso => &["integer", "number"],
        DataType::Decimal { .. } => &["integer", "number", "string"],
        DataType::Text | DataType::Bytes | DataType::Date | DataType::Time | DataType::Timestamp => &["string"],
    }
}

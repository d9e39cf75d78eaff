//! The formats of topics behind one face: what a lane decodes with, and encodes with.

use std::collections::BTreeSet;

use arrow_array::{ArrayRef, BinaryArray, BooleanArray};
use azenha_model::Records;
use azenha_model::plan::{Format, OutputColumn, SchemaKind, StreamColumn, StreamInput, TopicOutput};

use crate::avro::{AvroDecoder, AvroEncoder, AvroSchema, avro_schema};
use crate::debezium::{self, DebeziumAvroDecoder, DebeziumDecoder};
use crate::decoded::Decoded;
use crate::json::{JsonDecoder, JsonEncoder};
use crate::json_schema::{self, JsonSchemaDecoder, json_schema, with_prefix};
use crate::wire::RegisteredSchema;

/// Decodes the records of one stream, whatever they are written in. Made once for a lane and used for all its
/// batches.
pub struct Decoder(Decoding);

enum Decoding {
    /// Rows without columns.
    Bytes,
    Json(JsonDecoder),
    Avro(AvroDecoder),
    JsonSchema(JsonSchemaDecoder),
    Debezium(DebeziumDecoder),
    DebeziumAvro(DebeziumAvroDecoder),
}

impl Decoder {
    /// A decoder of the columns that the stream's readers need.
    pub fn new(input: &StreamInput) -> Self {
        let StreamInput { columns, needed, key, .. } = input;
        Self(match input.format {
            Format::Bytes => Decoding::Bytes,
            Format::Json => Decoding::Json(JsonDecoder::new(columns, needed, key)),
            Format::Registered { kind: SchemaKind::Avro, .. } => Decoding::Avro(AvroDecoder::new(columns, needed, key)),
            Format::Registered { kind: SchemaKind::JsonSchema, .. } => {
                Decoding::JsonSchema(JsonSchemaDecoder::new(columns, needed, key))
            }
            Format::Debezium { decimals } => Decoding::Debezium(DebeziumDecoder::new(input, decimals)),
            Format::DebeziumAvro { .. } => Decoding::DebeziumAvro(DebeziumAvroDecoder::new(input)),
        })
    }

    /// The ids of schemas that have to be learned before these records are decoded.
    pub fn missing(&self, records: &Records) -> BTreeSet<u32> {
        match &self.0 {
            Decoding::Bytes | Decoding::Json(_) | Decoding::Debezium(_) => BTreeSet::new(),
            Decoding::Avro(decoder) => decoder.missing(records),
            Decoding::JsonSchema(decoder) => decoder.missing(records),
            Decoding::DebeziumAvro(decoder) => decoder.missing(records),
        }
    }

    /// Takes the schema with an id; none: the registry does not know it, and records that have it are refused.
    pub fn learn(&mut self, id: u32, schema: Option<&RegisteredSchema>) {
        match &mut self.0 {
            Decoding::Bytes | Decoding::Json(_) | Decoding::Debezium(_) => {}
            Decoding::Avro(decoder) => decoder.learn(id, schema),
            Decoding::JsonSchema(decoder) => decoder.learn(id, schema),
            Decoding::DebeziumAvro(decoder) => decoder.learn(id, schema),
        }
    }

    /// Decodes records. Each gives a row or is refused.
    pub fn decode(&mut self, records: &Records) -> Decoded {
        match &mut self.0 {
            Decoding::Bytes => Decoded {
                columns: Vec::new(),
                rows: (0..records.len() as u32).collect(),
                deletes: None,
                rejected: Vec::new(),
                changes: None,
            },
            Decoding::Json(decoder) => decoder.decode(records),
            Decoding::Avro(decoder) => decoder.decode(records),
            Decoding::JsonSchema(decoder) => decoder.decode(records),
            Decoding::Debezium(decoder) => decoder.decode(records),
            Decoding::DebeziumAvro(decoder) => decoder.decode(records),
        }
    }
}

/// Encodes the rows of one topic, whatever it is written in. Made once for a lane and used for all its batches.
pub struct Encoder(Encoding);

enum Encoding {
    Json(JsonEncoder),
    Avro(AvroEncoder),
    JsonSchema(JsonEncoder, u32),
}

impl Encoder {
    /// An encoder for a topic. `schema` is the id that the registry gave its [`registered_schema`]; JSON has none. No
    /// topic is written as a change stream: what is changed in a table here is an object a row, and a tombstone.
    pub fn new(output: &TopicOutput, schema: u32) -> Self {
        let TopicOutput { columns, key, .. } = output;
        Self(match output.format {
            Format::Json | Format::Bytes | Format::Debezium { .. } | Format::DebeziumAvro { .. } => {
                Encoding::Json(JsonEncoder::new(columns, key))
            }
            Format::Registered { kind: SchemaKind::Avro, .. } => Encoding::Avro(AvroEncoder::new(columns, key, schema)),
            Format::Registered { kind: SchemaKind::JsonSchema, .. } => {
                Encoding::JsonSchema(JsonEncoder::new(columns, key), schema)
            }
        })
    }

    /// The keys and values of records, one a row. `arrays[i]` holds the output's column i. A key is a JSON object of
    /// the key's columns, or null if there are none; a row that `deletes` marks has a null for a value.
    ///
    /// # Panics
    /// If an array is not of its column's type or shorter than `rows`, or if the records take 2 GiB.
    pub fn encode(
        &mut self,
        arrays: &[ArrayRef],
        rows: usize,
        deletes: Option<&BooleanArray>,
    ) -> (BinaryArray, BinaryArray) {
        match &mut self.0 {
            Encoding::Json(encoder) => encoder.encode(arrays, rows, deletes),
            Encoding::Avro(encoder) => encoder.encode(arrays, rows, deletes),
            Encoding::JsonSchema(encoder, schema) => {
                let (keys, values) = encoder.encode(arrays, rows, deletes);
                (keys, with_prefix(&values, *schema))
            }
        }
    }
}

/// The schema of what is written to a topic.
pub fn registered_schema(kind: SchemaKind, topic: &str, columns: &[OutputColumn]) -> RegisteredSchema {
    match kind {
        SchemaKind::Avro => avro_schema(topic, columns),
        SchemaKind::JsonSchema => json_schema(topic, columns),
    }
}

/// The columns as which records of a format and schema cannot be read, by index, with the reasons. A schema of JSON
/// leaves more open than this tells; without schemas nothing is known.
///
/// # Errors
/// If no record of the schema can be read.
pub fn unreadable(
    format: &Format,
    schema: &RegisteredSchema,
    columns: &[StreamColumn],
) -> Result<Vec<(usize, String)>, String> {
    match format.registered() {
        Some((kind, _)) if schema.kind != Some(kind) => return Err(format!("it is not of {kind}")),
        _ => {}
    }
    match format {
        Format::Json | Format::Bytes | Format::Debezium { .. } => Ok(Vec::new()),
        Format::DebeziumAvro { .. } => debezium::unreadable(schema, columns),
        Format::Registered { kind: SchemaKind::JsonSchema, .. } => json_schema::unreadable(schema, columns),
        Format::Registered { kind: SchemaKind::Avro, .. } => {
            let references: Vec<&str> = schema.references.iter().map(|(_, text)| text.as_str()).collect();
            let schema = AvroSchema::parse(&schema.text, &references).map_err(|error| error.to_string())?;
            let unreadable = schema.unreadable(columns).into_iter();
            Ok(unreadable.map(|unreadable| (unreadable.column, unreadable.reason)).collect())
        }
    }
}

//! Columns to records, and the schema that says how.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use azenha_model::plan::{OutputColumn, SchemaKind};
use azenha_model::types::DECIMAL_PRECISION;
use azenha_model::{DataType, Field};
use serde_json::{Value, json};

use crate::json::ObjectEncoder;
use crate::wire::{RegisteredSchema, prefix};

/// What records of a topic are written with. Names of columns are names of Avro.
pub fn avro_schema(topic: &str, columns: &[OutputColumn]) -> RegisteredSchema {
    let fields: Vec<Value> = columns.iter().map(|column| field(&column.field)).collect();
    let schema = json!({ "type": "record", "name": record_name(topic), "namespace": "azenha", "fields": fields });
    RegisteredSchema { kind: Some(SchemaKind::Avro), text: schema.to_string(), references: Vec::new() }
}

fn field(field: &Field) -> Value {
    let data_type = match field.data_type {
        DataType::Boolean => json!("boolean"),
        DataType::Int64 => json!("long"),
        DataType::Float64 => json!("double"),
        DataType::Decimal { scale } => {
            json!({ "type": "bytes", "logicalType": "decimal", "precision": DECIMAL_PRECISION, "scale": scale })
        }
        DataType::Text | DataType::Json => json!("string"),
        DataType::Bytes => json!("bytes"),
        DataType::Date => json!({ "type": "int", "logicalType": "date" }),
        DataType::Time => json!({ "type": "long", "logicalType": "time-micros" }),
        DataType::Timestamp => json!({ "type": "long", "logicalType": "timestamp-micros" }),
    };
    if field.nullable {
        json!({ "name": field.name, "type": ["null", data_type], "default": null })
    } else {
        json!({ "name": field.name, "type": data_type })
    }
}

/// The nearest to a topic's name that Avro takes.
fn record_name(topic: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let name: String = topic.chars().map(letter).collect();
    if name.starts_with(|letter: char| letter.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// Encodes rows of certain columns. Made once for a lane and used for all its batches.
pub struct AvroEncoder {
    columns: Vec<Field>,
    prefix: [u8; 5],
    /// None if records have no key.
    key: Option<ObjectEncoder>,
    /// The bytes of the last batch: the next one will be about as long.
    last_length: usize,
}

impl AvroEncoder {
    /// An encoder of `columns`, of which those at the positions `key` make the record's key. `schema` is the id of
    /// their [`avro_schema`].
    pub fn new(columns: &[OutputColumn], key: &[usize], schema: u32) -> Self {
        Self {
            columns: columns.iter().map(|column| column.field.clone()).collect(),
            prefix: prefix(schema),
            key: (!key.is_empty()).then(|| ObjectEncoder::new(columns, key)),
            last_length: 0,
        }
    }

    /// The keys and values of records, one a row. `arrays[i]` holds `columns[i]`. A key is a JSON object of the key's
    /// columns, or null if there are none; a row that `deletes` marks has a null for a value.
    ///
    /// # Panics
    /// If an array is not of its column's type or shorter than `rows`, or if the records take 2 GiB.
    pub fn encode(
        &mut self,
        arrays: &[ArrayRef],
        rows: usize,
        deletes: Option<&BooleanArray>,
    ) -> (BinaryArray, BinaryArray) {
        let keys = match &mut self.key {
            Some(key) => key.encode(arrays, rows, None),
            None => BinaryArray::new_null(rows),
        };
        let columns = self.columns.iter().zip(arrays);
        let columns: Vec<Column<'_>> = columns.map(|(field, array)| Column::new(field, array)).collect();
        let mut out = Vec::with_capacity(self.last_length);
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        for row in 0..rows {
            if deletes.is_none_or(|deletes| !deletes.value(row)) {
                out.extend_from_slice(&self.prefix);
                columns.iter().for_each(|column| column.push(&mut out, row));
            }
            offsets.push(out.len() as i32);
        }
        self.last_length = out.len();
        let kept = deletes.map(|deletes| BooleanBuffer::collect_bool(rows, |row| !deletes.value(row)));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        (keys, BinaryArray::new(offsets, Buffer::from_vec(out), kept.map(NullBuffer::new)))
    }
}

/// A column's values, and whether its type is a union with null.
struct Column<'a> {
    values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
    nullable: bool,
}

enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int64(&'a Int64Array),
    Float64(&'a Float64Array),
    Decimal(&'a Decimal128Array),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray),
    Timestamp(&'a TimestampMicrosecondArray),
}

/// The branches of a union with null, as they are written.
const NULL: u8 = 0;
const VALUE: u8 = 2;

impl<'a> Column<'a> {
    fn new(field: &Field, array: &'a ArrayRef) -> Self {
        let values = match field.data_type {
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int64 => Values::Int64(array.as_primitive::<Int64Type>()),
            DataType::Float64 => Values::Float64(array.as_primitive::<Float64Type>()),
            DataType::Decimal { .. } => Values::Decimal(array.as_primitive::<Decimal128Type>()),
            DataType::Text | DataType::Json => Values::Text(array.as_string()),
            DataType::Bytes => Values::Bytes(array.as_binary()),
            DataType::Date => Values::Date(array.as_primitive::<Date32Type>()),
            DataType::Time => Values::Time(array.as_primitive::<Time64MicrosecondType>()),
            DataType::Timestamp => Values::Timestamp(array.as_primitive::<TimestampMicrosecondType>()),
        };
        Self { values, nulls: array.nulls(), nullable: field.nullable }
    }

    /// Appends the value of a row.
    #[inline]
    fn push(&self, out: &mut Vec<u8>, row: usize) {
        if self.nullable {
            if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
                return out.push(NULL);
            }
            out.push(VALUE);
        }
        match &self.values {
            Values::Text(array) => push_bytes(out, array.value(row).as_bytes()),
            Values::Int64(array) => push_long(out, array.value(row)),
            Values::Timestamp(array) => push_long(out, array.value(row)),
            Values::Boolean(array) => out.push(array.value(row).into()),
            Values::Float64(array) => out.extend_from_slice(&array.value(row).to_le_bytes()),
            Values::Decimal(array) => push_decimal(out, array.value(row)),
            Values::Bytes(array) => push_bytes(out, array.value(row)),
            Values::Date(array) => push_long(out, array.value(row).into()),
            Values::Time(array) => push_long(out, array.value(row)),
        }
    }
}

/// Appends a zigzag number of variable length.
#[inline]
pub(super) fn push_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[inline]
fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

/// Appends a whole number in two's complement, the highest byte first, in as few bytes as show its sign.
fn push_decimal(out: &mut Vec<u8>, value: i128) {
    let bits = 128 - if value < 0 { value.leading_ones() } else { value.leading_zeros() };
    let length = bits as usize / 8 + 1;
    push_bytes(out, &value.to_be_bytes()[16 - length..]);
}

//! Avro records to columns and back: against bytes that other programs wrote, against the Avro library, and against
//! bytes that nobody should write.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod hostile;
mod reading;
mod resolving;
mod writing;

use arrow_array::{Array, ArrayRef, BinaryArray};
use azenha_formats::avro::AvroDecoder;
use azenha_formats::json::row_json;
use azenha_formats::{Decoded, RegisteredSchema};
use azenha_model::plan::{SchemaKind, StreamColumn, TimeFormat};
use azenha_model::{DataType, Field, Records};

/// The id of the schema in most tests.
const ID: u32 = 7;

/// A column that allows no nulls, at a path with points between names.
fn column(path: &str, data_type: DataType) -> StreamColumn {
    let field = Field::new(path, data_type, false);
    StreamColumn { field, path: path.split('.').map(str::to_owned).collect(), time_format: TimeFormat::Millis }
}

fn nullable(mut column: StreamColumn) -> StreamColumn {
    column.field.nullable = true;
    column
}

fn schema(text: &str) -> RegisteredSchema {
    RegisteredSchema { kind: Some(SchemaKind::Avro), text: text.to_owned(), references: Vec::new() }
}

/// A datum behind the id of its schema.
fn record(datum: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, ID as u8], datum].concat()
}

/// Decodes all columns of records, and checks that each gives a row or a reason.
fn decode<T: AsRef<[u8]>>(writer: &str, columns: &[StreamColumn], records: &[T]) -> Decoded {
    let needed: Vec<usize> = (0..columns.len()).collect();
    let mut decoder = AvroDecoder::new(columns, &needed, &[]);
    decoder.learn(ID, Some(&schema(writer)));
    let decoded = decoder.decode(&Records::unkeyed(BinaryArray::from_iter_values(records), 0));
    assert_eq!(decoded.rows.len() + decoded.rejected.len(), records.len(), "every record is a row or refused");
    assert!(decoded.columns.iter().flatten().all(|array| array.len() == decoded.rows.len()));
    decoded
}

/// The rows as JSON, or the reasons.
fn outcomes(columns: &[StreamColumn], decoded: &Decoded) -> Vec<String> {
    let fields: Vec<Field> = columns.iter().map(|column| column.field.clone()).collect();
    let arrays: Vec<ArrayRef> = decoded.columns.iter().flatten().cloned().collect();
    let rows = (0..decoded.rows.len()).map(|row| (decoded.rows[row], row_json(&fields, &arrays, row, false)));
    let refused = decoded.rejected.iter().map(|refused| (refused.record, refused.reason.clone()));
    let mut outcomes: Vec<(u32, String)> = rows.chain(refused).collect();
    outcomes.sort_by_key(|(record, _)| *record);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// What one datum gives.
fn outcome(writer: &str, columns: &[StreamColumn], datum: &[u8]) -> String {
    outcomes(columns, &decode(writer, columns, &[record(datum)])).remove(0)
}

/// Bytes from hexadecimal digits.
fn bytes(digits: &str) -> Vec<u8> {
    digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The schema of a record with these fields.
fn record_of(fields: &str) -> String {
    format!(r#"{{ "type": "record", "name": "Row", "fields": [{fields}] }}"#)
}

//! JSON records behind the id of their JSON Schema.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Float64Array, Int64Array, StringArray};
use azenha_formats::json::row_json;
use azenha_formats::{Decoded, Decoder, Encoder, RegisteredSchema, registered_schema, unreadable};
use azenha_model::plan::{Format, OutputColumn, SchemaKind, StreamColumn, StreamInput, TimeFormat, TopicOutput};
use azenha_model::{DataType, Field, Records};

const FORMAT: Format = Format::Registered { kind: SchemaKind::JsonSchema, registry: None };

fn input(fields: &[Field]) -> StreamInput {
    let column = |field: &Field| StreamColumn {
        field: field.clone(),
        path: vec![field.name.clone()],
        time_format: TimeFormat::Millis,
    };
    StreamInput {
        topic: "clicks".to_owned(),
        format: FORMAT,
        objects: None,
        columns: fields.iter().map(column).collect(),
        key: Vec::new(),
        needed: (0..fields.len()).collect(),
        event_time: None,
    }
}

fn schema(text: &str) -> RegisteredSchema {
    RegisteredSchema { kind: Some(SchemaKind::JsonSchema), text: text.to_owned(), references: Vec::new() }
}

fn decode(fields: &[Field], written: &RegisteredSchema, values: &[&[u8]]) -> Decoded {
    let mut decoder = Decoder::new(&input(fields));
    let records = Records::unkeyed(BinaryArray::from_iter_values(values), 0);
    for id in decoder.missing(&records) {
        decoder.learn(id, Some(written));
    }
    decoder.decode(&records)
}

fn record(json: &str) -> Vec<u8> {
    [&[0, 0, 0, 0, 9], json.as_bytes()].concat()
}

#[test]
fn a_record_that_breaks_its_schema_is_refused_without_its_value() {
    let written = schema(r#"{ "type": "object", "properties": { "age": { "type": "integer", "minimum": 18 } } }"#);
    let fields = [Field::new("age", DataType::Int64, false)];
    let values = [r#"{"age":20}"#, r#"{"age":17}"#, r#"{"age":"#, r#"{"age":1.5}"#, "{}", r#"{"age":30}"#].map(record);
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).chain([&b"{}"[..]]).collect();
    let decoded = decode(&fields, &written, &values);
    assert_eq!(decoded.rows, [0, 5]);
    let reasons: Vec<(u32, &str)> =
        decoded.rejected.iter().map(|refused| (refused.record, refused.reason.as_str())).collect();
    assert_eq!(reasons[0], (1, "field `age` breaks schema 9: value is less than the minimum of 18"));
    assert_eq!((reasons[1].0, reasons[1].1.starts_with("not JSON at byte 7")), (2, true), "{reasons:?}");
    assert_eq!(reasons[2], (3, "field `age` breaks schema 9: value is not of type \"integer\""));
    assert_eq!(reasons[3], (4, "field `age` is missing"), "the column needs it, the schema does not");
    assert!(reasons[4].1.contains("begins with byte 123"), "{reasons:?}");
    assert_eq!(decoded.rejected[0].field.as_deref(), Some("age"));
}

#[test]
fn a_schema_may_use_those_that_the_registry_has_for_it_and_fetches_no_others() {
    let mut written = schema(r#"{ "properties": { "age": { "$ref": "age.json" } } }"#);
    let fields = [Field::new("age", DataType::Int64, true)];
    let found = decode(&fields, &written, &[&record("{}")]);
    assert!(found.rejected[0].reason.contains("not among the references"), "{:?}", found.rejected);
    written.references = vec![("age.json".to_owned(), r#"{ "minimum": 18 }"#.to_owned())];
    let found = decode(&fields, &written, &[&record(r#"{"age":20}"#), &record(r#"{"age":1}"#)]);
    assert_eq!((found.rows, found.rejected.len()), (vec![0], 1));
}

#[test]
fn what_is_written_follows_its_own_schema_and_comes_back() {
    let types = [
        DataType::Boolean,
        DataType::Int64,
        DataType::Float64,
        DataType::Decimal { scale: 2 },
        DataType::Text,
        DataType::Bytes,
        DataType::Date,
        DataType::Time,
        DataType::Timestamp,
        DataType::Json,
    ];
    let of_type = |data_type: &DataType| {
        [false, true].map(|nullable| Field::new(format!("{data_type} {nullable}"), *data_type, nullable))
    };
    let fields: Vec<Field> = types.iter().flat_map(of_type).collect();
    let json = r#"{"boolean false":true,"boolean true":null,"int64 false":-1,"int64 true":7,"float64 false":0.5,"float64 true":null,"decimal(2) false":"1.50","decimal(2) true":"-0.01","text false":"ä","text true":"","bytes false":"AP8=","bytes true":null,"date false":"2024-02-29","date true":null,"time false":"23:59:59.500000","time true":"00:00:00","timestamp false":1704369600000,"timestamp true":null,"json false":{"a":[1]},"json true":null}"#;
    let columns = fields.iter().enumerate();
    let columns: Vec<OutputColumn> = columns
        .map(|(input, field)| OutputColumn { input, field: field.clone(), time_format: TimeFormat::Millis })
        .collect();
    let written = registered_schema(SchemaKind::JsonSchema, "clicks", &columns);
    let decoded = decode(&fields, &written, &[&record(json)]);
    assert_eq!(decoded.rejected, []);
    let arrays: Vec<ArrayRef> = decoded.columns.into_iter().flatten().collect();
    let output = TopicOutput { topic: "clicks".to_owned(), format: FORMAT, columns, key: vec![2] };
    let (keys, values) = Encoder::new(&output, 9).encode(&arrays, 1, None);
    assert_eq!(keys.value(0), br#"{"int64 false":-1}"#);
    assert_eq!(values.value(0), record(json));
    assert_eq!(unreadable(&FORMAT, &written, &input(&fields).columns), Ok(vec![]));
}

#[test]
fn a_float_that_json_has_no_number_for_still_follows_the_schema() {
    let field = Field::new("ratio", DataType::Float64, false);
    let column = OutputColumn { input: 0, field: field.clone(), time_format: TimeFormat::Millis };
    let written = registered_schema(SchemaKind::JsonSchema, "t", std::slice::from_ref(&column));
    let output = TopicOutput { topic: "t".to_owned(), format: FORMAT, columns: vec![column], key: vec![] };
    let nan: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN]));
    let (_, values) = Encoder::new(&output, 9).encode(&[nan], 1, None);
    let decoded = decode(&[Field { nullable: true, ..field }], &written, &[values.value(0)]);
    assert_eq!(decoded.rows, [0], "{:?}", decoded.rejected);
}

#[test]
fn columns_that_a_schema_contradicts_are_named() {
    let written = schema(
        r#"{ "type": "object", "additionalProperties": false, "properties": {
            "id": { "type": "string" }, "who": { "type": ["object", "null"], "properties": { "age": { "type": "integer" } } } } }"#,
    );
    let mut age = input(&[Field::new("age", DataType::Int64, false)]).columns.remove(0);
    age.path = vec!["who".to_owned(), "age".to_owned()];
    let mut columns =
        input(&[Field::new("id", DataType::Int64, false), Field::new("other", DataType::Text, false)]).columns;
    columns.push(age);
    let found = unreadable(&FORMAT, &written, &columns).unwrap();
    assert_eq!(
        found,
        [
            (0, "column `id` is of type int64, but the member is string".to_owned()),
            (1, "column `other` is not nullable, but there is no member `other`".to_owned()),
        ]
    );
    assert!(unreadable(&FORMAT, &schema(r#"{ "type": 7 }"#), &columns).is_err());
}

#[test]
fn rows_are_written_behind_the_id_of_their_schema() {
    let fields = [Field::new("id", DataType::Int64, false), Field::new("name", DataType::Text, true)];
    let columns = fields.iter().enumerate();
    let columns: Vec<OutputColumn> = columns
        .map(|(input, field)| OutputColumn { input, field: field.clone(), time_format: TimeFormat::Millis })
        .collect();
    let output = TopicOutput { topic: "t".to_owned(), format: FORMAT, columns, key: vec![0] };
    let arrays: [ArrayRef; 2] =
        [Arc::new(Int64Array::from(vec![1, 2])), Arc::new(StringArray::from(vec![Some("a"), None]))];
    let deletes = arrow_array::BooleanArray::from(vec![false, true]);
    let (_, values) = Encoder::new(&output, 0x0102_0304).encode(&arrays, 2, Some(&deletes));
    assert_eq!(values.iter().collect::<Vec<_>>(), [Some(&b"\0\x01\x02\x03\x04{\"id\":1,\"name\":\"a\"}"[..]), None]);
    assert_eq!(row_json(&fields, &arrays, 1, false), r#"{"id":2,"name":null}"#);
}

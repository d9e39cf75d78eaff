//! What fits between a writer's schema and the columns, what does not, and what is said then.

use std::collections::BTreeSet;

use arrow_array::BinaryArray;
use azenha_formats::avro::{AvroDecoder, AvroSchema};
use azenha_formats::json::JsonEncoder;
use azenha_formats::unreadable;
use azenha_model::plan::{Format, OutputColumn, SchemaKind, StreamColumn, TimeFormat};
use azenha_model::{DataType, Records};

use super::{ID, column, decode, nullable, outcome, outcomes, record, record_of, schema};

fn registered(kind: SchemaKind) -> Format {
    Format::Registered { kind, registry: None }
}

/// Why a writer's schema cannot be read as a column.
fn reasons(writer: &str, columns: &[StreamColumn]) -> Vec<String> {
    let found = AvroSchema::parse(writer, &[]).unwrap().unreadable(columns);
    found.into_iter().map(|unreadable| unreadable.reason).collect()
}

#[test]
fn a_missing_field_is_null_or_makes_the_schema_unreadable() {
    let writer = record_of(r#"{ "name": "id", "type": "long" }"#);
    let readable = [column("id", DataType::Int64), nullable(column("note", DataType::Text))];
    assert_eq!(outcome(&writer, &readable, &[2]), r#"{"id":1,"note":null}"#);
    let unreadable = [column("id", DataType::Int64), column("note", DataType::Text)];
    assert_eq!(
        outcome(&writer, &unreadable, &[2]),
        "schema 7: column `note` is not nullable, but there is no field `note`"
    );
}

#[test]
fn numbers_are_promoted_and_never_cut() {
    let of = |data_type: &str| record_of(&format!(r#"{{ "name": "x", "type": {data_type} }}"#));
    for (writer, data_type, datum, expected) in [
        (r#""int""#, DataType::Int64, vec![3], "-2"),
        (r#""int""#, DataType::Float64, vec![3], "-2.0"),
        (r#""long""#, DataType::Float64, vec![4], "2.0"),
        (r#""float""#, DataType::Float64, 1.5_f32.to_le_bytes().to_vec(), "1.5"),
        (r#""int""#, DataType::Decimal { scale: 2 }, vec![4], r#""2.00""#),
        (r#""string""#, DataType::Bytes, vec![2, b'a'], r#""YQ==""#),
        (r#""bytes""#, DataType::Text, vec![2, b'a'], r#""a""#),
    ] {
        let found = outcome(&of(writer), &[column("x", data_type)], &datum);
        assert_eq!(found, format!(r#"{{"x":{expected}}}"#), "{writer} as {data_type}");
    }
    let decimal = r#"{ "type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3 }"#;
    for (writer, data_type, expected) in [
        (r#""double""#, DataType::Int64, "column `x` is of type int64, but the field is a double"),
        (r#""string""#, DataType::Int64, "column `x` is of type int64, but the field is a string"),
        (r#""long""#, DataType::Time, "column `x` is of type time, but the field is a long"),
        (
            decimal,
            DataType::Decimal { scale: 2 },
            "column `x` is of type decimal(2), but the field is a decimal with 3 digits after the point",
        ),
    ] {
        assert_eq!(reasons(&of(writer), &[column("x", data_type)]), [expected]);
    }
}

#[test]
fn a_branch_that_does_not_fit_harms_only_the_records_that_have_it() {
    let writer = record_of(r#"{ "name": "x", "type": ["null", "long", "string"] }"#);
    let required = [column("x", DataType::Int64)];
    let decoded = decode(&writer, &required, &[record(&[2, 6]), record(&[0]), record(&[4, 2, b'a']), record(&[2, 8])]);
    assert_eq!(
        outcomes(&required, &decoded),
        [
            r#"{"x":3}"#,
            "field `x` is null, but not nullable; read up to byte 6 by schema 7",
            "record column `x` is of type int64, but the field is a string; read up to byte 6 by schema 7",
            r#"{"x":4}"#,
        ]
    );
    assert_eq!(reasons(&writer, &[column("x", DataType::Boolean)]).len(), 1, "no branch fits");
}

#[test]
fn columns_may_share_a_field_and_its_parts() {
    let writer = record_of(
        r#"{ "name": "a", "type": { "type": "record", "name": "A", "fields": [
            { "name": "b", "type": "string" }, { "name": "c", "type": "long" } ] } },
           { "name": "last", "type": "long" }"#,
    );
    let mut again = column("again", DataType::Bytes);
    again.path = vec!["a".to_owned(), "b".to_owned()];
    let columns = [column("a", DataType::Json), column("a.b", DataType::Text), again, column("last", DataType::Int64)];
    let expected = r#"{"a":{"b":"x","c":1},"a.b":"x","again":"eA==","last":2}"#;
    assert_eq!(outcome(&writer, &columns, &[2, b'x', 2, 4]), expected);
    let into_a_scalar = [column("last.b", DataType::Text)];
    assert_eq!(reasons(&writer, &into_a_scalar), ["column `last.b` is field `b` of a record, but there is a long"]);
}

#[test]
fn a_string_for_a_json_column_holds_json() {
    let writer = record_of(r#"{ "name": "x", "type": ["null", "string"] }"#);
    let columns = [nullable(column("x", DataType::Json))];
    assert_eq!(outcome(&writer, &columns, &[2, 6, b'[', b'1', b']']), r#"{"x":[1]}"#);
    assert!(outcome(&writer, &columns, &[2, 2, b'[']).contains("not JSON"));
}

#[test]
fn a_schema_may_name_others_and_contain_itself() {
    let list = r#"{ "type": "record", "name": "shop.List", "fields": [
        { "name": "value", "type": "shop.Item" }, { "name": "next", "type": ["null", "List"] } ] }"#;
    let item = r#"{ "type": "record", "name": "Item", "namespace": "shop", "fields": [
        { "name": "id", "type": "int" } ] }"#;
    let columns = [column("value.id", DataType::Int64), nullable(column("next", DataType::Json))];
    let mut decoder = AvroDecoder::new(&columns, &[0, 1], &[]);
    let mut written = schema(list);
    written.references = vec![("item".to_owned(), item.to_owned())];
    decoder.learn(ID, Some(&written));
    let decoded = decoder.decode(&Records::unkeyed(BinaryArray::from_iter_values([record(&[2, 2, 4, 0])]), 0));
    let expected = r#"{"value.id":1,"next":{"value":{"id":2},"next":null}}"#;
    assert_eq!(outcomes(&columns, &decoded), [expected]);
    assert!(AvroSchema::parse(list, &[]).is_err(), "what it names is not there");
}

#[test]
fn a_schema_that_is_no_record_or_of_another_kind_says_so() {
    assert_eq!(
        outcome(r#""long""#, &[column("x", DataType::Int64)], &[2]),
        "schema 7: column `x` is field `x` of a record, but there is a long"
    );
    let json = unreadable(&registered(SchemaKind::JsonSchema), &schema("{}"), &[]);
    assert_eq!(json, Err("it is not of JSON Schema".to_owned()));
    assert!(unreadable(&registered(SchemaKind::Avro), &schema("nonsense"), &[]).is_err());
}

#[test]
fn records_of_several_schemas_stand_in_one_batch() {
    let columns = [column("id", DataType::Int64), nullable(column("note", DataType::Text))];
    let mut decoder = AvroDecoder::new(&columns, &[0, 1], &[]);
    let records =
        [[0, 0, 0, 0, 1, 2].as_slice(), &[0, 0, 0, 0, 2, 2, 2, b'a'], &[0, 0, 0, 0, 3, 2], &[0, 0, 0, 0, 1, 4]];
    let records = Records::unkeyed(BinaryArray::from_iter_values(records), 0);
    assert_eq!(decoder.missing(&records), BTreeSet::from([1, 2, 3]));
    decoder.learn(1, Some(&schema(&record_of(r#"{ "name": "id", "type": "int" }"#))));
    decoder.learn(
        2,
        Some(&schema(&record_of(r#"{ "name": "id", "type": "int" }, { "name": "note", "type": "string" }"#))),
    );
    decoder.learn(3, None);
    let decoded = decoder.decode(&records);
    assert_eq!(
        outcomes(&columns, &decoded),
        [
            r#"{"id":1,"note":null}"#,
            r#"{"id":1,"note":"a"}"#,
            "the registry has no schema 3, with which the record was written",
            r#"{"id":2,"note":null}"#,
        ]
    );
    assert_eq!(decoder.missing(&records), BTreeSet::from([3]), "the registry may come to know it");
}

#[test]
fn a_tombstone_deletes_the_row_that_its_json_key_names() {
    let columns = [column("id", DataType::Int64), column("name", DataType::Text)];
    let output = OutputColumn { input: 0, field: columns[0].field.clone(), time_format: TimeFormat::Millis };
    let id: arrow_array::ArrayRef = std::sync::Arc::new(arrow_array::Int64Array::from(vec![5]));
    let (keys, _) = JsonEncoder::new(&[output], &[0]).encode(&[id], 1, None);
    let records = Records { timestamps: vec![0], keys, values: BinaryArray::new_null(1) };
    let mut decoder = AvroDecoder::new(&columns, &[0, 1], &[0]);
    let decoded = decoder.decode(&records);
    assert_eq!(decoded.deletes.map(|deletes| deletes.value(0)), Some(true));
    let mut without_key = AvroDecoder::new(&columns, &[0, 1], &[]);
    assert_eq!(without_key.decode(&records).rejected[0].reason, "record has no value");
}

//! Change events in Avro: those that a converter wrote, and what `validate` says of schemas.

use std::collections::BTreeSet;

use azenha_formats::{Decoder, RegisteredSchema, unreadable};
use azenha_model::Records;
use azenha_model::plan::{Format, SchemaKind};

use super::kinds::{COLUMNS, expected, shortened};
use super::{decode, outcomes, records, stream};

pub const AVRO: Format = Format::DebeziumAvro { registry: None };

pub fn schema(text: &str) -> RegisteredSchema {
    RegisteredSchema { kind: Some(SchemaKind::Avro), text: text.to_owned(), references: Vec::new() }
}

pub const KEY: &str = include_str!("events/kinds_avro_key.avsc");
pub const VALUE: &str = include_str!("events/kinds_avro_value.avsc");

/// Keys and values as the converter wrote them.
pub fn recorded() -> Vec<[Option<Vec<u8>>; 2]> {
    let bytes = |digits: &str| -> Vec<u8> {
        let pairs = digits.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    };
    let record = |line: &str| {
        let (key, value) = line.split_once('\t').unwrap();
        [key, value].map(|digits| (!digits.is_empty()).then(|| bytes(digits)))
    };
    include_str!("events/kinds_avro.tsv").lines().map(record).collect()
}

pub fn batch(recorded: &[[Option<Vec<u8>>; 2]]) -> Records {
    records(&recorded.iter().map(|[key, value]| (key.as_deref(), value.as_deref())).collect::<Vec<_>>())
}

#[test]
fn every_type_is_read_by_the_schemas_of_a_registry() {
    let input = stream(AVRO, &COLUMNS.replace("(us)", "(s)").replace("(iso)", "(ms)"));
    let mut decoder = Decoder::new(&input);
    let batch = batch(&recorded());
    assert_eq!(decoder.missing(&batch), BTreeSet::from([1, 2]), "of keys and values");
    decoder.learn(1, Some(&schema(KEY)));
    decoder.learn(2, Some(&schema(VALUE)));
    assert_eq!(decoder.missing(&batch), BTreeSet::new());
    let found = outcomes(&input, &decode(&mut decoder, &batch));
    let found: Vec<String> = found.iter().map(|outcome| shortened(outcome)).collect();
    assert_eq!(found, expected(["26617464", "266"]));
}

#[test]
fn parts_of_structures_are_columns_and_a_row_may_have_none() {
    let scale_of = |needed: Vec<usize>| {
        let mut input = stream(AVRO, "id: int64, scale: int64?, n: json?");
        input.columns[1].path = vec!["n".to_owned(), "scale".to_owned()];
        input.needed = needed;
        let mut decoder = Decoder::new(&input);
        decoder.learn(1, Some(&schema(KEY)));
        decoder.learn(2, Some(&schema(VALUE)));
        decode(&mut decoder, &batch(&recorded()[..3]))
    };
    let decoded = scale_of(vec![0, 1, 2]);
    assert_eq!(
        outcomes(&stream(AVRO, "id: int64, scale: int64?, n: json?"), &decoded),
        [
            r#"snapshot first 26617464.0.0 {"id":1,"scale":4,"n":{"scale":4,"value":"B1vNFQ=="}}"#,
            r#"snapshot last 26617464.0.0 {"id":2,"scale":null,"n":null}"#,
            r#"upsert 26617504.0.0 {"id":3,"scale":0,"n":{"scale":0,"value":"A+g="}}"#,
        ]
    );
    assert_eq!(scale_of(Vec::new()).rows, [0, 1, 2]);
}

#[test]
fn a_schema_that_the_registry_does_not_know_refuses_its_records_until_it_does() {
    let input = stream(AVRO, "id: int64");
    let mut decoder = Decoder::new(&input);
    let batch = batch(&recorded()[..1]);
    decoder.learn(1, None);
    decoder.learn(2, None);
    let found = outcomes(&input, &decode(&mut decoder, &batch));
    assert_eq!(found, ["the registry has no schema 2, with which the record was written"]);
    assert_eq!(decoder.missing(&batch), BTreeSet::from([1, 2]));
}

#[test]
fn keys_of_tombstones_are_in_avro_or_json() {
    let input = stream(AVRO, "id: int64");
    let mut decoder = Decoder::new(&input);
    decoder.learn(1, Some(&schema(KEY)));
    decoder.learn(9, None);
    let keys: [Option<&[u8]>; 5] =
        [Some(&[0, 0, 0, 0, 1, 4]), Some(br#"{"id":2}"#), Some(&[0, 0, 0, 0, 9, 4]), Some(&[0, 0, 0, 0, 1]), None];
    let found = outcomes(&input, &decode(&mut decoder, &records(&keys.map(|key| (key, None)))));
    assert_eq!(found[..2], [r#"tombstone nowhere {"id":2}"#; 2]);
    assert_eq!(found[2], "in the record's key: the registry has no schema 9, with which the record was written");
    assert_eq!(
        found[3],
        "in the record's key: record ends too early: 1 more bytes are needed; read up to byte 5 by schema 1"
    );
    assert_eq!(found[4], "record says neither in its value nor in its key which row it deletes");
}

#[test]
fn a_schema_is_checked_against_the_columns() {
    let reasons = |columns: &str, text: &str| unreadable(&AVRO, &schema(text), &stream(AVRO, columns).columns);
    assert_eq!(reasons(COLUMNS, VALUE), Ok(Vec::new()));
    let wrong = "id: int64, none: text, maybe: text?, d: timestamp(ms), money: decimal(2), raw: text";
    let missing = "column `none` is not nullable, but the table has no column like it";
    let date = "column `d` is of type timestamp, but the field is io.debezium.time.Date";
    let bytes = "column `raw` is of type text, but the field is bytes";
    let expected = [(1, missing), (3, date), (5, bytes)].map(|(column, reason)| (column, reason.to_owned()));
    assert_eq!(reasons(wrong, VALUE), Ok(expected.to_vec()));
    assert_eq!(
        reasons("id: int64", KEY),
        Err("it is not of Debezium's change events: they have a field `op`".to_owned())
    );
    assert!(reasons("id: int64", "nonsense").is_err());
}

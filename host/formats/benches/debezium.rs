//! Nanoseconds an event to decode recorded change events, beside serde_json, which reads the same events into a `Value` in
//! the same run. It prints; it does not fail.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a benchmark may end with a panic

use std::hint::black_box;
use std::time::Instant;

use arrow_array::BinaryArray;
use azenha_formats::{Decoder, RegisteredSchema};
use azenha_model::plan::{Decimals, Format, SchemaKind, StreamColumn, StreamInput, TimeFormat};
use azenha_model::{DataType, Field, Records};

const RECORDS: usize = 1000;
const ROUNDS: usize = 20;
const REPEATS: usize = 20;

fn main() {
    let json = || Format::Debezium { decimals: Decimals::Precise };
    let customers = customers();
    let orders = ["id", "cust", "qty"].map(|name| column(name, DataType::Int64, TimeFormat::Iso));
    let recorded = [
        ("3 columns", &orders[..], include_str!("../tests/debezium/events/postgresql_orders.tsv")),
        ("11 columns", &customers, include_str!("../tests/debezium/events/postgresql.tsv")),
        ("11 columns, schema", &customers, include_str!("../tests/debezium/events/postgresql_schemas.tsv")),
    ];
    for (what, columns, recorded) in recorded {
        let update = recorded.lines().nth(2).unwrap().split_once('\t').unwrap().1.as_bytes();
        compare(what, Decoder::new(&stream(json(), columns)), update, update);
    }
    let mut avro = Decoder::new(&stream(Format::DebeziumAvro { registry: None }, &kinds()));
    let text = include_str!("../tests/debezium/events/kinds_avro_value.avsc").to_owned();
    avro.learn(2, Some(&RegisteredSchema { kind: Some(SchemaKind::Avro), text, references: Vec::new() }));
    let recorded = include_str!("../tests/debezium/events/kinds_avro.tsv");
    let digits = recorded.lines().nth(3).unwrap().split_once('\t').unwrap().1;
    let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    let update: Vec<u8> = digits.as_bytes().chunks(2).map(pair).collect();
    let json =
        include_str!("../tests/debezium/events/kinds_plain.tsv").lines().nth(3).unwrap().split_once('\t').unwrap().1;
    compare("Avro, 8 of 29 columns", avro, &update, json.as_bytes());
}

fn column(name: &str, data_type: DataType, time_format: TimeFormat) -> StreamColumn {
    StreamColumn { field: Field::new(name, data_type, true), path: vec![name.to_owned()], time_format }
}

fn customers() -> Vec<StreamColumn> {
    let columns = [
        ("id", DataType::Int64),
        ("name", DataType::Text),
        ("email", DataType::Text),
        ("balance", DataType::Decimal { scale: 2 }),
        ("tags", DataType::Json),
        ("meta", DataType::Json),
        ("created", DataType::Timestamp),
        ("d", DataType::Date),
        ("ok", DataType::Boolean),
        ("bin", DataType::Bytes),
        ("uid", DataType::Text),
    ];
    columns.map(|(name, data_type)| column(name, data_type, TimeFormat::Iso)).into()
}

fn kinds() -> Vec<StreamColumn> {
    let columns = [
        ("id", DataType::Int64),
        ("n", DataType::Decimal { scale: 4 }),
        ("money", DataType::Decimal { scale: 2 }),
        ("d", DataType::Date),
        ("ts", DataType::Timestamp),
        ("u", DataType::Text),
        ("m", DataType::Text),
        ("note", DataType::Text),
    ];
    columns.map(|(name, data_type)| column(name, data_type, TimeFormat::Micros)).into()
}

fn stream(format: Format, columns: &[StreamColumn]) -> StreamInput {
    let needed = (0..columns.len()).collect();
    StreamInput {
        topic: String::new(),
        format,
        objects: None,
        columns: columns.to_vec(),
        key: vec![0],
        needed,
        event_time: None,
    }
}

/// Prints our time for a record, serde_json's for the same event in JSON, and how ours compares. The best of some repeats
/// counts, and they take turns, because others use the machine too.
fn compare(what: &str, mut decoder: Decoder, record: &[u8], json: &[u8]) {
    let records = Records::unkeyed(BinaryArray::from_iter_values(std::iter::repeat_n(record, RECORDS)), 0);
    assert!(decoder.decode(&records).rejected.is_empty());
    let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..REPEATS {
        ours = ours.min(nanoseconds(|| drop(black_box(decoder.decode(&records)))));
        let parse = || drop(black_box(serde_json::from_slice::<serde_json::Value>(json).unwrap()));
        theirs = theirs.min(nanoseconds(|| (0..RECORDS).for_each(|_| parse())));
    }
    println!("{what:<22} {:>5} bytes {ours:>8.1}", record.len());
    println!("  serde_json::Value {:>5} bytes {theirs:>10.1}   ratio {:.2}", json.len(), ours / theirs);
}

/// The time a record.
fn nanoseconds(mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| run());
    start.elapsed().as_nanos() as f64 / (ROUNDS * RECORDS) as f64
}

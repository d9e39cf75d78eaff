//! Nanoseconds a record to decode and encode clicks in Avro, beside the Avro library in the same run. It prints; it
//! does not fail.

#![allow(clippy::unwrap_used)] // a benchmark may end with a panic

use std::hint::black_box;
use std::time::Instant;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use arrow_array::{ArrayRef, StringArray, TimestampMicrosecondArray};
use azenha_formats::avro::{AvroDecoder, AvroEncoder, avro_schema};
use azenha_model::plan::{OutputColumn, StreamColumn, TimeFormat};
use azenha_model::{DataType, Field, Records};

const RECORDS: usize = 1000;
const ROUNDS: usize = 100;
const REPEATS: usize = 30;
const ID: u32 = 1;

const FIELDS: [&str; 8] =
    ["campaignId", "userId", "sessionId", "event", "timestamp", "platform", "cohort", "lifecycle"];

fn main() {
    for nullable in [false, true] {
        measure(nullable);
    }
}

fn measure(nullable: bool) {
    let outputs: Vec<OutputColumn> = FIELDS.iter().enumerate().map(|field| output(field, nullable)).collect();
    let columns: Vec<StreamColumn> = outputs.iter().map(column).collect();
    let arrays = clicks();
    let registered = avro_schema("clicks", &outputs);
    let mut encoder = AvroEncoder::new(&outputs, &[], ID);
    let (_, values) = encoder.encode(&arrays, RECORDS, None);
    let records = Records::unkeyed(values.clone(), 0);
    let kind = if nullable { "all fields nullable" } else { "no field nullable" };
    println!("{kind}: {RECORDS} clicks a batch, {} bytes each; ns a record", records.bytes() / RECORDS);

    let schema = Schema::parse_str(&registered.text).unwrap();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let decoder = |needed: &[usize]| {
        let mut decoder = AvroDecoder::new(&columns, needed, &[]);
        decoder.learn(ID, Some(&registered));
        assert!(decoder.decode(&records).rejected.is_empty());
        decoder
    };
    let (mut all, mut some) = (decoder(&[0, 1, 2, 3, 4, 5, 6, 7]), decoder(&[0, 3, 4]));
    let library = per_record(|| values.iter().flatten().for_each(|value| read(&reader, value)));
    compare("decode all 8 fields", per_record(|| drop(black_box(all.decode(&records)))), "reader", library);
    compare("decode 3 of 8 fields", per_record(|| drop(black_box(some.decode(&records)))), "reader", library);
    let simple = per_record(|| values.iter().flatten().for_each(|value| simple_read(&schema, value)));
    compare("decode all 8 fields", per_record(|| drop(black_box(all.decode(&records)))), "from_avro_datum", simple);

    let rows: Vec<_> = values.iter().flatten().map(|value| reader.read_value(&mut &value[5..]).unwrap()).collect();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    let library = per_record(|| {
        for row in &rows {
            black_box(writer.write_value_to_vec(row.clone()).unwrap());
        }
    });
    let ours = per_record(|| drop(black_box(encoder.encode(&arrays, RECORDS, None))));
    compare("encode all 8 fields", ours, "writer", library);
}

fn read(reader: &GenericDatumReader<'_>, record: &[u8]) {
    black_box(reader.read_value(&mut &record[5..]).unwrap());
}

#[expect(deprecated, reason = "what most programs call")]
fn simple_read(schema: &Schema, record: &[u8]) {
    black_box(apache_avro::from_avro_datum(schema, &mut &record[5..], None).unwrap());
}

fn output((input, name): (usize, &&str), nullable: bool) -> OutputColumn {
    let data_type = if *name == "timestamp" { DataType::Timestamp } else { DataType::Text };
    OutputColumn { input, field: Field::new(*name, data_type, nullable), time_format: TimeFormat::Millis }
}

fn column(output: &OutputColumn) -> StreamColumn {
    StreamColumn { field: output.field.clone(), path: Vec::new(), time_format: output.time_format }
}

fn clicks() -> Vec<ArrayRef> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut pick = |choices: &[&str]| {
        let picked = (0..RECORDS).map(|_| Some(choices[random.usize(..choices.len())]));
        std::sync::Arc::new(picked.collect::<StringArray>()) as ArrayRef
    };
    let numbered = |prefix: &str, width: usize, number: fn(usize) -> usize| {
        let names = (0..RECORDS).map(|index| Some(format!("{prefix}{:0width$}", number(index))));
        std::sync::Arc::new(names.collect::<StringArray>()) as ArrayRef
    };
    let times = (0..RECORDS).map(|index| 1_704_368_738_000_000 + index as i64 * 1_137_000);
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    vec![
        pick(&["paid_search", "email", "social_ads", "organic", "affiliate_north"]),
        numbered("user_", 4, |index| index * 7919 % 2000),
        numbered("sess_", 6, |index| index / 5),
        pick(&["home", "search", "promo_page", "product", "add_to_cart", "checkout", "purchase"]),
        std::sync::Arc::new(times),
        pick(&["tablet", "desktop", "mobile"]),
        pick(&["2023-12", "2024-01"]),
        pick(&["new", "returning", "loyal"]),
    ]
}

/// The fastest of several repeats, in nanoseconds a record.
fn per_record(mut work: impl FnMut()) -> f64 {
    let mut repeat = || {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| work());
        start.elapsed().as_nanos() as f64 / (ROUNDS * RECORDS) as f64
    };
    (0..REPEATS).map(|_| repeat()).fold(f64::INFINITY, f64::min)
}

fn compare(what: &str, ours: f64, name: &str, library: f64) {
    println!("  {what:<22} {ours:>7.1}   {name:<16} {library:>8.1}   {:>5.1} times", library / ours);
}

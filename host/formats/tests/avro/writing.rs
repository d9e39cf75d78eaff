//! Rows to records: what the Avro library reads in them, and what comes back.

use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use azenha_formats::avro::{AvroDecoder, AvroEncoder, avro_schema};
use azenha_formats::civil::{DAY, TIMESTAMPS};
use azenha_model::plan::{OutputColumn, StreamColumn, TimeFormat};
use azenha_model::{DataType, Field, Records};

const ROWS: usize = 500;

const TYPES: [DataType; 10] = [
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

/// A column of each type, and one with nulls of each.
fn outputs() -> Vec<OutputColumn> {
    let field = |(index, data_type): (usize, &DataType)| {
        [false, true].map(|nullable| Field::new(format!("c{index}_{nullable}"), *data_type, nullable))
    };
    let fields = TYPES.iter().enumerate().flat_map(field).enumerate();
    fields.map(|(input, field)| OutputColumn { input, field, time_format: TimeFormat::Millis }).collect()
}

fn array(field: &Field, random: &mut fastrand::Rng) -> ArrayRef {
    let mut some = |_| (!field.nullable || random.bool()).then(|| random.fork());
    let present: Vec<Option<fastrand::Rng>> = (0..ROWS).map(&mut some).collect();
    let longs = |range: std::ops::RangeInclusive<i64>| {
        present.iter().map(move |row| row.clone().map(|mut random| random.i64(range.clone())))
    };
    // Of every length, because lengths are what goes wrong.
    let long = |random: &fastrand::Rng| {
        let mut random = random.clone();
        random.i64(..) >> random.u32(0..64)
    };
    let text = |random: &fastrand::Rng| {
        let mut random = random.clone();
        let length = random.usize(0..100);
        (0..length).map(|_| random.char(..)).collect::<String>()
    };
    let rows = present.iter().map(Option::as_ref);
    match field.data_type {
        DataType::Boolean => {
            Arc::new(rows.map(|row| row.map(|random| random.clone().bool())).collect::<BooleanArray>())
        }
        DataType::Int64 => Arc::new(rows.map(|row| row.map(long)).collect::<Int64Array>()),
        DataType::Float64 => Arc::new(rows.map(|row| row.map(|random| random.clone().f64())).collect::<Float64Array>()),
        DataType::Decimal { .. } => {
            let decimal = |random: &fastrand::Rng| {
                let mut random = random.clone();
                random.i128(-(10_i128.pow(38) - 1)..10_i128.pow(38)) >> random.u32(0..126)
            };
            let decimals = rows.map(|row| row.map(decimal)).collect::<Decimal128Array>();
            Arc::new(decimals.with_data_type(field.data_type.arrow()))
        }
        DataType::Text => Arc::new(rows.map(|row| row.map(text)).collect::<StringArray>()),
        DataType::Json => {
            let json = |random: &fastrand::Rng| format!("[{}]", random.clone().u32(..));
            Arc::new(rows.map(|row| row.map(json)).collect::<StringArray>())
        }
        DataType::Bytes => {
            Arc::new(rows.map(|row| row.map(|random| text(random).into_bytes())).collect::<BinaryArray>())
        }
        DataType::Date => {
            let days = longs(*TIMESTAMPS.start() / DAY..=*TIMESTAMPS.end() / DAY);
            Arc::new(days.map(|day| day.map(|day| day as i32)).collect::<Date32Array>())
        }
        DataType::Time => Arc::new(longs(0..=DAY - 1).collect::<Time64MicrosecondArray>()),
        DataType::Timestamp => {
            let timestamps = longs(TIMESTAMPS).collect::<TimestampMicrosecondArray>();
            Arc::new(timestamps.with_data_type(field.data_type.arrow()))
        }
    }
}

#[test]
fn every_type_comes_back_and_is_what_the_avro_library_reads() {
    let outputs = outputs();
    let seed = 3;
    let mut random = fastrand::Rng::with_seed(seed);
    let arrays: Vec<ArrayRef> = outputs.iter().map(|output| array(&output.field, &mut random)).collect();
    let schema = avro_schema("all-types.v1", &outputs);
    let (keys, values) = AvroEncoder::new(&outputs, &[2], 300).encode(&arrays, ROWS, None);
    assert!(keys.iter().flatten().all(|key| key.starts_with(b"{\"c1_false\":")), "keys are JSON");
    assert!(values.iter().flatten().all(|value| value.starts_with(&[0, 0, 0, 1, 44])));

    let as_written = |output: &OutputColumn| StreamColumn {
        field: output.field.clone(),
        path: vec![],
        time_format: TimeFormat::Millis,
    };
    let columns: Vec<StreamColumn> = outputs.iter().map(as_written).collect();
    let needed: Vec<usize> = (0..columns.len()).collect();
    let mut decoder = AvroDecoder::new(&columns, &needed, &[]);
    decoder.learn(300, Some(&schema));
    let decoded = decoder.decode(&Records::unkeyed(values.clone(), 0));
    assert_eq!(decoded.rejected, [], "seed {seed}");
    for (array, found) in arrays.iter().zip(&decoded.columns) {
        assert_eq!(Some(array), found.as_ref(), "seed {seed}");
    }

    let library = Schema::parse_str(&schema.text).unwrap();
    let reader = GenericDatumReader::builder(&library).build().unwrap();
    for (row, value) in values.iter().flatten().enumerate() {
        let mut rest = &value[5..];
        let Value::Record(fields) = reader.read_value(&mut rest).unwrap() else { panic!("no record") };
        assert!(rest.is_empty(), "row {row}");
        let Value::Long(found) = fields[2].1 else { panic!("{:?}", fields[2]) };
        assert_eq!(
            found,
            arrow_array::cast::AsArray::as_primitive::<arrow_array::types::Int64Type>(&arrays[2]).value(row)
        );
        let Value::String(found) = &fields[8].1 else { panic!("{:?}", fields[8]) };
        assert_eq!(found, arrow_array::cast::AsArray::as_string::<i32>(&arrays[8]).value(row));
    }
}

#[test]
fn the_schema_has_a_name_that_avro_takes_and_null_for_what_may_be_absent() {
    let output = |name: &str, data_type, nullable| OutputColumn {
        input: 0,
        field: Field::new(name, data_type, nullable),
        time_format: TimeFormat::Millis,
    };
    let columns = [output("id", DataType::Int64, false), output("at", DataType::Timestamp, true)];
    let found: serde_json::Value = serde_json::from_str(&avro_schema("2024-clicks.v1", &columns).text).unwrap();
    let expected = serde_json::json!({
        "type": "record", "name": "_2024_clicks_v1", "namespace": "azenha",
        "fields": [
            { "name": "id", "type": "long" },
            { "name": "at", "type": ["null", { "type": "long", "logicalType": "timestamp-micros" }], "default": null },
        ],
    });
    assert_eq!(found, expected);
}

#[test]
fn a_deleted_row_is_a_tombstone() {
    let output =
        OutputColumn { input: 0, field: Field::new("id", DataType::Int64, false), time_format: TimeFormat::Millis };
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let deletes = BooleanArray::from(vec![false, true]);
    let (keys, values) = AvroEncoder::new(&[output], &[0], 1).encode(&[ids], 2, Some(&deletes));
    assert_eq!(keys.value(1), b"{\"id\":2}");
    assert_eq!(values.iter().collect::<Vec<_>>(), [Some(&[0, 0, 0, 0, 1, 2][..]), None]);
}

//! What is encoded comes back, for every type and at its extremes.

#![allow(clippy::unwrap_used)] // tests fail by panics

mod common;

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use azenha_formats::civil::{DAY, TIMESTAMPS};
use azenha_formats::json::{JsonDecoder, JsonEncoder, row_json};
use azenha_model::plan::{OutputColumn, StreamColumn, TimeFormat};
use azenha_model::{DataType, Field, Records};
use common::{column, decode, nullable};

fn output(column: &StreamColumn) -> OutputColumn {
    OutputColumn { input: 0, field: column.field.clone(), time_format: column.time_format }
}

/// Encodes a column's array, checks that it comes back, and gives the texts of its values.
fn there_and_back(column: StreamColumn, array: ArrayRef) -> Vec<String> {
    let (keys, values) =
        JsonEncoder::new(&[output(&column)], &[]).encode(std::slice::from_ref(&array), array.len(), None);
    assert_eq!(keys.null_count(), array.len());
    let records: Vec<&[u8]> = values.iter().flatten().collect();
    assert!(records.iter().all(|record| serde_json::from_slice::<serde_json::Value>(record).is_ok()));
    let decoded = decode(&[column], &records);
    assert_eq!(decoded.rejected, []);
    assert_eq!(decoded.columns[0].as_ref(), Some(&array));
    records.iter().map(|record| String::from_utf8_lossy(record).into_owned()).collect()
}

fn value(data_type: DataType) -> StreamColumn {
    nullable(column("v", data_type))
}

#[test]
fn every_type_comes_back_at_its_extremes() {
    let numbers = vec![Some(0), Some(-1), Some(i64::MAX), Some(i64::MIN), None, Some(123_456_789_012_345_678)];
    there_and_back(value(DataType::Int64), Arc::new(Int64Array::from(numbers)));
    let floats = [0.0, -0.0, 0.1, 1e300, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 1.0, 123_456_789.125];
    there_and_back(
        value(DataType::Float64),
        Arc::new(Float64Array::from_iter(floats.map(Some).into_iter().chain([None]))),
    );
    there_and_back(value(DataType::Boolean), Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])));
    let texts: Vec<Option<String>> =
        (0..0x1_0000).step_by(7).map(char::from_u32).map(|c| c.map(|c| format!("a{c}\"\\/é😀"))).collect();
    there_and_back(value(DataType::Text), Arc::new(StringArray::from(texts)));
    let bytes: Vec<u8> = (0..=255).collect();
    let slices = (0..20).map(|length| Some(&bytes[250 - length..250])).chain([None, Some(&bytes[..])]);
    there_and_back(value(DataType::Bytes), Arc::new(BinaryArray::from_iter(slices)));
    let dates = [0, -1, 19_726, (*TIMESTAMPS.start() / DAY) as i32, (*TIMESTAMPS.end() / DAY) as i32];
    there_and_back(value(DataType::Date), Arc::new(Date32Array::from_iter(dates.map(Some).into_iter().chain([None]))));
    let times = [0, 1, DAY - 1, 500_000, 3_600_000_000];
    let times = Time64MicrosecondArray::from_iter(times.map(Some).into_iter().chain([None]));
    there_and_back(value(DataType::Time), Arc::new(times));
    let jsons = vec![Some("{\"a\": [1, 2.50]}"), Some("\"text\""), Some("0"), None, Some("[ ]")];
    there_and_back(value(DataType::Json), Arc::new(StringArray::from(jsons)));
}

#[test]
fn decimals_come_back_with_every_digit_and_are_strings() {
    let largest = 10_i128.pow(38) - 1;
    for scale in [0, 1, 2, 37, 38] {
        let data_type = DataType::Decimal { scale };
        let numbers = Decimal128Array::from(vec![Some(0), Some(-1), Some(1230), Some(largest), Some(-largest), None]);
        there_and_back(value(data_type), Arc::new(numbers.with_data_type(data_type.arrow())));
    }
    let price = Decimal128Array::from(vec![1230, -5]).with_data_type(DataType::Decimal { scale: 2 }.arrow());
    let texts = there_and_back(value(DataType::Decimal { scale: 2 }), Arc::new(price));
    assert_eq!(texts, [r#"{"v":"12.30"}"#, r#"{"v":"-0.05"}"#]);
}

#[test]
fn timestamps_come_back_in_every_format() {
    let times = [*TIMESTAMPS.start(), 0, -DAY, 1_704_368_738_000_000, *TIMESTAMPS.end() - 999_999];
    for time_format in [TimeFormat::Seconds, TimeFormat::Millis, TimeFormat::Micros, TimeFormat::Iso] {
        let array =
            TimestampMicrosecondArray::from_iter(times.map(Some).into_iter().chain([None])).with_timezone("UTC");
        there_and_back(StreamColumn { time_format, ..value(DataType::Timestamp) }, Arc::new(array));
    }
    for time_format in [TimeFormat::Micros, TimeFormat::Iso] {
        let array = TimestampMicrosecondArray::from(vec![-1, 1, *TIMESTAMPS.end()]).with_timezone("UTC");
        there_and_back(StreamColumn { time_format, ..value(DataType::Timestamp) }, Arc::new(array));
    }
}

/// Encodes one column and gives the records.
fn encoded(column: StreamColumn, array: ArrayRef) -> Vec<String> {
    let rows = array.len();
    let (_, values) = JsonEncoder::new(&[output(&column)], &[]).encode(&[array], rows, None);
    values.iter().flatten().map(|record| String::from_utf8_lossy(record).into_owned()).collect()
}

#[test]
fn timestamps_between_two_milliseconds_are_rounded_down() {
    let array = TimestampMicrosecondArray::from(vec![1999, -1]).with_timezone("UTC");
    assert_eq!(encoded(value(DataType::Timestamp), Arc::new(array)), [r#"{"v":1}"#, r#"{"v":-1}"#]);
}

#[test]
fn numbers_that_json_does_not_have_are_null() {
    let floats = Float64Array::from(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    assert_eq!(encoded(value(DataType::Float64), Arc::new(floats)), [r#"{"v":null}"#; 3]);
}

#[test]
fn what_calls_itself_json_and_is_not_becomes_a_string() {
    let jsons = StringArray::from(vec!["[1", "1,\"w\":2", "", "null"]);
    let expected = [r#"{"v":"[1"}"#, r#"{"v":"1,\"w\":2"}"#, r#"{"v":""}"#, r#"{"v":null}"#];
    assert_eq!(encoded(value(DataType::Json), Arc::new(jsons)), expected);
}

#[test]
fn values_are_read_in_all_the_ways_that_json_writes_them() {
    let one = |data_type, record: &str| {
        let decoded = decode(&[value(data_type)], &[record]);
        assert_eq!(decoded.rejected, [], "{record}");
        decoded.columns.into_iter().flatten().next().unwrap()
    };
    let integer =
        |text: &str| one(DataType::Int64, &format!("{{ \"v\" : {text} }}")).as_primitive::<Int64Type>().value(0);
    assert_eq!([integer("1.0"), integer("1e3"), integer("-0"), integer("250e-1")], [1, 1000, 0, 25]);
    let text = |text: &str| one(DataType::Text, text).as_string::<i32>().value(0).to_owned();
    assert_eq!(text(r#"{"\u0076":"\u00e9\ud83d\ude00\n\/"}"#), "é😀\n/");
    assert_eq!(text("\t{\"x\":[{}, [ ]] ,\r\n\"v\":\"é\"}\n"), "é");
    let float = one(DataType::Float64, r#"{"v":1E+2}"#);
    assert_eq!(float.as_primitive::<Float64Type>().value(0), 100.0);
    let iso = StreamColumn { time_format: TimeFormat::Iso, ..value(DataType::Timestamp) };
    let decoded = decode(&[iso], &[r#"{"v":"1970-01-01 01:00:00.25\u002b01:00"}"#]);
    assert_eq!(decoded.columns[0].as_ref().unwrap().as_primitive::<TimestampMicrosecondType>().value(0), 250_000);
}

#[test]
fn fields_are_found_in_any_order_and_depth() {
    let columns = [
        column("a", DataType::Int64),
        column("o.b", DataType::Int64),
        column("o.p.c", DataType::Int64),
        column("o", DataType::Json),
    ];
    let records = [
        r#"{"a":1,"o":{"b":2,"p":{"c":3}}}"#,
        r#"{"o":{"p":{"c":3,"b":9},"b":2},"a":1}"#,
        r#"{"x":{"a":7},"o":{"x":1,"b":2,"y":[],"p":{"x":{"c":0},"c":3}},"z":"","a":1}"#,
        r#"{"a":1,"o":{"b":2,"p":{"c":3}}}"#,
    ];
    let decoded = decode(&columns, &records);
    assert_eq!(decoded.rejected, []);
    for (index, expected) in [1, 2, 3].into_iter().enumerate() {
        assert_eq!(decoded.columns[index].as_ref().unwrap().as_primitive::<Int64Type>().values(), &[expected; 4]);
    }
    assert_eq!(decoded.columns[3].as_ref().unwrap().as_string::<i32>().value(0), r#"{"b":2,"p":{"c":3}}"#);
}

#[test]
fn an_object_may_have_more_names_than_are_learned() {
    let mut record = String::from("{");
    (0..1000).for_each(|index| record.push_str(&format!("\"name{index}\":{index},")));
    record.push_str("\"v\":7}");
    let decoded = decode(&[column("v", DataType::Int64), column("name500", DataType::Int64)], &[&record, &record]);
    assert_eq!(decoded.columns[0].as_ref().unwrap().as_primitive::<Int64Type>().values(), &[7, 7]);
    assert_eq!(decoded.columns[1].as_ref().unwrap().as_primitive::<Int64Type>().values(), &[500, 500]);
}

#[test]
fn a_decoder_keeps_nothing_of_the_batch_before() {
    let columns = [value(DataType::Text), nullable(column("b", DataType::Boolean))];
    let mut decoder = JsonDecoder::new(&columns, &[0, 1], &[]);
    for text in ["one", "two"] {
        let records = [format!(r#"{{"v":"{text}"}}"#), r#"{"v":null,"b":true}"#.to_owned()];
        let decoded = decoder.decode(&Records::unkeyed(BinaryArray::from_iter_values(records), 0));
        let column = |index: usize| decoded.columns[index].as_ref().unwrap();
        assert_eq!(column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some(text), None]);
        assert_eq!(column(1).as_boolean().iter().collect::<Vec<_>>(), [None, Some(true)]);
    }
}

#[test]
fn a_slice_of_records_is_decoded_like_a_copy() {
    let values = [r#"{"v":"x"}"#, r#"{"v":"é"}"#, r#"{"v":"y"}"#, "{"];
    let records = Records::unkeyed(BinaryArray::from_iter_values(values), 0).slice(1, 2);
    let decoded = JsonDecoder::new(&[value(DataType::Text)], &[0], &[]).decode(&records);
    assert_eq!(decoded.rows, [0, 1]);
    assert_eq!(decoded.columns[0].as_ref().unwrap().as_string::<i32>().value(0), "é");
}

#[test]
fn deletes_come_back_as_tombstones_with_their_key() {
    let columns = [column("id", DataType::Int64), column("na\"me", DataType::Text)];
    let outputs: Vec<OutputColumn> = columns.iter().map(output).collect();
    let arrays: [ArrayRef; 2] =
        [Arc::new(Int64Array::from(vec![1, 2])), Arc::new(StringArray::from(vec![Some("a"), None]))];
    let deletes = BooleanArray::from(vec![false, true]);
    let (keys, values) = JsonEncoder::new(&outputs, &[0]).encode(&arrays, 2, Some(&deletes));
    assert_eq!(keys.iter().flatten().collect::<Vec<_>>(), [br#"{"id":1}"#, br#"{"id":2}"#]);
    assert_eq!(values.iter().collect::<Vec<_>>(), [Some(br#"{"id":1,"na\"me":"a"}"#.as_slice()), None]);

    let decoded = JsonDecoder::new(&columns, &[0, 1], &[0]).decode(&Records { timestamps: vec![0; 2], keys, values });
    assert_eq!(decoded.deletes, Some(deletes));
    assert_eq!(decoded.columns.into_iter().flatten().collect::<Vec<_>>(), arrays);
}

#[test]
fn a_row_for_people_masks_personal_data_and_has_readable_times() {
    let pii = Field { pii: true, ..Field::new("email", DataType::Text, true) };
    let fields = [Field::new("at", DataType::Timestamp, false), pii];
    let at = TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC");
    let arrays: [ArrayRef; 2] = [Arc::new(at), Arc::new(StringArray::from(vec!["a@b.c"]))];
    assert_eq!(row_json(&fields, &arrays, 0, true), r#"{"at":"1970-01-01T00:00:00Z","email":"***"}"#);
    assert_eq!(row_json(&fields, &arrays, 0, false), r#"{"at":"1970-01-01T00:00:00Z","email":"a@b.c"}"#);
    assert_eq!(row_json(&[], &[], 0, true), "{}");
}

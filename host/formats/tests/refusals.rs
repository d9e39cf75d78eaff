//! What is wrong with a record, in words; and that the rest of the batch does not notice.

#![allow(clippy::unwrap_used)] // tests fail by panics

mod common;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, BinaryArray};
use azenha_formats::json::{JsonDecoder, Refused};
use azenha_model::plan::{StreamColumn, TimeFormat};
use azenha_model::{DataType, Records};
use common::{column, decode, nullable};

/// The only refusal of a record with one column.
fn refusal(column: StreamColumn, record: impl AsRef<[u8]>) -> Refused {
    let decoded = decode(&[column], &[record]);
    assert!(decoded.rows.is_empty());
    decoded.rejected.into_iter().next().unwrap()
}

#[test]
fn a_text_that_is_not_json_is_refused_with_the_place_and_what_should_stand_there() {
    let deep = format!(r#"{{"n":{}"#, "[".repeat(127));
    let cases = [
        ("", "not JSON at byte 0: expected a value, found the end"),
        ("{", "not JSON at byte 1: expected `\"`, found the end"),
        (r#"{"n" 1}"#, "not JSON at byte 5: expected `:`, found `1`"),
        (r#"{"n":}"#, "not JSON at byte 5: expected a value, found `}`"),
        (r#"{"n":1,}"#, "not JSON at byte 7: expected `\"`, found `}`"),
        (r#"{"n":1;"#, "not JSON at byte 6: expected `,` or `}`, found `;`"),
        (r#"{"n":1} x"#, "not JSON at byte 8: expected the end, found `x`"),
        (r#"{"n":1}{"n":2}"#, "not JSON at byte 7: expected the end, found `{`"),
        (r#"{"n":01}"#, "not JSON at byte 6: expected `,` or `}`, found `1`"),
        (r#"{"n":+1}"#, "not JSON at byte 5: expected a value, found `+`"),
        (r#"{"n":1.}"#, "not JSON at byte 7: expected a digit, found `}`"),
        (r#"{"n":-}"#, "not JSON at byte 6: expected a digit, found `}`"),
        (r#"{"n":1,"x":[1 2]}"#, "not JSON at byte 14: expected `,` or `]`, found `2`"),
        (r#"{"n":1,"x":trUe}"#, "not JSON at byte 11: expected `true`, found `t`"),
        (r#"{"n":1,"x":"é}"#, "not JSON at byte 15: expected `\"`, found the end"),
        (
            "{\"n\":1,\"x\":\"a\nb\"}",
            "not JSON at byte 13: expected an escape in place of a control character, found `\\n`",
        ),
        (
            r#"{"n":1,"x":"\ud800"}"#,
            "not JSON at byte 12: expected an escape such as `\\n` or `\\u00e9` (or a pair of surrogates), found `\\`",
        ),
        ("{\"n\":1,\u{a0}\"x\":1}", "not JSON at byte 7: expected `\"`, found `\u{a0}`"),
        (r#"{"n":1,"n":2,}"#, "not JSON at byte 13: expected `\"`, found `}`"),
        (&deep, "nested too deeply at byte 131: at most 127 arrays and objects may be open"),
        ("[1]", "the record is an array, but needs to be an object"),
        (" null ", "the record is null, but needs to be an object"),
    ];
    for (record, reason) in cases {
        let refused = refusal(column("n", DataType::Int64), record);
        assert_eq!(refused, Refused { record: 0, field: None, reason: reason.to_owned() }, "{record}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_with_their_place() {
    let refused = refusal(column("n", DataType::Int64), b"{\"n\":1,\"x\":\"\xff\"}");
    assert_eq!(refused.reason, "not UTF-8 at byte 12");
}

#[test]
fn a_character_that_two_records_share_is_in_neither() {
    let decoded =
        decode(&[column("n", DataType::Int64)], &[b"{\"n\":1}\xc3".as_slice(), b"\xa9{\"n\":1}", b"{\"n\":3}"]);
    let reasons: Vec<&str> = decoded.rejected.iter().map(|refused| refused.reason.as_str()).collect();
    assert_eq!(reasons, ["not UTF-8 at byte 7", "not UTF-8 at byte 0"]);
    assert_eq!(decoded.rows, [2]);
}

#[test]
fn a_field_that_does_not_fit_is_named_with_what_was_found_and_what_is_needed() {
    let decimal = DataType::Decimal { scale: 2 };
    let cases = [
        (DataType::Int64, r#"{"x":1}"#, "is missing"),
        (DataType::Int64, r#"{"n":null}"#, "is null, but not nullable"),
        (DataType::Int64, r#"{"n":"1"}"#, "is a string, but the schema says int64: a whole number"),
        (DataType::Int64, r#"{"n":1,"n":2}"#, "stands twice in its object"),
        (DataType::Int64, r#"{"n":1,"\u006e":2}"#, "stands twice in its object"),
        (
            DataType::Int64,
            r#"{"n":1e400}"#,
            "is the number 1e400, which does not fit in int64 (whole numbers of 64 bits)",
        ),
        (DataType::Int64, r#"{"n":1.5}"#, "is the number 1.5, which does not fit in int64 (whole numbers of 64 bits)"),
        (
            DataType::Int64,
            r#"{"n":9223372036854775808}"#,
            "is the number 9223372036854775808, which does not fit in int64 (whole numbers of 64 bits)",
        ),
        (DataType::Float64, r#"{"n":1e400}"#, "is the number 1e400, which does not fit in float64"),
        (DataType::Float64, r#"{"n":[1]}"#, "is an array, but the schema says float64: a number"),
        (DataType::Boolean, r#"{"n":0}"#, "is a number, but the schema says boolean: true or false"),
        (DataType::Text, r#"{"n":true}"#, "is a boolean, but the schema says text: a string"),
        (DataType::Text, r#"{"n":{"a":1}}"#, "is an object, but the schema says text: a string"),
        (DataType::Bytes, r#"{"n":"a"}"#, "is the string \"a\", but the schema says bytes: a string of base64"),
        (
            decimal,
            r#"{"n":1.234}"#,
            "is the number 1.234, which does not fit in decimal(2) (at most 38 digits, and as many after the point as it says)",
        ),
        (
            decimal,
            r#"{"n":"1,23"}"#,
            "is the string \"1,23\", but the schema says decimal(2): a number, or one in a string",
        ),
        (decimal, r#"{"n":""}"#, "is the string \"\", but the schema says decimal(2): a number, or one in a string"),
        (decimal, r#"{"n":false}"#, "is a boolean, but the schema says decimal(2): a number, or one in a string"),
        (
            DataType::Date,
            r#"{"n":"2023-02-29"}"#,
            "is the string \"2023-02-29\", but the schema says date: a string such as \"2024-01-31\"",
        ),
        (
            DataType::Time,
            r#"{"n":"25:00:00"}"#,
            "is the string \"25:00:00\", but the schema says time: a string such as \"23:59:59\"",
        ),
        (
            DataType::Timestamp,
            r#"{"n":"now"}"#,
            "is a string, but the schema says timestamp(ms): a number of milliseconds",
        ),
        (
            DataType::Timestamp,
            r#"{"n":1704368738000000}"#,
            "is the number 1704368738000000, which does not fit in timestamp(ms) (whole numbers, in the years 1 to 9999)",
        ),
        (DataType::Json, r#"{"n":null}"#, "is null, but not nullable"),
    ];
    for (data_type, record, what) in cases {
        let refused = refusal(column("n", data_type), record);
        let reason = format!("field `n` {what}");
        assert_eq!(refused, Refused { record: 0, field: Some("n".to_owned()), reason }, "{record}");
    }
}

#[test]
fn iso_timestamps_have_a_reason_of_their_own() {
    let iso = StreamColumn { time_format: TimeFormat::Iso, ..column("at", DataType::Timestamp) };
    let needs = "but the schema says timestamp(iso): a string such as \"2024-01-31T23:59:59Z\"";
    assert_eq!(refusal(iso.clone(), r#"{"at":5}"#).reason, format!("field `at` is a number, {needs}"));
    let refused = refusal(iso, r#"{"at":"2024-01-31T23:59:59"}"#);
    assert_eq!(refused.reason, format!("field `at` is the string \"2024-01-31T23:59:59\", {needs}"));
}

#[test]
fn a_nested_field_is_named_with_its_path() {
    let email = || column("client.email", DataType::Text);
    for (record, field, what) in [
        (r#"{"client":{"name":"a"}}"#, "client.email", "is missing"),
        (r#"{"client":null}"#, "client.email", "is missing"),
        (r#"{"email":"a"}"#, "client.email", "is missing"),
        (r#"{"client":{"email":7}}"#, "client.email", "is a number, but the schema says text: a string"),
        (r#"{"client":"x"}"#, "client", "is a string, but the schema says an object"),
        (r#"{"client":{},"client":{"email":"a"}}"#, "client", "stands twice in its object"),
    ] {
        let refused = refusal(email(), record);
        assert_eq!(refused.field.as_deref(), Some(field), "{record}");
        assert_eq!(refused.reason, format!("field `{field}` {what}"), "{record}");
    }
    let decoded = decode(&[nullable(email())], &[r#"{"client":null}"#, "{}", r#"{"client":{"email":null}}"#]);
    assert_eq!(decoded.columns[0].as_ref().unwrap().null_count(), 3);
}

#[test]
fn personal_data_stays_out_of_reasons() {
    let mut date = column("born", DataType::Date);
    date.field.pii = true;
    let refused = refusal(date, r#"{"born":"4 May 1980"}"#);
    assert_eq!(
        refused.reason,
        "field `born` is the string ***, but the schema says date: a string such as \"2024-01-31\""
    );
}

#[test]
fn a_long_value_is_cut_in_its_reason() {
    let refused = refusal(column("n", DataType::Int64), format!(r#"{{"n":{}}}"#, "9".repeat(5000)));
    assert!(refused.reason.starts_with(&format!("field `n` is the number {}…, which", "9".repeat(60))));
}

#[test]
fn a_refused_record_leaves_nothing_in_any_column() {
    let columns = [column("a", DataType::Text), nullable(column("b", DataType::Bytes)), column("n", DataType::Int64)];
    let records = [
        r#"{"a":"first","b":"AQI=","n":1}"#,
        r#"{"a":"refused","b":"AQI=","n":"x"}"#,
        r#"{"a":"refused","b":"AQI!","n":2}"#,
        r#"{"a":"last","b":null,"n":3}"#,
    ];
    let decoded = decode(&columns, &records);
    assert_eq!(decoded.rows, [0, 3]);
    assert_eq!(decoded.rejected.iter().map(|refused| refused.record).collect::<Vec<_>>(), [1, 2]);
    let array = |index: usize| decoded.columns[index].as_ref().unwrap();
    assert_eq!(array(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("first"), Some("last")]);
    assert_eq!(array(1).as_binary::<i32>().iter().collect::<Vec<_>>(), [Some([1, 2].as_slice()), None]);
    assert_eq!(array(2).as_primitive::<Int64Type>().values(), &[1, 3]);
}

#[test]
fn a_record_without_value_is_refused_unless_the_stream_has_a_key() {
    let columns = [column("id", DataType::Int64), column("name", DataType::Text)];
    let records = |keys: Vec<Option<&[u8]>>| {
        let values = BinaryArray::new_null(keys.len());
        Records { timestamps: vec![0; keys.len()], keys: BinaryArray::from(keys), values }
    };
    let unkeyed = JsonDecoder::new(&columns, &[0, 1], &[]).decode(&records(vec![Some(b"{\"id\":1}")]));
    assert_eq!(unkeyed.rejected[0].reason, "record has no value");

    let keys: Vec<Option<&[u8]>> =
        vec![Some(b"{\"id\":1}"), None, Some(b"{}"), Some(b"\xff"), Some(b"{\"id\":\"x\"}"), Some(b"7")];
    let decoded = JsonDecoder::new(&columns, &[0, 1], &[0]).decode(&records(keys));
    assert_eq!(decoded.rows, [0]);
    assert_eq!(decoded.columns[1].as_ref().unwrap().null_count(), 1);
    let reasons: Vec<&str> = decoded.rejected.iter().map(|refused| refused.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "record has neither value nor key: a delete needs the key of its row",
            "in the record's key: field `id` is missing",
            "in the record's key: not UTF-8 at byte 0",
            "in the record's key: field `id` is a string, but the schema says int64: a whole number",
            "in the record's key: the record is a number, but needs to be an object",
        ]
    );
}

#[test]
fn deletes_stand_between_rows_even_when_no_key_column_is_needed() {
    let columns = [column("id", DataType::Int64), column("name", DataType::Text)];
    let value: &[u8] = br#"{"id":1,"name":"a"}"#;
    let key: &[u8] = br#"{"id":1}"#;
    let records = Records {
        timestamps: vec![0; 3],
        keys: BinaryArray::from(vec![None, Some(key), None]),
        values: BinaryArray::from(vec![Some(value), None, Some(value)]),
    };
    for needed in [vec![0, 1], vec![1], vec![0], vec![]] {
        let decoded = JsonDecoder::new(&columns, &needed, &[0]).decode(&records);
        assert_eq!(decoded.rows, [0, 1, 2]);
        assert_eq!(decoded.deletes.unwrap().iter().collect::<Vec<_>>(), [Some(false), Some(true), Some(false)]);
        for (index, array) in decoded.columns.iter().enumerate() {
            assert_eq!(array.is_some(), needed.contains(&index));
            let nulls = if index == 1 { 1 } else { 0 };
            assert!(array.as_ref().is_none_or(|array| array.len() == 3 && array.null_count() == nulls));
        }
    }
}

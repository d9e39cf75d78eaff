//! The encodings of values: by the column's type, and by a schema beside the record.

use azenha_formats::Decoder;
use azenha_model::plan::{Decimals, Format};

use super::{JSON, decode, outcome, outcomes, records, stream, value_of};

const STRINGS: Format = Format::Debezium { decimals: Decimals::String };

#[test]
fn values_are_read_as_their_columns_say() {
    for (data_type, value, expected) in [
        ("boolean", "true", "true"),
        ("boolean", "0", "false"),
        ("boolean", "1", "true"),
        ("int64", "-9223372036854775808", "-9223372036854775808"),
        ("float64", "1e3", "1000.0"),
        ("text", r#""glad""#, r#""glad""#),
        ("bytes", r#""AP8Q""#, r#""AP8Q""#),
        ("date", "-1", r#""1969-12-31""#),
        ("date", r#""2024-02-29Z""#, r#""2024-02-29""#),
        ("time(ms)", "86399123", r#""23:59:59.123000""#),
        ("time(us)", "86399123456", r#""23:59:59.123456""#),
        ("time(ns)", "86399123456789", r#""23:59:59.123456""#),
        ("time", r#""08:15:30Z""#, r#""08:15:30""#),
        ("time(us)", r#""08:15:30.5""#, r#""08:15:30.500000""#),
        ("timestamp(s)", "-1", r#""1969-12-31T23:59:59Z""#),
        ("timestamp(ms)", "-1", r#""1969-12-31T23:59:59.999000Z""#),
        ("timestamp(us)", "-1", r#""1969-12-31T23:59:59.999999Z""#),
        ("timestamp(ns)", "-1", r#""1969-12-31T23:59:59.999999Z""#),
        ("timestamp(iso)", r#""2024-02-29T22:59:59.123456Z""#, r#""2024-02-29T22:59:59.123456Z""#),
        ("timestamp(us)", r#""2024-02-29T23:59:59+01:00""#, r#""2024-02-29T22:59:59Z""#),
        ("json", r#""{\"k\": [1, 2.50]}""#, r#"{"k": [1, 2.50]}"#),
        ("json", r#"{"k":[1,null]}"#, r#"{"k":[1,null]}"#),
        ("json", "[1,null,3]", "[1,null,3]"),
        ("json", "7", "7"),
        ("text?", "null", "null"),
    ] {
        assert_eq!(value_of(&JSON, data_type, value), expected, "{data_type} from {value}");
    }
    assert_eq!(value_of(&JSON, "float64", r#""-Infinity""#), "null", "which JSON has no number for");
}

#[test]
fn decimals_are_read_in_every_mode_of_the_connector() {
    for (format, value, expected) in [
        // precise: base64 of the unscaled number
        (&JSON, r#""J0I=""#, r#""100.50""#),
        (&JSON, r#""+w==""#, r#""-0.05""#),
        (&JSON, r#""""#, r#""0.00""#),
        (&JSON, r#""1000""#, r#""-26672.12""#),
        // precise, of a column that leaves the scale open
        (&JSON, r#"{"scale":1,"value":"J0I="}"#, r#""1005.00""#),
        (&STRINGS, r#"{"scale":-2,"value":"AQ=="}"#, r#""100.00""#),
        // double
        (&JSON, "100.5", r#""100.50""#),
        (&STRINGS, "1e2", r#""100.00""#),
        // string
        (&STRINGS, r#""1000""#, r#""1000.00""#),
        (&STRINGS, r#""-0.05""#, r#""-0.05""#),
    ] {
        assert_eq!(value_of(format, "decimal(2)", value), expected, "{value} in {format:?}");
    }
}

#[test]
fn values_that_are_no_ones_of_their_columns_are_refused() {
    for (format, data_type, value, reason) in [
        (&JSON, "boolean", "2", "is the number 2, but the schema says boolean: true or false, 1 or 0"),
        (&JSON, "boolean", r#""true""#, "is a string, but the schema says boolean: true or false, 1 or 0"),
        (&JSON, "int64", "9223372036854775808", "which does not fit in int64 (whole numbers of 64 bits)"),
        (&JSON, "int64", r#""1""#, "is a string, but the schema says int64: a whole number"),
        (&JSON, "float64", "1e999", "is the number 1e999, which does not fit in float64"),
        (&JSON, "float64", r#""nan""#, "is a string, but the schema says float64: a number"),
        (&JSON, "text", "7", "is a number, but the schema says text: a string"),
        (&JSON, "bytes", r#""x""#, "is the string \"x\", but the schema says bytes: a string of base64"),
        (&JSON, "date", "2932897", "is the number 2932897, which does not fit in date"),
        (&JSON, "date", "9223372036854775807", "which does not fit in date"),
        (&JSON, "date", r#""2024-02-30""#, "but the schema says date: a number of days, or a string such as"),
        (&JSON, "time(us)", "86400000000", "is the number 86400000000, which does not fit in time"),
        (&JSON, "time(us)", "-1", "is the number -1, which does not fit in time"),
        (&JSON, "time", "1", "but the schema says time: a string such as \"23:59:59\"; a number needs its unit"),
        (&JSON, "timestamp(iso)", "1", "a number needs its unit: timestamp(us)"),
        (&JSON, "timestamp(s)", "9223372036854775807", "does not fit in timestamp(s) (whole numbers, in the years"),
        (
            &JSON,
            "timestamp(us)",
            r#""2024-02-30T00:00:00Z""#,
            "but the schema says timestamp(us): a number in that unit",
        ),
        (&JSON, "decimal(2)", r#""100.50""#, "base64 of the unscaled number (text with `decimals: string`)"),
        (&JSON, "decimal(2)", r#""AQEBAQEBAQEBAQEBAQEBAQE=""#, "which does not fit in decimal(2) (at most 38 digits"),
        (&JSON, "decimal(2)", "0.001", "is the number 0.001, which does not fit in decimal(2)"),
        (&JSON, "decimal(2)", r#"{"scale":3,"value":"AQ=="}"#, "which does not fit in decimal(2)"),
        (&JSON, "decimal(2)", r#"{"value":"AQ=="}"#, "is an object, but the schema says decimal(2)"),
        (&STRINGS, "decimal(2)", r#""J0I=""#, "but the schema says decimal(2): a number, or one in a string"),
        (&STRINGS, "decimal(2)", r#""NaN""#, "but the schema says decimal(2): a number, or one in a string"),
        (&JSON, "json", r#""no json""#, "but the schema says json: any value but null; a string has to hold JSON"),
        (&JSON, "json", "null", "is null, but not nullable"),
    ] {
        let found = value_of(format, data_type, value);
        assert!(found.starts_with("field `after.x` ") && found.contains(reason), "{data_type} from {value}: {found}");
    }
}

#[test]
fn personal_data_is_not_in_reasons() {
    let mut input = stream(JSON, "id: int64, x: decimal(2)");
    input.columns[1].field.pii = true;
    let found = outcome(&input, None, Some(r#"{"op":"c","after":{"id":1,"x":"secret"}}"#));
    assert!(found.contains("the string ***") && !found.contains("secret"), "{found}");
}

#[test]
fn a_placeholder_in_any_form_is_a_value_that_is_unavailable() {
    let bytes: Vec<String> = b"__debezium_unavailable_value".iter().map(u8::to_string).collect();
    for (data_type, value) in [
        ("text", r#""__debezium_unavailable_value""#.to_owned()),
        ("int64", r#""__debezium_unavailable_value""#.to_owned()),
        ("decimal(2)", r#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#.to_owned()),
        ("bytes", r#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#.to_owned()),
        ("json", r#""__debezium_unavailable_value""#.to_owned()),
        ("json", r#"["__debezium_unavailable_value"]"#.to_owned()),
        ("json", r#"["X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="]"#.to_owned()),
        ("json", r#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#.to_owned()),
        ("json", r#"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#.to_owned()),
        ("json", r#""{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}""#.to_owned()),
        ("json", format!("[{}]", bytes.join(","))),
    ] {
        assert_eq!(value_of(&JSON, data_type, &value), "unavailable", "{data_type} from {value}");
    }
    let base64 = r#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#;
    assert_eq!(value_of(&JSON, "text", base64), base64, "text like any other");
    assert_eq!(
        value_of(&JSON, "json", r#"["__debezium_unavailable_value",1]"#),
        r#"["__debezium_unavailable_value",1]"#
    );
}

/// What a value comes to of which a schema says something.
fn described(data_type: &str, schema: &str, value: &str) -> String {
    let input = stream(JSON, &format!("id: int64, x: {data_type}"));
    let event = format!(
        r#"{{"schema":{{"fields":[{{"field":"after","fields":[{{"field":"x",{schema}}}]}}]}},"payload":{{"op":"c","after":{{"id":1,"x":{value}}}}}}}"#
    );
    let twice = records(&[(None, Some(event.as_bytes())), (None, Some(event.as_bytes()))]);
    let [first, second] = outcomes(&input, &decode(&mut Decoder::new(&input), &twice)).try_into().unwrap();
    assert_eq!(first, second, "by a schema that is new, and by one that is known");
    let row = first.strip_prefix(r#"upsert nowhere {"id":1,"x":"#).and_then(|row| row.strip_suffix('}'));
    row.map_or(first.clone(), str::to_owned)
}

#[test]
fn a_schema_beside_the_record_says_what_its_values_are() {
    let micro_time = r#""type":"int64","name":"io.debezium.time.MicroTime""#;
    let scaled = |scale: &str| {
        format!(r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{{"scale":"{scale}"}}"#)
    };
    for (data_type, schema, value, expected) in [
        ("date", r#""type":"int32","name":"org.apache.kafka.connect.data.Date""#, "0", r#""1970-01-01""#),
        ("date", r#""type":"string","name":"io.debezium.time.IsoDate""#, r#""1970-01-01Z""#, r#""1970-01-01""#),
        ("time", r#""type":"int32","name":"io.debezium.time.Time""#, "1", r#""00:00:00.001000""#),
        ("time", r#""type":"int32","name":"org.apache.kafka.connect.data.Time""#, "1", r#""00:00:00.001000""#),
        ("time(ms)", micro_time, "1", r#""00:00:00.000001""#),
        ("time", r#""type":"int64","name":"io.debezium.time.NanoTime""#, "1000", r#""00:00:00.000001""#),
        ("time", r#""type":"string","name":"io.debezium.time.ZonedTime""#, r#""08:00:00Z""#, r#""08:00:00""#),
        ("timestamp(s)", r#""type":"int64","name":"io.debezium.time.Timestamp""#, "1000", r#""1970-01-01T00:00:01Z""#),
        ("timestamp(us)", r#""type":"int64""#, "1000000", r#""1970-01-01T00:00:01Z""#),
        ("int64", micro_time, "-3600000000", "-3600000000"),
        ("int64", r#""type":"int32","name":"io.debezium.time.Year""#, "2024", "2024"),
        ("decimal(4)", &scaled("2"), r#""J0I=""#, r#""100.5000""#),
        ("decimal(1)", &scaled("2"), r#""J0I=""#, r#""100.5""#),
        ("int64", &scaled("0"), r#""f/////////8=""#, "9223372036854775807"),
        ("decimal(2)", r#""type":"string""#, r#""1000""#, r#""1000.00""#),
        ("decimal(2)", r#""type":"double""#, "100.5", r#""100.50""#),
        ("text", r#""type":"string","name":"io.debezium.data.Enum""#, r#""glad""#, r#""glad""#),
        ("bytes", r#""type":"bytes","name":"io.debezium.data.Bits""#, r#""gQ==""#, r#""gQ==""#),
    ] {
        assert_eq!(described(data_type, schema, value), expected, "{data_type} from {value}, {schema}");
    }
}

#[test]
fn what_a_schema_says_to_be_something_else_is_refused() {
    for (data_type, schema, reason) in [
        (
            "timestamp(ms)",
            r#""type":"int32","name":"io.debezium.time.Date""#,
            "is io.debezium.time.Date by the record's schema, but the column is timestamp",
        ),
        ("date", r#""type":"int64","name":"io.debezium.time.MicroTimestamp""#, "is io.debezium.time.MicroTimestamp by"),
        (
            "time(us)",
            r#""type":"int64","name":"io.debezium.time.MicroDuration""#,
            "is io.debezium.time.MicroDuration by",
        ),
        (
            "text",
            r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal""#,
            "is org.apache.kafka.connect.data.Decimal by",
        ),
        ("text", r#""type":"bytes""#, "is bytes by the record's schema, but the column is text"),
        ("json", r#""type":"bytes""#, "is bytes by the record's schema, but the column is json"),
    ] {
        let found = described(data_type, schema, r#""1000""#);
        assert!(found.starts_with("field `after.x` ") && found.contains(reason), "{data_type}: {found}");
    }
}

//! Bytes that fastavro 1.13 and confluent-kafka 2.16 wrote.

use azenha_model::DataType;
use azenha_model::plan::{StreamColumn, TimeFormat};

use super::{bytes, column, decode, nullable, outcome, outcomes, record};

/// Every type that Avro has.
pub const ORDER: &str = r#"{ "type": "record", "name": "Order", "namespace": "shop", "fields": [
        {"name": "id", "type": "long"},
        {"name": "small", "type": "int"},
        {"name": "ratio", "type": "float"},
        {"name": "score", "type": "double"},
        {"name": "paid", "type": "boolean"},
        {"name": "note", "type": ["null", "string"], "default": null},
        {"name": "late", "type": ["string", "null"]},
        {"name": "raw", "type": "bytes"},
        {"name": "status", "type": {"type": "enum", "name": "Status", "symbols": ["NEW", "PAID"]}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "at_micros", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
        {"name": "clock", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "clock_micros", "type": {"type": "long", "logicalType": "time-micros"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
        {"name": "tax", "type": {"type": "fixed", "name": "Tax", "size": 8, "logicalType": "decimal", "precision": 18, "scale": 3}},
        {"name": "ticket", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "digest", "type": {"type": "fixed", "name": "Digest", "size": 4}},
        {"name": "customer", "type": {"type": "record", "name": "Customer", "fields": [{"name": "email", "type": ["null", "string"]}, {"name": "age", "type": "int"}]}},
        {"name": "billing", "type": ["null", "Customer"]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "counts", "type": {"type": "map", "values": "long"}},
        {"name": "mixed", "type": ["null", "string", "long", "Customer"]}
    ] }"#;

/// A record of it with one branch of each union, as fastavro wrote it.
pub const FIRST: &str = "fff782ad160d0000003f00000000000002c001020e4772c3bcc39f65020400ff028cb50284bcd8c49a630180d8c1c59a6398\
         e8b2520e04fb2e00000000000007cf4831323365343536372d653839622d313264332d613435362d34323636313431373430\
         303001020304020a6140622e6352000402780679227a000402610202620300060006";

/// A record with the other branches, and with nothing in its array and map.
pub const SECOND: &str = "fff782ad160d0000003f00000000000002c0010000067965730400ff028cb50284bcd8c49a630180d8c1c59a6398e8b2520e\
         04fb2e00000000000007cf4831323365343536372d653839622d313264332d613435362d3432363631343137343030300102\
         0304020a6140622e635202020a7840792e7a0200000418";

/// Columns for all fields of the order.
pub fn order_columns() -> Vec<StreamColumn> {
    vec![
        column("id", DataType::Int64),
        column("small", DataType::Int64),
        column("ratio", DataType::Float64),
        column("score", DataType::Float64),
        column("paid", DataType::Boolean),
        nullable(column("note", DataType::Text)),
        nullable(column("late", DataType::Text)),
        column("raw", DataType::Bytes),
        column("status", DataType::Text),
        column("day", DataType::Date),
        column("at", DataType::Timestamp),
        column("at_micros", DataType::Timestamp),
        column("local", DataType::Timestamp),
        column("clock", DataType::Time),
        column("clock_micros", DataType::Time),
        column("price", DataType::Decimal { scale: 3 }),
        column("tax", DataType::Decimal { scale: 3 }),
        column("ticket", DataType::Text),
        column("digest", DataType::Bytes),
        nullable(column("customer.email", DataType::Text)),
        column("customer.age", DataType::Int64),
        nullable(column("billing", DataType::Json)),
        nullable(column("billing.email", DataType::Text)),
        column("tags", DataType::Json),
        column("counts", DataType::Json),
        nullable(column("mixed", DataType::Json)),
    ]
}

#[test]
fn every_type_is_read_as_other_programs_write_it() {
    let columns = order_columns();
    let decoded = decode(ORDER, &columns, &[record(&bytes(FIRST)), record(&bytes(SECOND))]);
    let shared = r#""raw":"AP8=","status":"PAID","day":"2024-02-29","at":"2024-01-04T11:45:38.050000Z","#.to_owned()
        + r#""at_micros":"1969-12-31T23:59:59.999999Z","local":"2024-01-04T12:00:00Z","clock":"23:59:59.500000","#
        + r#""clock_micros":"00:00:00.000007","price":"-12.340","tax":"1.999","#
        + r#""ticket":"123e4567-e89b-12d3-a456-426614174000","digest":"AQIDBA==","#
        + r#""customer.email":"a@b.c","customer.age":41,"#;
    let begin = r#"{"id":-3000000000,"small":-7,"ratio":0.5,"score":-2.25,"paid":true,"#;
    let first = [
        begin,
        r#""note":"Grüße","late":null,"#,
        &shared,
        r#""billing":null,"billing.email":null,"tags":["x","y\"z"],"counts":{"a":1,"b":-2},"#,
        r#""mixed":{"email":null,"age":3}}"#,
    ];
    let second = [
        begin,
        r#""note":null,"late":"yes","#,
        &shared,
        r#""billing":{"email":"x@y.z","age":1},"billing.email":"x@y.z","tags":[],"counts":{},"mixed":12}"#,
    ];
    assert_eq!(outcomes(&columns, &decoded), [first.concat(), second.concat()]);
}

#[test]
fn a_record_of_the_confluent_client_is_read() {
    let click =
        r#"{"type":"record","name":"Click","fields":[{"name":"user","type":"string"},{"name":"count","type":"long"}]}"#;
    let columns = [column("user", DataType::Text), column("count", DataType::Int64)];
    let mut written = bytes("00000000050661646154");
    written[4] = super::ID as u8;
    let decoded = decode(click, &columns, &[written]);
    assert_eq!(outcomes(&columns, &decoded), [r#"{"user":"ada","count":42}"#]);
}

#[test]
fn only_the_needed_columns_are_decoded() {
    let columns = order_columns();
    let mut decoder = azenha_formats::avro::AvroDecoder::new(&columns, &[7, 20], &[]);
    decoder.learn(super::ID, Some(&super::schema(ORDER)));
    let values = arrow_array::BinaryArray::from_iter_values([record(&bytes(FIRST))]);
    let decoded = decoder.decode(&azenha_model::Records::unkeyed(values, 0));
    let there: Vec<usize> = (0..columns.len()).filter(|index| decoded.columns[*index].is_some()).collect();
    assert_eq!(there, [7, 20]);
    assert_eq!(decoded.rows, [0]);
}

#[test]
fn numbers_without_a_logical_type_are_what_the_column_says() {
    let writer = super::record_of(r#"{ "name": "at", "type": "long" }, { "name": "text", "type": "string" }"#);
    let seconds = StreamColumn { time_format: TimeFormat::Seconds, ..column("at", DataType::Timestamp) };
    let iso = StreamColumn { time_format: TimeFormat::Iso, ..column("text", DataType::Timestamp) };
    let datum = [&[4, 40], "2024-01-04T12:00:00Z".as_bytes()].concat();
    let expected = r#"{"at":"1970-01-01T00:00:02Z","text":"2024-01-04T12:00:00Z"}"#;
    assert_eq!(outcome(&writer, &[seconds, iso], &datum), expected);
}

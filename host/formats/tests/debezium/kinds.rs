//! One table with most of PostgreSQL's types, as connectors of different settings wrote it: the rows are the same.

use azenha_formats::Decoder;
use azenha_model::plan::{Decimals, Format};

use super::recorded::lines;
use super::{JSON, decode, outcomes, records, stream};

pub const COLUMNS: &str = "id: int64, n: decimal(4)?, money: decimal(2)?, f: float64?, r: float64?, b: boolean?, \
    bits: bytes?, raw: bytes?, d: date?, t: time(us)?, t3: time(ms)?, tz: time?, ts: timestamp(us)?, \
    ts3: timestamp(ms)?, tstz: timestamp(iso)?, iv: int64?, u: text?, j: json?, x: text?, arr: json?, m: text?, \
    h: json?, i8: int64?, note: text?, big_text: text?, big_bytes: bytes?, big_texts: json?, big_ints: json?, \
    big_json: json?";

const FIRST: &str = r#"{"id":1,"n":"12345.6789","money":"-0.05","f":1.5,"r":0.25,"b":true,"bits":"gQ==","raw":"AP8Q","d":"2024-02-29","t":"23:59:59.123456","t3":"23:59:59.123000","tz":"08:15:30","ts":"2024-02-29T23:59:59.123456Z","ts3":"2024-02-29T23:59:59.123000Z","tstz":"2024-02-29T22:59:59.123456Z","iv":93600000000,"u":"7a0f1c9e-0000-4000-8000-000000000001","j":{"k": [1, 2.50]},"x":"<a>b</a>","arr":[1,null,3],"m":"glad","h":{"a":"1","b":null},"i8":-9223372036854775808,"note":"first","big_text":"x…","big_bytes":"A…","big_texts":["y…"],"big_ints":[7…],"big_json":{"z":"z…"}}"#;

/// The row that an update of `note` alone tells.
fn changed(first: &str) -> String {
    let left_out = [
        ("j", r#"{"k": [1, 2.50]}"#),
        ("arr", "[1,null,3]"),
        ("big_text", r#""x…""#),
        ("big_bytes", r#""A…""#),
        ("big_texts", r#"["y…"]"#),
        ("big_ints", "[7…]"),
        ("big_json", r#"{"z":"z…"}"#),
    ];
    let mut row = first.replace(r#""note":"first""#, r#""note":"changed""#);
    for (column, value) in left_out {
        row = row.replace(&format!(r#""{column}":{value}"#), &format!(r#""{column}":null"#));
    }
    left_out.iter().fold(row, |row, (column, _)| format!("{row} without {column}"))
}

/// A row of which only some columns are set.
fn sparse(set: &[(&str, &str)]) -> String {
    let cell = |column: &str| {
        let (name, _) = column.trim().split_once(": ").unwrap();
        let value = set.iter().find(|(of, _)| *of == name).map_or("null", |(_, value)| value);
        format!(r#""{name}":{value}"#)
    };
    format!("{{{}}}", COLUMNS.split(", ").map(cell).collect::<Vec<_>>().join(","))
}

/// What all ten events come to: snapshot, insert, update, a change of the key, a delete, a truncate.
pub fn expected([snapshot, stream]: [&str; 2]) -> Vec<String> {
    let at = |kind: &str, row: &str| format!("{kind} {row}");
    let empty = [("id", "2"), ("note", r#""all null""#)];
    let moved = [("id", "20"), ("note", r#""all null""#)];
    let third = [
        ("id", "3"),
        ("n", r#""1000.0000""#),
        ("money", r#""1000.00""#),
        ("d", r#""1969-12-31""#),
        ("ts", r#""1969-12-31T23:59:59.999999Z""#),
        ("note", r#""third""#),
    ];
    let [insert, update, rekey, delete, truncate] =
        ["17504", "17776", "18224", "18456", "21480"].map(|end| format!("{stream}{end}.0.0"));
    vec![
        at(&format!("snapshot first {snapshot}.0.0"), FIRST),
        at(&format!("snapshot last {snapshot}.0.0"), &sparse(&empty)),
        at(&format!("upsert {insert}"), &sparse(&third)),
        at(&format!("upsert {update}"), &changed(FIRST)),
        at(&format!("delete {rekey}"), &sparse(&[("id", "2")])),
        at("tombstone nowhere", &sparse(&[("id", "2")])),
        at(&format!("upsert {rekey}"), &sparse(&moved)),
        at(&format!("delete {delete}"), &sparse(&[("id", "3")])),
        at("tombstone nowhere", &sparse(&[("id", "3")])),
        at(&format!("truncate {truncate}"), &sparse(&[])),
    ]
}

/// The long values of the big columns in short.
pub fn shortened(outcome: &str) -> String {
    let short = |text: String, letter: char| text.replace(&letter.to_string().repeat(470), &format!("{letter}…"));
    let text = "xyz".chars().fold(outcome.to_owned(), short);
    let text = text.replace(&"A".repeat(640), "A…").replace(&["7"; 120].join(","), "7…");
    "xy".chars().fold(text, |text, letter| text.replace(&format!("…{}", letter.to_string().repeat(10)), "…"))
}

fn found(format: Format, columns: &str, recorded: &str) -> Vec<String> {
    let input = stream(format, columns);
    let decoded = decode(&mut Decoder::new(&input), &records(&lines(recorded)));
    outcomes(&input, &decoded).iter().map(|outcome| shortened(outcome)).collect()
}

pub const PLAIN: &str = include_str!("events/kinds_plain.tsv");
pub const SCHEMAS: &str = include_str!("events/kinds_schemas.tsv");
pub const DOUBLE: &str = include_str!("events/kinds_double.tsv");
pub const STRING: &str = include_str!("events/kinds_string.tsv");
pub const NANOS: &str = include_str!("events/kinds_nanos.tsv");
const STRINGS: Format = Format::Debezium { decimals: Decimals::String };

#[test]
fn every_type_is_read_without_a_schema() {
    assert_eq!(found(JSON, COLUMNS, PLAIN), expected(["26608992", "266"]));
}

#[test]
fn numbers_of_nanoseconds_and_decimals_as_text_are_read_without_a_schema() {
    let columns = COLUMNS
        .replace("time(us)", "time(ns)")
        .replace("time(ms)", "time(ns)")
        .replace("timestamp(us)", "timestamp(ns)")
        .replace("timestamp(ms)", "timestamp(ns)")
        .replace("iv: int64", "iv: text");
    let rows = expected(["26615696", "266"]);
    let rows: Vec<String> = rows.iter().map(|row| row.replace("93600000000", r#""P0Y0M1DT2H0M0S""#)).collect();
    assert_eq!(found(STRINGS, &columns, NANOS), rows);
}

/// Of the streams with schemas, the first row and its update are kept.
fn of_schemas(snapshot: &str) -> [String; 2] {
    let rows = expected([snapshot, "266"]);
    [rows[0].clone(), rows[3].clone()]
}

#[test]
fn schemas_say_what_values_are_whatever_the_source_says() {
    // Units and modes that are all wrong.
    let columns = COLUMNS.replace("(us)", "(s)").replace("time(ms)", "time(ns)").replace("timestamp(ms)", "timestamp");
    assert_eq!(found(STRINGS, &columns, SCHEMAS), of_schemas("26610616"));
    assert_eq!(found(JSON, &columns, STRING), of_schemas("26614016"));
    // Connect's own types have milliseconds.
    let millis = |row: String| row.replace(r#""t":"23:59:59.123456""#, r#""t":"23:59:59.123000""#);
    let millis = |row: String| {
        millis(row).replace(r#""ts":"2024-02-29T23:59:59.123456Z""#, r#""ts":"2024-02-29T23:59:59.123000Z""#)
    };
    assert_eq!(found(STRINGS, &columns, DOUBLE), of_schemas("26614016").map(millis));
}

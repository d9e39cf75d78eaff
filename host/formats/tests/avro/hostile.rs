//! Bytes that nobody should write: refused one by one, without a panic, and without memory for what they promise.

use azenha_model::DataType;

use super::reading::{FIRST, ORDER, SECOND, order_columns};
use super::{bytes, column, decode, outcome, outcomes, record, record_of};

const ARRAY: &str = r#"{ "name": "x", "type": { "type": "array", "items": "null" } }, { "name": "y", "type": "long" }"#;

/// -(2^60) and 2^60 as Avro writes longs.
const HUGE: [u8; 9] = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20];

#[test]
fn an_array_that_promises_more_items_than_its_record_can_have_is_refused() {
    let datum = [&HUGE[..], &[0, 2]].concat();
    for columns in [[column("y", DataType::Int64)], [column("x", DataType::Json)]] {
        let found = outcome(&record_of(ARRAY), &columns, &datum);
        assert!(found.contains("arrays or maps of too many items"), "{found}");
    }
}

#[test]
fn blocks_of_items_without_bytes_run_out() {
    let mut datum = [0x80, 0x80, 0x08].repeat(40); // 40 blocks of 65,536 nulls
    datum.extend([0, 2]);
    let found = outcome(&record_of(ARRAY), &[column("y", DataType::Int64)], &datum);
    assert!(found.contains("arrays or maps of too many items"), "{found}");
}

#[test]
fn a_length_beyond_the_record_is_refused_without_its_memory() {
    let writer = record_of(r#"{ "name": "x", "type": "string" }"#);
    for (datum, reason) in [
        (HUGE.to_vec(), "ends too early"),
        (vec![1], "length of -1"),
        (vec![8, b'a'], "3 more bytes"),
        (vec![], "ends too early"),
        (vec![2, b'a', 0, 0], "2 bytes too many"),
        (vec![0xff; 11], "more than 64 bits"),
    ] {
        let found = outcome(&writer, &[column("x", DataType::Text)], &datum);
        assert!(found.contains(reason), "{datum:?}: {found}");
    }
}

#[test]
fn a_length_may_be_written_in_more_bytes_than_it_needs() {
    let writer = record_of(r#"{ "name": "x", "type": "string" }, { "name": "y", "type": "string" }"#);
    let columns = [column("x", DataType::Text), column("y", DataType::Text)];
    let long = [b'y'; 30];
    let datum = [&[0x84, 0x80, 0, b'a', b'b', 60][..], &long].concat();
    let expected = format!(r#"{{"x":"ab","y":"{}"}}"#, "y".repeat(30));
    assert_eq!(outcome(&writer, &columns, &datum), expected);
}

#[test]
fn a_value_that_is_nested_without_end_is_refused() {
    let writer = r#"{ "type": "record", "name": "List", "fields": [
        { "name": "next", "type": ["null", "List"] }, { "name": "x", "type": "int" } ] }"#;
    let datum = vec![2; 100_000];
    for columns in [[column("x", DataType::Int64)], [column("next", DataType::Json)]] {
        let found = outcome(writer, &columns, &datum);
        assert!(found.contains("nested too deeply"), "{found}");
    }
}

#[test]
fn text_that_is_not_utf8_is_refused_and_its_neighbours_are_read() {
    let writer = record_of(r#"{ "name": "x", "type": "string" }"#);
    let columns = [column("x", DataType::Text)];
    // The second and third are one character only together.
    let records = [&[2, b'a'][..], &[2, 0xc3], &[2, 0xa4], &[4, 0xc3, 0xa4], &[2, b'b']].map(record);
    let decoded = decode(&writer, &columns, &records);
    assert_eq!(decoded.rejected.iter().map(|refused| refused.record).collect::<Vec<_>>(), [1, 2]);
    assert!(decoded.rejected.iter().all(|refused| refused.reason.starts_with("field `x` has text that is not UTF-8")));
    assert_eq!(outcomes(&columns, &decoded)[3], r#"{"x":"ä"}"#);
}

#[test]
fn a_small_record_gives_no_endless_text() {
    let long_name = "n".repeat(1000);
    let empty =
        format!(r#"{{ "type": "record", "name": "Empty", "fields": [{{ "name": "{long_name}", "type": "null" }}] }}"#);
    let writer = record_of(&format!(r#"{{ "name": "x", "type": {{ "type": "array", "items": {empty} }} }}"#));
    let datum = [0x80, 0x80, 0x08, 0]; // 65,536 items of no bytes: 64 MB of text
    let found = outcome(&writer, &[column("x", DataType::Json)], &datum);
    assert!(found.contains("more text than a column takes"), "{found}");
}

#[test]
fn records_without_the_id_of_a_schema_say_what_they_begin_with() {
    let writer = record_of(r#"{ "name": "x", "type": "long" }"#);
    let columns = [column("x", DataType::Int64)];
    let decoded = decode(&writer, &columns, &[&b"{\"x\":1}"[..], b"", &[0, 0, 1], &[0, 0, 0, 0, 7, 2]]);
    let found = outcomes(&columns, &decoded);
    assert!(found[0].ends_with("it begins with byte 123"), "{}", found[0]);
    assert!(found[1].ends_with("it is empty"), "{}", found[1]);
    assert!(found[2].ends_with("it has only 3 bytes"), "{}", found[2]);
    assert_eq!(found[3], r#"{"x":1}"#);
}

#[test]
fn values_outside_of_their_types_are_refused() {
    let of = |data_type: &str| record_of(&format!(r#"{{ "name": "x", "type": {data_type} }}"#));
    let logical = |inner: &str, name: &str| format!(r#"{{ "type": "{inner}", "logicalType": "{name}" }}"#);
    let decimal = r#"{ "type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 0 }"#;
    let day = 172_800_000_u32; // two of them, of milliseconds, as a zigzag number
    let two_days =
        [(day & 0x7f) as u8 | 0x80, (day >> 7 & 0x7f) as u8 | 0x80, (day >> 14 & 0x7f) as u8 | 0x80, (day >> 21) as u8];
    for (writer, data_type, datum, reason) in [
        (r#""boolean""#.to_owned(), DataType::Boolean, vec![2], "byte 2 for a boolean"),
        (r#""int""#.to_owned(), DataType::Int64, vec![0x80, 0x80, 0x80, 0x80, 0x10], "more than 32 bits"),
        (logical("int", "time-millis"), DataType::Time, two_days.to_vec(), "does not fit in a day"),
        (
            logical("long", "timestamp-micros"),
            DataType::Timestamp,
            vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            "years 1 to 9999",
        ),
        (logical("int", "date"), DataType::Date, vec![0xff, 0xff, 0xff, 0xff, 0x0f], "years 1 to 9999"),
        (decimal.to_owned(), DataType::Decimal { scale: 0 }, [&[34][..], &[1; 17]].concat(), "38 digits"),
        (decimal.to_owned(), DataType::Decimal { scale: 0 }, [&[32][..], &[0x7f; 16]].concat(), "38 digits"),
        (
            r#"{ "type": "enum", "name": "E", "symbols": ["A"] }"#.to_owned(),
            DataType::Text,
            vec![2],
            "symbol 1 of an enum of 1",
        ),
        (r#"["null", "long"]"#.to_owned(), DataType::Int64, vec![4], "branch 2 of a union of 2"),
        (r#"["null", "long"]"#.to_owned(), DataType::Int64, vec![1], "branch -1 of a union of 2"),
    ] {
        let found = outcome(&of(&writer), &[column("x", data_type)], &datum);
        assert!(found.contains(reason), "{writer}: {found}");
    }
}

#[test]
fn changed_bytes_never_panic_and_never_harm_other_records() {
    let columns = order_columns();
    let (first, second) = (record(&bytes(FIRST)), record(&bytes(SECOND)));
    let whole = outcomes(&columns, &decode(ORDER, &columns, &[&first, &second]));
    let mut random = fastrand::Rng::with_seed(1);
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut changed = if random.bool() { first.clone() } else { second.clone() };
        for _ in 0..random.usize(1..4) {
            let at = random.usize(5..changed.len());
            match random.u8(0..4) {
                0 => changed.truncate(at.max(6)),
                1 => changed[at] = random.u8(..),
                2 => changed[at] ^= 1 << random.u8(0..8),
                _ => changed.insert(at, random.u8(..)),
            }
        }
        let found = outcomes(&columns, &decode(ORDER, &columns, &[&first, &changed, &second]));
        assert_eq!((&found[0], &found[2]), (&whole[0], &whole[1]), "{changed:?}");
        refused += usize::from(!found[1].starts_with('{'));
    }
    assert!(refused > 10_000, "{refused} of 20,000 are refused");
}

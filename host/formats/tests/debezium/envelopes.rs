//! What events say beside their rows: kinds, positions, keys; and what is no event.

use arrow_array::cast::AsArray;
use azenha_formats::Decoder;
use azenha_model::plan::{Decimals, Format};

use super::{JSON, Record, decode, outcome, outcomes, records, stream, upsert};

/// What an event of some `op` and snapshot mark comes to, up to its row.
fn kind(op: &str, snapshot: &str) -> String {
    let event = format!(
        r#"{{"op":"{op}","before":{{"id":1}},"after":{{"id":1}},"source":{{"connector":"mysql","file":"b.3","pos":4,"row":5,"snapshot":{snapshot}}}}}"#
    );
    let outcome = outcome(&stream(JSON, "id: int64"), None, Some(&event));
    outcome.split(" {").next().unwrap().to_owned()
}

#[test]
fn every_operation_and_every_mark_of_a_snapshot_is_told() {
    for (op, snapshot, expected) in [
        ("c", r#""false""#, "upsert 3.4.5"),
        ("u", "null", "upsert 3.4.5"),
        ("d", r#""false""#, "delete 3.4.5"),
        ("t", r#""false""#, "truncate 3.4.5"),
        ("r", r#""first""#, "snapshot first 3.4.5"),
        ("r", r#""first_in_data_collection""#, "snapshot first 3.4.5"),
        ("r", r#""true""#, "snapshot 3.4.5"),
        ("r", r#""last_in_data_collection""#, "snapshot last 3.4.5"),
        ("r", r#""last""#, "snapshot last 3.4.5"),
        ("r", r#""incremental""#, "snapshot 3.4.5"),
        ("r", "true", "snapshot 3.4.5"),
    ] {
        assert_eq!(kind(op, snapshot), expected, "{op} {snapshot}");
    }
}

/// SQL Server's events, written by hand as Debezium's documentation shows them: no server runs here.
#[test]
fn events_of_sql_server_stand_by_their_commit() {
    let event = |op: &str, commit: &str, change: &str, serial: &str| {
        format!(
            r#"{{"before":{{"id":1005,"email":"noreply@example.org"}},"after":{{"id":1005,"email":"noreply@example.org"}},"source":{{"version":"3.5.0.Final","connector":"sqlserver","name":"server1","ts_ms":1559730450205,"snapshot":"false","db":"testDB","schema":"dbo","table":"customers","change_lsn":{change},"commit_lsn":"{commit}","event_serial_no":{serial}}},"op":"{op}","ts_ms":1559730450106}}"#
        )
    };
    let commit = "00000027:00000758:0005";
    let events = [
        event("r", "00000027:00000700:0001", "null", "null"),
        event("u", commit, r#""00000027:00000758:0003""#, r#""2""#),
        // A key that changes: both parts have the same numbers, and are told apart by the serial number.
        event("d", "00000027:00000db0:0005", r#""00000027:00000db0:0002""#, r#""1""#),
        event("c", "00000027:00000db0:0005", r#""00000027:00000db0:0002""#, "2"),
    ];
    let input = stream(JSON, "id: int64, email: text");
    let values: Vec<_> = events.iter().map(|event| (None, Some(event.as_bytes()))).collect();
    let decoded = decode(&mut Decoder::new(&input), &records(&values));
    let positions = decoded.changes.unwrap().positions;
    assert!(
        positions.iter().all(Option::is_some) && positions.is_sorted_by(|left, right| left < right),
        "{positions:?}"
    );
    assert_eq!(positions[1].unwrap().0, [0x27_0000_0758, 0x0005_0000_0027_0000, 0x0758_0003_0000_0002]);
}

#[test]
fn the_key_of_a_delete_is_in_before_or_else_in_the_record_s_key_in_any_form() {
    let input = stream(JSON, "id: date, name: text");
    let deleted = r#"delete 7.0.0 {"id":"2024-02-03","name":null}"#;
    let event = |before: &str| {
        format!(r#"{{"before":{before},"after":null,"source":{{"connector":"postgresql","lsn":7}},"op":"d"}}"#)
    };
    let described = r#"{"schema":{"type":"struct","fields":[{"type":"int32","name":"io.debezium.time.Date","field":"id"}]},"payload":{"id":19756}}"#;
    assert_eq!(outcome(&input, None, Some(&event(r#"{"id":19756}"#))), deleted);
    assert_eq!(outcome(&input, Some(r#"{"id":19756}"#), Some(&event("null"))), deleted);
    assert_eq!(outcome(&input, Some(described), Some(&event("null"))), deleted);
    assert_eq!(
        outcome(&input, Some(described), None),
        r#"tombstone nowhere {"id":"2024-02-03","name":null}"#,
        "a record without a value is a delete by its key"
    );
    assert_eq!(
        outcome(&input, Some(described), Some(r#"{"schema":null,"payload":null}"#)),
        r#"tombstone nowhere {"id":"2024-02-03","name":null}"#
    );
    // A key whose columns have the names of what may stand around one.
    let odd = stream(JSON, "schema: text, payload: int64");
    let key = r#"{"schema":"public"}"#;
    assert_eq!(outcome(&odd, Some(key), None), r#"tombstone nowhere {"schema":"public","payload":null}"#);
}

#[test]
fn a_delete_without_its_key_is_refused() {
    let input = stream(JSON, "id: int64");
    let delete = r#"{"before":null,"after":null,"op":"d"}"#;
    let neither = "record says neither in its value nor in its key which row it deletes";
    for (key, value, reason) in [
        (None, Some(delete), neither),
        (None, None, neither),
        (Some("{}"), Some(delete), "in the record's key: field `id` is missing"),
        (Some(r#"{"id":null}"#), None, "in the record's key: field `id` is null, but not nullable"),
        (Some("7"), None, "in the record's key: the record is a number, but needs to be an object"),
        (Some("{"), None, "in the record's key: not JSON at byte 1: expected `\"`, found the end"),
        (None, Some(r#"{"before":{},"op":"d"}"#), "field `before.id` is missing"),
    ] {
        assert_eq!(outcome(&input, key, value), reason, "{key:?} {value:?}");
    }
}

#[test]
fn without_a_key_each_event_is_a_row_that_says_everything_or_is_refused() {
    let mut input = stream(JSON, "id: int64, name: text?, op: text, at: timestamp(ms)");
    input.key = Vec::new();
    input.columns[2].path = vec!["$".to_owned(), "op".to_owned()];
    input.columns[3].path = vec!["$".to_owned(), "ts_ms".to_owned()];
    let events = [
        r#"{"op":"c","before":null,"after":{"id":1,"name":"a"},"ts_ms":5}"#,
        r#"{"op":"d","before":{"id":1},"after":null,"ts_ms":6}"#,
        r#"{"op":"d","before":null,"after":null,"ts_ms":7}"#,
        r#"{"op":"t","before":null,"after":null,"ts_ms":8}"#,
        r#"{"op":"u","before":null,"after":{"id":1,"name":"__debezium_unavailable_value"},"ts_ms":9}"#,
    ];
    let all: Vec<Record<'_>> =
        events.iter().map(|event| (None, Some(event.as_bytes()))).chain([(None, None)]).collect();
    let decoded = Decoder::new(&input).decode(&records(&all));
    assert_eq!(
        (decoded.rows.as_slice(), decoded.deletes.is_none(), decoded.changes.is_none()),
        (&[0, 1][..], true, true)
    );
    let text = |column: usize| decoded.columns[column].clone().unwrap().as_string::<i32>().clone();
    assert_eq!(text(2).iter().collect::<Vec<_>>(), [Some("c"), Some("d")]);
    assert_eq!(text(1).iter().collect::<Vec<_>>(), [Some("a"), None]);
    let reasons: Vec<&str> = decoded.rejected.iter().map(|refused| refused.reason.as_str()).collect();
    for (reason, wanted) in
        reasons.iter().zip(["the deleted row, is missing", "truncated", "REPLICA IDENTITY FULL", "no value"])
    {
        assert!(reason.contains(wanted), "{reason}");
    }
    assert_eq!(reasons.len(), 4, "{reasons:?}");
}

#[test]
fn what_is_no_event_is_refused_with_a_reason() {
    let input = stream(JSON, "id: int64, name: text?");
    for (value, reason) in [
        (r#"{"id":1,"name":"a"}"#, "record is no change event of Debezium: it has no `op`."),
        (r#"{"op":"m","message":{"prefix":"p"}}"#, "record is a message that a program put into the database's log"),
        (r#"{"op":"x","after":{"id":1}}"#, "record has another `op` than \"c\", \"u\", \"d\", \"r\" or \"t\""),
        (r#"{"op":7,"after":{"id":1}}"#, "record has another `op` than "),
        (r#"{"op":"c","before":null,"after":null}"#, "`op` is `c`, but `after`, the row, is missing"),
        (r#"{"op":"u"}"#, "`op` is `u`, but `after`, the row, is missing"),
        (r#"{"op":"c","after":[1]}"#, "field `after` is an array, but the schema says an object"),
        (r#"{"op":"c","after":{"name":"a"}}"#, "field `after.id` is missing"),
        (r#"{"op":"c","after":{"id":null}}"#, "field `after.id` is null, but not nullable"),
        (r#"{"op":"c","op":"d","after":{"id":1}}"#, "field `op` stands twice in its object"),
        ("7", "the record is a number, but needs to be an object"),
        ("", "not JSON at byte 0: expected a value, found the end"),
        (r#"{"op":"c","after":{"id":1}"#, "not JSON at byte 26: expected `,` or `}`, found the end"),
    ] {
        let found = outcome(&input, None, Some(value));
        assert!(found.starts_with(reason), "{value}: {found}");
    }
}

#[test]
fn a_database_that_is_not_known_has_no_positions() {
    let event = r#"{"op":"c","after":{"id":1},"source":{"connector":"oracle","scn":"123","lsn":7}}"#;
    assert_eq!(outcome(&stream(JSON, "id: int64"), None, Some(event)), r#"upsert nowhere {"id":1}"#);
    let without = r#"{"op":"c","after":{"id":1}}"#;
    assert_eq!(outcome(&stream(JSON, "id: int64"), None, Some(without)), r#"upsert nowhere {"id":1}"#);
}

#[test]
fn schemas_may_come_go_and_change_from_record_to_record() {
    let described = |name: &str, value: &str, tail: &str| {
        format!(
            r#"{{"schema":{{"type":"struct","fields":[{{"type":"struct","field":"after","fields":[{{"type":"int64","name":"io.debezium.time.{name}","field":"at"}}]}}]}},"payload":{{"op":"c","after":{{"id":1,"at":{value}}}}}{tail}}}"#
        )
    };
    let plain = r#"{"op":"c","after":{"id":1,"at":1000}}"#.to_owned();
    let behind = r#" { "payload" : {"op":"c","after":{"id":1,"at":1000000}}, "schema" : {"fields":[{"field":"after","fields":[{"name":"io.debezium.time.MicroTimestamp","field":"at"}]}]} } "#;
    let mut events = Vec::new();
    for _ in 0..3 {
        events.push(plain.clone());
        events.push(described("Timestamp", "1000", ""));
        events.push(described("MicroTimestamp", "1000000", " "));
        events.push(described("NanoTimestamp", "1000000000", ""));
        events.push(described("NanoTimestamp", "1000000999", r#","x":[1]"#));
        events.push(described("ZonedTimestamp", r#""1970-01-01T00:00:01Z""#, "\n"));
        events.push(described("Timestamp", "1000", ""));
        events.push(behind.to_owned());
    }
    let input = stream(Format::Debezium { decimals: Decimals::Precise }, "id: int64, at: timestamp(ms)");
    let values: Vec<_> = events.iter().map(|event| (None, Some(event.as_bytes()))).collect();
    let found = outcomes(&input, &decode(&mut Decoder::new(&input), &records(&values)));
    for (event, found) in events.iter().zip(found) {
        assert_eq!(found, r#"upsert nowhere {"id":1,"at":"1970-01-01T00:00:01Z"}"#, "{event}");
    }
}

#[test]
fn a_record_that_begins_like_an_earlier_one_is_checked_to_its_end() {
    let input = stream(JSON, "id: int64");
    let schema = r#"{"schema":{"type":"struct"},"payload":"#;
    let good = format!("{schema}{}}}", upsert(r#"{"id":1}"#));
    let bad = ["{}", "", "{", r#"{"op":"c"}}"#, r#"{"op":"c","after":{"id":1}},"payload":{}"#, "[]", "7"];
    let bad = bad.map(|rest| format!("{schema}{rest}}}"));
    let mut values: Vec<_> = vec![(None, Some(good.as_bytes()))];
    values.extend(bad.iter().map(|bad| (None, Some(bad.as_bytes()))));
    values.push((None, Some(good.as_bytes())));
    let decoded = decode(&mut Decoder::new(&input), &records(&values));
    assert_eq!(decoded.rows, [0, 8]);
    assert_eq!(decoded.rejected[4].reason, "field `payload` stands twice in its object");
}

#[test]
fn only_what_is_needed_is_decoded_and_other_columns_may_be_wrong() {
    let mut input = stream(JSON, "id: int64, name: int64, big: text");
    input.needed = vec![0, 2];
    let unavailable = r#"{"id":1,"name":"no number","big":"__debezium_unavailable_value"}"#;
    let event = upsert(unavailable);
    let decoded = decode(&mut Decoder::new(&input), &records(&[(None, Some(event.as_bytes()))]));
    assert!(decoded.columns[1].is_none() && decoded.columns[2].is_some());
    assert_eq!(decoded.changes.unwrap().unavailable[0].0, 2, "the column's index in the stream");
}

#[test]
fn a_row_may_have_no_column_that_is_needed() {
    let mut input = stream(JSON, "id: int64");
    input.needed = Vec::new();
    let event = upsert(r#"{"id":"no number"}"#);
    assert_eq!(decode(&mut Decoder::new(&input), &records(&[(None, Some(event.as_bytes()))])).rows, [0]);
}

#[test]
fn what_a_refused_record_left_out_is_forgotten() {
    let input = stream(JSON, "id: int64, big: text, last: int64");
    let event = |last: &str| upsert(&format!(r#"{{"id":1,"big":"__debezium_unavailable_value","last":{last}}}"#));
    let (bad, good) = (event("null"), upsert(r#"{"id":2,"big":"b","last":3}"#));
    let values: Vec<_> = [&bad, &good, &bad].map(|event| (None, Some(event.as_bytes()))).into();
    let decoded = decode(&mut Decoder::new(&input), &records(&values));
    assert_eq!(decoded.changes.as_ref().unwrap().unavailable, []);
    assert_eq!(outcomes(&input, &decoded)[1], r#"upsert 7.0.0 {"id":2,"big":"b","last":3}"#);
}

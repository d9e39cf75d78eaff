use azenha_model::DataType;
use azenha_model::dead_letter::{ClosedWindow, Found, GroupRows, RecordSize, StateVersions};
use azenha_model::plan::{Format, StreamColumn, StreamInput, TimeFormat, Window};
use azenha_model::relation::{OnTruncate, Table};
use serde_json::value::RawValue;

use super::*;

/// A basis goes through JSON on its way: what is judged is what was read back.
fn reason(basis: Basis, record: Option<&str>) -> Option<String> {
    let basis = serde_json::from_str(&serde_json::to_string(&basis).unwrap()).unwrap();
    let value = |text: &str| Original { timestamp: 0, key: None, value: Some(Bytes::of(text.as_bytes())) };
    let refusal = judge(&basis, record.map(value).as_ref(), &BTreeSet::new()).unwrap();
    refusal.map(|refusal| format!("{}{}", refusal.part.unwrap_or_default(), refusal.reason))
}

fn row(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

#[test]
fn a_row_is_late_once_more_and_in_time_if_the_watermark_were_lower() {
    let row = |watermark| RowTime {
        event_time: Some(25),
        watermark: Some(watermark),
        lateness: 5,
        window: Window::Tumbling { size: 10 },
    };
    assert_eq!(reason(Basis::Time(row(30)), None).unwrap(), reasons::late(&row(30)));
    assert_eq!(reason(Basis::Time(row(29)), None), None);
    let timeless = RowTime { event_time: None, ..row(30) };
    assert_eq!(reason(Basis::Time(timeless), None).unwrap(), reasons::NO_EVENT_TIME);
}

#[test]
fn a_window_is_closed_once_more() {
    let window = |watermark| ClosedWindow {
        key: "{}".to_owned(),
        rows: 2,
        partition: 1,
        from: 3,
        through: 5,
        end: 30,
        watermark,
    };
    assert_eq!(reason(Basis::Window(window(30)), None).unwrap(), reasons::closed(&window(30)));
    assert_eq!(reason(Basis::Window(window(29)), None), None);
}

#[test]
fn a_row_without_identifiers_names_nobody_once_more() {
    let named = |email: Option<&str>| Identifiers {
        values: [("email".to_owned(), email.map(str::to_owned)), ("cookie".to_owned(), None)].into(),
    };
    assert_eq!(reason(Basis::Identifiers(named(Some(""))), None).unwrap(), reasons::NO_IDENTIFIER);
    assert_eq!(reason(Basis::Identifiers(named(Some("x"))), None), None);
}

fn stream(format: Format) -> StreamInput {
    let column = StreamColumn {
        field: Field::new("id", DataType::Int64, false),
        path: vec!["id".to_owned()],
        time_format: TimeFormat::Millis,
    };
    StreamInput {
        topic: "t".to_owned(),
        format,
        objects: None,
        columns: vec![column],
        key: vec![],
        needed: vec![0],
        event_time: None,
    }
}

#[test]
fn a_record_is_refused_once_more_with_its_part() {
    let decoding = || Basis::Decoding(Decoding::of(&stream(Format::Json)));
    assert!(reason(decoding(), Some(r#"{"id":"x"}"#)).unwrap().starts_with("id"));
    assert_eq!(reason(decoding(), Some(r#"{"id":7}"#)), None);
    let error = judge(&decoding(), None, &BTreeSet::new()).unwrap_err();
    assert!(matches!(error, ReplayError::NoRecord));
}

#[test]
fn columns_that_are_not_there_are_an_error() {
    let input = StreamInput { needed: vec![7], ..stream(Format::Json) };
    let record = Original { timestamp: 0, key: None, value: None };
    let error = judge(&Basis::Decoding(Decoding::of(&input)), Some(&record), &BTreeSet::new()).unwrap_err();
    assert!(error.to_string().contains("no column 7"), "{error}");
}

#[test]
fn a_change_of_a_row_that_nobody_knows_is_refused_once_more() {
    let fields = vec![Field::new("id", DataType::Int64, false), Field::new("text", DataType::Text, false)];
    let table = Table {
        name: "shop".to_owned(),
        fields,
        key: vec![0],
        on_truncate: OnTruncate::Stop,
        is_whole: true,
        operation: None,
    };
    let change = |unavailable: Vec<usize>, deleted_at| IncompleteChange {
        table: Arc::new(table.clone()),
        row: row(r#"{"id":7,"text":null}"#),
        unavailable,
        is_snapshot: false,
        position: Some([0, 0, 9]),
        deleted_at,
    };
    for deleted_at in [None, Some([0, 0, 8])] {
        assert!(reason(Basis::Change(change(vec![1], deleted_at)), None).unwrap().contains("left out text"));
    }
    // It would have been a repetition.
    assert_eq!(reason(Basis::Change(change(vec![1], Some([0, 0, 9]))), None), None);
    assert_eq!(reason(Basis::Change(change(vec![], None)), None), None);
}

#[test]
fn what_is_too_large_is_counted_once_more() {
    let group = |rows| GroupRows { key: row(r#"{"id":7}"#), rows, most: 10 };
    assert_eq!(reason(Basis::Group(group(11)), None).unwrap(), reasons::too_many_rows(&group(11)));
    assert_eq!(reason(Basis::Group(group(10)), None), None);
    let record = |bytes| RecordSize { topic: "t".to_owned(), key: row("{}"), bytes, limit: 10 };
    assert_eq!(reason(Basis::Record(record(11)), None).unwrap(), reasons::too_large(&record(11)));
    assert_eq!(reason(Basis::Record(record(10)), None), None);
}

#[test]
fn a_version_that_was_given_up_is_so_once_more() {
    let versions = |reads: Vec<u32>| StateVersions { from: 1, now: 2, reads };
    assert_eq!(reason(Basis::Versions(versions(vec![])), None).unwrap(), reasons::given_up(&versions(vec![])));
    assert_eq!(reason(Basis::Versions(versions(vec![1])), None), None);
}

#[test]
fn an_announcement_is_refused_once_more_unless_the_content_was_to_blame() {
    let of = |found| Basis::Announced(Announced { found });
    let announced = r#"{"path":"a/b.json","sha256":"00"}"#;
    assert!(reason(of(Found::NotSought), Some("{")).unwrap().contains("no announcement"));
    assert!(reason(of(Found::NotSought), Some(r#"{"path":"../b"}"#)).unwrap().contains("no path"));
    assert!(reason(of(Found::Absent), Some(announced)).unwrap().contains("not there"));
    assert!(reason(of(Found::Other("11".to_owned())), Some(announced)).unwrap().contains("replaced since"));
    assert!(reason(of(Found::Sized(9)), Some(announced)).unwrap().contains("9 bytes"));
    let record = Original { timestamp: 0, key: None, value: Some(Bytes::of(announced.as_bytes())) };
    let error = judge(&of(Found::Announced), Some(&record), &BTreeSet::new()).unwrap_err();
    assert!(error.to_string().contains("a/b.json"), "{error}");
}

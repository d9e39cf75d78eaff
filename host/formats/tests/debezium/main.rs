//! Change streams to rows: events that Debezium wrote, against what a person reads in them, and events that nobody
//! should write.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod avro;
mod envelopes;
mod hostile;
mod kinds;
mod recorded;
mod values;

use arrow_array::{ArrayRef, BinaryArray};
use azenha_formats::json::row_json;
use azenha_formats::{ChangeKind, Decoded, Decoder};
use azenha_model::plan::{Decimals, Format, StreamColumn, StreamInput, TimeFormat};
use azenha_model::{DataType, Field, Records};

const JSON: Format = Format::Debezium { decimals: Decimals::Precise };

/// Columns as a pipeline file writes them: `id: int64, at: timestamp(us)?`. The first is the key.
fn stream(format: Format, columns: &str) -> StreamInput {
    let columns: Vec<StreamColumn> = columns.split(", ").map(column).collect();
    let needed = (0..columns.len()).collect();
    StreamInput { topic: "changes".to_owned(), format, objects: None, columns, key: vec![0], needed, event_time: None }
}

fn column(written: &str) -> StreamColumn {
    let (name, data_type) = written.trim().split_once(": ").expect(written);
    let (data_type, nullable) = data_type.strip_suffix('?').map_or((data_type, false), |data_type| (data_type, true));
    let (data_type, unit) = match data_type.strip_suffix(')').and_then(|inner| inner.split_once('(')) {
        Some((data_type, unit)) if data_type.starts_with("time") => (data_type, unit),
        _ => (data_type, "iso"),
    };
    let time_format = match unit {
        "s" => TimeFormat::Seconds,
        "ms" => TimeFormat::Millis,
        "us" => TimeFormat::Micros,
        "ns" => TimeFormat::Nanos,
        _ => TimeFormat::Iso,
    };
    let field = Field::new(name, data_type.parse::<DataType>().expect(written), nullable);
    StreamColumn { path: vec![field.name.clone()], field, time_format }
}

/// A key and a value, which may both be missing.
type Record<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

fn records(records: &[Record<'_>]) -> Records {
    let (keys, values): (Vec<_>, Vec<_>) = records.iter().copied().unzip();
    let (keys, values) = (BinaryArray::from_opt_vec(keys), BinaryArray::from_opt_vec(values));
    Records { timestamps: vec![0; records.len()], keys, values }
}

/// Decodes, and checks that each record gives a row or a reason, and each row what a change stream says of it.
fn decode(decoder: &mut Decoder, records: &Records) -> Decoded {
    let decoded = decoder.decode(records);
    let rows = decoded.rows.len();
    assert_eq!(rows + decoded.rejected.len(), records.len(), "every record is a row or refused");
    assert!(decoded.columns.iter().flatten().all(|array| array.len() == rows));
    let changes = decoded.changes.as_ref().expect("a change stream");
    assert_eq!((changes.kinds.len(), changes.positions.len()), (rows, rows));
    assert!(changes.unavailable.iter().all(|(_, marks)| marks.len() == rows && marks.true_count() > 0));
    let deleted = |row| decoded.deletes.as_ref().is_some_and(|deletes| deletes.value(row));
    assert!((0..rows).all(|row| deleted(row) == changes.kinds[row].is_delete()));
    decoded
}

/// What became of each record: `upsert 26530384.0.0 {"id":1}`, or the reason.
fn outcomes(input: &StreamInput, decoded: &Decoded) -> Vec<String> {
    let fields: Vec<Field> = input.columns.iter().map(|column| column.field.clone()).collect();
    let arrays: Vec<ArrayRef> = decoded.columns.iter().flatten().cloned().collect();
    let changes = decoded.changes.as_ref().unwrap();
    let row = |row: usize| {
        let kind = match changes.kinds[row] {
            ChangeKind::Snapshot { first, last } => {
                format!("snapshot{}{}", if first { " first" } else { "" }, if last { " last" } else { "" })
            }
            other => format!("{other:?}").to_lowercase(),
        };
        let position = changes.positions[row]
            .map_or("nowhere".to_owned(), |position| position.0.map(|part| part.to_string()).join("."));
        let left_out = changes.unavailable.iter().filter(|(_, marks)| marks.value(row));
        let left_out: String = left_out.map(|(column, _)| format!(" without {}", fields[*column].name)).collect();
        format!("{kind} {position} {}{left_out}", row_json(&fields, &arrays, row, false))
    };
    let rows = (0..decoded.rows.len()).map(|index| (decoded.rows[index], row(index)));
    let refused = decoded.rejected.iter().map(|refused| (refused.record, refused.reason.clone()));
    let mut outcomes: Vec<(u32, String)> = rows.chain(refused).collect();
    outcomes.sort_by_key(|(record, _)| *record);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// What one record comes to.
fn outcome(input: &StreamInput, key: Option<&str>, value: Option<&str>) -> String {
    let records = records(&[(key.map(str::as_bytes), value.map(str::as_bytes))]);
    outcomes(input, &decode(&mut Decoder::new(input), &records)).remove(0)
}

/// An event that changes a row of PostgreSQL to `after`.
fn upsert(after: &str) -> String {
    format!(r#"{{"before":null,"after":{after},"source":{{"connector":"postgresql","lsn":7}},"op":"u"}}"#)
}

/// What one value of a column comes to: as JSON, as `unavailable`, or the reason.
fn value_of(format: &Format, data_type: &str, value: &str) -> String {
    let input = stream(format.clone(), &format!("id: int64, x: {data_type}"));
    let outcome = outcome(&input, None, Some(&upsert(&format!(r#"{{"id":1,"x":{value}}}"#))));
    match outcome.strip_prefix(r#"upsert 7.0.0 {"id":1,"x":"#) {
        Some("null} without x") => "unavailable".to_owned(),
        Some(row) => row.strip_suffix('}').unwrap().to_owned(),
        None => outcome,
    }
}

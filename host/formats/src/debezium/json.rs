//! Change events in JSON.

use arrow_array::Array;
use azenha_model::Records;
use azenha_model::plan::{Decimals, StreamColumn, StreamInput};

use super::embedded::Embedded;
use super::meaning::Meaning;
use super::reader::{Change, EventReader, KeyReader, Outcome, in_key};
use super::rows::{Rows, Wants};
use crate::column::ColumnBuilder;
use crate::decoded::{ChangesBuilder, Decoded, Refusal, Row, decode_each};
use crate::json::{Texts, not_utf8};

/// Decodes the change events of one stream. Made once for a lane and used for all its batches.
pub(crate) struct DebeziumDecoder {
    /// The columns of the stream.
    width: usize,
    /// The columns to decode, with their indices in the stream.
    columns: Vec<(usize, ColumnBuilder)>,
    events: EventReader,
    keys: KeyReader,
    /// Whether events say how the rows of a table stand; otherwise each is a row itself.
    is_table: bool,
    event_schemas: Embedded,
    key_schemas: Embedded,
}

impl DebeziumDecoder {
    pub fn new(input: &StreamInput, decimals: Decimals) -> Self {
        let StreamInput { columns, needed, key, .. } = input;
        let wants = Wants { columns, needed, key };
        let read: Vec<StreamColumn> = wants.read().cloned().collect();
        let declared: Vec<Meaning> = read.iter().map(|column| Meaning::declared(column, decimals)).collect();
        Self {
            width: columns.len(),
            columns: needed.iter().map(|index| (*index, ColumnBuilder::new(&columns[*index]))).collect(),
            events: EventReader::new(&wants),
            keys: KeyReader::new(&wants),
            is_table: !key.is_empty(),
            event_schemas: Embedded::new(read.clone(), declared.clone()),
            key_schemas: Embedded::new(read, declared),
        }
    }

    /// Decodes records. Each gives a row or is refused.
    pub fn decode(&mut self, records: &Records) -> Decoded {
        let values = Texts::new(&records.values);
        let Self { width, columns, events, keys, is_table, event_schemas, key_schemas } = self;
        let mut changes = ChangesBuilder::new(records.len());
        let decoded = decode_each(*width, columns, records.len(), |record, before, columns| {
            let mut rows = Rows { columns, before, unavailable: changes.unavailable(before) };
            let outcome = match values.get(record) {
                Some(Ok(text)) => event(events, event_schemas, text, &mut rows)?,
                Some(Err(at)) => return Err((None, not_utf8(at))),
                None => Outcome::OfKey(Change::TOMBSTONE),
            };
            let change = match outcome {
                Outcome::Row(change) => change,
                Outcome::OfKey(change) => {
                    let key = records.keys.is_valid(record).then(|| records.keys.value(record));
                    key_row(keys, key_schemas, key, &mut rows)?;
                    change
                }
            };
            if !*is_table {
                return complete(&rows).map(|()| Row::Added);
            }
            changes.push(change.kind, change.position);
            Ok(if change.kind.is_delete() { Row::Deleted } else { Row::Added })
        });
        if *is_table { changes.of(decoded, columns) } else { decoded }
    }
}

/// An event that is a row itself must say everything: nobody knows what stood there before.
fn complete(rows: &Rows<'_>) -> Result<(), Refusal> {
    let Some((builder, _)) = rows.unavailable.first() else { return Ok(()) };
    let reason = "the database left the value out because it did not change: give the table REPLICA IDENTITY FULL";
    Err((Some(rows.columns[*builder].1.field.name.clone()), reason.to_owned()))
}

/// Reads an event, whose schema may stand beside it.
#[inline]
fn event(
    events: &mut EventReader,
    schemas: &mut Embedded,
    record: &str,
    rows: &mut Rows<'_>,
) -> Result<Outcome, Refusal> {
    if let Some(payload) = schemas.familiar(record)
        && events.locate(payload.text).is_ok()
    {
        return events.read(payload.text, payload.meanings, rows);
    }
    let payload = schemas.open(record)?;
    if payload.text == "null" {
        return Ok(Outcome::OfKey(Change::TOMBSTONE));
    }
    events.locate(payload.text)?;
    events.read(payload.text, payload.meanings, rows)
}

/// Reads a key, whose schema may stand beside it.
pub(super) fn key_row(
    keys: &mut KeyReader,
    schemas: &mut Embedded,
    key: Option<&[u8]>,
    rows: &mut Rows<'_>,
) -> Result<(), Refusal> {
    let key = keys.expect(key)?;
    let text = str::from_utf8(key).map_err(|error| in_key((None, not_utf8(error.valid_up_to()))))?;
    let payload = schemas.open(text).map_err(in_key)?;
    keys.read(payload.text, payload.meanings, rows)
}

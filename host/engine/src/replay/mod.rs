//! Decisions of the host, made once more from what dead letters say of them, by the code that made them: without a log, a
//! store or a registry. Whoever calls plugins makes those of plugins, and whoever knows stores those of stores.

mod columns;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, StringArray};
use arrow_schema::ArrowError;
use azenha_formats::objects::{ObjectError, ObjectWriter};
use azenha_formats::{ChangeKind, ChangePosition, Decoder};
use azenha_model::dead_letter::{
    Announced, Basis, Bytes, Decoding, Identifiers, IncompleteChange, ObjectRow, Original, RowTime,
};
use azenha_model::plan::{Compression, ReaderHints, Window};
use azenha_model::{Field, Records};

pub use self::columns::batch;
use crate::aggregation::identifiers;
use crate::dead_letter::reasons;
use crate::objects::Announcement;
use crate::relation::{Arrival, KeyedTable, Trouble};
use crate::state::GroupTable;
use crate::status::NO_TIME;
use crate::window::{Assign, Span};

/// More windows of a row than any pipeline has.
const MOST_WINDOWS: i64 = 100_000;

/// Why something was refused, once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In words.
    pub reason: String,
    /// The part that was refused; none: all of it.
    pub part: Option<String>,
}

/// Why a decision cannot be made once more.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The record is not there.
    #[error("it does not hold the record: it was too large, or stood in an object of a source with personal data")]
    NoRecord,
    /// The object's content is not there.
    #[error("what stands in object `{0}` was decided on, and is not in it: look at the object itself")]
    NoContent(String),
    /// Somebody else decided.
    #[error("the host did not decide it")]
    NotHere,
    /// A row does not have what its columns say.
    #[error("{0}")]
    Malformed(String),
    /// Something does not fit together.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// No object can have such columns.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// Makes a decision once more; none: nothing is refused now. `masked`: the columns of whose values others stand.
///
/// # Errors
/// If what it was made of is not there, or is not what it should be.
pub fn judge(
    basis: &Basis,
    record: Option<&Original>,
    masked: &BTreeSet<String>,
) -> Result<Option<Refusal>, ReplayError> {
    let reason = match basis {
        Basis::Decoding(decoding) => return decode(decoding, record),
        Basis::Announced(announced) => announcement(announced, record)?,
        Basis::Time(time) => of_time(time)?,
        Basis::Window(window) => {
            let span = Span { start: NO_TIME, end: window.end };
            (!span.is_open(window.watermark)).then(|| reasons::closed(window))
        }
        Basis::Identifiers(row) => nobody(row),
        Basis::Change(change) => of_change(change, masked)?,
        Basis::Group(group) => (group.rows > group.most).then(|| reasons::too_many_rows(group)),
        Basis::Record(record) => (record.bytes > record.limit).then(|| reasons::too_large(record)),
        Basis::Object(row) => of_object(row, masked)?,
        Basis::Versions(versions) => {
            let is_read = versions.from == versions.now || versions.reads.contains(&versions.from);
            (!is_read).then(|| reasons::given_up(versions))
        }
        Basis::Call(_) | Basis::Store(_) => return Err(ReplayError::NotHere),
    };
    Ok(reason.map(|reason| Refusal { reason, part: None }))
}

/// The record as it stood in its topic, or in an object.
fn records(record: Option<&Original>) -> Result<Records, ReplayError> {
    let Original { timestamp, key, value } = record.ok_or(ReplayError::NoRecord)?;
    let wrong = || ReplayError::Malformed("the record is no base64".to_owned());
    let bytes = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| bytes.bytes().ok_or_else(wrong)).transpose();
    Ok(Records {
        timestamps: vec![timestamp.saturating_mul(1_000)],
        keys: BinaryArray::from_iter([bytes(key)?]),
        values: BinaryArray::from_iter([bytes(value)?]),
    })
}

fn decode(decoding: &Decoding, record: Option<&Original>) -> Result<Option<Refusal>, ReplayError> {
    let input = &decoding.input;
    check_columns(input.needed.iter().chain(&input.key), input.columns.len())?;
    let mut decoder = Decoder::new(input);
    for (id, schema) in &decoding.schemas {
        decoder.learn(*id, schema.as_deref());
    }
    let refused = decoder.decode(&records(record)?).rejected.pop();
    Ok(refused.map(|refused| Refusal { reason: refused.reason, part: refused.field }))
}

fn announcement(announced: &Announced, record: Option<&Original>) -> Result<Option<String>, ReplayError> {
    let announcement = match Announcement::read(records(record)?.values.value(0)) {
        Ok(announcement) => announcement,
        Err(reason) => return Ok(Some(reason)),
    };
    match reasons::not_there(&announcement, &announced.found) {
        None => Err(ReplayError::NoContent(announcement.path)),
        reason => Ok(reason),
    }
}

fn of_time(row: &RowTime) -> Result<Option<String>, ReplayError> {
    let Some(time) = row.event_time else { return Ok(Some(reasons::NO_EVENT_TIME.to_owned())) };
    check_window(row.window)?;
    let is_open = row.window.assign(time, row.watermark.unwrap_or(NO_TIME), |_| {});
    Ok((!is_open).then(|| reasons::late(row)))
}

fn nobody(row: &Identifiers) -> Option<String> {
    let column = |value: &Option<String>| Arc::new(StringArray::from(vec![value.clone()])) as ArrayRef;
    let columns: Vec<ArrayRef> = row.values.values().map(column).collect();
    let named = identifiers(&columns).pop().unwrap_or_default();
    named.is_empty().then(|| reasons::NO_IDENTIFIER.to_owned())
}

fn of_change(change: &IncompleteChange, masked: &BTreeSet<String>) -> Result<Option<String>, ReplayError> {
    let IncompleteChange { table, row, unavailable, is_snapshot, position, deleted_at } = change;
    check_columns(table.key.iter().chain(unavailable), table.fields.len())?;
    let fields: Vec<Field> = table.fields.iter().map(|field| Field { nullable: true, ..field.clone() }).collect();
    let row = batch(&fields, &[row], masked)?;
    let unfit = |trouble: Trouble| ReplayError::Malformed(trouble.to_string());
    let mut keyed = KeyedTable::over(table.as_ref().clone(), GroupTable::default()).map_err(unfit)?;
    let (keys, rows) = keyed.bytes_of(row.columns())?;
    let arrival = |kind, position: &Option<[u64; 3]>, unavailable| Arrival {
        kind,
        position: position.map(ChangePosition),
        offset: 0,
        key: keys.row(0).data(),
        row: rows.row(0).data(),
        unavailable,
    };
    let mut changes = Vec::new();
    if deleted_at.is_some() {
        keyed.take(&arrival(ChangeKind::Delete, deleted_at, &[]), &mut changes).map_err(unfit)?;
    }
    let kind = if *is_snapshot { ChangeKind::Snapshot { first: false, last: false } } else { ChangeKind::Upsert };
    match keyed.take(&arrival(kind, position, unavailable), &mut changes) {
        Ok(()) => Ok(None),
        Err(Trouble::Refused(reason)) => Ok(Some(reason)),
        Err(other) => Err(unfit(other)),
    }
}

fn of_object(object: &ObjectRow, masked: &BTreeSet<String>) -> Result<Option<String>, ReplayError> {
    let ObjectRow { layout, columns, row } = object;
    let fields: Vec<Field> = columns.iter().map(|column| column.field.clone()).collect();
    if fields.is_empty() {
        return Err(ReplayError::Malformed("the row has no columns".to_owned()));
    }
    let row = batch(&fields, &[row], masked)?;
    let mut writer = ObjectWriter::new(Vec::new(), *layout, Compression::None, columns, &ReaderHints::default())?;
    Ok(writer.write(row.columns(), 1)?.pop().map(|(_, reason)| reason))
}

/// Anybody may have written a letter.
fn check_window(window: Window) -> Result<(), ReplayError> {
    let fits = match window {
        Window::Tumbling { size } => size > 0,
        Window::Hopping { size, hop } => hop > 0 && size > 0 && size / hop <= MOST_WINDOWS,
        Window::Session { gap } => gap > 0,
    };
    if fits { Ok(()) } else { Err(ReplayError::Malformed(format!("no pipeline has such windows: {window:?}"))) }
}

/// Anybody may have written a letter.
fn check_columns<'a>(mut indices: impl Iterator<Item = &'a usize>, columns: usize) -> Result<(), ReplayError> {
    match indices.find(|index| **index >= columns) {
        Some(index) => Err(ReplayError::Malformed(format!("there is no column {index} among {columns}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;

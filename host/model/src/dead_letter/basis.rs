//! What decisions are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::call::PluginCall;
use crate::plan::{Layout, OutputColumn, RegisteredSchema, StoreOutput, StreamInput, Window};
use crate::relation::Table;
use crate::{Field, Offset};

/// What a decision was made of: everything that it takes to make it once more, anywhere. In rows, values of `pii` columns are
/// masked, unless somebody who may see them asked for them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// A plugin refused what it was given, or failed on it.
    Call(PluginCall),
    /// The record of the letter was not what the schema says.
    Decoding(Decoding),
    /// The record of the letter announces an object that gives nothing.
    Announced(Announced),
    /// A row came too late, or has no event time.
    Time(RowTime),
    /// What was folded elsewhere came too late.
    Window(ClosedWindow),
    /// A row names nobody.
    Identifiers(Identifiers),
    /// A change leaves out values of a row that is not known.
    Change(IncompleteChange),
    /// A group has too many rows.
    Group(GroupRows),
    /// A record would be too large.
    Record(RecordSize),
    /// A row does not fit into an object.
    Object(ObjectRow),
    /// A row was not taken into a store.
    Store(StoreRow),
    /// An accumulator is of a version that is not read any more.
    Versions(StateVersions),
}

/// How a record is decoded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoding {
    /// The stream, which may be read in part only.
    pub input: Arc<StreamInput>,
    /// The schemas that the record names, by their ids; null: the registry did not know it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schemas: BTreeMap<u32, Option<Arc<RegisteredSchema>>>,
}

/// An announced object.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announced {
    /// What stood at its path.
    pub found: Found,
}

/// What stood at the path of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Nobody looked: the record announces none.
    NotSought,
    /// Nothing.
    Absent,
    /// An object of so many bytes, and another size was announced.
    Sized(u64),
    /// An object whose content has this SHA-256, in hex.
    Other(String),
    /// The object that was announced; no letter carries its content.
    Announced,
}

/// When a row happened, and how far its stream had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowTime {
    /// When it happened, in microseconds.
    pub event_time: Option<i64>,
    /// The watermark that stood before it, in microseconds.
    pub watermark: Option<i64>,
    /// How far the watermark stays behind the latest row, in microseconds.
    pub lateness: i64,
    /// The windows.
    pub window: Window,
}

/// Rows that were folded elsewhere, of a window that had closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosedWindow {
    /// The group and its window, as a JSON object.
    pub key: String,
    /// How many rows.
    pub rows: u64,
    /// The partition of the source that they came from.
    pub partition: u32,
    /// The first offset that may hold one of them.
    pub from: Offset,
    /// The offset behind the last one.
    pub through: Offset,
    /// Where the window ends, in microseconds.
    pub end: i64,
    /// How far all partitions had come, in microseconds.
    pub watermark: i64,
}

/// The identifiers of a row, of which none names anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identifiers {
    /// Their columns, each with its value: null, or an empty text.
    pub values: BTreeMap<String, Option<String>>,
}

/// A change of a row of which the database left out values that did not change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncompleteChange {
    /// The table.
    pub table: Arc<Table>,
    /// The row, with nulls for what was left out.
    pub row: Box<RawValue>,
    /// Indices of the columns that were left out.
    pub unavailable: Vec<usize>,
    /// Whether a snapshot says so.
    pub is_snapshot: bool,
    /// Where the change stands in the database's log.
    pub position: Option<[u64; 3]>,
    /// What was known of the key: where the row was deleted. None: nothing at all.
    pub deleted_at: Option<[u64; 3]>,
}

/// How many rows a group has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRows {
    /// The group's columns.
    pub key: Box<RawValue>,
    /// Its rows, of all tables.
    pub rows: usize,
    /// How many a group may have.
    pub most: usize,
}

/// How large a record would be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordSize {
    /// The topic that it is for.
    pub topic: String,
    /// Its key.
    pub key: Box<RawValue>,
    /// Bytes of key and value.
    pub bytes: usize,
    /// How many the log holds.
    pub limit: usize,
}

/// A row on its way into an object.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectRow {
    /// What is in the object.
    pub layout: Layout,
    /// The columns of the object.
    pub columns: Arc<[OutputColumn]>,
    /// The row.
    pub row: Box<RawValue>,
}

/// A row on its way into a store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreRow {
    /// What is written.
    pub output: Arc<StoreOutput>,
    /// The row; of one that is deleted, the columns of the key.
    pub row: Box<RawValue>,
    /// Whether the row with this key is deleted.
    pub is_delete: bool,
}

/// The version of an accumulator that arrived, and what is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateVersions {
    /// The accumulator's.
    pub from: u32,
    /// The plugin's own.
    pub now: u32,
    /// Others that it reads.
    pub reads: Vec<u32>,
}

impl Decoding {
    /// Of the records of a stream. Where their schemas were kept has nothing to do with it.
    pub fn of(input: &StreamInput) -> Self {
        let input = StreamInput { format: input.format.without_registry(), ..input.clone() };
        Self { input: Arc::new(input), schemas: BTreeMap::new() }
    }
}

impl Basis {
    /// The columns of personal data of which it has values, or what stands for them.
    pub fn personal(&self) -> BTreeSet<String> {
        match self {
            Self::Call(call) => {
                let fields: Vec<&Field> = call.opened.iter().flat_map(|opened| opened.fields()).collect();
                call.given.rows().flat_map(|row| personal(fields.iter().copied(), row)).collect()
            }
            Self::Change(change) => personal(&change.table.fields, &change.row).collect(),
            Self::Object(object) => personal(object.columns.iter().map(|column| &column.field), &object.row).collect(),
            Self::Store(store) => {
                personal(store.output.columns.iter().map(|column| &column.field), &store.row).collect()
            }
            _ => BTreeSet::new(),
        }
    }
}

/// The columns of personal data that a row has.
fn personal<'a>(fields: impl IntoIterator<Item = &'a Field>, row: &RawValue) -> impl Iterator<Item = String> {
    let row: BTreeMap<String, IgnoredAny> = serde_json::from_str(row.get()).unwrap_or_default();
    let names: Vec<String> = fields.into_iter().filter(|field| field.pii).map(|field| field.name.clone()).collect();
    names.into_iter().filter(move |name| row.contains_key(name))
}

//! Customers' events, and the same as bare clients send them to stores.

use anyhow::{Context, Result};
use arrow_array::{Array, BinaryArray};
use azenha_server::load::{BATCH, CustomerEvents, Generator};
use serde::Deserialize;
use serde_json::json;

/// Rows of a statement.
const STATEMENT_ROWS: usize = 1_000;
/// Bytes of a bulk request.
const BULK_BYTES: usize = 4 << 20;

/// 2026-01-31T12:00:00Z, in microseconds.
const FROM: i64 = 1_769_860_800_000_000;

/// What the pipeline `stores` writes of an event.
#[derive(Debug, Deserialize)]
struct Event {
    id: String,
    at: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    product: Product,
    #[serde(rename = "valueCents")]
    value_cents: Option<i64>,
    rating: Option<i64>,
    text: String,
}

#[derive(Debug, Deserialize)]
struct Product {
    name: String,
}

/// Events in the order in which they come.
#[derive(Debug)]
pub struct CustomerLoad {
    /// As records, in batches.
    pub records: Vec<BinaryArray>,
    events: Vec<Event>,
}

impl CustomerLoad {
    /// So many events, rounded up to whole batches: the same each time.
    ///
    /// # Errors
    /// If an event is not what this module takes it for.
    pub fn new(events: usize) -> Result<Self> {
        let generator = CustomerEvents::new(7, FROM, 10_000.0, 0.0);
        let records: Vec<BinaryArray> =
            (0..(events as u64).div_ceil(BATCH)).map(|batch| generator.batch(batch)).collect();
        let event = |record: Option<&[u8]>| Ok(serde_json::from_slice(record.context("an event without a value")?)?);
        let events = records.iter().flatten().map(event).collect::<Result<_>>()?;
        Ok(Self { records, events })
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.records.iter().map(Array::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `INSERT`s of many rows into a table, for each of so many connections.
    pub fn inserts(&self, table: &str, connections: usize) -> Vec<Vec<String>> {
        let statement = |rows: &[Event]| {
            let rows: Vec<String> =
                rows.iter().map(|event| format!("({})", event.values(quoted, "NULL").join(","))).collect();
            format!("INSERT INTO {table} VALUES {}", rows.join(","))
        };
        self.shares(connections).map(|share| share.chunks(STATEMENT_ROWS).map(statement).collect()).collect()
    }

    /// Files for `LOAD DATA`, for each of so many connections.
    pub fn files(&self, connections: usize) -> Vec<String> {
        let line = |event: &Event| event.values(escaped, "\\N").join("\t") + "\n";
        self.shares(connections).map(|share| share.iter().map(line).collect()).collect()
    }

    /// Bulk requests to an index, for each of so many connections.
    pub fn bulks(&self, index: &str, connections: usize) -> Vec<Vec<String>> {
        self.shares(connections).map(|share| bulks(index, share)).collect()
    }

    fn shares(&self, connections: usize) -> impl Iterator<Item = &[Event]> {
        self.events.chunks(self.events.len().div_ceil(connections).max(1))
    }
}

fn bulks(index: &str, events: &[Event]) -> Vec<String> {
    let mut bulks = vec![String::new()];
    for event in events {
        let action = json!({ "index": { "_index": index, "_id": json!([event.at, event.id]).to_string() } });
        let Event { id, at, source, kind, product: Product { name }, value_cents, rating, text } = event;
        let document = json!({
            "id": id, "at": at, "source": source, "kind": kind, "product": name, "value_cents": value_cents,
            "rating": rating, "text": text,
        });
        let lines = format!("{action}\n{document}\n");
        match bulks.last_mut().filter(|bulk| bulk.len() + lines.len() <= BULK_BYTES) {
            Some(bulk) => bulk.push_str(&lines),
            None => bulks.push(lines),
        }
    }
    bulks
}

impl Event {
    /// The columns of the table in their order.
    fn values(&self, text: fn(&str) -> String, null: &str) -> [String; 8] {
        let number = |value: Option<i64>| value.map_or(null.to_owned(), |value| value.to_string());
        let at = self.at.trim_end_matches('Z').replace('T', " ");
        [
            text(&self.id),
            text(&at),
            text(&self.source),
            text(&self.kind),
            text(&self.product.name),
            number(self.value_cents),
            number(self.rating),
            text(&self.text),
        ]
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
}

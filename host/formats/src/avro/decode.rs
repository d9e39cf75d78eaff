//! Records to columns.

use std::collections::BTreeSet;

use arrow_array::Array;
use azenha_model::Records;
use azenha_model::plan::{SchemaKind, StreamColumn};

use super::cursor::{Cursor, Fault};
use super::plan::{Plan, Unreadable};
use super::read::Reader;
use super::schema::AvroSchema;
use crate::column::ColumnBuilder;
use crate::decoded::{Decoded, Refusal, Row, decode_each};
use crate::json::Tombstones;
use crate::wire::{PREFIX, Readers, RegisteredSchema};

/// Decodes the records of one stream, each by the schema that it was written with. Made once for a lane.
pub struct AvroDecoder {
    /// The columns of the stream.
    width: usize,
    /// The columns to decode.
    wanted: Vec<StreamColumn>,
    /// Their builders, with their indices in the stream.
    columns: Vec<(usize, ColumnBuilder)>,
    tombstones: Tombstones,
    plans: Readers<Plan>,
    scratch: String,
}

impl AvroDecoder {
    /// A decoder of the columns with the indices `needed` among `columns`, which are all of the stream. `key` are the
    /// columns that identify a row; if there are none, a record without a value is refused. Keys are JSON.
    pub fn new(columns: &[StreamColumn], needed: &[usize], key: &[usize]) -> Self {
        Self {
            width: columns.len(),
            wanted: needed.iter().map(|index| columns[*index].clone()).collect(),
            columns: needed.iter().map(|index| (*index, ColumnBuilder::new(&columns[*index]))).collect(),
            tombstones: Tombstones::new(columns, needed, key),
            plans: Readers::new(SchemaKind::Avro),
            scratch: String::new(),
        }
    }

    /// The ids of schemas that have to be learned before these records are decoded.
    pub fn missing(&self, records: &Records) -> BTreeSet<u32> {
        self.plans.missing(&records.values)
    }

    /// Takes the schema with an id; none: the registry does not know it.
    pub fn learn(&mut self, id: u32, schema: Option<&RegisteredSchema>) {
        let wanted = &self.wanted;
        self.plans.learn(id, schema, |schema| {
            let references: Vec<&str> = schema.references.iter().map(|(_, text)| text.as_str()).collect();
            let schema = AvroSchema::parse(&schema.text, &references).map_err(|error| error.to_string())?;
            Plan::new(schema, wanted).map_err(|unreadable| described(&unreadable))
        });
    }

    /// Decodes records. Each gives a row or is refused.
    pub fn decode(&mut self, records: &Records) -> Decoded {
        let mut decoded = self.pass(records, false);
        let is_whole = |(index, _): &(usize, ColumnBuilder)| decoded.columns[*index].is_some();
        if !self.columns.iter().all(is_whole) {
            // Some text is not UTF-8: now each is looked at, to refuse the records that have it.
            decoded = self.pass(records, true);
        }
        self.plans.forget_passing();
        decoded
    }

    fn pass(&mut self, records: &Records, checks_text: bool) -> Decoded {
        let Self { width, wanted, columns, tombstones, plans, scratch } = self;
        decode_each(*width, columns, records.len(), |record, rows, columns| {
            if records.values.is_null(record) {
                return tombstones.read(&records.keys, record, rows, columns).map(|()| Row::Deleted);
            }
            let value = records.values.value(record);
            let (id, plan) = plans.of(value).map_err(|reason| (None, reason))?;
            let mut cursor = Cursor::new(value, PREFIX);
            let mut reader = Reader { plan, columns, checks_text, scratch };
            let read = reader.record(&mut cursor);
            read.map_err(|(column, fault)| refusal(column.map(|column| &wanted[column]), &fault, id, cursor.at))?;
            Ok(Row::Added)
        })
    }
}

fn described(unreadable: &[Unreadable]) -> String {
    unreadable.iter().map(|unreadable| unreadable.reason.as_str()).collect::<Vec<_>>().join("; ")
}

#[cold]
fn refusal(column: Option<&StreamColumn>, fault: &Fault, schema: u32, at: usize) -> Refusal {
    let path = column.map(|column| match column.path.is_empty() {
        true => column.field.name.clone(),
        false => column.path.join("."),
    });
    let what = path.as_ref().map_or("record".to_owned(), |path| format!("field `{path}`"));
    (path, format!("{what} {fault}; read up to byte {at} by schema {schema}"))
}

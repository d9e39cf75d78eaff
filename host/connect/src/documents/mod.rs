//! Rows as documents: what MongoDB stores, and what is checked before a database is asked. A store of tables that holds
//! documents as JSON refuses the same rows.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{ArrowError, Schema};
use azenha_engine::store::{StoreLaneId, StoreRows};
use azenha_model::plan::{StoreOutput, WriteMode};
use azenha_model::{DataType, Field, Offset};

use crate::store::Failure;
use crate::store::changes::{self, Change, Checked, Shape};

pub(crate) mod bson;
mod decimal;
mod encode;
mod json;

pub(crate) use self::encode::Encoder;

/// The field that identifies a document.
pub(crate) const ID: &str = "_id";
/// How many documents and arrays may stand in each other, the outermost among them.
pub(crate) const MAX_DEPTH: usize = 100;
/// The bytes that a document may have.
pub(crate) const MAX_BYTES: usize = 16 << 20;

/// The documents that a sink writes.
#[derive(Debug)]
pub(crate) struct Documents {
    fields: Vec<Field>,
    /// Positions in `fields`: what makes the `_id`.
    key: Vec<usize>,
    /// Whether the `_id` is made of where a row came from.
    appends: bool,
}

impl Documents {
    pub fn new(output: &StoreOutput) -> Result<Self, Failure> {
        let fields: Vec<Field> = output.columns.iter().map(|column| column.field.clone()).collect();
        if output.mode == WriteMode::Append {
            let id = Field::new(ID, DataType::Text, false);
            let fields = std::iter::once(id).chain(fields).collect();
            return Ok(Self { fields, key: vec![0], appends: true });
        }
        let key = output.key.clone();
        match key.iter().map(|index| &fields[*index]).find(|field| field.data_type == DataType::Json) {
            // Its value could be read as a condition instead.
            Some(field) => Err(Failure::Definition(format!(
                "column `{}` is JSON, which cannot identify a document; take another key",
                field.name
            ))),
            None => Ok(Self { fields, key, appends: false }),
        }
    }

    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// Whether the key is a column that is called `_id` itself.
    pub fn key_is_id(&self) -> bool {
        matches!(self.key[..], [position] if self.fields[position].name == ID)
    }

    /// The changes of a commit, or the rows that cannot be documents. Every document replaces the one of its `_id`.
    pub fn changes(&self, lane: &StoreLaneId, rows: &[StoreRows]) -> Result<Checked<Vec<Change>>, Failure> {
        let shape = Shape { fields: &self.fields, key: &self.key, mode: WriteMode::Upsert };
        if !self.appends {
            return changes::changes(shape, rows);
        }
        let undeletable = changes::undeletable(WriteMode::Append, rows);
        if !undeletable.is_empty() {
            return Ok(Err(undeletable));
        }
        let identified = identified(lane, rows).map_err(|error| Failure::Definition(error.to_string()))?;
        changes::changes(shape, &identified)
    }
}

/// Rows with an `_id` each, made of where they came from: to write them again changes nothing. Ids of one lane sort as
/// its rows do.
fn identified(lane: &StoreLaneId, rows: &[StoreRows]) -> Result<Vec<StoreRows>, ArrowError> {
    let StoreLaneId { pipeline, sink, topic, partition, generation, .. } = lane;
    let mut last: Option<(Offset, usize)> = None;
    let mut id = |offset: Offset| {
        let ordinal = last.filter(|(of, _)| *of == offset).map_or(0, |(_, ordinal)| ordinal + 1);
        last = Some((offset, ordinal));
        format!("{pipeline}/{sink}/{topic}/{partition}/{generation}/{offset:020}/{ordinal}")
    };
    let identify = |rows: &StoreRows| {
        let ids: StringArray = rows.offsets.iter().map(|offset| Some(id(*offset))).collect();
        let fields = [Arc::new(Field::new(ID, DataType::Text, false).arrow())];
        let schema =
            Schema::new(fields.into_iter().chain(rows.batch.schema().fields().iter().cloned()).collect::<Vec<_>>());
        let columns = std::iter::once(Arc::new(ids) as ArrayRef).chain(rows.batch.columns().iter().cloned()).collect();
        let batch = RecordBatch::try_new(Arc::new(schema), columns)?;
        Ok(StoreRows { batch, deletes: None, offsets: rows.offsets.clone() })
    };
    rows.iter().map(identify).collect()
}

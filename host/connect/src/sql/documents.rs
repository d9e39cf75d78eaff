//! Documents in tables: a collection is a table of an `_id` and the document as JSON, which the database's own
//! functions read. What MongoDB would refuse is refused here too.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::Schema;
use azenha_engine::store::{RefusedRow, StoreLaneId, StoreRows};
use azenha_formats::json::row_json;
use azenha_model::plan::{StoreOutput, WriteMode};
use azenha_model::{DataType, Field};
use serde_json::value::RawValue;

use super::dialect::DOUBLE;
use super::session::Failure;
use super::table::Target;
use crate::documents::{Documents, Encoder, ID};
use crate::store::Operation;
use crate::store::changes::{Change, Checked};

/// The column that holds the document.
const DOCUMENT: &str = "document";

/// A collection that a database of tables keeps.
#[derive(Debug)]
pub(super) struct JsonDocuments {
    documents: Documents,
    indexes: Vec<Vec<String>>,
}

impl JsonDocuments {
    pub fn new(output: &StoreOutput, indexes: &[Vec<String>]) -> Result<Self, Failure> {
        Ok(Self { documents: Documents::new(output)?, indexes: indexes.to_vec() })
    }

    /// The table of a collection.
    pub fn table(name: &str) -> Target {
        let fields = vec![Field::new(ID, DataType::Text, false), Field::new(DOCUMENT, DataType::Json, false)];
        Target { table: name.to_owned(), fields, key: vec![0], mode: WriteMode::Upsert, fulltext: Vec::new() }
    }

    /// The statements that make the indexes which are missing.
    pub fn index_statements(&self, table: &str) -> Vec<String> {
        let path = |field: &String| format!("json_extract({DOCUMENT}, '{}')", json_path(field).replace('\'', "''"));
        let statement = |fields: &Vec<String>| {
            let name = DOUBLE.columns([format!("{table}_{}_1", fields.join("_1_")).as_str()]);
            let paths: Vec<String> = fields.iter().map(path).collect();
            format!("CREATE INDEX IF NOT EXISTS {name} ON {} ({})", DOUBLE.table(table), paths.join(", "))
        };
        self.indexes.iter().map(statement).collect()
    }

    /// The changes of a commit, in the table.
    pub fn changes(&self, lane: &StoreLaneId, rows: &[StoreRows]) -> Result<Checked<Vec<Change>>, Failure> {
        let changes = match self.documents.changes(lane, rows)? {
            Ok(changes) => changes,
            Err(refused) => return Ok(Err(refused)),
        };
        let (mut converted, mut refused) = (Vec::new(), Vec::new());
        for change in changes {
            let rows = self.convert(&change, &mut refused)?;
            converted.push(change.with_rows(rows));
        }
        Ok(if refused.is_empty() { Ok(converted) } else { Err(refused) })
    }

    /// The rows of the table, if none is refused.
    fn convert(&self, change: &Change, refused: &mut Vec<RefusedRow>) -> Result<RecordBatch, Failure> {
        let encoder = Encoder::new(&self.documents, change)?;
        let (mut ids, mut documents, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
        let is_put = change.operation == Operation::Put;
        for row in 0..change.rows.num_rows() {
            scratch.clear();
            let checked = encoder.push(&mut scratch, row).and_then(|_| encoder.check_finite(row));
            match checked {
                Ok(()) => {
                    let (id, document) =
                        self.texts(change, row).map_err(|error| Failure::Definition(error.to_string()))?;
                    ids.push(id);
                    documents.push(document);
                }
                Err(Failure::Rows(fault)) => refused.push(change.refused(row, fault.reason)),
                Err(other) => return Err(other),
            }
        }
        let mut fields = Self::table("").fields;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(ids))];
        if is_put {
            columns.push(Arc::new(StringArray::from(documents)));
        } else {
            fields.truncate(1);
        }
        let schema = Schema::new(fields.iter().map(Field::arrow).collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(schema), columns).map_err(|error| Failure::Definition(error.to_string()))
    }

    /// The `_id` and the document of a row; of a deleted one only the first means something.
    fn texts(&self, change: &Change, row: usize) -> serde_json::Result<(String, String)> {
        let (fields, key) = (self.documents.fields(), self.documents.key());
        let columns = change.rows.columns();
        let key_fields: Vec<Field> = key.iter().map(|index| fields[*index].clone()).collect();
        let key_columns: Vec<ArrayRef> = match change.operation {
            Operation::Put => key.iter().map(|index| Arc::clone(&columns[*index])).collect(),
            Operation::Delete => columns.to_vec(),
        };
        let id = id_json(row_json(&key_fields, &key_columns, row, false))?;
        let text = if id.starts_with('"') { serde_json::from_str(&id)? } else { id.clone() };
        let document = match change.operation {
            Operation::Put => row_json(fields, columns, row, false),
            Operation::Delete => String::new(),
        };
        let document = match document.strip_prefix('{') {
            Some(members) if !self.documents.key_is_id() => format!("{{\"{ID}\":{id},{members}"),
            _ => document,
        };
        Ok((text, document))
    }
}

/// The `_id` of an object of the key's columns: the value of the only one, or the object.
fn id_json(key: String) -> serde_json::Result<String> {
    let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(&key)?;
    let mut values = members.values();
    match (values.next(), values.next()) {
        (Some(only), None) => Ok(only.get().to_owned()),
        _ => Ok(key),
    }
}

/// A path as SQLite writes it, of names with points between them.
fn json_path(field: &str) -> String {
    let is_plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let quoted = |name: &str| match is_plain(name) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\\\"")),
    };
    let names: Vec<String> = field.split('.').map(quoted).collect();
    format!("$.{}", names.join("."))
}

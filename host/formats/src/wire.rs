//! How records name their schemas: a zero, the id that a registry gave the schema, then the datum. It is what
//! Confluent's clients write.

use std::collections::BTreeSet;

use arrow_array::BinaryArray;
pub use azenha_model::plan::RegisteredSchema;
use azenha_model::plan::SchemaKind;
use foldhash::{HashMap, HashMapExt};

/// What stands before a datum.
pub(crate) const PREFIX: usize = 5;

/// What a record with a schema begins with.
const MAGIC: u8 = 0;

/// The bytes before each datum of a schema.
pub(crate) fn prefix(id: u32) -> [u8; PREFIX] {
    let [first, second, third, fourth] = id.to_be_bytes();
    [MAGIC, first, second, third, fourth]
}

/// The id of a record's schema.
#[inline]
pub(crate) fn schema_id(record: &[u8]) -> Option<u32> {
    match record {
        [MAGIC, first, second, third, fourth, ..] => Some(u32::from_be_bytes([*first, *second, *third, *fourth])),
        _ => None,
    }
}

/// Why a record without the id of a schema is refused.
pub(crate) fn without_id(record: &[u8]) -> String {
    let begin = match record.first().copied() {
        None => "it is empty".to_owned(),
        Some(MAGIC) => format!("it has only {} bytes", record.len()),
        Some(other) => format!("it begins with byte {other}"),
    };
    format!("record does not begin with a zero and the id of its schema: {begin}")
}

/// What reads the records of each schema that was met so far, or why they cannot be read.
pub(crate) struct Readers<T> {
    kind: SchemaKind,
    by_id: HashMap<u32, Result<T, String>>,
    /// Those that the registry does not know now. They are asked for again, because it may come to know them, and so
    /// that records with ids of all kinds cost no memory.
    passing: Vec<u32>,
}

impl<T> Readers<T> {
    pub fn new(kind: SchemaKind) -> Self {
        Self { kind, by_id: HashMap::new(), passing: Vec::new() }
    }

    /// The ids of schemas that records have and that have not been learned.
    pub fn missing(&self, records: &BinaryArray) -> BTreeSet<u32> {
        let mut missing = BTreeSet::new();
        let mut last = None;
        for id in records.iter().flatten().filter_map(schema_id) {
            if last != Some(id) && !self.by_id.contains_key(&id) {
                missing.insert(id);
            }
            last = Some(id);
        }
        missing
    }

    /// Makes a reader of the schema with an id; none: the registry does not know it.
    pub fn learn(
        &mut self,
        id: u32,
        schema: Option<&RegisteredSchema>,
        make: impl FnOnce(&RegisteredSchema) -> Result<T, String>,
    ) {
        let reader = match schema {
            None => {
                self.passing.push(id);
                Err(format!("the registry has no schema {id}, with which the record was written"))
            }
            Some(schema) if schema.kind == Some(self.kind) => {
                make(schema).map_err(|reason| format!("schema {id}: {reason}"))
            }
            Some(_) => Err(format!("schema {id} is not of {}, with which the source is declared", self.kind)),
        };
        self.by_id.insert(id, reader);
    }

    /// The reader of a record's datum and the id of its schema.
    #[inline]
    pub fn of(&self, record: &[u8]) -> Result<(u32, &T), String> {
        let id = schema_id(record).ok_or_else(|| without_id(record))?;
        match self.by_id.get(&id) {
            Some(Ok(reader)) => Ok((id, reader)),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err(format!("schema {id} was not asked for")),
        }
    }

    /// Forgets what the registry did not know.
    pub fn forget_passing(&mut self) {
        for id in self.passing.drain(..) {
            self.by_id.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_asked_for_once_and_again_if_the_registry_did_not_know_it() {
        let mut readers = Readers::new(SchemaKind::Avro);
        let records = BinaryArray::from_iter_values([prefix(7), prefix(300), prefix(7), [1; 5]]);
        assert_eq!(readers.missing(&records), BTreeSet::from([7, 300]));
        let schema = RegisteredSchema { kind: Some(SchemaKind::Avro), text: String::new(), references: Vec::new() };
        readers.learn(7, Some(&schema), |_| Ok(()));
        readers.learn(300, None, |_| Ok(()));
        assert_eq!(readers.missing(&records), BTreeSet::new());
        assert_eq!(readers.of(records.value(0)), Ok((7, &())));
        assert!(readers.of(records.value(1)).is_err_and(|reason| reason.contains("no schema 300")));
        assert!(readers.of(records.value(3)).is_err_and(|reason| reason.contains("begins with byte 1")));
        readers.forget_passing();
        assert_eq!(readers.missing(&records), BTreeSet::from([300]));
    }

    #[test]
    fn a_schema_of_another_kind_is_not_read() {
        let mut readers = Readers::new(SchemaKind::Avro);
        let schema = RegisteredSchema { kind: None, text: String::new(), references: Vec::new() };
        readers.learn(7, Some(&schema), |_| Ok(()));
        assert!(readers.of(&prefix(7)).is_err_and(|reason| reason.contains("schema 7 is not of Avro")));
    }
}

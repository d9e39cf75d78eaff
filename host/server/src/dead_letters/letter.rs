//! A dead letter as its topic holds it.

use anyhow::{Context, Result};
use azenha_model::plugin::TableFields;
use azenha_model::{Field, Offset};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// A short name of what has a long one: letters by the hundred thousand are known by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name([u8; 16]);

impl Name {
    /// Of a letter with this id.
    pub fn of_letter(id: &str) -> Self {
        let mut short = [0; 16];
        short.copy_from_slice(&Sha256::digest(id)[..16]);
        Self(short)
    }

    /// Of the record that a letter is about: an id ends with topic, partition, offset and a number. None if it is no id.
    pub fn of_record(id: &str) -> Option<Self> {
        record_of(id).map(Self::of_letter)
    }
}

/// The place of the record that the letter with an id is about: `topic/partition/offset`.
pub fn record_of(id: &str) -> Option<&str> {
    let behind_step = id.match_indices('/').nth(2)?.0 + 1;
    id[behind_step..].rsplit_once('/').map(|(record, _)| record)
}

/// A dead letter, without the record that it may carry.
#[derive(Debug, Deserialize)]
pub struct Letter {
    /// What tells it from all others.
    pub id: String,
    /// The step or sink that it is of.
    pub step: String,
    /// The topic that was read.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// The record's offset.
    pub offset: Offset,
    /// Of what stands in an object: the object.
    pub object: Option<String>,
    /// Whether it is about a group of rows.
    #[serde(default)]
    pub group: bool,
    /// Why it is one.
    pub cause: String,
    /// How the plugin failed, if it did.
    pub failure: Option<String>,
    /// In words.
    pub reason: String,
    /// The part that was refused; none: all of it.
    pub part: Option<String>,
    /// The plugin's call, if one is the cause.
    pub call: Option<Call>,
}

impl Letter {
    /// The id that the first letter of a step about the same record has.
    pub fn of_step(&self, step: &str) -> String {
        let Self { id, topic, partition, offset, .. } = self;
        let of_pipeline = id.match_indices('/').nth(1).map_or("", |(end, _)| &id[..end]);
        format!("{of_pipeline}/{step}/{topic}/{partition}/{offset}/0")
    }
}

/// The call of a plugin.
#[derive(Debug, Deserialize)]
pub struct Call {
    /// The plugin's name in the pipeline file.
    pub plugin: String,
    /// SHA-256 of its bytes, in hex.
    pub digest: String,
    /// The contract that it keeps.
    pub contract: String,
    /// What was called; none: the host refused before it called, or is too old to say.
    pub function: Option<Function>,
    /// The letter with this ordinal says what was opened and given.
    pub like: Option<u32>,
    /// What it was opened with.
    pub opened: Option<Opened>,
    /// The row, or the group's key.
    pub columns: Option<Box<RawValue>>,
    /// Base64.
    pub accumulator: Option<String>,
    /// Base64.
    pub into: Option<String>,
    /// Rows of a group, by table.
    pub tables: Option<Vec<Vec<Box<RawValue>>>>,
}

/// A function of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// A transform's.
    Process,
    /// An aggregate's, of rows.
    Fold,
    /// An aggregate's, of two accumulators.
    Merge,
    /// An aggregate's, of groups.
    Finish,
    /// An assemble's.
    Assemble,
}

impl std::fmt::Display for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Process => "process",
            Self::Fold => "fold",
            Self::Merge => "merge",
            Self::Finish => "finish",
            Self::Assemble => "assemble",
        })
    }
}

/// What a plugin was opened with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// The step's configuration, with variables by name.
    pub config: Box<RawValue>,
    /// The columns of a transform's or an aggregate's input, those that it does not read among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input: Vec<Column>,
    /// The tables of an assemble.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    /// The columns of a group's key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Column>,
}

/// A table of an assemble.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// As the step calls it.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
}

/// A column.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// As a pipeline file writes it; a `?` after it: values may be absent.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether its values are personal data, and so masked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pii: bool,
}

impl Column {
    /// As it is written.
    pub fn of(field: &Field) -> Self {
        let absent = if field.nullable { "?" } else { "" };
        Self { name: field.name.clone(), data_type: format!("{}{absent}", field.data_type), pii: field.pii }
    }

    fn field(&self) -> Result<Field> {
        let (data_type, nullable) = match self.data_type.strip_suffix('?') {
            Some(data_type) => (data_type, true),
            None => (self.data_type.as_str(), false),
        };
        let data_type = data_type.parse().with_context(|| format!("column `{}`", self.name))?;
        Ok(Field { pii: self.pii, ..Field::new(&self.name, data_type, nullable) })
    }
}

/// Columns as the host knows them.
pub fn fields(columns: &[Column]) -> Result<Vec<Field>> {
    columns.iter().map(Column::field).collect()
}

impl Opened {
    /// The tables as a plugin gets them.
    pub fn table_fields(&self) -> Result<Vec<TableFields>> {
        let table = |table: &Table| Ok(TableFields { name: table.name.clone(), fields: fields(&table.columns)? });
        self.tables.iter().map(table).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_one_record_name_it_alike() {
        assert_eq!(record_of("0/shop/lines/orders.in/3/17/2"), Some("orders.in/3/17"));
        assert_eq!(Name::of_record("0/shop/lines/orders/3/17/2"), Name::of_record("1/shop/other/orders/3/17/0"));
        assert_ne!(Name::of_record("0/shop/lines/orders/3/17/2"), Name::of_record("0/shop/lines/orders/3/18/2"));
        assert_eq!(record_of("0/shop"), None);
    }
}

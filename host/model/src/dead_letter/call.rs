//! The call of a plugin that a dead letter comes from: enough to make it once more, anywhere.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Field;
use crate::plugin::TableFields;

/// The contract that plugins of this host are compiled against.
pub const CONTRACT: &str = "azenha:plugin@0.1.0";

/// A function of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "process",
            Self::Fold => "fold",
            Self::Merge => "merge",
            Self::Finish => "finish",
            Self::Assemble => "assemble",
        })
    }
}

/// A plugin and what it saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginCall {
    /// The plugin's name in the pipeline file.
    pub plugin: Arc<str>,
    /// SHA-256 of its bytes, in hex.
    pub digest: Arc<str>,
    /// The contract that it was compiled against.
    pub contract: Arc<str>,
    /// What was called.
    pub function: Function,
    /// The letter of the same step and offset with this ordinal says what was opened and given here, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<u32>,
    /// What the plugin was opened with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Arc<Opened>>,
    /// What the function was given.
    pub given: Arguments,
}

/// What a plugin was opened with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// The step's configuration, with variables by name.
    pub config: Box<RawValue>,
    /// The columns of a transform's or an aggregate's input, those that it does not read among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input: Vec<Field>,
    /// The tables of an assemble.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableFields>,
    /// The columns of a group's key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Field>,
}

impl Opened {
    /// With this configuration, in which variables stand by name.
    pub fn with(config_by_name: &str) -> Self {
        let config = RawValue::from_string(config_by_name.to_owned());
        // A step's configuration is JSON.
        Self { config: config.unwrap_or_default(), input: Vec::new(), tables: Vec::new(), keys: Vec::new() }
    }

    /// Over these columns.
    pub fn input(self, fields: &[Field]) -> Self {
        Self { input: fields.to_vec(), ..self }
    }

    /// Over these tables.
    pub fn tables(self, tables: &[TableFields]) -> Self {
        Self { tables: tables.to_vec(), ..self }
    }

    /// Grouped by these columns.
    pub fn keys(self, fields: &[Field]) -> Self {
        Self { keys: fields.to_vec(), ..self }
    }

    /// Every column of which the plugin was told.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        let of_tables = self.tables.iter().flat_map(|table| &table.fields);
        self.input.iter().chain(&self.keys).chain(of_tables)
    }
}

/// What a function was given of the row or group that a letter is about.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// The columns that it read, as a JSON object; those of the key, where it was given groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Box<RawValue>>,
    /// Base64 of the group's accumulator before the call, if it has at most 64 KiB. Of `merge`, the one that came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accumulator: Option<String>,
    /// Of `merge`: base64 of the accumulator that it came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Of `assemble`: the rows of each table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Vec<Vec<Box<RawValue>>>>,
}

impl Arguments {
    /// A row, or a key, as JSON.
    pub fn row(json: String) -> Self {
        Self { columns: RawValue::from_string(json).ok(), ..Self::default() }
    }

    /// The rows that were given.
    pub fn rows(&self) -> impl Iterator<Item = &RawValue> {
        self.columns.iter().chain(self.tables.iter().flatten().flatten()).map(AsRef::as_ref)
    }
}

impl PluginCall {
    /// The call without what it was opened with and given, but for some columns; `like`: another letter says that.
    pub fn with_only(&self, columns: Option<Box<RawValue>>, like: Option<u32>) -> Self {
        Self { like, opened: None, given: Arguments { columns, ..Arguments::default() }, ..self.clone() }
    }
}

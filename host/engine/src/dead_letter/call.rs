//! What a dead letter says of the call of a plugin that it comes from: enough to make the call once more, anywhere.

use std::sync::Arc;

use azenha_model::Field;
use azenha_model::plugin::TableFields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::value::RawValue;
use twox_hash::XxHash3_64;

/// The contract that plugins of this host are compiled against.
pub const CONTRACT: &str = "azenha:plugin@0.1.0";

/// Accumulators above this many bytes are left out of dead letters.
const ACCUMULATOR_BYTES: usize = 64 * 1024;

/// An accumulator as a dead letter carries it.
pub fn encode_accumulator(accumulator: &[u8]) -> Option<String> {
    (accumulator.len() <= ACCUMULATOR_BYTES).then(|| BASE64.encode(accumulator))
}

/// A function of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
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

/// A plugin that a step has opened, and with what.
#[derive(Debug, Clone)]
pub struct Callee {
    plugin: Arc<str>,
    digest: Arc<str>,
    opened: Option<Arc<RawValue>>,
}

/// What `open` was given.
#[derive(Debug, Default, Serialize)]
pub struct Opening {
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    input: Vec<Column>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tables: Vec<Table>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<Column>,
}

#[derive(Debug, Serialize)]
struct Table {
    name: String,
    columns: Vec<Column>,
}

#[derive(Debug, Serialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pii: bool,
}

impl Opening {
    /// With this configuration, in which variables stand by name.
    pub fn with(config_by_name: &str) -> Self {
        Self { config: RawValue::from_string(config_by_name.to_owned()).ok(), ..Self::default() }
    }

    /// Over these columns.
    pub fn input(self, fields: &[Field]) -> Self {
        Self { input: columns(fields), ..self }
    }

    /// Over these tables.
    pub fn tables(self, tables: &[TableFields]) -> Self {
        let table = |table: &TableFields| Table { name: table.name.clone(), columns: columns(&table.fields) };
        Self { tables: tables.iter().map(table).collect(), ..self }
    }

    /// Grouped by these columns.
    pub fn keys(self, fields: &[Field]) -> Self {
        Self { keys: columns(fields), ..self }
    }
}

fn columns(fields: &[Field]) -> Vec<Column> {
    let column = |field: &Field| {
        let absent = if field.nullable { "?" } else { "" };
        Column { name: field.name.clone(), data_type: format!("{}{absent}", field.data_type), pii: field.pii }
    };
    fields.iter().map(column).collect()
}

impl Callee {
    /// The plugin with this name in the pipeline file, and the SHA-256 of its bytes.
    pub fn new(plugin: &str, digest: &str, opening: &Opening) -> Self {
        // Names and types always become JSON.
        let opened = serde_json::value::to_raw_value(opening).ok().map(Arc::from);
        Self { plugin: plugin.into(), digest: digest.into(), opened }
    }

    /// A call of one of its functions; none: the host refused before it called.
    pub fn call(&self, function: Option<Function>) -> PluginCall {
        PluginCall {
            plugin: Arc::clone(&self.plugin),
            digest: Arc::clone(&self.digest),
            contract: CONTRACT,
            function,
            like: None,
            opened: self.opened.clone(),
            given: Arguments::default(),
        }
    }
}

/// A plugin and what it saw, for a replay.
#[derive(Debug, Clone, Serialize)]
pub struct PluginCall {
    /// The plugin's name in the pipeline file.
    pub plugin: Arc<str>,
    /// SHA-256 of its bytes.
    pub digest: Arc<str>,
    /// The contract that it was compiled against.
    pub contract: &'static str,
    /// What was called; none: the host refused before it called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<Function>,
    /// The letter of the same step and offset with this ordinal says what was opened and given here, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<u32>,
    /// What the plugin was opened with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened: Option<Arc<RawValue>>,
    /// What the function was given.
    #[serde(flatten)]
    pub given: Arguments,
}

/// What a function was given of the row or group that a letter is about. Values of `pii` columns are masked.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Arguments {
    /// The columns that it read, as a JSON object; those of the key, where it was given groups.
    pub columns: Option<Box<RawValue>>,
    /// Base64 of the group's accumulator before the call, if it has at most 64 KiB. Of `merge`, the one that came.
    pub accumulator: Option<String>,
    /// Of `merge`: base64 of the accumulator that it came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Of `assemble`: the rows of each table, as a list of JSON objects for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<Box<RawValue>>,
}

impl Arguments {
    /// A row, or a key, as JSON.
    pub fn row(json: String) -> Self {
        Self { columns: RawValue::from_string(json).ok(), ..Self::default() }
    }

    /// A number that is the same for what is the same.
    pub fn fingerprint(&self) -> u64 {
        // Texts always become JSON.
        XxHash3_64::oneshot(&serde_json::to_vec(self).unwrap_or_default())
    }
}

impl PluginCall {
    /// The call without what it was opened with and given, but for some columns; `like`: another letter says that.
    pub fn with_only(&self, columns: Option<Box<RawValue>>, like: Option<u32>) -> Self {
        Self { like, opened: None, given: Arguments { columns, ..Arguments::default() }, ..self.clone() }
    }
}

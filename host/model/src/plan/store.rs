//! Sinks in stores.

use schemars::JsonSchema;

use super::OutputColumn;

/// A table, a collection or an index of a store that rows are written to.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreOutput {
    /// The sink's name.
    pub sink: String,
    /// The name of a connection of the host's configuration.
    pub connection: String,
    /// The name of the table, collection or index, as the store has it.
    pub name: String,
    /// Which of them it is.
    pub target: Target,
    /// What is written.
    pub columns: Vec<OutputColumn>,
    /// Positions in `columns`; not empty if rows are upserted.
    pub key: Vec<usize>,
    /// Whether rows replace others.
    pub mode: WriteMode,
}

/// What a store keeps rows in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A table: a row each.
    Table {
        /// The columns of text whose words can be searched for; none if it has no full-text index.
        fulltext: Vec<String>,
    },
    /// A collection: a document each.
    Collection {
        /// The indexes that it gets: of each the fields, with points where they lead into one.
        indexes: Vec<Vec<String>>,
    },
    /// An index of a search engine: a document each.
    Index {
        /// The columns of text whose words can be searched for.
        search: Vec<String>,
        /// The language of these texts; none if words are to be found as they are written.
        language: Option<Language>,
    },
}

/// A language whose words a search engine finds in their other forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Language {
    /// Portuguese.
    Portuguese,
    /// English.
    English,
    /// Spanish.
    Spanish,
}

/// How rows are written to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum WriteMode {
    /// A row replaces the one with its key; deletes are applied.
    Upsert,
    /// Every row is added.
    Append,
}

//! The shape of the steps over tables: joins, lookups and assemblies.

use schemars::JsonSchema;

use super::SinkColumns;
use crate::relation::{JoinKind, OnTruncate};
use crate::yaml::{Entries, FromNode, Node, Report, Spanned, from_keys, whole_number, word};

/// A step that keeps the latest row of each key of a stream.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct TableDef {
    /// What is read: a source, a step, `step.outlet`, or a sink that can be read.
    pub table: Spanned<String>,
    /// The columns that identify a row: each row replaces the one before it.
    pub key: Spanned<Vec<Spanned<String>>>,
    /// A column of text that says what a row does: where it is `d`, the row with its key is deleted.
    pub operation: Option<Spanned<String>>,
}
from_keys!(TableDef, "a table", required: [table, key], optional: [operation]);

/// A step that puts the row of another table beside each row of a table.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct JoinDef {
    /// The table whose rows are kept: a source with a `key`, a step or topic sink whose rows replace each other, or
    /// another join.
    pub join: Spanned<String>,
    /// The other table.
    pub with: Spanned<String>,
    /// The columns that name the other table's row, each with the key column there: `{ product_id: id }`.
    pub on: Spanned<Entries<Spanned<String>>>,
    /// Whether rows without a counterpart are left out (`inner`, the default) or kept with nulls (`left`).
    pub kind: Option<Spanned<JoinKind>>,
    /// The other table's columns to take: a list, or a mapping of new names; by default all but its key.
    pub columns: Option<SinkColumns>,
}
from_keys!(JoinDef, "a join", required: [join, with, on], optional: [kind, columns]);

/// A step that puts beside each row of a stream the row that a table has for it when it arrives.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct LookupDef {
    /// The table: a source with a `key`, a step or topic sink whose rows replace each other, or a join.
    pub lookup: Spanned<String>,
    /// The stream: a source without a `key`, a transform, or whatever else gives rows that stay.
    pub from: Spanned<String>,
    /// The stream's columns that name the table's row, each with the key column there: `{ productId: id }`.
    pub on: Spanned<Entries<Spanned<String>>>,
    /// Whether rows for which the table has none get nulls (`left`, the default) or are left out (`inner`).
    pub kind: Option<Spanned<JoinKind>>,
    /// The table's columns to take: a list, or a mapping of new names; by default all but its key.
    pub columns: Option<SinkColumns>,
}
from_keys!(LookupDef, "a lookup", required: [lookup, from, on], optional: [kind, columns]);

impl FromNode for JoinKind {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        word(node, &[("inner", Self::Inner), ("left", Self::Left)], report)
    }
}

impl FromNode for OnTruncate {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        word(node, &[("stop", Self::Stop), ("apply", Self::Apply)], report)
    }
}

/// A step that makes one row, or none, of all rows of several tables that belong together.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct AssembleDef {
    /// The plugin's name, or the path of a `.wasm` file relative to this one.
    pub assemble: Spanned<String>,
    /// The tables, by the names that the plugin has for them. The columns of the first one's `by` name the results'
    /// key.
    pub tables: Spanned<Entries<AssembledDef>>,
    /// What the plugin is told; its documentation says what it takes.
    #[schemars(with = "Option<serde_json::Value>")]
    pub config: Option<Node>,
    /// How many rows a group may have, of all tables together; 100,000 by default. A larger one keeps its last result.
    pub max_group_rows: Option<GroupRows>,
}
from_keys!(AssembleDef, "an assembly", required: [assemble, tables], optional: [config, max_group_rows]);

/// How many rows a group of an assembly may have.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[schemars(inline)]
pub(crate) struct GroupRows(#[schemars(range(min = 1, max = 10_000_000))] pub u32);

impl Default for GroupRows {
    fn default() -> Self {
        Self(100_000)
    }
}

impl FromNode for GroupRows {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        whole_number(node, 1..=10_000_000, report).map(Self)
    }
}

/// A table of an assembly.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct AssembledDef {
    /// The table: a source with a `key`, a step or topic sink whose rows replace each other, or a join.
    pub from: Spanned<String>,
    /// The columns that say where a row belongs: as many as those of the other tables, of the same types.
    pub by: Spanned<Vec<Spanned<String>>>,
    /// The columns that the plugin may read; by default all but personal data.
    pub columns: Option<Spanned<Vec<Spanned<String>>>>,
}
from_keys!(AssembledDef, "a table of an assembly", required: [from, by], optional: [columns]);

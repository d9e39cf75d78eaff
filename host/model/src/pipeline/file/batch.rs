//! The shape of a batch: tables that are made anew from history.

use schemars::JsonSchema;

use crate::yaml::{Entries, Spanned, from_keys};

/// Makes the pipeline a batch: it reads the objects of its sources' folders from the beginning to the end, its tables are
/// made beside those that are read, checked, and put in their place all at once.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct BatchDef {
    /// The SQL database in which its tables stand: the connection of all its sinks.
    pub connection: Spanned<String>,
    /// When it runs, as cron writes it, in UTC: `0 3 * * *`. Without it, it runs when somebody says so.
    pub schedule: Option<Spanned<String>>,
    /// Tables that are made of those that sinks wrote, in this order.
    pub tables: Option<Entries<BuiltTableDef>>,
    /// What must hold before the new tables take the place of the old ones, by what it says.
    pub checks: Option<Entries<CheckDef>>,
}
from_keys!(BatchDef, "a batch", required: [connection], optional: [schedule, tables, checks]);

/// A table that is made of others.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct BuiltTableDef {
    /// One `SELECT`. `{name}` is a table of this batch: what a sink writes, one that stands above, `{objects}` or
    /// `{dead_letters}`.
    pub sql: Spanned<String>,
    /// The columns that tell its rows apart; it is checked that they do.
    pub key: Spanned<Vec<Spanned<String>>>,
    /// The columns that name rows of other tables by their key: `{ customer_key: dim_customer }`. It is checked that there
    /// is such a row.
    pub references: Option<Entries<Spanned<String>>>,
}
from_keys!(BuiltTableDef, "a table of a batch", required: [sql, key], optional: [references]);

/// What must hold: one of the two.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct CheckDef {
    /// Two statements, each a `SELECT` of one value: the values are equal.
    pub equal: Option<Spanned<Vec<Spanned<String>>>>,
    /// A `SELECT` that gives no rows.
    pub none: Option<Spanned<String>>,
}
from_keys!(CheckDef, "a check", required: [], optional: [equal, none]);

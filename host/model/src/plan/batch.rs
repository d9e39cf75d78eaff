//! Batches: tables of a SQL database that are made anew from history, checked, and put in the place of those before all at
//! once.

use super::Layout;
use crate::query::Sql;
use crate::schedule::Schedule;

/// What a batch makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The connection to the database.
    pub connection: String,
    /// When it runs; none: only by hand.
    pub schedule: Option<Schedule>,
    /// Every table: those that sinks write, the two of the host, then those that are built.
    pub tables: Vec<BatchTable>,
    /// What is made of other tables, in this order.
    pub built: Vec<BuiltTable>,
    /// What must hold before the new tables are seen.
    pub checks: Vec<Check>,
}

/// A table that is made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchTable {
    /// What statements call it, in braces.
    pub alias: String,
    /// What the database calls it.
    pub name: String,
}

/// What statements call the table of the objects that were read, and how many records each has.
pub const OBJECTS_TABLE: &str = "objects";

/// What statements call the table of what was refused.
pub const DEAD_LETTERS_TABLE: &str = "dead_letters";

/// A table that a statement makes.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltTable {
    /// Its name.
    pub name: String,
    /// The columns that tell its rows apart.
    pub key: Vec<String>,
    /// The columns that name rows of other tables.
    pub references: Vec<Reference>,
    /// One `SELECT`; its names are positions in [`Batch::tables`].
    pub sql: Sql,
}

/// A column that names a row of another table, or is null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The column.
    pub column: String,
    /// The other table: a position in [`Batch::tables`].
    pub table: usize,
    /// The column there.
    pub key: String,
}

/// What must hold of the new tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What it says.
    pub name: String,
    /// How it is found out.
    pub test: Test,
}

/// How a check is made. The names of statements are positions in [`Batch::tables`].
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Two statements give one value each, and these are equal.
    Equal(Sql, Sql),
    /// A statement gives no rows.
    None(Sql),
}

/// Where the past of a source stands: what a backfill reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The source.
    pub source: String,
    /// The topic that announces its objects.
    pub topic: String,
    /// The connection where they stand.
    pub connection: String,
    /// Below what they stand there.
    pub folder: String,
    /// What is in an object.
    pub layout: Layout,
}

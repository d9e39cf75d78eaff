//! Tables, and what is made of several of them: parts of a [`Plan`](crate::plan::Plan).
//!
//! A *table* is a topic whose records have a key: each says how one row stands from now on. A *relation* brings rows
//! of one or several tables together by common columns, their *group*. Its lanes own groups; changes reach them
//! through one internal topic, whatever table they are of, so that all rows of a group meet in one lane.
//!
//! Every change carries a *version*: numbers of which the first says when the row itself changed in its own topic, and
//! each further one when the row changed that a join put beside it. Changes of one row may come from several lanes of
//! a join, in any order; the version tells the latest. See `host/engine/src/relation`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::ObjectsOutput;
use crate::plugin::{AssemblePlan, TableFields};
use crate::types::{DataType, Field};

/// A keyed topic of which the rows are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The source, step or sink whose rows these are.
    pub name: String,
    /// The columns, all of which are kept.
    pub fields: Vec<Field>,
    /// Indices of the columns that identify a row; not empty.
    pub key: Vec<usize>,
    /// What is done when the database's table is emptied at once.
    pub on_truncate: OnTruncate,
    /// Whether one partition holds the whole table: only there does a snapshot say which rows are gone.
    pub is_whole: bool,
    /// The column of text that says `d` where a row is deleted; none: that is said elsewhere.
    pub operation: Option<usize>,
}

/// What is done when a captured table is emptied at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnTruncate {
    /// The lane stops, and a person decides.
    #[default]
    Stop,
    /// All rows are deleted.
    Apply,
}

/// Where changes of a table's rows go: to the topic of a relation that reads the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// The relation's internal topic.
    pub topic: String,
    /// The table's place among those of the relation.
    pub table: u8,
    /// Indices of the columns that are the row's group there.
    pub by: Vec<usize>,
    /// Indices of the columns that are sent.
    pub columns: Vec<usize>,
}

impl Feed {
    /// What tells the one who reads apart from all others.
    pub fn reader(&self) -> String {
        format!("{}/{}", self.topic, self.table)
    }
}

/// A step over rows of tables that are brought together.
#[derive(Debug, Clone, PartialEq)]
pub struct Relation {
    /// The step.
    pub step: String,
    /// The columns of a group, as results have them.
    pub keys: Vec<Field>,
    /// What is brought together.
    pub tables: Vec<RelatedTable>,
    /// What is made of a group.
    pub operator: Operator,
}

/// A table as a relation gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelatedTable {
    /// What the step calls it.
    pub name: String,
    /// Whose rows these are: the topic that a table is kept of, or the step of a join.
    pub origin: String,
    /// The names, there, of the columns that are a row's group.
    pub by: Vec<String>,
    /// The columns that are sent.
    pub fields: Vec<Field>,
    /// How many numbers a version of its rows has: 1 where they come from the lane of a table, which sends a row's
    /// changes in order; more behind a join.
    pub versions: u8,
}

/// What a relation makes of a group.
#[derive(Debug, Clone, PartialEq)]
pub enum Operator {
    /// Each row of the first table with the one of the second.
    Join(JoinKind),
    /// One row or none, by a plugin that sees all rows of the group.
    Assemble(Assembling),
    /// The rows of the only table, which are groups of their own, in their latest version.
    Latest,
    /// The rows of the only table in objects, of which each group is one that is replaced when a row of it changes.
    Objects(Box<ObjectsOutput>),
}

/// The plugin that assembles groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Assembling {
    /// The plugin's name in the pipeline file.
    pub plugin: String,
    /// The step's configuration as JSON.
    pub config: String,
    /// The same with the variables of the file by name.
    pub config_by_name: String,
    /// What `open` answered.
    pub plan: AssemblePlan,
    /// How many rows a group may have: a plugin sees all of them at once.
    pub max_group_rows: usize,
}

/// What becomes of rows for which the other table has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum JoinKind {
    /// They are left out.
    Inner,
    /// They are kept, with nulls.
    Left,
}

/// A stream of which each row gets the row of a table beside it that stands there when it arrives. Rows of the stream and
/// changes of the table reach the lanes that own the table's keys through one internal topic, whose order decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The step.
    pub step: String,
    /// The stream's columns, as they are sent.
    pub stream: Vec<Field>,
    /// Indices among them: the columns that name a row of the table, in the order of its key.
    pub by: Vec<usize>,
    /// The table, as it is sent.
    pub table: RelatedTable,
    /// What becomes of rows for which the table has none.
    pub kind: JoinKind,
    /// Whether rows carry the time that they had in the stream: see [`Lookup::TIMES`].
    pub is_timed: bool,
}

impl Lookup {
    /// The columns that carry time, in this order behind all others: when a row happened, the watermark that stood
    /// before it in the partition that it was read from, and the one that all those partitions had reached.
    pub const TIMES: [&str; 3] = ["$event_time", "$watermark", "$reached"];

    /// The columns of what comes out.
    pub fn output(&self) -> Vec<Field> {
        let times = Self::TIMES.iter().filter(|_| self.is_timed);
        let times = times.map(|name| Field::new(*name, DataType::Timestamp, true));
        self.stream.iter().chain(&self.table.fields).cloned().chain(times).collect()
    }
}

impl Relation {
    /// The columns of what comes out.
    pub fn output(&self) -> Vec<Field> {
        match &self.operator {
            Operator::Join(_) | Operator::Latest | Operator::Objects(_) => {
                self.tables.iter().flat_map(|table| table.fields.iter().cloned()).collect()
            }
            Operator::Assemble(by) => self.keys.iter().chain(&by.plan.gives).cloned().collect(),
        }
    }

    /// The plugin that assembles its groups, if one does.
    pub fn assembling(&self) -> Option<&Assembling> {
        match &self.operator {
            Operator::Assemble(by) => Some(by),
            Operator::Join(_) | Operator::Latest | Operator::Objects(_) => None,
        }
    }

    /// The tables, as a plugin is told of them.
    pub fn table_fields(&self) -> Vec<TableFields> {
        let tables = self.tables.iter();
        tables.map(|table| TableFields { name: table.name.clone(), fields: table.fields.clone() }).collect()
    }

    /// How many numbers a version of what comes out has.
    pub fn versions(&self) -> u8 {
        self.tables.iter().map(|table| table.versions).sum()
    }
}

//! What a plugin says of itself: the plans that its `open` returns, and what it refuses.

use serde::{Deserialize, Serialize};

use crate::types::{Field, Schema};

/// The kind of plugin: which world of `wit/` it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum World {
    /// Stateless: rows in, rows out.
    Transform,
    /// Folds rows into accumulators.
    Aggregate,
    /// Makes one row of the rows that tables hold of a key.
    Assemble,
}

impl World {
    /// Its name in a sentence: `an aggregate`.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Transform => "a transform",
            Self::Aggregate => "an aggregate",
            Self::Assemble => "an assemble",
        }
    }
}

impl std::fmt::Display for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Transform => "transform",
            Self::Aggregate => "aggregate",
            Self::Assemble => "assemble",
        })
    }
}

/// A column of an outlet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// The input column with this index, under another name or its own; it never enters the sandbox.
    Passed {
        /// Among the columns that `open` is given.
        input: usize,
        /// What it is called from here on.
        name: String,
    },
    /// A column that the plugin makes.
    Made(Field),
}

/// One of a transform's outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlet {
    /// What stands after the dot in `from: step.outlet`.
    pub name: String,
    /// Its columns.
    pub gives: Vec<Given>,
}

impl Outlet {
    /// The columns of this outlet, given the columns that the plugin was opened with.
    pub fn schema(&self, input: &[Field]) -> Schema {
        let field = |given: &Given| match given {
            Given::Passed { input: index, name } => Field { name: name.clone(), ..input[*index].clone() },
            Given::Made(field) => field.clone(),
        };
        Schema::new(self.gives.iter().map(field).collect())
    }
}

/// The plan of a transform. The sandbox has checked that its indices are in range and its names distinct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformPlan {
    /// Indices of the input columns that enter the sandbox, in `process`'s order.
    pub reads: Vec<usize>,
    /// At least one; the first is the main output.
    pub outlets: Vec<Outlet>,
}

/// The plan of an aggregate, checked like a transform's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregatePlan {
    /// Indices of the input columns that enter the sandbox, in `fold`'s order.
    pub reads: Vec<usize>,
    /// The columns that `finish` makes.
    pub gives: Vec<Field>,
    /// The version of the accumulators that this code writes.
    pub state_version: u32,
    /// Older versions that it can migrate.
    pub reads_versions: Vec<u32>,
    /// The host may fold in parts.
    pub merges: bool,
    /// `fold` understands rows that are taken back.
    pub retracts: bool,
}

impl AggregatePlan {
    /// Whether the plugin can go on with accumulators of a version.
    pub fn reads(&self, version: u32) -> bool {
        version == self.state_version || self.reads_versions.contains(&version)
    }
}

/// A table that an assemble joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableFields {
    /// What the pipeline calls it.
    pub name: String,
    /// Its columns.
    pub fields: Vec<Field>,
}

/// The plan of an assemble, checked like a transform's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssemblePlan {
    /// For each table, the indices of the columns that enter the sandbox, in `assemble`'s order.
    pub reads: Vec<Vec<usize>>,
    /// The columns that `assemble` makes: none is called like a key or begins with `$`.
    pub gives: Vec<Field>,
}

/// Why a plugin could not make a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What was found, and what would be right.
    pub message: String,
    /// A JSON pointer into the step's configuration.
    pub config_path: Option<String>,
    /// The index of the input column that does not fit; an assemble's tables are counted through, one after the
    /// other.
    pub input: Option<usize>,
}

impl Problem {
    /// A problem with no particular place.
    pub fn general(message: impl Into<String>) -> Self {
        Self { message: message.into(), config_path: None, input: None }
    }
}

/// A row, or a part of it, that a plugin refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The row's index in the batch; for `finish` and `assemble`, the group's.
    pub row: u32,
    /// For people.
    pub reason: String,
    /// The part that was refused, for instance `items[3]`; none: the whole row.
    pub part: Option<String>,
}

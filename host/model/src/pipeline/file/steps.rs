//! Steps: what is done with rows.

use schemars::JsonSchema;

use super::tables::{AssembleDef, JoinDef, LookupDef, TableDef};
use crate::plan::Emit;
use crate::plugin::World;
use crate::units::Micros;
use crate::yaml::{Entries, FromNode, Node, Report, Spanned, choose, from_keys, word};

/// Something that is done with rows: a transform, an aggregation, a table, a join, a lookup, an assembly, or finding out
/// whose they are.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum StepDef {
    Transform(TransformDef),
    Aggregate(AggregateDef),
    Table(TableDef),
    Join(JoinDef),
    Lookup(LookupDef),
    Assemble(AssembleDef),
    Identify(IdentifyDef),
}

impl StepDef {
    /// What the step reads; at least one.
    pub fn inputs(&self) -> Vec<&Spanned<String>> {
        match self {
            Self::Transform(step) => vec![&step.from],
            Self::Aggregate(step) => vec![&step.from],
            Self::Table(step) => vec![&step.table],
            Self::Join(step) => vec![&step.join, &step.with],
            Self::Lookup(step) => vec![&step.lookup, &step.from],
            Self::Assemble(step) => {
                let Entries(tables) = &step.tables.value;
                tables.iter().map(|table| &table.value.from).collect()
            }
            Self::Identify(step) => vec![&step.from],
        }
    }

    /// The plugin that the step names, and what it must be; joins and lookups are the host's own.
    pub fn plugin(&self) -> Option<(&Spanned<String>, World)> {
        match self {
            Self::Transform(step) => Some((&step.transform, World::Transform)),
            Self::Aggregate(step) => Some((&step.aggregate, World::Aggregate)),
            Self::Assemble(step) => Some((&step.assemble, World::Assemble)),
            Self::Identify(step) => Some((&step.profile, World::Aggregate)),
            Self::Table(_) | Self::Join(_) | Self::Lookup(_) => None,
        }
    }
}

impl FromNode for StepDef {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let kinds = ["transform", "aggregate", "table", "join", "lookup", "assemble", "identify"];
        match choose("a step", node, &kinds, report)? {
            "transform" => TransformDef::from_node(node, report).map(Self::Transform),
            "aggregate" => AggregateDef::from_node(node, report).map(Self::Aggregate),
            "table" => TableDef::from_node(node, report).map(Self::Table),
            "join" => JoinDef::from_node(node, report).map(Self::Join),
            "lookup" => LookupDef::from_node(node, report).map(Self::Lookup),
            "assemble" => AssembleDef::from_node(node, report).map(Self::Assemble),
            _ => IdentifyDef::from_node(node, report).map(Self::Identify),
        }
    }
}

/// A step that turns each row into rows, and remembers nothing.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct TransformDef {
    /// The plugin's name, or the path of a `.wasm` file relative to this one.
    pub transform: Spanned<String>,
    /// What is read: a source, a step, `step.outlet`, or a topic sink.
    pub from: Spanned<String>,
    /// The columns that the plugin may read; by default all but personal data.
    pub columns: Option<Spanned<Vec<Spanned<String>>>>,
    /// What the plugin is told; its documentation says what it takes.
    #[schemars(with = "Option<serde_json::Value>")]
    pub config: Option<Node>,
}
from_keys!(TransformDef, "a transform", required: [transform, from], optional: [columns, config]);

/// A step that folds rows into one for each key, and window if there is one.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct AggregateDef {
    /// The plugin's name, or the path of a `.wasm` file relative to this one.
    pub aggregate: Spanned<String>,
    /// What is read: a source, a step, `step.outlet`, or a topic sink.
    pub from: Spanned<String>,
    /// The columns that rows are grouped by.
    pub by: Spanned<Vec<Spanned<String>>>,
    /// The columns that the plugin may read; by default all but personal data.
    pub columns: Option<Spanned<Vec<Spanned<String>>>>,
    /// What the plugin is told; its documentation says what it takes.
    #[schemars(with = "Option<serde_json::Value>")]
    pub config: Option<Node>,
    /// The windows of event time that rows are grouped by; without one a group never ends.
    pub window: Option<Spanned<WindowDef>>,
    /// When results come; `changes` is the default.
    pub emit: Option<Spanned<Emit>>,
}
from_keys!(
    AggregateDef, "an aggregation",
    required: [aggregate, from, by],
    optional: [columns, config, window, emit]
);

/// A step that finds out which rows are of the same customer, and folds them into one row for each.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct IdentifyDef {
    /// Columns of text: rows that share a value in one of them are of the same customer. The smallest value of the first
    /// column that one is known by names the customer.
    pub identify: Spanned<Vec<Spanned<String>>>,
    /// What is read: a source, a step, `step.outlet`, or a topic sink.
    pub from: Spanned<String>,
    /// The plugin that makes a customer's row: an aggregate that merges.
    pub profile: Spanned<String>,
    /// What the column is called that names the customer.
    pub into: Spanned<String>,
    /// The columns that the plugin may read; by default all but personal data.
    pub columns: Option<Spanned<Vec<Spanned<String>>>>,
    /// What the plugin is told; its documentation says what it takes.
    #[schemars(with = "Option<serde_json::Value>")]
    pub config: Option<Node>,
}
from_keys!(
    IdentifyDef, "an identification",
    required: [identify, from, profile, into],
    optional: [columns, config]
);

impl FromNode for Emit {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        word(node, &[("changes", Self::Changes), ("final", Self::Final)], report)
    }
}

/// Windows of event time.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum WindowDef {
    Tumbling(TumblingDef),
    Hopping(HoppingDef),
    Session(SessionDef),
}

impl FromNode for WindowDef {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        match choose("a window", node, &["tumbling", "hopping", "session"], report)? {
            "tumbling" => TumblingDef::from_node(node, report).map(Self::Tumbling),
            "hopping" => HoppingDef::from_node(node, report).map(Self::Hopping),
            _ => SessionDef::from_node(node, report).map(Self::Session),
        }
    }
}

/// Windows side by side.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct TumblingDef {
    /// How long a window is.
    pub tumbling: Spanned<Micros>,
}
from_keys!(TumblingDef, "a tumbling window", required: [tumbling], optional: []);

/// Windows that overlap.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct HoppingDef {
    /// How long a window is.
    pub hopping: Spanned<Micros>,
    /// How long after one window the next begins: at most the length.
    pub every: Spanned<Micros>,
}
from_keys!(HoppingDef, "a hopping window", required: [hopping, every], optional: []);

/// Windows that last as long as rows of a key follow each other.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct SessionDef {
    /// How long a key must be silent for its window to end.
    pub session: Spanned<Micros>,
}
from_keys!(SessionDef, "a session window", required: [session], optional: []);

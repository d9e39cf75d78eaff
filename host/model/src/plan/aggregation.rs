//! Aggregations and their windows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PluginUse;
use crate::plugin::AggregatePlan;
use crate::types::{DataType, Field, Schema};

/// A keyed, perhaps windowed, aggregation.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregation {
    /// The plugin and what it is opened with.
    pub plugin: PluginUse,
    /// What it answered.
    pub plan: AggregatePlan,
    /// The columns of `plugin.input` that rows are grouped by; at least one.
    pub by: Vec<usize>,
    /// The column that names a group, where all rows belong together that share a value in any one of `by`, directly or
    /// by way of others; none: rows of a group are equal in all of them. There is no window then, and results change.
    pub identity: Option<String>,
    /// None: a group never ends.
    pub window: Option<Window>,
    /// When results come.
    pub emit: Emit,
    /// Microseconds; see [`EventTime`]. Only with a window.
    pub lateness: i64,
}

/// The column that holds a window's start in keys and output.
pub const WINDOW_START: &str = "start_time";
/// The column that holds a window's end, exclusive, in keys and output.
pub const WINDOW_END: &str = "end_time";

/// The columns of a window's bounds.
pub fn window_bounds() -> [Field; 2] {
    [WINDOW_START, WINDOW_END].map(|name| Field::new(name, DataType::Timestamp, false))
}

impl Aggregation {
    /// The columns of the rows that are grouped by, without the window's bounds.
    pub fn group_fields(&self) -> Vec<Field> {
        self.by.iter().map(|index| self.plugin.input[*index].clone()).collect()
    }

    /// What the plugin gets as keys: the group's columns, or the one that names it, then the window's bounds.
    pub fn key_fields(&self) -> Vec<Field> {
        let mut fields = self.group_fields();
        if let Some(name) = &self.identity {
            return vec![named_by(name, &fields)];
        }
        if self.window.is_some() {
            fields.extend(window_bounds());
        }
        fields
    }

    /// The columns of a result: the keys, then what the plugin gives.
    pub fn output(&self) -> Schema {
        let mut fields = self.key_fields();
        fields.extend(self.plan.gives.iter().cloned());
        Schema::new(fields)
    }
}

/// The column that names those whom identifiers are of: personal data if one of them is.
pub fn named_by(name: &str, identifiers: &[Field]) -> Field {
    Field { pii: identifiers.iter().any(|field| field.pii), ..Field::new(name, DataType::Text, false) }
}

/// Windows over event time, aligned to 1970-01-01T00:00:00Z. Durations are microseconds above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Windows side by side.
    Tumbling {
        /// How long a window is.
        size: i64,
    },
    /// Windows that overlap.
    Hopping {
        /// How long a window is.
        size: i64,
        /// From one start to the next; at most `size`.
        hop: i64,
    },
    /// Rows of a key that are less than `gap` apart belong together.
    Session {
        /// The silence that ends a window.
        gap: i64,
    },
}

/// When an aggregation gives results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Emit {
    /// An updated row for each changed group, at each commit.
    Changes,
    /// One row a group, when its window closes.
    Final,
}

//! The format of a case.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::data::{Field, Problem, RejectedRow};

/// A row as JSON.
pub type JsonRow = Map<String, Value>;

/// Rows in, rows out.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The step's configuration.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub config: Value,
    /// What goes in; an assemble has `tables` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<Input>,
    /// Of an assemble: the tables that it joins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    /// Of an aggregate: the columns that rows are grouped by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// A table of an assemble.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// As the plugin calls it.
    pub name: String,
    /// The columns that its rows are grouped by: the first with the first of every other table, and so on. In the
    /// results they are called as in the first table.
    pub by: Vec<String>,
    #[serde(flatten)]
    pub input: Input,
}

/// The rows that go in.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Names and types, in order; a `?` after the type: values may be absent.
    fields: Map<String, Value>,
    #[serde(default)]
    pub rows: Vec<JsonRow>,
}

/// What comes out: rows and refusals, or problems.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct Outcome {
    /// The rows of each output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
    /// Why there is no plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<CaseProblem>,
}

/// A refused row.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    row: u32,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<String>,
}

impl From<RejectedRow> for Rejected {
    fn from(rejected: RejectedRow) -> Self {
        Self { row: rejected.row, reason: rejected.reason, part: rejected.part }
    }
}

/// A problem.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CaseProblem {
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config_path: Option<String>,
    /// The name of the input column that does not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<String>,
}

impl Case {
    /// What goes into a transform or an aggregate.
    pub fn input(&self) -> Result<&Input, String> {
        let alone = self.input.as_ref().filter(|_| self.tables.is_empty());
        alone.ok_or_else(|| "it needs `input`, and no `tables`".to_owned())
    }
}

impl Input {
    /// The columns.
    pub fn fields(&self) -> Result<Vec<Field>, String> {
        let field = |(name, written): (&String, &Value)| {
            let written = written.as_str().ok_or_else(|| format!("the type of `{name}` is not text"))?;
            let (data_type, nullable) = match written.strip_suffix('?') {
                Some(data_type) => (data_type, true),
                None => (written, false),
            };
            let data_type = data_type.parse().map_err(|error| format!("column `{name}`: {error}"))?;
            Ok(Field::new(name, data_type, nullable))
        };
        self.fields.iter().map(field).collect()
    }
}

impl Outcome {
    /// Why there is no plan.
    pub fn of_problems(problems: Vec<Problem>, fields: &[Field]) -> Self {
        let written = |problem: Problem| CaseProblem {
            message: problem.message,
            config_path: problem.config_path,
            input: problem.input.map(|index| fields[index as usize].name.clone()),
        };
        Self { problems: problems.into_iter().map(written).collect(), ..Self::default() }
    }

    /// Without nulls in rows: a value that is absent may be left out or written as null.
    pub fn normalised(mut self) -> Self {
        let rows = self.output.iter_mut().flat_map(Map::values_mut).filter_map(Value::as_array_mut).flatten();
        for row in rows.filter_map(Value::as_object_mut) {
            row.retain(|_, value| !value.is_null());
        }
        self
    }
}

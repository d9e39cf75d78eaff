//! The format of a case file.

use anyhow::{Context, Result};
use azenha_model::plugin::{Problem, Rejection};
use azenha_model::{DataType, Field};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A row as JSON.
pub type JsonRow = Map<String, Value>;

/// Rows in, rows out.
#[derive(Debug, Deserialize, Serialize)]
pub struct Case {
    /// The step's configuration.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    config: Value,
    /// What goes in; an assemble has `tables` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<Input>,
    /// Of an assemble: the tables that it joins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    /// Of an aggregate: the columns that rows are grouped by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// What comes out.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The rows that go in.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Names and types; a `?` after the type: values may be absent.
    fields: Map<String, Value>,
    #[serde(default)]
    pub rows: Vec<JsonRow>,
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

/// What comes out: rows and refusals, or problems.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct Outcome {
    /// The rows of each output; an aggregate has one, `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<Map<String, Value>>,
    /// Refused rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<Rejected>,
    /// Why there is no plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    problems: Vec<CaseProblem>,
}

/// A refused row.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Rejected {
    row: u32,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<String>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct CaseProblem {
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config_path: Option<String>,
    /// The name of the input column that does not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<String>,
}

impl Case {
    /// The step's configuration as a plugin gets it.
    pub fn config(&self) -> String {
        if self.config.is_null() { "{}".to_owned() } else { self.config.to_string() }
    }

    /// What goes into a transform or an aggregate.
    pub fn input(&self) -> Result<&Input> {
        self.input.as_ref().filter(|_| self.tables.is_empty()).context("it needs `input`, and no `tables`")
    }
}

impl Input {
    /// The columns.
    pub fn fields(&self) -> Result<Vec<Field>> {
        let field = |(name, written): (&String, &Value)| {
            let written = written.as_str().with_context(|| format!("the type of `{name}` is not text"))?;
            let (data_type, nullable) = match written.strip_suffix('?') {
                Some(data_type) => (data_type, true),
                None => (written, false),
            };
            let data_type: DataType = data_type.parse().with_context(|| format!("column `{name}`"))?;
            Ok(Field::new(name, data_type, nullable))
        };
        self.fields.iter().map(field).collect()
    }
}

impl Outcome {
    /// The plugin gave these rows by output, and refused others.
    pub fn of_rows(output: Map<String, Value>, rejected: Vec<Rejection>) -> Self {
        let rejected = rejected.into_iter().map(|Rejection { row, reason, part }| Rejected { row, reason, part });
        Self { output: Some(output), rejected: rejected.collect(), problems: Vec::new() }
    }

    /// The plugin has no plan for `fields`, because of these problems.
    pub fn of_problems(problems: Vec<Problem>, fields: &[Field]) -> Self {
        let name = |index: usize| fields[index].name.clone();
        let problem =
            |Problem { message, config_path, input }| CaseProblem { message, config_path, input: input.map(name) };
        Self { problems: problems.into_iter().map(problem).collect(), ..Self::default() }
    }

    /// Without nulls in rows: a value that is absent may be left out or written as null.
    pub fn normalised(mut self) -> Self {
        let rows = self.output.iter_mut().flat_map(Map::values_mut).filter_map(Value::as_array_mut).flatten();
        for row in rows.filter_map(Value::as_object_mut) {
            row.retain(|_, value| !value.is_null());
        }
        self
    }

    /// As it stands in a file.
    pub fn to_json(&self) -> Result<Value> {
        Ok(serde_json::to_value(self)?)
    }
}

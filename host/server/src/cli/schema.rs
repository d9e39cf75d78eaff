//! `azenha schema`

use std::io::{Write, stdout};

use anyhow::Result;
use azenha_model::pipeline::json_schema;

use super::Outcome;

/// Prints the JSON Schema of pipeline files.
pub fn schema() -> Result<Outcome> {
    writeln!(stdout(), "{}", serde_json::to_string_pretty(&json_schema())?)?;
    Ok(Outcome::Done)
}

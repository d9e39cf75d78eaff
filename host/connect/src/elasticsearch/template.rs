//! The template by which the engine makes a sink's indexes. One that is deleted while the sink writes is made anew by the next
//! row: without a template the engine would guess what its fields are.

use reqwest::Method;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::Index;
use super::http::{Api, Call, Trouble};
use super::mapping::shape;
use crate::store::Failure;

/// Which of several templates for a name counts: above those that come with the engines, so that somebody's own can stand
/// above it.
const PRIORITY: u32 = 200;

fn template_name(name: &str) -> String {
    format!("azenha-{name}")
}

/// Writes the template of indexes whose names are of a pattern, and which can all be read under these other names.
pub(super) async fn write(api: &Api, index: &Index, pattern: &str, aliases: &[&str]) -> Result<(), Failure> {
    let mut template = shape(index);
    template["aliases"] = aliases.iter().map(|alias| ((*alias).to_owned(), json!({}))).collect();
    let body = json!({ "index_patterns": [pattern], "priority": PRIORITY, "template": template });
    let path = ["_index_template", &template_name(&index.name)];
    Ok(api.call::<Value>(Call::new(Method::PUT, &path).json(&body)).await.map(drop)?)
}

/// Whether a name that is none of an index is one of indexes that are still to be made.
pub(super) async fn is_there(api: &Api, name: &str) -> Result<bool, Trouble> {
    let path = ["_index_template", &template_name(name)];
    Ok(api.find::<IgnoredAny>(Call::new(Method::GET, &path)).await?.is_some())
}

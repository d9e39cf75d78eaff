//! The JSON Schema of pipeline files, held against real ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use azenha_model::pipeline::json_schema;
use serde_json::{Value as Json, json};

/// The part of JSON Schema that ours uses, without patterns.
fn accepts(schema: &Json, value: &Json, root: &Json) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        return accepts(root.pointer(&reference[1..]).unwrap(), value, root);
    }
    let alternatives = schema["anyOf"].as_array().or(schema["oneOf"].as_array());
    if let Some(alternatives) = alternatives {
        return alternatives.iter().any(|alternative| accepts(alternative, value, root));
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.contains(value);
    }
    if let Some(word) = schema.get("const") {
        return word == value;
    }
    has_type(schema, value) && members_fit(schema, value, root)
}

fn has_type(schema: &Json, value: &Json) -> bool {
    let found = match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    };
    match &schema["type"] {
        Json::String(wanted) => wanted == found,
        Json::Array(wanted) => wanted.contains(&json!(found)),
        _ => true,
    }
}

fn members_fit(schema: &Json, value: &Json, root: &Json) -> bool {
    let items_fit = value.as_array().into_iter().flatten().all(|item| accepts(&schema["items"], item, root));
    let mut required = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let has_required = required.all(|key| value.get(key).is_some());
    let fits = |(key, member): (&String, &Json)| match (&schema["properties"][key], &schema["additionalProperties"]) {
        (Json::Null, Json::Bool(false)) => false,
        (Json::Null, other) => accepts(other, member, root),
        (property, _) => accepts(property, member, root),
    };
    items_fit && has_required && value.as_object().into_iter().flatten().all(fits)
}

fn read(path: &Path) -> Json {
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_schema_accepts_every_pipeline_that_makes_a_plan() {
    let schema = json_schema();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Editors see variables, which stand in quotes where a number is wanted; the schema does not.
        if path.extension().is_some_and(|found| found == "yaml")
            && !path.ends_with("variables_and_numbers_in_quotes.yaml")
        {
            assert!(accepts(&schema, &read(&path), &schema), "{}", path.display());
        }
    }
}

#[test]
fn the_schema_refuses_what_the_parser_refuses() {
    let schema = json_schema();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrong");
    for name in ["unknown_keys", "missing_keys", "wrong_types", "two_windows_at_once", "a_sink_to_nowhere", "a_list"] {
        assert!(!accepts(&schema, &read(&folder.join(format!("{name}.yaml"))), &schema), "{name}");
    }
}

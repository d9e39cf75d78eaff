//! What the export macros expand to. The bindings of a world are made in the plugin's own crate: bindings
//! that stood here would leave the descriptions of all worlds in every plugin.

use std::panic::PanicHookInfo;
use std::sync::Once;

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::aggregate::{Aggregate, AggregatePlan, Folder};
use crate::assemble::{Assemble, AssemblePlan, Assembler, TableFields};
use crate::data::{Field, Problem};
use crate::transform::{ColumnTransform, Plan};

pub use crate::data::bindings::azenha::plugin as contract;
pub use azenha_sdk_derive::bindings;
pub use wit_bindgen;

/// Opens a transform with a configuration as the host gives it: JSON.
pub fn open_transform<T: ColumnTransform>(config: &str, input: &[Field]) -> Result<(T, Plan), Vec<Problem>> {
    report_panics();
    T::open(parse_config(config)?, input)
}

/// Opens an aggregate with a configuration as the host gives it: JSON.
pub fn open_aggregate<A: Aggregate>(config: &str, input: &[Field]) -> Result<(Folder<A>, AggregatePlan), Vec<Problem>> {
    report_panics();
    Folder::open(parse_config(config)?, input)
}

/// Opens an assemble with a configuration as the host gives it: JSON.
pub fn open_assemble<A: Assemble>(
    config: &str,
    tables: &[TableFields],
    keys: &[Field],
) -> Result<(Assembler<A>, AssemblePlan), Vec<Problem>> {
    report_panics();
    Assembler::open(parse_config(config)?, tables, keys)
}

/// The bytes of a text as the array that a section is made of. Panics, at compile time, if `LENGTH` is not
/// the text's.
pub const fn bytes_of<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    match text.as_bytes().as_array() {
        Some(bytes) => *bytes,
        None => unreachable!(),
    }
}

/// The configuration as the plugin's type, or what is wrong with it and where.
pub(crate) fn parse_config<C: DeserializeOwned>(config: &str) -> Result<C, Vec<Problem>> {
    let mut json = serde_json::Deserializer::from_str(config);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = json_pointer(error.path());
        vec![Problem { message: without_place(&error.into_inner().to_string()), config_path: pointer, input: None }]
    })
}

/// The place as a JSON pointer; none for the whole configuration.
fn json_pointer(path: &Path) -> Option<String> {
    let pointer: String = path
        .iter()
        .map(|segment| match segment {
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Seq { index } => format!("/{index}"),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => String::new(),
        })
        .collect();
    (!pointer.is_empty()).then_some(pointer)
}

/// The message without its line and column: the JSON is the host's rendering, which nobody sees.
fn without_place(message: &str) -> String {
    message.rsplit_once(" at line ").map_or(message, |(text, _)| text).to_owned()
}

/// Tells the host why the plugin is about to trap.
fn report_panics() {
    static HOOK: Once = Once::new();
    if cfg!(target_arch = "wasm32") {
        HOOK.call_once(|| std::panic::set_hook(Box::new(|panic| crate::log::error(describe(panic)))));
    }
}

fn describe(panic: &PanicHookInfo<'_>) -> String {
    let message = panic.payload_as_str().unwrap_or("a panic without a message");
    match panic.location() {
        Some(place) => format!("panicked at {}:{}: {message}", place.file(), place.line()),
        None => format!("panicked: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        #[expect(dead_code, reason = "only its type matters")]
        columns: Vec<Column>,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Column {
        #[expect(dead_code, reason = "only its type matters")]
        from: String,
    }

    fn problem(config: &str) -> Problem {
        parse_config::<Config>(config).unwrap_err().remove(0)
    }

    #[test]
    fn a_wrong_type_in_the_configuration_is_reported_with_its_place() {
        let expected = Problem::at("/columns/1/from", "invalid type: integer `7`, expected a string");
        assert_eq!(problem(r#"{"columns": [{"from": "a"}, {"from": 7}]}"#), expected);
    }

    #[test]
    fn an_unknown_key_in_the_configuration_is_reported_with_the_known_ones() {
        let expected = Problem::at("/colums", "unknown field `colums`, expected `columns`");
        assert_eq!(problem(r#"{"colums": []}"#), expected);
    }

    #[test]
    fn a_missing_key_concerns_the_whole_configuration() {
        assert_eq!(problem("{}"), Problem::new("missing field `columns`"));
    }
}

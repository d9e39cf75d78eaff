//! Cases: rows in, rows out, in files, run natively. The format is in `plugins/README.md`; `azenha plugin
//! test` runs the same files in the sandbox.
//!
//! With `AZENHA_BLESS=1` in the environment the files are given the results that the plugin has now.

#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod aggregate;
mod assemble;
mod case;
mod columns;
mod groups;
mod transform;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::aggregate::Aggregate;
use crate::assemble::Assemble;
use crate::data::Problem;
use crate::transform::{ByRow, ColumnTransform, Transform};
use case::{Case, Outcome};

/// Runs `cases/*.json` of the crate under test; panics with a readable difference if one does not hold.
pub fn transform_cases<T: Transform>() {
    column_transform_cases::<ByRow<T>>();
}

/// [`transform_cases`] for a transform that works on columns.
pub fn column_transform_cases<T: ColumnTransform>() {
    run_all(|case| transform::run::<T>(case));
}

/// [`transform_cases`] for an aggregate; one that merges is folded in two parts, too, with the same result.
pub fn aggregate_cases<A: Aggregate>() {
    run_all(|case| aggregate::run::<A>(case));
}

/// [`transform_cases`] for an assemble; it gets the rows of each group in two orders, with the same result.
pub fn assemble_cases<A: Assemble>() {
    run_all(|case| assemble::run::<A>(case));
}

/// Checks that `config.schema.json` of the crate under test describes its configuration.
pub fn config_schema_is_current<C: schemars::JsonSchema>() {
    let path = crate_folder().join("config.schema.json");
    let current = pretty(&schemars::schema_for!(C).to_value());
    if blessed() {
        write(&path, &current);
    } else if std::fs::read_to_string(&path).ok().as_deref() != Some(&current) {
        panic!("{} is not the schema of the configuration; AZENHA_BLESS=1 writes it", path.display());
    }
}

fn run_all(run: impl Fn(&Case) -> Result<Outcome, String>) {
    let folder = crate_folder().join("cases");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    assert!(!files.is_empty(), "there are no cases in {}", folder.display());
    let failures: Vec<String> = files.iter().filter_map(|path| run_file(path, &run).err()).collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases do not hold\n\n{}",
        failures.len(),
        files.len(),
        failures.join("\n\n")
    );
}

fn run_file(path: &Path, run: impl Fn(&Case) -> Result<Outcome, String>) -> Result<(), String> {
    let named = |message: String| format!("{}: {message}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    let mut case: Case = serde_json::from_str(&text).map_err(|error| named(error.to_string()))?;
    let found = run(&case).map_err(named)?;
    if blessed() {
        case.outcome = found;
        write(path, &pretty(&case));
        return Ok(());
    }
    let (expected, found) = (pretty(&case.outcome.normalised()), pretty(&found.normalised()));
    if expected == found {
        Ok(())
    } else {
        Err(named(format!("- expected, + found\n{}", difference(&expected, &found))))
    }
}

fn crate_folder() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR for tests"))
}

fn blessed() -> bool {
    std::env::var_os("AZENHA_BLESS").is_some_and(|value| value == "1")
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn pretty(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("a case is JSON");
    text.push('\n');
    text
}

/// The configuration as the plugin's type, or the problem that the host would report.
fn config<C: DeserializeOwned>(case: &Case) -> Result<C, Vec<Problem>> {
    let config = if case.config.is_null() { Value::Object(Default::default()) } else { case.config.clone() };
    crate::guest::parse_config(&config.to_string())
}

/// Lines that differ, with those around them that do not: the longest common subsequence of lines.
fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let mut common = vec![vec![0usize; found.len() + 1]; expected.len() + 1];
    for left in (0..expected.len()).rev() {
        for right in (0..found.len()).rev() {
            common[left][right] = if expected[left] == found[right] {
                common[left + 1][right + 1] + 1
            } else {
                common[left + 1][right].max(common[left][right + 1])
            };
        }
    }
    let (mut left, mut right, mut lines) = (0, 0, Vec::new());
    while left < expected.len() || right < found.len() {
        if left < expected.len() && right < found.len() && expected[left] == found[right] {
            lines.push(format!("  {}", expected[left]));
            (left, right) = (left + 1, right + 1);
        } else if right == found.len() || left < expected.len() && common[left + 1][right] >= common[left][right + 1] {
            lines.push(format!("- {}", expected[left]));
            left += 1;
        } else {
            lines.push(format!("+ {}", found[right]));
            right += 1;
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn a_difference_shows_what_was_expected_and_what_was_found() {
        assert_eq!(difference("a\nb\nc", "a\nx\nc\nd"), "  a\n- b\n+ x\n  c\n+ d");
    }
}

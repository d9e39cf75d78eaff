//! Runs a plugin's cases, rows in and rows out, in the sandbox. The SDK runs the same files natively.

mod aggregate;
mod assemble;
mod columns;
mod difference;
mod format;
mod groups;
mod transform;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use azenha_model::plugin::World;
use azenha_sandbox::Plugin;

use difference::differences;
use format::{Case, Outcome};

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It gives what the file says.
    Holds,
    /// It gives something else; one line a difference.
    Differs(Vec<String>),
    /// The file was given what it gives.
    Blessed,
}

/// The case files of a plugin crate.
pub fn case_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let cases = folder.join("cases");
    if !cases.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&cases).with_context(|| cases.display().to_string())? {
        files.push(entry?.path());
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    Ok(files)
}

/// Runs one case; with `bless` its file gets the result.
pub fn run_case(plugin: &Plugin, file: &Path, bless: bool) -> Result<Verdict> {
    let text = fs::read_to_string(file)?;
    let mut case: Case = serde_json::from_str(&text)?;
    let found = run(plugin, &case)?.normalised();
    let differences = differences(&case.outcome.clone().normalised().to_json()?, &found.to_json()?);
    if differences.is_empty() {
        return Ok(Verdict::Holds);
    }
    if !bless {
        return Ok(Verdict::Differs(differences));
    }
    case.outcome = found;
    fs::write(file, serde_json::to_string_pretty(&case)? + "\n")?;
    Ok(Verdict::Blessed)
}

fn run(plugin: &Plugin, case: &Case) -> Result<Outcome> {
    match plugin.world() {
        World::Transform | World::Assemble if !case.keys.is_empty() => bail!("only an aggregate has `keys`"),
        World::Transform => transform::run(plugin, case),
        World::Aggregate => aggregate::run(plugin, case),
        World::Assemble => assemble::run(plugin, case),
    }
}

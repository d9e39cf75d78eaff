//! `azenha replay`

use std::fs::{self, File};
use std::io::{Read, Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use azenha_sandbox::{Limits, Plugin, Sandbox};
use clap::Args;

use super::Outcome;
use crate::dead_letters::bundle::{About, Bundle, MOST_BYTES, Manifest};
use crate::dead_letters::replay::{self, Outcome as Replayed, config, state_version};
use crate::program::environment;
use crate::usage::Usage;

/// A bundle may ask for so much memory and time at most: anybody may have written it.
const MOST_MEMORY: u64 = 1 << 30;
const MOST_TIME: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The bundle of a dead letter, as `azenha dead-letters bundle` fetches it.
    bundle: PathBuf,
    /// A repaired plugin: whether what failed goes through with it, and what it gives.
    #[arg(long, value_name = "FILE")]
    with: Option<PathBuf>,
}

/// Replays a bundle, without a host or its configuration. It is as wished if the failure is seen again, and with
/// another plugin if that one does not have it.
pub fn replay(args: &ReplayArgs) -> Result<Outcome> {
    let bundle = open(&args.bundle)?;
    let Manifest { plugin, digest, contract, function, opened, letter, .. } = &bundle.manifest;
    let mut out = stdout();
    writeln!(out, "letter {}", letter.id)?;
    writeln!(out, "plugin `{plugin}` ({contract}, digest {digest}), called `{function}`")?;
    writeln!(out, "it was {}", said(letter))?;
    let (config, missing) = config(opened, &environment)?;
    for problem in missing {
        writeln!(out, "{problem}: its name stands for its value")?;
    }
    for masked in masked(&bundle) {
        writeln!(out, "column `{masked}` is personal data: something else stands for its value")?;
    }
    let sandbox = sandbox(&bundle.manifest)?;
    let own = load(&sandbox, plugin, &bundle.plugin)?;
    let outcome = unplayable(replay::replay(&bundle, &own, &config, None))?;
    let is_reproduced = outcome.is_as(letter);
    print(&mut out, if is_reproduced { "reproduced" } else { "not reproduced" }, &outcome)?;
    let Some(file) = &args.with else { return Ok(as_wished(is_reproduced)) };
    let bytes = fs::read(file).map_err(|error| Usage(format!("there is no plugin at {}: {error}", file.display())))?;
    let other = load(&sandbox, &file.display().to_string(), &bytes)?;
    let written_by = state_version(&bundle, &own, &config);
    let outcome = unplayable(replay::replay(&bundle, &other, &config, written_by))?;
    let is_repaired = outcome.repairs(letter);
    let verdict = if is_repaired { "goes through" } else { "does not go through" };
    print(&mut out, &format!("with {} it {verdict}", file.display()), &outcome)?;
    if !is_reproduced {
        writeln!(out, "which says nothing, because the plugin of the letter does not fail here as it did")?;
    }
    Ok(as_wished(is_reproduced && is_repaired))
}

fn as_wished(is_so: bool) -> Outcome {
    if is_so { Outcome::Done } else { Outcome::Failed }
}

/// A call that cannot be made says nothing of the plugin.
fn unplayable<T>(called: Result<T>) -> Result<T> {
    called.map_err(|error| Usage(format!("the bundle cannot be replayed: {error:#}")).into())
}

fn open(path: &Path) -> Result<Bundle> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| Usage(format!("there is no bundle at {shown}: {error}"));
    let mut bytes = Vec::new();
    // One byte more than a bundle has is enough to refuse it.
    File::open(path).map_err(unreadable)?.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(Bundle::read(&bytes).map_err(|error| Usage(format!("{shown}: {error}")))?)
}

fn sandbox(manifest: &Manifest) -> Result<Sandbox> {
    let limits = Limits {
        memory_bytes: manifest.limits.memory_bytes.min(MOST_MEMORY) as usize,
        call_time: Duration::from_millis(manifest.limits.call_millis).min(MOST_TIME),
        ..Limits::default()
    };
    Sandbox::new(limits, None).context("the sandbox does not start")
}

fn load(sandbox: &Sandbox, name: &str, bytes: &[u8]) -> Result<Plugin> {
    sandbox.load(name, bytes).map_err(|error| Usage(error.to_string()).into())
}

/// The personal columns of what the plugin was opened with; most plugins read none of them.
fn masked(bundle: &Bundle) -> Vec<String> {
    let opened = &bundle.manifest.opened;
    let of_tables = opened.tables.iter().flat_map(|table| &table.columns);
    let all = opened.input.iter().chain(&opened.keys).chain(of_tables);
    let given = |name: &str| bundle.input.holds(name);
    all.filter(|column| column.pii && given(&column.name)).map(|column| column.name.clone()).collect()
}

fn said(letter: &About) -> String {
    let About { cause, failure, reason, part, .. } = letter;
    let how = failure.as_ref().map_or(String::new(), |failure| format!(" ({failure})"));
    let part = part.as_ref().map_or(String::new(), |part| format!("{part}: "));
    format!("{cause}{how}: {part}{reason}")
}

fn print(out: &mut impl Write, verdict: &str, outcome: &Replayed) -> Result<()> {
    match outcome {
        Replayed::Failed(failure) => {
            writeln!(out, "{verdict}: failed ({}): {}", failure.kind.name(), failure.message)?;
            for (depth, function) in failure.stack.iter().enumerate() {
                writeln!(out, "  {depth:>2}: {function}")?;
            }
        }
        Replayed::Gave(gave) => {
            writeln!(out, "{verdict}: {} rows, {} refusals", gave.rows.len(), gave.rejected.len())?;
            for refused in &gave.rejected {
                let part = refused.part.as_ref().map_or(String::new(), |part| format!("{part}: "));
                writeln!(out, "  refused: {part}{}", refused.reason)?;
            }
            for (output, row) in &gave.rows {
                writeln!(out, "  {output}: {row}")?;
            }
            if let Some(bytes) = gave.accumulator {
                writeln!(out, "  the group's accumulator has {bytes} bytes")?;
            }
        }
    }
    Ok(())
}

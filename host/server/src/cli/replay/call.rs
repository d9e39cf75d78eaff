//! Calls of plugins, made once more.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use azenha_model::dead_letter::PluginCall;
use azenha_sandbox::{Limits, Plugin, Sandbox};

use super::{as_wished, unplayable, with_part};
use crate::cli::Outcome;
use crate::dead_letters::bundle::Bundle;
use crate::dead_letters::replay::{Outcome as Replayed, Played, config};
use crate::program::environment;
use crate::usage::Usage;

/// A bundle may ask for so much memory and time at most: anybody may have written it.
const MOST_MEMORY: u64 = 1 << 30;
const MOST_TIME: Duration = Duration::from_secs(60);

/// Makes a call once more, and with another plugin.
pub fn replay(out: &mut impl Write, bundle: &Bundle, call: &PluginCall, with: Option<&Path>) -> Result<Outcome> {
    let PluginCall { plugin, digest, contract, function, .. } = call;
    let letter = &bundle.manifest.letter;
    writeln!(out, "plugin `{plugin}` ({contract}, digest {digest}), called `{function}`")?;
    let played = unplayable(Played::of(bundle, call))?;
    let (config, missing) = config(played.opened, &environment)?;
    for problem in missing {
        writeln!(out, "{problem}: its name stands for its value")?;
    }
    let sandbox = sandbox(bundle)?;
    let own = load(&sandbox, plugin, &bundle.plugin)?;
    let outcome = unplayable(played.replay(&own, &config, None))?;
    let is_reproduced = outcome.is_as(letter);
    print(out, if is_reproduced { "reproduced" } else { "not reproduced" }, &outcome)?;
    let Some(file) = with else { return Ok(as_wished(is_reproduced)) };
    let bytes = fs::read(file).map_err(|error| Usage(format!("there is no plugin at {}: {error}", file.display())))?;
    let other = load(&sandbox, &file.display().to_string(), &bytes)?;
    let written_by = played.state_version(&own, &config);
    let outcome = unplayable(played.replay(&other, &config, written_by))?;
    let is_repaired = outcome.repairs(letter);
    let verdict = if is_repaired { "goes through" } else { "does not go through" };
    print(out, &format!("with {} it {verdict}", file.display()), &outcome)?;
    if !is_reproduced {
        writeln!(out, "which says nothing, because the plugin of the letter does not fail here as it did")?;
    }
    Ok(as_wished(is_reproduced && is_repaired))
}

fn sandbox(bundle: &Bundle) -> Result<Sandbox> {
    let limits = bundle.manifest.limits;
    let limits = Limits {
        memory_bytes: limits.memory_bytes.min(MOST_MEMORY) as usize,
        call_time: Duration::from_millis(limits.call_millis).min(MOST_TIME),
        ..Limits::default()
    };
    Sandbox::new(limits, None).context("the sandbox does not start")
}

fn load(sandbox: &Sandbox, name: &str, bytes: &[u8]) -> Result<Plugin> {
    sandbox.load(name, bytes).map_err(|error| Usage(error.to_string()).into())
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
                writeln!(out, "  refused: {}", with_part(&refused.reason, refused.part.as_deref()))?;
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

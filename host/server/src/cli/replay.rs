//! `azenha replay`

use std::fs::{self, File};
use std::io::{Read, Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use azenha_model::dead_letter::StoreRow;
use azenha_sandbox::{Limits, Sandbox};
use clap::Args;

use super::Outcome;
use crate::dead_letters::bundle::{About, Bundle, MOST_BYTES};
use crate::dead_letters::replay::{self, Called, Made, Means, Other, ReplayError, Replayed};
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
    /// Asks a SQL database that has the table of the sink, if only that can say why a row was refused. Nothing of the row
    /// stays there.
    #[arg(long, value_name = "URL", env = "AZENHA_STORE", hide_env_values = true)]
    store: Option<String>,
}

/// Replays a bundle, without a host or its configuration. It is as wished if the same is seen again, and with another plugin
/// if that one does not have it.
pub async fn replay(args: &ReplayArgs) -> Result<Outcome> {
    let bundle = open(&args.bundle)?;
    let mut out = stdout();
    print_letter(&mut out, &bundle)?;
    let with = args.with.as_deref().map(other).transpose()?;
    let means = Means { sandbox: &sandbox(&bundle)?, environment: &environment };
    let report = match replay::replay(&bundle, &means, with.as_ref()) {
        Err(ReplayError::ByStore(output)) => by_store(args.store.as_deref(), &bundle, &output).await?,
        replayed => replayed.map_err(|error| Usage(error.to_string()))?,
    };
    print(&mut out, &report)?;
    Ok(if report.is_as_wished() { Outcome::Done } else { Outcome::Failed })
}

/// What the store itself says once more, if there is one to ask.
async fn by_store(url: Option<&str>, bundle: &Bundle, output: &str) -> Result<Replayed> {
    let (Some(url), Some(row)) = (url, replay::row_of(bundle)) else {
        let help = format!("with `--store URL` a SQL database is asked that has the table `{output}`");
        let what = "what it said is recorded above";
        return Err(Usage(format!("{}; {what}; {help}", ReplayError::ByStore(output.to_owned()))).into());
    };
    let asked = replay::ask(url, bundle, row).await.map_err(ReplayError::Unplayable);
    let refusal = asked.map_err(|error| Usage(error.to_string()))?;
    Ok(replay::of_host(bundle, refusal))
}

fn print_letter(out: &mut impl Write, bundle: &Bundle) -> Result<()> {
    let letter = &bundle.manifest.letter;
    writeln!(out, "letter {}", letter.id)?;
    writeln!(out, "it was {}", said(letter))?;
    for masked in &bundle.manifest.masked {
        writeln!(
            out,
            "column `{masked}` is personal data: something else stands for its value, and the outcome may differ"
        )?;
    }
    if let Some(Called { plugin, digest, contract, function }) = Called::of(bundle) {
        writeln!(out, "plugin `{plugin}` ({contract}, digest {digest}), called `{function}`")?;
    }
    if let Some(StoreRow { output, row, is_delete }) = replay::row_of(bundle) {
        let doing = if *is_delete { "deleted in" } else { "written to" };
        writeln!(out, "the row that was {doing} `{}`: {row}", output.name)?;
    }
    Ok(())
}

fn print(out: &mut impl Write, report: &Replayed) -> Result<()> {
    let Replayed { reproduced, outcome, call, missing, with, .. } = report;
    let verdict = if *reproduced { "reproduced" } else { "not reproduced" };
    if call.is_none() {
        let refused = outcome.refused.first();
        let said = refused.map(|refused| with_part(&refused.reason, refused.part.as_deref()));
        writeln!(out, "{verdict}: {}", said.as_deref().unwrap_or("nothing is refused"))?;
        return Ok(());
    }
    for problem in missing {
        writeln!(out, "{problem}: its name stands for its value")?;
    }
    print_made(out, verdict, outcome)?;
    let Some(with) = with else { return Ok(()) };
    let verdict = if with.goes_through { "goes through" } else { "does not go through" };
    print_made(out, &format!("with {} it {verdict}", with.plugin), &with.outcome)?;
    if !reproduced {
        writeln!(out, "which says nothing, because the plugin of the letter does not fail here as it did")?;
    }
    Ok(())
}

fn print_made(out: &mut impl Write, verdict: &str, made: &Made) -> Result<()> {
    let Made { failure, refused, refusals, rows, row_count, accumulator } = made;
    if let Some(failure) = failure {
        writeln!(out, "{verdict}: failed ({}): {}", failure.kind, failure.message)?;
        for (depth, function) in failure.stack.iter().enumerate() {
            writeln!(out, "  {depth:>2}: {function}")?;
        }
        return Ok(());
    }
    writeln!(out, "{verdict}: {row_count} rows, {refusals} refusals")?;
    for refused in refused {
        writeln!(out, "  refused: {}", with_part(&refused.reason, refused.part.as_deref()))?;
    }
    for given in rows {
        writeln!(out, "  {}: {}", given.output, given.row)?;
    }
    if rows.len() < *row_count {
        writeln!(out, "  and {} rows more", row_count - rows.len())?;
    }
    if let Some(bytes) = accumulator {
        writeln!(out, "  the group's accumulator has {bytes} bytes")?;
    }
    Ok(())
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

fn other(path: &Path) -> Result<Other> {
    let name = path.display().to_string();
    match fs::read(path) {
        Ok(bytes) => Ok(Other { name, bytes }),
        Err(error) => Err(Usage(format!("there is no plugin at {name}: {error}")).into()),
    }
}

fn open(path: &Path) -> Result<Bundle> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| Usage(format!("there is no bundle at {shown}: {error}"));
    let mut bytes = Vec::new();
    // One byte more than a bundle has is enough to refuse it.
    File::open(path).map_err(unreadable)?.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(Bundle::read(&bytes).map_err(|error| Usage(format!("{shown}: {error}")))?)
}

fn said(letter: &About) -> String {
    let About { cause, failure, reason, part, .. } = letter;
    let how = failure.as_ref().map_or(String::new(), |failure| format!(" ({failure})"));
    format!("{}{how}: {}", cause.name(), with_part(reason, part.as_deref()))
}

fn with_part(reason: &str, part: Option<&str>) -> String {
    part.map_or_else(|| reason.to_owned(), |part| format!("{part}: {reason}"))
}

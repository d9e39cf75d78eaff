//! `azenha replay`

mod call;

use std::fs::File;
use std::io::{Read, Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use arrow_array::BooleanArray;
use azenha_connect::rehearsal::{refused_unasked, rehearse};
use azenha_engine::replay::{Refusal, batch, judge};
use azenha_engine::store::StoreRows;
use azenha_model::Field;
use azenha_model::dead_letter::{Basis, StoreRow};
use clap::Args;

use super::Outcome;
use crate::dead_letters::bundle::{About, Bundle, MOST_BYTES};
use crate::usage::Usage;

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
    let Bundle { manifest, basis, record, .. } = &bundle;
    let mut out = stdout();
    writeln!(out, "letter {}", manifest.letter.id)?;
    writeln!(out, "it was {}", said(&manifest.letter))?;
    for masked in &manifest.masked {
        writeln!(
            out,
            "column `{masked}` is personal data: something else stands for its value, and the outcome may differ"
        )?;
    }
    if let (Some(with), false) = (&args.with, matches!(basis, Basis::Call(_))) {
        return Err(
            Usage(format!("no plugin was called, so there is nothing that {} could repair", with.display())).into()
        );
    }
    let refusal = match basis {
        Basis::Call(called) => return call::replay(&mut out, &bundle, called, args.with.as_deref()),
        Basis::Store(row) => unplayable(of_store(&mut out, &bundle, row, args.store.as_deref()).await)?,
        host => unplayable(judge(host, record.as_ref(), &manifest.masked).map_err(Into::into))?,
    };
    let is_reproduced = refusal.as_ref().is_some_and(|refusal| is_as(refusal, &manifest.letter));
    let verdict = if is_reproduced { "reproduced" } else { "not reproduced" };
    match refusal {
        Some(Refusal { reason, part }) => writeln!(out, "{verdict}: {}", with_part(&reason, part.as_deref()))?,
        None => writeln!(out, "{verdict}: nothing is refused")?,
    }
    Ok(as_wished(is_reproduced))
}

fn is_as(refusal: &Refusal, letter: &About) -> bool {
    refusal.reason == letter.reason && refusal.part == letter.part
}

/// What becomes of a row on its way into a store: the host decides as it did, and the store itself only if it is asked.
async fn of_store(
    out: &mut impl Write,
    bundle: &Bundle,
    row: &StoreRow,
    store: Option<&str>,
) -> Result<Option<Refusal>> {
    let StoreRow { output, row: values, is_delete } = row;
    let doing = if *is_delete { "deleted in" } else { "written to" };
    writeln!(out, "the row that was {doing} `{}`: {values}", output.name)?;
    let columns = output.columns.len();
    if output.key.iter().any(|index| *index >= columns) {
        bail!("the key of the sink is not among its {columns} columns");
    }
    let fields: Vec<Field> = output.columns.iter().map(|column| column.field.clone()).collect();
    // Of a row that is deleted only the key is there.
    let nullable: Vec<Field> = fields.iter().map(|field| Field { nullable: true, ..field.clone() }).collect();
    let rows = StoreRows {
        batch: batch(&nullable, &[values], &bundle.manifest.masked)?,
        deletes: is_delete.then(|| BooleanArray::from(vec![true])),
        offsets: vec![0],
    };
    let refusal = |reason| Refusal { reason, part: None };
    if let Some(kind) = bundle.manifest.store
        && let Some(reason) = refused_unasked(kind, output, &rows)?
    {
        return Ok(Some(refusal(reason)));
    }
    let Some(url) = store else {
        bail!(
            "the store itself refused the row, which only a store can do again; what it said is recorded above; with \
             `--store URL` a SQL database is asked that has the table `{}`",
            output.name
        )
    };
    Ok(rehearse(url, output, &rows).await?.map(refusal))
}

fn as_wished(is_so: bool) -> Outcome {
    if is_so { Outcome::Done } else { Outcome::Failed }
}

/// What cannot be decided once more says nothing.
fn unplayable<T>(played: Result<T>) -> Result<T> {
    played.map_err(|error| Usage(format!("the bundle cannot be replayed: {error:#}")).into())
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

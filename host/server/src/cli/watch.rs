//! `azenha watch`

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use azenha_model::pipeline::PipelineFile;
use clap::Args;
use tokio::time::sleep;

use super::pipeline::{SwapArgs, apply};
use super::{Outcome, failed};
use crate::client::ServerArgs;
use crate::plugins::find::{Found, changes, find};
use crate::program::{pipeline_file, read_from, read_pipelines};

/// How often files are looked at: quick for who saves one, and cheap for the few that a pipeline has.
const LOOK_EVERY: Duration = Duration::from_millis(300);

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// A pipeline file, or the folder that holds a `pipeline.yaml`.
    file: PathBuf,
    #[command(flatten)]
    change: SwapArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Builds the plugins of a pipeline and applies it, now and whenever one of their files changes. What is wrong is shown,
/// and what runs goes on. Ends with the signal that ends it.
pub async fn watch(args: WatchArgs) -> Result<Outcome> {
    let (file, client) = (pipeline_file(&args.file), args.server.client()?);
    let shown = file.display();
    loop {
        // What changes while it is applied counts for the next time.
        let seen = sources(&file);
        let applied = apply(&client, &file, &args.change).await;
        let outcome = applied.map_or_else(
            |error| {
                failed(&error);
                Outcome::Failed
            },
            |(outcome, _)| outcome,
        );
        match outcome {
            Outcome::Failed => eprintln!("{shown} is not applied, and what runs goes on; watching for changes"),
            Outcome::Done | Outcome::DeadLetters => println!("watching {shown} for changes"),
        }
        while sources(&file) == seen {
            sleep(LOOK_EVERY).await;
        }
    }
}

/// What is applied is made from these files: when each was changed last.
fn sources(file: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let folder = file.canonicalize().ok().and_then(|file| file.parent().map(Path::to_owned)).unwrap_or_default();
    let plugins = plugin_names(file).into_iter().flat_map(|name| match find(&name, &folder) {
        Some(Found::Crate(plugin)) => plugin.sources(),
        Some(Found::File(file)) => vec![file],
        None => Vec::new(),
    });
    read_from(file).into_iter().chain(plugins).flat_map(|path| changes(&path)).collect()
}

/// The plugins that the pipelines of a file name; none while it cannot be read.
fn plugin_names(file: &Path) -> BTreeSet<String> {
    let pipelines = read_pipelines(file).unwrap_or_default();
    let parsed = pipelines.iter().filter_map(|found| PipelineFile::parse(&found.shown, &found.text, &|_| None).ok());
    parsed.flat_map(|parsed| parsed.plugins().map(|named| named.plugin.value).collect::<Vec<_>>()).collect()
}

//! `azenha watch`

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use azenha_model::pipeline::PipelineFile;
use clap::Args;
use tokio::time::sleep;

use super::pipeline::{SwapArgs, apply};
use super::{Outcome, failed};
use crate::client::ServerArgs;
use crate::plugins::find::{Found, find, newest_change};
use crate::program::{pipeline_file, read_pipelines};

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
    loop {
        // What changes while it is applied counts for the next time.
        let seen = newest_source(&file);
        match apply(&client, &file, &args.change).await {
            Ok(Outcome::Done) => println!("{} is applied; watching for changes", file.display()),
            Ok(_) => {}
            Err(error) => drop(failed(&error)),
        }
        while newest_source(&file) <= seen {
            sleep(LOOK_EVERY).await;
        }
    }
}

/// The latest change of a pipeline's folder, or of a plugin crate that it names.
fn newest_source(file: &Path) -> Option<SystemTime> {
    let folder = file.canonicalize().ok()?.parent()?.to_owned();
    let crates = plugin_names(file).into_iter().filter_map(|name| match find(&name, &folder)? {
        Found::Crate(plugin) => Some(plugin.folder),
        Found::File(file) => Some(file),
    });
    let own = if fs::metadata(file).is_ok_and(|_| file.ends_with("pipeline.yaml")) { &folder } else { file };
    crates.chain([own.to_owned()]).filter_map(|path| newest_change(&path)).max()
}

/// The plugins that the pipelines of a file name; none while it cannot be read.
fn plugin_names(file: &Path) -> BTreeSet<String> {
    let pipelines = read_pipelines(file).unwrap_or_default();
    let parsed = pipelines.iter().filter_map(|found| PipelineFile::parse(&found.shown, &found.text, &|_| None).ok());
    parsed.flat_map(|parsed| parsed.plugins().map(|named| named.plugin.value).collect::<Vec<_>>()).collect()
}

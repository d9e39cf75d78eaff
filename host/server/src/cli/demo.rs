//! `azenha demo`

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use azenha_model::plan::End;
use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::interval;

use super::run::{Assigned, drain, feed_all, with_host};
use super::{Outcome, Usage};
use crate::feed::{Fed, Pace, count_records};
use crate::host::{Host, configuration};
use crate::program::PIPELINE_FILE;
use crate::results::SinkTable;

/// About so long the samples last when they are fed at a visible pace.
const SHOW_SECONDS: u64 = 20;

/// Rows of a table that are shown.
const SHOWN_ROWS: usize = 12;

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Feeds everything at once, prints what came out, and ends.
    #[arg(long)]
    once: bool,
    /// Where the log and the tables are.
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    data: PathBuf,
    /// Where the HTTP API listens; with --once it only listens if this is given.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Runs every pipeline that brings a sample.
pub async fn demo(args: DemoArgs) -> Result<Outcome> {
    let started = Instant::now();
    let config = configuration(None, &args.data)?;
    let listen = args.listen.or((!args.once).then_some(config.listen));
    let pipelines = pipelines_with_samples(Path::new("."))?;
    let work = async |host: &Host| if args.once { show_results(host, started).await } else { show_live(host).await };
    let outcome = with_host(config, &pipelines, listen, work).await?;
    outcome.transpose().map(|_| Outcome::Done)
}

/// The pipelines in the `pipelines/` of `folder`, or of the nearest folder above it, that have a folder `sample`.
fn pipelines_with_samples(folder: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder.canonicalize()?;
    let pipelines = folder.ancestors().map(|folder| folder.join("pipelines")).find(|pipelines| pipelines.is_dir());
    let pipelines = pipelines.ok_or_else(|| {
        Usage(format!("there is no folder `pipelines` in {} or above it; run the demo in a checkout", folder.display()))
    })?;
    let mut found = Vec::new();
    for entry in fs::read_dir(&pipelines)? {
        let path = entry?.path();
        if path.join(PIPELINE_FILE).is_file() && path.join("sample").is_dir() {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(Usage(format!("no pipeline in {} has a sample", pipelines.display())).into());
    }
    found.sort();
    Ok(found)
}

/// The samples of all sources: `sample/SOURCE.ndjson` or `sample/SOURCE.ndjson.gz` beside the pipeline file.
fn samples(host: &Host) -> Result<Assigned> {
    let mut samples = Assigned::new();
    for running in host.running() {
        let folder = running.file.with_file_name("sample");
        for source in &running.sources {
            let candidates = ["ndjson", "ndjson.gz"].map(|end| folder.join(format!("{}.{end}", source.source)));
            let file = candidates.into_iter().find(|file| file.is_file());
            let file = file.with_context(|| {
                format!("source `{}` has no sample {}/{0}.ndjson.gz", source.source, folder.display())
            })?;
            samples.push((source.clone(), vec![file]));
        }
    }
    Ok(samples)
}

/// The tables of all sinks, as far as they can be looked into.
async fn tables(host: &Host) -> Result<Vec<SinkTable>> {
    let mut tables = Vec::new();
    for task in host.running().iter().flat_map(|running| &running.pipeline.plan().tasks) {
        if let End::Store(output) = &task.end
            && let Some(url) = host.config().connection(&output.connection)
        {
            tables.extend(SinkTable::open(output, &url).await?);
        }
    }
    Ok(tables)
}

async fn show_results(host: &Host, started: Instant) -> Result<()> {
    feed_all(host, &samples(host)?, &Pace::new(None), &Fed::default()).await?;
    drain(host, started).await?;
    println!("\n{}", contents(&tables(host).await?).await?);
    Ok(())
}

async fn contents(tables: &[SinkTable]) -> Result<String> {
    let mut parts = Vec::new();
    for table in tables {
        let contents = table.contents(SHOWN_ROWS).await?;
        parts.push(format!("{}\n{}", contents.top, contents.totals));
    }
    Ok(parts.join("\n\n"))
}

/// Feeds at a visible pace and shows the tables while they change; ends when it is stopped.
async fn show_live(host: &Host) -> Result<()> {
    let samples = samples(host)?;
    let mut records = 0;
    for file in samples.iter().flat_map(|(_, files)| files) {
        records += count_records(file)?;
    }
    let rate = u32::try_from(records / SHOW_SECONDS).unwrap_or(u32::MAX).max(1);
    let (pace, fed) = (Pace::new(Some(rate)), Fed::default());
    tokio::try_join!(feed_all(host, &samples, &pace, &fed), async {
        refresh(&Screen::new(records)?, &tables(host).await?, &fed).await
    })?;
    Ok(())
}

async fn refresh(screen: &Screen, tables: &[SinkTable], fed: &Fed) -> Result<()> {
    let mut ticks = interval(Duration::from_millis(500));
    loop {
        ticks.tick().await;
        screen.fed.set_position(fed.load(Relaxed));
        screen.results.set_message(contents(tables).await?);
    }
}

/// What is drawn anew while the demo runs: a bar and tables.
struct Screen {
    fed: ProgressBar,
    results: ProgressBar,
}

impl Screen {
    fn new(records: u64) -> Result<Self> {
        let screen = MultiProgress::new();
        let bar = ProgressStyle::with_template("{msg} [{wide_bar:.cyan}] {human_pos}/{human_len} records")?;
        let fed = screen.add(ProgressBar::new(records)).with_style(bar.progress_chars("=> ")).with_message("fed");
        let results = screen.add(ProgressBar::new_spinner()).with_style(ProgressStyle::with_template("{msg}")?);
        Ok(Self { fed, results })
    }
}

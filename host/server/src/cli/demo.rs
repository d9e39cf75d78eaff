//! `azenha demo`

use std::fs;
use std::future::pending;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result};
use azenha_model::plan::End;
use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressFinish, ProgressStyle};
use tokio::time::interval;

use super::Outcome;
use super::run::{Assigned, feed_all, process, run_batches, with_host};
use crate::dead_letters;
use crate::feed::{Fed, Pace, count_records};
use crate::host::{Host, Wanted, configuration};
use crate::ingest::SourceTopic;
use crate::program::{PIPELINE_FILE, is_batch};
use crate::results::{SinkObjects, SinkTable};
use crate::usage::Usage;

/// About so long the samples last when they are fed at a visible pace.
const SHOW_SECONDS: u64 = 20;

/// How often what is on a terminal is drawn anew.
const DRAW_INTERVAL: Duration = Duration::from_millis(500);

/// How often tables are printed, if they changed, without a terminal.
const PRINT_INTERVAL: Duration = Duration::from_secs(5);

/// How the names of samples end, behind the name of their source.
const SAMPLE_ENDINGS: [&str; 4] = ["ndjson", "ndjson.gz", "records.ndjson", "records.ndjson.gz"];

/// Rows of a table that are shown.
const SHOWN_ROWS: usize = 12;

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Feeds everything at once, prints what came out, and ends.
    #[arg(long)]
    once: bool,
    /// Where the log and the tables are; by default `data/demo`, or `data/demo-once` with --once.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the HTTP API listens; with --once it only listens if this is given.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Runs every pipeline that brings a sample.
pub async fn demo(args: DemoArgs) -> Result<Outcome> {
    let default = if args.once { "data/demo-once" } else { "data/demo" };
    let data = args.data.unwrap_or_else(|| default.into());
    let config = configuration(None, Some(&data))?;
    let listen = args.listen.or((!args.once).then_some(config.http.listen));
    let pipelines = pipelines_with_samples(Path::new("."))?;
    let work = async |host: &Host| if args.once { show_results(host).await } else { show_live(host, &data).await };
    let outcome = with_host(config, Wanted { files: &pipelines, definitions: true }, listen, work).await?;
    outcome.transpose().map(|_| Outcome::Done)
}

/// The pipelines in the `pipelines/` of `folder`, or of the nearest folder above it, that have a folder `sample`, or are
/// batches over what those keep.
fn pipelines_with_samples(folder: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder.canonicalize()?;
    let pipelines = folder.ancestors().map(|folder| folder.join("pipelines")).find(|pipelines| pipelines.is_dir());
    let pipelines = pipelines.ok_or_else(|| {
        Usage(format!("there is no folder `pipelines` in {} or above it; run the demo in a checkout", folder.display()))
    })?;
    let mut found = Vec::new();
    for entry in fs::read_dir(&pipelines)? {
        let path = entry?.path();
        let file = path.join(PIPELINE_FILE);
        if file.is_file() && (path.join("sample").is_dir() || is_batch(&file)?) {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(Usage(format!("no pipeline in {} has a sample", pipelines.display())).into());
    }
    found.sort();
    Ok(found)
}

/// The samples of all sources: `sample/SOURCE.ndjson` beside the pipeline file, or another of these endings.
fn samples(host: &Host) -> Result<Assigned> {
    let mut samples = Assigned::new();
    for running in host.running() {
        let Some(file) = &running.file else { continue };
        let folder = file.with_file_name("sample");
        for source in &running.sources {
            let candidates = SAMPLE_ENDINGS.map(|end| folder.join(format!("{}.{end}", source.source)));
            let file = candidates.into_iter().find(|file| file.is_file());
            let is_fed_by_another = || samples.iter().any(|(other, _)| other.topic == source.topic);
            if file.is_none() && is_fed_by_another() {
                continue;
            }
            let file = file.with_context(|| {
                format!("source `{}` has no sample {}/{0}.ndjson.gz", source.source, folder.display())
            })?;
            let file = file.canonicalize()?;
            // Several pipelines may read one topic.
            let is_fed =
                |(other, files): &(SourceTopic, Vec<PathBuf>)| other.topic == source.topic && files.contains(&file);
            if !samples.iter().any(is_fed) {
                samples.push((source.clone(), vec![file]));
            }
        }
    }
    Ok(samples)
}

/// What sinks write, as far as it can be looked into.
#[derive(Default)]
struct Written {
    tables: Vec<SinkTable>,
    objects: Vec<SinkObjects>,
}

impl Written {
    async fn by(host: &Host) -> Result<Self> {
        let mut written = Self::default();
        for running in host.running() {
            let Some(pipeline) = running.live() else { continue };
            for task in &pipeline.plan().tasks {
                if let End::Store(output) = &task.end
                    && let Some(url) = host.config().connection(&output.connection)
                {
                    written.tables.extend(SinkTable::open(output, url.reveal()).await?);
                }
                if let Some(output) = task.end.objects() {
                    let store = pipeline.objects(&output.connection);
                    written.objects.extend(store.map(|store| SinkObjects::new(output, store)));
                }
            }
        }
        Ok(written)
    }

    async fn contents(&self) -> Result<String> {
        let mut parts = Vec::new();
        for table in &self.tables {
            let contents = table.contents(SHOWN_ROWS).await?;
            parts.push(format!("{}\n{}", contents.top, contents.totals));
        }
        let mut totals = Vec::new();
        for objects in &self.objects {
            totals.push(objects.totals().await?);
        }
        parts.push(totals.join("\n"));
        Ok(parts.join("\n\n"))
    }
}

async fn show_results(host: &Host) -> Result<()> {
    process(host, &samples(host)?, &Pace::new(None)).await?;
    println!("\n{}", Written::by(host).await?.contents().await?);
    Ok(())
}

/// Feeds at a visible pace and shows the tables while they change; ends when it is stopped.
async fn show_live(host: &Host, data: &Path) -> Result<()> {
    let samples = samples(host)?;
    let mut records = 0;
    for file in samples.iter().flat_map(|(_, files)| files) {
        records += count_records(file)?;
    }
    let rate = u32::try_from(records / SHOW_SECONDS).unwrap_or(u32::MAX).max(1);
    let (pace, fed, screen) = (Pace::new(Some(rate)), Fed::default(), Screen::new(records)?);
    let written = Written::by(host).await?;
    let feeding = async {
        if feed_all(host, &samples, &pace, &fed).await?.iter().all(|file| file.records == 0) {
            screen.say(&format!("already fed; delete {} to watch again", data.display()));
        }
        for pipeline in host.running().iter().filter_map(|running| running.live()) {
            pipeline.drain().await?;
        }
        for report in run_batches(host).await? {
            screen.say(&report.to_string());
        }
        pending().await
    };
    tokio::select! {
        ended = feeding => ended,
        ended = refresh(&screen, &written, &fed) => ended,
        () = dead_letters::warn(host) => Ok(()),
    }
}

async fn refresh(screen: &Screen, written: &Written, fed: &Fed) -> Result<()> {
    let mut ticks = interval(if screen.all.is_hidden() { PRINT_INTERVAL } else { DRAW_INTERVAL });
    loop {
        ticks.tick().await;
        screen.fed.set_position(fed.load(Relaxed));
        screen.show(written.contents().await?);
    }
}

/// What is drawn anew while the demo runs: a bar and tables. Without a terminal, the tables are printed instead.
struct Screen {
    all: MultiProgress,
    fed: ProgressBar,
    results: ProgressBar,
}

impl Screen {
    fn new(records: u64) -> Result<Self> {
        let all = MultiProgress::new();
        let bar = ProgressStyle::with_template("{msg} [{wide_bar:.cyan}] {human_pos}/{human_len} records")?;
        let fed = all.add(ProgressBar::new(records).with_finish(ProgressFinish::Abandon));
        let fed = fed.with_style(bar.progress_chars("=> ")).with_message("fed");
        let results = all.add(ProgressBar::new_spinner().with_finish(ProgressFinish::Abandon));
        let results = results.with_style(ProgressStyle::with_template("{msg}")?);
        Ok(Self { all, fed, results })
    }

    fn show(&self, tables: String) {
        if self.all.is_hidden() && self.results.message() != tables {
            println!("{tables}\n");
        }
        self.results.set_message(tables);
    }

    fn say(&self, message: &str) {
        self.all.suspend(|| println!("{message}"));
    }
}

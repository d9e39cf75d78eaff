//! `azenha backfill`

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use azenha_engine::edition::Edition;
use azenha_engine::objects::is_path;
use azenha_model::config::HostConfig;
use azenha_model::plan::{End, Plan};
use clap::Args;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use super::Outcome;
use super::run::until_signal;
use crate::batch::{Dates, Marker, Progress, Run, RunOutcome, announced, read, seed};
use crate::host::{Runner, configuration, open_object_stores, sandbox};
use crate::program::{Loader, is_batch, partitions_of_histories, pipeline_file};
use crate::results;
use crate::usage::Usage;

/// How often a line tells of the progress, without a terminal.
const TELL_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub struct BackfillArgs {
    /// A pipeline file, or the folder that holds a `pipeline.yaml`.
    pipeline: PathBuf,
    /// The host's configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the log is, and what a batch keeps while it runs; by default `data`.
    #[arg(long, value_name = "DIR", env = "AZENHA_DATA")]
    data: Option<PathBuf>,
    /// Reads only the folders of these days, 2024-01-31..2024-02-01; a batch reads them anew, into what is there.
    #[arg(long, value_name = "A..B")]
    dates: Option<Dates>,
    /// Reads the objects of a source below another folder than its `folder`.
    #[arg(long, value_name = "SOURCE=FOLDER", value_parser = parse_from)]
    from: Vec<(String, String)>,
    /// Reads so many partitions at the same time, where the file does not say how many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    parallel: Option<u32>,
}

fn parse_from(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((source, folder)) if !source.is_empty() && is_path(folder) => Ok((source.to_owned(), folder.to_owned())),
        _ => Err("write SOURCE=FOLDER, for instance pedidos=commerce/orders".to_owned()),
    }
}

/// Has sources read from other folders.
fn redirect(plan: &mut Plan, from: &[(String, String)]) -> Result<()> {
    for (source, folder) in from {
        let known: Vec<&str> = plan.histories.iter().map(|history| history.source.as_str()).collect();
        let unknown = format!("--from: no source `{source}` has a folder; there is {}", known.join(", "));
        let history = plan.histories.iter_mut().find(|history| history.source == *source);
        history.ok_or(Usage(unknown))?.folder.clone_from(folder);
    }
    Ok(())
}

/// Runs pipelines over the past of their sources; what was interrupted goes on.
pub async fn backfill(args: BackfillArgs) -> Result<Outcome> {
    let config = configuration(args.config.as_deref(), args.data.as_deref())?;
    let file = pipeline_file(&args.pipeline);
    let outcome = if is_batch(&file)? {
        until_signal(run_batches(&args, &config, &file)).await
    } else {
        until_signal(catch_up(&args, config, file)).await
    };
    outcome.unwrap_or_else(|| {
        eprintln!("stopped; the same command goes on from here");
        Ok(Outcome::Failed)
    })
}

async fn run_batches(args: &BackfillArgs, config: &HostConfig, file: &Path) -> Result<Outcome> {
    let sandbox = sandbox(config, Some(&config.data.join("compiled")))?;
    let topics = partitions_of_histories(file, args.parallel)?;
    let mut loaded = block_in_place(|| Loader::new(config, &sandbox, topics).load(file))?;
    let (mut outcome, stop) = (Outcome::Done, CancellationToken::new());
    for pipeline in &mut loaded {
        redirect(&mut pipeline.plan, &args.from)?;
        let shown = Shown::new()?;
        let report = Run::new(config, pipeline)?.run(args.dates, |progress| shown.tell(progress), &stop).await?;
        shown.bar.finish_and_clear();
        println!("{report}");
        if report.outcome == RunOutcome::Refused {
            outcome = Outcome::Failed;
        }
    }
    Ok(outcome)
}

/// Announces what was kept before the log began, and runs the pipelines until they have read everything that stands there
/// now. Whoever runs them next goes on at exactly the next record.
async fn catch_up(args: &BackfillArgs, config: HostConfig, file: PathBuf) -> Result<Outcome> {
    if args.parallel.is_some() {
        return Err(Usage("--parallel is for batches: here `partitions` of the source says how many".to_owned()).into());
    }
    let runner = Runner::start(config).await?;
    let done = catch_up_all(args, &runner, file).await;
    runner.log.close().await?;
    done.map(|()| Outcome::Done)
}

async fn catch_up_all(args: &BackfillArgs, runner: &Runner, file: PathBuf) -> Result<()> {
    let mut loaded = runner.load_files(&[file]).await?;
    if let Some((_, none)) = loaded.iter().find(|(_, pipeline)| pipeline.plan.histories.is_empty()) {
        let name = &none.plan.pipeline;
        let help = "name the `folder` of a source of objects, or read a topic from its beginning with `azenha run`";
        return Err(Usage(format!("pipeline `{name}` has no past that stands in a folder: {help}")).into());
    }
    for (_, pipeline) in &mut loaded {
        roll_by_size(&mut pipeline.plan);
        redirect(&mut pipeline.plan, &args.from)?;
        let (plan, log) = (&pipeline.plan, &*runner.log);
        let (stores, marker) =
            (open_object_stores(&runner.config, plan)?, Marker::of(&runner.config.data, &plan.pipeline));
        let objects = seed(log, plan, &stores, args.dates, &marker).await?;
        println!("pipeline `{}`: {objects} objects of its past announced", plan.pipeline);
        let (past, shown) = (announced(log, plan).await?, Shown::new()?);
        let running = runner.run(None, pipeline, 0, Edition::default()).await?;
        let read = read(&running.pipeline, &past, |progress| shown.tell(progress), &CancellationToken::new()).await;
        running.stop().await;
        read?;
        shown.bar.finish_and_clear();
        println!("its past is read; `azenha run` goes on from there\n{}", results::tasks(running.pipeline.tasks()));
    }
    Ok(())
}

/// Longer than any backfill: microseconds.
const LONGEST: i64 = 36_500 * 86_400_000_000;

/// The same past makes the same objects, however long that takes.
fn roll_by_size(plan: &mut Plan) {
    for task in &mut plan.tasks {
        if let End::Objects(output) = &mut task.end {
            output.roll.every = LONGEST;
        }
    }
}

/// Shows how far a run has come.
struct Shown {
    bar: ProgressBar,
    lines: Mutex<Instant>,
}

impl Shown {
    fn new() -> Result<Self> {
        let bar = ProgressBar::new(0);
        bar.set_style(ProgressStyle::with_template("[{wide_bar:.cyan}] {human_pos}/{human_len} records, {msg}")?);
        Ok(Self { bar, lines: Mutex::new(Instant::now()) })
    }

    fn tell(&self, Progress { done, total, left }: Progress) {
        let left = left.map_or_else(|| "reading".to_owned(), |left| format!("about {} left", HumanDuration(left)));
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(left.clone());
        let mut last = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if self.bar.is_hidden() && last.elapsed() >= TELL_EVERY {
            *last = Instant::now();
            eprintln!("{done} of {total} records, {left}");
        }
    }
}

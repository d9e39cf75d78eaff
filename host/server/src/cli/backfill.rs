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
use crate::batch::{
    Dates, Progress, Run, RunOutcome, TopicPast, announced, check_choice, read, seed, standing, unknown,
};
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
    /// Reads the objects of a source below another folder than its `folder`; or, if the pipeline is a batch and this is
    /// `SOURCE=topic:NAME`, what a topic of the host's log holds now.
    #[arg(long, value_name = "SOURCE=FOLDER", value_parser = parse_from)]
    from: Vec<(String, Place)>,
    /// Reads so many partitions at the same time, where the file does not say how many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    parallel: Option<u32>,
}

/// Where a source is read instead of its folder.
#[derive(Debug, Clone)]
enum Place {
    Folder(String),
    Topic(String),
}

fn parse_from(text: &str) -> Result<(String, Place), String> {
    let help = "write SOURCE=FOLDER, for instance pedidos=commerce/orders, or SOURCE=topic:NAME";
    let (source, place) = text.split_once('=').filter(|(source, _)| !source.is_empty()).ok_or(help)?;
    let place = match place.strip_prefix("topic:") {
        Some(topic) if !topic.is_empty() => Place::Topic(topic.to_owned()),
        None if is_path(place) => Place::Folder(place.to_owned()),
        _ => return Err(help.to_owned()),
    };
    Ok((source.to_owned(), place))
}

/// Has sources read from other folders, or from topics; the latter are given back.
fn redirect(plan: &mut Plan, from: &[(String, Place)]) -> Result<Vec<TopicPast>> {
    let mut topics = Vec::new();
    for (source, place) in from {
        match place {
            Place::Topic(topic) => topics.push(TopicPast::instead_of_objects(plan, source, topic)?),
            Place::Folder(folder) => match plan.histories.iter_mut().find(|history| history.source == *source) {
                Some(history) => history.folder.clone_from(folder),
                None => return Err(unknown(plan, source).into()),
            },
        }
    }
    Ok(topics)
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
        let (topics, shown) = (redirect(&mut pipeline.plan, &args.from)?, Shown::new()?);
        let run = Run::new(config, pipeline)?.over(topics);
        let report = run.run(args.dates, |progress| shown.tell(progress), &stop).await?;
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
    for (_, pipeline) in &mut loaded {
        roll_by_size(&mut pipeline.plan);
        if let Some(TopicPast { source, topic, .. }) = redirect(&mut pipeline.plan, &args.from)?.first() {
            let help = "a source without `objects` reads the past of its own topic";
            let problem = format!("--from {source}=topic:{topic} is for batches: this pipeline goes on live; {help}");
            return Err(Usage(problem).into());
        }
        let (plan, log) = (&pipeline.plan, &*runner.log);
        let stores = open_object_stores(&runner.config, plan)?;
        check_choice(log, plan, &stores, (args.dates, !args.from.is_empty())).await?;
        let objects = seed(log, plan, &stores, args.dates).await?;
        if !plan.histories.is_empty() {
            println!("pipeline `{}`: {objects} objects of its past announced", plan.pipeline);
        }
        let mut past = announced(log, plan).await?;
        past.extend(standing(log, &pipeline.sources, plan.histories.is_empty()).await?);
        let shown = Shown::new()?;
        let running = runner.run(None, pipeline, 0, Edition::default()).await?;
        let (tell, stop) = (|progress| shown.tell(progress), CancellationToken::new());
        let read = match running.live() {
            Some(pipeline) => read(pipeline.catch_up(), pipeline, &past, tell, &stop).await,
            None => Ok(()),
        };
        running.stop().await;
        read?;
        shown.bar.finish_and_clear();
        println!("its past is read; `azenha run` goes on from there\n{}", results::tasks(running.tasks()));
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

//! `azenha backfill`

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use super::Outcome;
use super::run::until_signal;
use crate::batch::{Dates, Progress, Run, RunOutcome};
use crate::host::{configuration, sandbox};
use crate::program::{Loaded, Loader, partitions_of_histories, pipeline_file};
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
    /// Where runs are kept while they last; by default `data`.
    #[arg(long, value_name = "DIR", env = "AZENHA_DATA")]
    data: Option<PathBuf>,
    /// Reads the folders of these days anew, 2024-01-31..2024-02-01, into what is there; by default everything is read.
    #[arg(long, value_name = "A..B")]
    dates: Option<Dates>,
    /// Reads so many partitions at the same time, where the file does not say how many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    parallel: Option<u32>,
}

/// Runs batches over the past of their sources; what was interrupted goes on.
pub async fn backfill(args: BackfillArgs) -> Result<Outcome> {
    let config = configuration(args.config.as_deref(), args.data.as_deref())?;
    let file = pipeline_file(&args.pipeline);
    let sandbox = sandbox(&config, Some(&config.data.join("compiled")))?;
    let loaded: Vec<Loaded> = block_in_place(|| {
        let partitions = partitions_of_histories(&file, args.parallel)?;
        Loader::new(&config, &sandbox, partitions).load(&file)
    })?;
    let mut outcome = Outcome::Done;
    for pipeline in &loaded {
        let run = Run::new(&config, pipeline)?;
        let shown = Shown::new()?;
        let (stop, told) = (CancellationToken::new(), |progress| shown.tell(progress));
        let Some(report) = until_signal(run.run(args.dates, told, &stop)).await.transpose()? else {
            eprintln!("stopped; the same command goes on from here");
            return Ok(Outcome::Failed);
        };
        shown.bar.finish_and_clear();
        println!("{report}");
        if report.outcome == RunOutcome::Refused {
            outcome = Outcome::Failed;
        }
    }
    if loaded.is_empty() {
        return Err(Usage(format!("{} defines no pipeline", file.display())).into());
    }
    Ok(outcome)
}

/// Shows how far a run has come.
struct Shown {
    bar: ProgressBar,
    lines: std::sync::Mutex<std::time::Instant>,
}

impl Shown {
    fn new() -> Result<Self> {
        let bar = ProgressBar::new(0);
        bar.set_style(ProgressStyle::with_template("[{wide_bar:.cyan}] {human_pos}/{human_len} records, {msg}")?);
        Ok(Self { bar, lines: std::sync::Mutex::new(std::time::Instant::now()) })
    }

    fn tell(&self, Progress { done, total, left }: Progress) {
        let left = left.map_or_else(|| "reading".to_owned(), |left| format!("about {} left", HumanDuration(left)));
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(left.clone());
        let mut last = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.bar.is_hidden() && last.elapsed() >= TELL_EVERY {
            *last = std::time::Instant::now();
            eprintln!("{done} of {total} records, {left}");
        }
    }
}

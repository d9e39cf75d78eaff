//! `azenha pipeline shadow`

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use azenha_model::pipeline::PipelineFile;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::Outcome;
use super::pipeline::{SwapArgs, push_plugins, say_change};
use crate::api::{AnswerDetail, Both, ShadowDetail};
use crate::client::ServerArgs;
use crate::program::{pipeline_file, read_pipelines};
use crate::results::{align_right, table};

#[derive(Debug, Subcommand)]
pub enum ShadowCommand {
    /// Tries the code that a pipeline file has for a step beside what runs, on the host that is asked.
    Start {
        /// A pipeline file that differs from what runs in the plugin or the configuration of the step only, or the folder
        /// that holds a `pipeline.yaml`.
        file: PathBuf,
        /// The step.
        #[arg(long)]
        step: String,
        /// The share of the rows that the candidate gets, at most [default: 0.1].
        #[arg(long)]
        sample: Option<f64>,
        /// Processor time that it may take, as a share of the live plugin's [default: 1.2 times the sample].
        #[arg(long)]
        budget: Option<f64>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Shows how a candidate does: what is equal and what differs, and what it costs.
    Show(Beside),
    /// Makes a candidate the live code.
    Promote {
        #[command(flatten)]
        beside: Beside,
        #[command(flatten)]
        change: SwapArgs,
    },
    /// Discards a candidate.
    Discard(Beside),
}

#[derive(Debug, Args)]
pub struct Beside {
    /// The pipeline's name.
    name: String,
    /// The step.
    step: String,
    #[command(flatten)]
    server: ServerArgs,
}

impl Beside {
    fn path(&self) -> [&str; 5] {
        ["pipelines", &self.name, "steps", &self.step, "shadow"]
    }
}

/// Tries code beside what runs.
pub async fn shadow(command: ShadowCommand) -> Result<Outcome> {
    match command {
        ShadowCommand::Start { file, step, sample, budget, server } => {
            let shares = [("sample", sample), ("budget", budget)];
            let shares = shares.into_iter().filter_map(|(name, share)| Some((name, share?.to_string())));
            start(&pipeline_file(&file), step, &shares.collect::<Vec<_>>(), server).await?;
        }
        ShadowCommand::Show(beside) => say(&beside.server.client()?.get(&beside.path()).await?)?,
        ShadowCommand::Promote { beside, change } => {
            let path = [&beside.path()[..], &["promote"]].concat();
            let client = beside.server.client()?;
            let answer: Value = client.call_with(Method::POST, &path, &change.parameters(), None).await?;
            return say_change(&beside.name, answer);
        }
        ShadowCommand::Discard(beside) => {
            beside.server.client()?.call::<()>(Method::DELETE, &beside.path(), None).await?;
            println!("the candidate beside step `{}` is gone", beside.step);
        }
    }
    Ok(Outcome::Done)
}

async fn start(file: &Path, step: String, shares: &[(&str, String)], server: ServerArgs) -> Result<()> {
    let pipelines = read_pipelines(file)?;
    let [pipeline] = pipelines.as_slice() else { bail!("{} defines several pipelines", file.display()) };
    let definition = PipelineFile::parse(&pipeline.shown, &pipeline.text, &|_| None)?;
    push_plugins(&server.client()?, &definition, file).await?;
    let beside = Beside { name: definition.name().to_owned(), step, server };
    let body = Some(("application/yaml", pipeline.text.clone().into_bytes()));
    let client = beside.server.client()?;
    let started: ShadowDetail = client.call_with(Method::POST, &beside.path(), shares, body).await?;
    let ShadowDetail { plugin, digest, sample, budget, .. } = started;
    println!(
        "plugin `{plugin}` ({digest}) works beside step `{}` of that host: sample {sample}, budget {budget}",
        beside.step
    );
    Ok(())
}

fn say(shadow: &ShadowDetail) -> Result<()> {
    if let Some(reason) = &shadow.suspended {
        println!("suspended: {reason}");
    }
    let rows = &shadow.rows;
    println!(
        "rows: {} equal, {} different, {} only of the live plugin, {} only of the candidate",
        rows.equal, rows.different, rows.only_live, rows.only_candidate
    );
    let mut counts = table(["compared", "equal", "different"].map(str::to_owned));
    for (column, found) in &shadow.columns {
        counts.add_row([column.clone(), found.equal.to_string(), found.different.to_string()]);
    }
    let accumulators = &shadow.accumulators;
    if accumulators.equal + accumulators.different > 0 {
        let cells = [accumulators.equal, accumulators.different].map(|count| count.to_string());
        counts.add_row(["(accumulators)".to_owned(), cells[0].clone(), cells[1].clone()]);
    }
    align_right(&mut counts, 1..3);
    writeln!(stdout(), "{counts}")?;
    say_cost(shadow)?;
    for sample in &shadow.samples {
        let place = sample.offset.map(|offset| format!(" at offset {offset}")).unwrap_or_default();
        let differs = match sample.columns.as_slice() {
            [] => "only one of the two made a row of it".to_owned(),
            columns => format!("differs in {}", columns.join(", ")),
        };
        println!("{}{place}; {differs}", sample.input);
        println!("  live       {}\n  candidate  {}", shown(&sample.made.live), shown(&sample.made.candidate));
    }
    Ok(())
}

fn say_cost(shadow: &ShadowDetail) -> Result<()> {
    let mut costs = table(["", "live", "candidate"].map(str::to_owned));
    let mut row = |what: &str, both: Both<String>| {
        costs.add_row([what.to_owned(), both.live, both.candidate]);
    };
    let (cost, problems, memory) = (&shadow.cost, &shadow.problems, &shadow.memory);
    row(
        "rejected",
        Both { live: problems.live.rejected.to_string(), candidate: problems.candidate.rejected.to_string() },
    );
    row("failed", Both { live: problems.live.failed.to_string(), candidate: problems.candidate.failed.to_string() });
    if let Some(nanoseconds) = &cost.nanoseconds_a_row {
        let (live, candidate) = (format!("{:.0}", nanoseconds.live), format!("{:.0}", nanoseconds.candidate));
        row("CPU nanoseconds a row", Both { live, candidate });
    }
    let (live, candidate) = (format!("{:.3}", cost.live_seconds), format!("{:.3}", cost.candidate_seconds));
    row("CPU seconds", Both { live, candidate });
    row("memory, KiB", Both { live: (memory.live >> 10).to_string(), candidate: (memory.candidate >> 10).to_string() });
    align_right(&mut costs, 1..3);
    writeln!(stdout(), "{costs}")?;
    println!("sampling added {:.3} CPU seconds", cost.sampling_seconds);
    Ok(())
}

fn shown(answer: &AnswerDetail) -> String {
    match answer {
        AnswerDetail { row: Some(row), .. } => row.to_string(),
        AnswerDetail { rejected: Some(reason), .. } => format!("refused: {reason}"),
        AnswerDetail { failed: Some(message), .. } => format!("failed: {message}"),
        _ => "nothing".to_owned(),
    }
}

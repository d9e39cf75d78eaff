//! `azenha run`

use std::fs;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use azenha_model::config::HostConfig;
use clap::Args;
use futures::future::try_join_all;
use tokio::signal::unix::{SignalKind, signal};
use tracing::field::display;

use super::Outcome;
use crate::api::Listener;
use crate::batch::{Report, RunOutcome};
use crate::dead_letters;
use crate::feed::{Fed, FedFile, Pace, feed};
use crate::host::{Host, Running, State, Wanted, configuration};
use crate::ingest::SourceTopic;
use crate::results;
use crate::usage::Usage;

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Pipeline files, or folders that hold a `pipeline.yaml`, beside what is defined in the log.
    pipelines: Vec<PathBuf>,
    /// The host's configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Runs nothing that is defined in the log, but follows it and changes it when the API is asked to: to delete or
    /// replace a definition that keeps hosts from running.
    #[arg(long)]
    without_definitions: bool,
    /// Where the log is, and the stores of connections that are not configured.
    /// By default `data`, or what the configuration says.
    #[arg(long, value_name = "DIR", env = "AZENHA_DATA")]
    data: Option<PathBuf>,
    /// Feeds a file of NDJSON, perhaps compressed by gzip, to a source; what was fed before is not fed again. Each line
    /// is the value of a record, or, if the file's name ends in `.records.ndjson` or `.records.ndjson.gz`, an object with
    /// `key` and `value`, as `azenha topic read --json` prints records.
    #[arg(long = "input", value_name = "SOURCE=FILE", value_parser = parse_input)]
    inputs: Vec<Input>,
    /// Feeds at most so many records a second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Ends when what is in the sources is processed.
    #[arg(long)]
    once: bool,
    /// Ends with exit code 3 if there are dead letters.
    #[arg(long, requires = "once")]
    strict: bool,
    /// Where the HTTP API listens; with --once it only listens if this is given.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// A file for a source.
#[derive(Debug, Clone)]
struct Input {
    /// The source, or `PIPELINE.SOURCE`.
    source: String,
    /// The file.
    file: PathBuf,
}

fn parse_input(text: &str) -> Result<Input, String> {
    match text.split_once('=') {
        Some((source, file)) if !source.is_empty() && !file.is_empty() => {
            fs::metadata(file).map_err(|error| format!("{file}: {error}"))?;
            Ok(Input { source: source.to_owned(), file: file.into() })
        }
        _ => Err("write SOURCE=FILE, for instance clicks=sample/clicks.ndjson.gz".to_owned()),
    }
}

/// Runs pipelines until everything is processed (`--once`) or a signal comes.
pub async fn run(args: RunArgs) -> Result<Outcome> {
    let config = configuration(args.config.as_deref(), args.data.as_deref())?;
    let listen = args.listen.or((!args.once).then_some(config.http.listen));
    let wanted = Wanted { files: &args.pipelines, definitions: !args.without_definitions };
    let outcome = with_host(config, wanted, listen, async |host| work(host, &args).await).await?;
    match outcome {
        Some(outcome) => outcome,
        None if args.once => {
            eprintln!("stopped before everything was processed; the same command goes on from here");
            Ok(Outcome::Failed)
        }
        None => Ok(Outcome::Done),
    }
}

/// Starts a host, and its API if it listens; works with it until the work is done or the process is asked to end,
/// and stops it. Gives none if the process was asked to end.
pub async fn with_host<T>(
    config: HostConfig,
    wanted: Wanted<'_>,
    listen: Option<SocketAddr>,
    work: impl AsyncFnOnce(&Host) -> Result<T>,
) -> Result<Option<Result<T>>> {
    let listener = match listen {
        Some(address) => Some(Listener::bind(address, &config.http).await?),
        None => None,
    };
    let host = Arc::new(Host::start(config, wanted).await?);
    let server = listener.map(|listener| listener.serve(host.clone())).transpose()?;
    announce(&host, server.as_ref().map(|server| server.url.as_str()));
    let outcome = until_signal(work(&host)).await;
    host.stop().await;
    if let Some(server) = server {
        server.stop().await;
    }
    Ok(outcome)
}

fn announce(host: &Host, api: Option<&str>) {
    let deployments = host.deployments();
    let pipelines: Vec<&str> = deployments.iter().map(|deployment| deployment.name.as_str()).collect();
    let directory = &host.config().data;
    let console = api.map(|url| display(format!("{url}/console")));
    tracing::info!(pipelines = pipelines.join(", "), data = %directory.display(), console, "started");
}

/// What the future gives, or none if the process is asked to end before.
pub async fn until_signal<T>(work: impl Future<Output = Result<T>>) -> Option<Result<T>> {
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => return Some(Err(error.into())),
    };
    tokio::select! {
        outcome = work => Some(outcome),
        _ = terminate.recv() => None,
        _ = tokio::signal::ctrl_c() => None,
    }
}

async fn work(host: &Host, args: &RunArgs) -> Result<Outcome> {
    host.settled().await;
    let (inputs, pace) = (assign(host, &args.inputs)?, Pace::new(args.rate));
    if args.once {
        let dead_letters = process(host, &inputs, &pace).await?;
        return Ok(if args.strict && dead_letters > 0 { Outcome::DeadLetters } else { Outcome::Done });
    }
    let feeding = async {
        let fed = feed_all(host, &inputs, &pace, &Fed::default()).await?;
        fed.iter().for_each(|file| tracing::info!("{file}"));
        pending().await
    };
    tokio::select! {
        outcome = feeding => outcome,
        () = dead_letters::warn(host) => Ok(Outcome::Done),
    }
}

/// Files by the source that they are for, in the order in which they are fed.
pub type Assigned = Vec<(SourceTopic, Vec<PathBuf>)>;

fn assign(host: &Host, inputs: &[Input]) -> Result<Assigned> {
    let mut assigned = Assigned::new();
    for Input { source, file } in inputs {
        let source = find_source(host, source)?;
        let same =
            |(other, _): &&mut (SourceTopic, _)| (&other.pipeline, &other.source) == (&source.pipeline, &source.source);
        match assigned.iter_mut().find(same) {
            Some((_, files)) => files.push(file.clone()),
            None => assigned.push((source, vec![file.clone()])),
        }
    }
    Ok(assigned)
}

fn find_source(host: &Host, name: &str) -> Result<SourceTopic> {
    let sources: Vec<SourceTopic> = host.deployments().iter().flat_map(|deployment| deployment.sources()).collect();
    let full_name = |source: &SourceTopic| format!("{}.{}", source.pipeline, source.source);
    let found: Vec<&SourceTopic> =
        sources.iter().filter(|source| source.source == name || full_name(source) == name).collect();
    match found[..] {
        [source] => Ok(source.clone()),
        [] => {
            let known: Vec<String> = sources.iter().map(|source| source.source.clone()).collect();
            Err(Usage(format!("--input: there is no source `{name}`; there is {}", known.join(", "))).into())
        }
        _ => {
            let known: Vec<String> = found.iter().map(|source| full_name(source)).collect();
            Err(Usage(format!("--input: several sources are called `{name}`; write {}", known.join(" or "))).into())
        }
    }
}

/// Feeds files: those of one source after each other, different sources at the same time. Tables come before streams,
/// whose rows may be looked up in them.
pub async fn feed_all(host: &Host, inputs: &Assigned, pace: &Pace, fed: &Fed) -> Result<Vec<FedFile>> {
    let feed_some = async |are_tables: bool| {
        let some = inputs.iter().filter(|(source, _)| source.is_table == are_tables);
        let feeds = some.map(async |(source, files)| {
            let mut done = Vec::new();
            for file in files {
                done.push(feed(host.log(), source, file, pace, fed).await?);
            }
            anyhow::Ok(done)
        });
        anyhow::Ok(try_join_all(feeds).await?.concat())
    };
    let tables = feed_some(true).await?;
    Ok([tables, feed_some(false).await?].concat())
}

/// Feeds files, waits until everything is processed and says what was done; the number of dead letters.
pub async fn process(host: &Host, inputs: &Assigned, pace: &Pace) -> Result<u64> {
    let started = Instant::now();
    let fed = feed_all(host, inputs, pace, &Fed::default()).await?;
    fed.iter().for_each(|file| println!("{file}"));
    let mut dead_letters = 0;
    for deployment in host.deployments() {
        if let State::Failed(reason) = deployment.state() {
            bail!("pipeline `{}`: {reason}", deployment.name);
        }
    }
    for running in host.running() {
        let (name, Some(pipeline)) = (running.name(), running.live()) else { continue };
        let drained = pipeline.drain().await.with_context(|| format!("pipeline `{name}`"))?;
        report(&running, started.elapsed());
        if drained.closed_windows {
            println!("open windows were closed, because of `emit: final`: rows for them that come later are late");
        }
        dead_letters += running.dead_letters();
    }
    for report in run_batches(host).await? {
        println!("{report}");
        dead_letters += report.dead_letters;
        if report.outcome == RunOutcome::Refused {
            bail!("batch `{}` was refused: {} of its checks do not hold", report.pipeline, report.failed().count());
        }
    }
    Ok(dead_letters)
}

/// Runs every batch once, after each other; what became of them.
pub async fn run_batches(host: &Host) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for batch in host.running().iter().filter_map(|running| running.batch().cloned()) {
        reports.push(batch.run(None).await?);
    }
    Ok(reports)
}

fn report(running: &Running, elapsed: Duration) {
    println!("pipeline `{}`: everything is processed, after {:.1} s", running.name(), elapsed.as_secs_f64());
    println!("{}", results::tasks(running.tasks()));
    match running.dead_letters() {
        0 => println!("dead letters: 0"),
        number => println!("dead letters: {number}, in topic `{}`", running.dead_letter_topic),
    }
}

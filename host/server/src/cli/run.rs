//! `azenha run`

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use azenha_model::config::HostConfig;
use clap::Args;
use futures::future::try_join_all;
use tokio::signal::unix::{SignalKind, signal};

use super::{Outcome, Usage};
use crate::api::Listener;
use crate::feed::{Fed, Pace, feed};
use crate::host::{Host, Running, configuration};
use crate::ingest::SourceTopic;
use crate::results;

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Pipeline files, or folders that hold a `pipeline.yaml`.
    #[arg(required = true)]
    pipelines: Vec<PathBuf>,
    /// The host's configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the log is, and the stores of connections that are not configured.
    #[arg(long, value_name = "DIR", default_value = "data", env = "AZENHA_DATA")]
    data: PathBuf,
    /// Feeds a file of NDJSON, perhaps compressed by gzip, to a source; what was fed before is not fed again.
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
            Ok(Input { source: source.to_owned(), file: file.into() })
        }
        _ => Err("write SOURCE=FILE, for instance clicks=sample/clicks.ndjson.gz".to_owned()),
    }
}

/// Runs pipelines until everything is processed (`--once`) or a signal comes.
pub async fn run(args: RunArgs) -> Result<Outcome> {
    let config = configuration(args.config.as_deref(), &args.data)?;
    let listen = args.listen.or((!args.once).then_some(config.listen));
    let outcome = with_host(config, &args.pipelines, listen, async |host| work(host, &args).await).await?;
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
    pipelines: &[PathBuf],
    listen: Option<SocketAddr>,
    work: impl AsyncFnOnce(&Host) -> Result<T>,
) -> Result<Option<Result<T>>> {
    let listener = match listen {
        Some(address) => Some(Listener::bind(address).await?),
        None => None,
    };
    let host = Arc::new(Host::start(config, pipelines).await?);
    let server = listener.map(|listener| listener.serve(host.clone())).transpose()?;
    if let Some(server) = &server {
        eprintln!("the API answers at http://{0}; http://{0}/docs lists what it takes", server.address);
    }
    let outcome = until_signal(work(&host)).await;
    host.stop().await;
    if let Some(server) = server {
        server.stop().await;
    }
    Ok(outcome)
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
    let started = Instant::now();
    let inputs = assign(host, &args.inputs)?;
    feed_all(host, &inputs, &Pace::new(args.rate), &Fed::default()).await?;
    if !args.once {
        if !inputs.is_empty() {
            tracing::info!("every input is fed");
        }
        return std::future::pending().await;
    }
    let dead_letters = drain(host, started).await?;
    Ok(if args.strict && dead_letters > 0 { Outcome::DeadLetters } else { Outcome::Done })
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
            None => assigned.push((source.clone(), vec![file.clone()])),
        }
    }
    Ok(assigned)
}

fn find_source<'a>(host: &'a Host, name: &str) -> Result<&'a SourceTopic> {
    let sources = || host.running().iter().flat_map(|running| &running.sources);
    let full_name = |source: &SourceTopic| format!("{}.{}", source.pipeline, source.source);
    let found: Vec<&SourceTopic> =
        sources().filter(|source| source.source == name || full_name(source) == name).collect();
    match found[..] {
        [source] => Ok(source),
        [] => {
            let known: Vec<String> = sources().map(|source| source.source.clone()).collect();
            Err(Usage(format!("--input: there is no source `{name}`; there is {}", known.join(", "))).into())
        }
        _ => {
            let known: Vec<String> = found.iter().map(|source| full_name(source)).collect();
            Err(Usage(format!("--input: several sources are called `{name}`; write {}", known.join(" or "))).into())
        }
    }
}

/// Feeds files: those of one source after each other, different sources at the same time.
pub async fn feed_all(host: &Host, inputs: &Assigned, pace: &Pace, fed: &Fed) -> Result<()> {
    let feeds = inputs.iter().map(async |(source, files)| {
        for file in files {
            feed(host.log(), source, file, pace, fed).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(feeds).await?;
    Ok(())
}

/// Waits until everything is processed and says what was done; the number of dead letters.
pub async fn drain(host: &Host, started: Instant) -> Result<u64> {
    let mut dead_letters = 0;
    for running in host.running() {
        let name = running.name();
        let drained = running.pipeline.drain().await.with_context(|| format!("pipeline `{name}`"))?;
        report(running, started.elapsed());
        if drained.closed_windows {
            println!("open windows were closed, because of `emit: final`: rows for them that come later are late");
        }
        dead_letters += running.dead_letters();
    }
    Ok(dead_letters)
}

fn report(running: &Running, elapsed: Duration) {
    println!("pipeline `{}`: everything is processed, after {:.1} s", running.name(), elapsed.as_secs_f64());
    println!("{}", results::tasks(running.pipeline.tasks()));
    match running.dead_letters() {
        0 => println!("dead letters: 0"),
        number => println!("dead letters: {number}, in topic `{}`", running.pipeline.plan().dead_letters),
    }
}

//! `azenha load`

use std::fmt;
use std::future::pending;
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Result, bail};
use azenha_connect::embedded::OpenError;
use azenha_engine::log::Log;
use azenha_formats::civil::parse_timestamp;
use azenha_model::parse_duration;
use azenha_model::plan::{TopicKind, TopicSpec};
use azenha_model::topic;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Outcome;
use super::run::until_signal;
use crate::client;
use crate::host::{configuration, open_log_beside};
use crate::ingest::now;
use crate::load::{
    Clicks, CustomerEvents, Generator as Generates, Interactions, Limits, LogTarget, Manner, Meter, Orders, Schedule,
    Sequences, ServerTarget, Source, Target, Watched, load as send,
};
use crate::results::grouped;
use crate::usage::Usage;

/// Clicks a second of event time, where no rate says so: more than are sent in a second, so that event time does not
/// run ahead of the clock, and what is loaded next is not late.
const DENSITY: u32 = 1_000_000;

/// Portions that are on their way at once, where order does not matter.
const IN_FLIGHT: usize = 4;

/// How long the records on their way may take to arrive when the command is to end.
const STOP_TIME: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The topic that records go to.
    #[arg(long)]
    topic: String,
    /// Makes the topic, with so many partitions, if it does not exist.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    partitions: Option<u32>,
    /// The configuration that says where the log is.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the embedded log is; by default `data`.
    #[arg(long, value_name = "DIR", env = "AZENHA_DATA")]
    data: Option<PathBuf>,
    /// Sends the records to the API of a running host instead; AZENHA_TOKEN holds its token.
    #[arg(long, value_name = "URL", conflicts_with_all = ["config", "partitions"])]
    server: Option<String>,
    /// Sends the lines of a file of NDJSON, perhaps compressed by gzip, and ends.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["generator", "seed", "from", "speed", "threads", "sequence", "broken"])]
    file: Option<PathBuf>,
    /// Makes records.
    #[arg(long, value_enum, default_value_t)]
    generator: Generator,
    /// The same seed makes the same records, if they also start at the same time.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// When the first record happened, for instance 2026-01-31T12:00:00Z; now, by default.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<i64>,
    /// How fast event time passes. At 1, as many records happen in a second of it as --rate says, or a million.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = parse_speed)]
    speed: f64,
    /// Breaks about this part of a shop's orders, interactions or customers' events, for instance 0.02: fields are missing, or of other types,
    /// quantities below zero, JSON cut off.
    #[arg(long, value_name = "PART", default_value_t = 0.0, value_parser = parse_part)]
    broken: f64,
    /// Ends after so many records.
    #[arg(long, value_name = "N")]
    records: Option<u64>,
    /// Ends after so long, for instance 30s.
    #[arg(long, value_name = "TIME", value_parser = parse_length)]
    duration: Option<Duration>,
    /// Sends so many records a second, for instance 5000 or 5000/s; as fast as they go, by default.
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    rate: Option<u32>,
    /// Makes records in so many threads; by default, in one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Makes keys of this field. A host that records are sent to makes its own.
    #[arg(long, value_name = "FIELD")]
    key: Option<String>,
    /// Numbers the records of each key: the field `seq`, from 0 on.
    #[arg(long, requires = "key")]
    sequence: bool,
    /// Answers Prometheus while it runs, at /metrics of this address, for instance 127.0.0.1:9100. Whoever reaches it may
    /// ask: it tells counts only.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    metrics: Option<SocketAddr>,
}

/// What makes records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Generator {
    /// Clicks as those of the clickstream.
    #[default]
    Clicks,
    /// Orders of a shop platform, again with each change of their status.
    CommerceOrders,
    /// What the customers of that shop look at, search and put into carts.
    CommerceInteractions,
    /// What customers do, and write, on a shop's site, in its app, at its till and to its support.
    Cdp,
}

fn parse_rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse().ok();
    number.filter(|rate| *rate > 0).ok_or_else(|| "write records a second: 5000 or 5000/s".to_owned())
}

fn parse_length(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a whole number and its unit: 500ms, 30s, 2m, 1h".to_owned())
}

fn parse_time(text: &str) -> Result<i64, String> {
    parse_timestamp(text).ok_or_else(|| "write a time as 2026-01-31T12:00:00Z".to_owned())
}

fn parse_speed(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor: &f64| factor.is_finite() && *factor > 0.0);
    factor.ok_or_else(|| "write a number above 0, for instance 1 or 60".to_owned())
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an address and a port, for instance 127.0.0.1:9100".to_owned())
}

fn parse_part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| "write a part of 1, for instance 0.02".to_owned())
}

/// Sends test load to a topic, until it is enough or a signal comes.
pub async fn load(args: LoadArgs) -> Result<Outcome> {
    let source = source(&args)?;
    match &args.server {
        Some(server) => {
            run(&args, source, Target::Server(ServerTarget::new(server, &args.topic, client::token()?)?)).await
        }
        None => {
            let log = open(&args).await?;
            let loaded = into_log(&args, source, log.clone()).await;
            let closed = log.close().await;
            loaded.and_then(|outcome| Ok(closed.map(|()| outcome)?))
        }
    }
}

fn source(args: &LoadArgs) -> Result<Source> {
    let key = args.key.as_deref();
    if let Some(file) = &args.file {
        return Source::file(file, key).map_err(|error| Usage(format!("{error:#}")).into());
    }
    let step = 1e6 * args.speed / f64::from(args.rate.unwrap_or(DENSITY));
    let from = args.from.unwrap_or_else(now);
    let generator: Arc<dyn Generates> = match args.generator {
        Generator::Clicks => Arc::new(Clicks::new(args.seed, from, step)),
        Generator::CommerceOrders => Arc::new(Orders::new(args.seed, from, step, args.broken)),
        Generator::CommerceInteractions => Arc::new(Interactions::new(args.seed, from, step, args.broken)),
        Generator::Cdp => Arc::new(CustomerEvents::new(args.seed, from, step, args.broken)),
    };
    if let Some(key) = key.filter(|key| !generator.fields().contains(key)) {
        let known = generator.fields().join(", ");
        return Err(Usage(format!("--key: a record has no field `{key}`; it has {known}")).into());
    }
    let threads = args.threads.map_or_else(|| available_parallelism().map_or(1, usize::from), usize::from);
    Ok(Source::generated(&generator, key, threads))
}

async fn open(args: &LoadArgs) -> Result<Arc<dyn Log>> {
    let config = configuration(args.config.as_deref(), args.data.as_deref())?;
    open_log_beside(&config).await.map_err(|error| match error.downcast_ref() {
        Some(in_use @ OpenError::InUse { .. }) => Usage(take_the_api(in_use, &args.topic)).into(),
        _ => error,
    })
}

fn take_the_api(error: &OpenError, topic: &str) -> String {
    format!(
        "{error}; a host that runs on an embedded log takes records by `POST /topics/{topic}/records`: \
         name it, for instance with --server http://127.0.0.1:8080"
    )
}

async fn into_log(args: &LoadArgs, source: Source, log: Arc<dyn Log>) -> Result<Outcome> {
    let partitions = partitions(args, log.as_ref()).await?;
    run(args, source, Target::Log(LogTarget::new(log, &args.topic, partitions))).await
}

/// The partitions of a topic that records may be written to.
async fn partitions(args: &LoadArgs, log: &dyn Log) -> Result<u32> {
    let name = &args.topic;
    let wrong = |message: String| Err(Usage(message).into());
    if let Err(error) = topic::check_name(name) {
        return wrong(format!("--topic: {error}; load the topic of a source"));
    }
    match (log.topic(name).await?, args.partitions) {
        (Some(topic), _) if topic.spec.kind != TopicKind::Source => {
            wrong(format!("`{name}` is a topic that a pipeline writes to; load the topic of a source"))
        }
        (Some(topic), _) => Ok(topic.spec.partitions),
        (None, Some(partitions)) => {
            let spec = TopicSpec { name: name.clone(), partitions, kind: TopicKind::Source };
            Ok(log.ensure_topic(&spec).await?.spec.partitions)
        }
        (None, None) => {
            wrong(format!("there is no topic `{name}`; run its pipeline first, or make it with --partitions N"))
        }
    }
}

/// Loads until it is enough; when a signal comes, until what is on its way has arrived.
async fn run(args: &LoadArgs, source: Source, target: Target) -> Result<Outcome> {
    let ordered = args.key.is_some() || args.file.is_some();
    let manner = Manner {
        schedule: args.rate.map(Schedule::new),
        sequences: args.sequence.then(Sequences::default),
        in_flight: if ordered { 1 } else { IN_FLIGHT },
    };
    let limits = Limits { records: args.records, duration: args.duration };
    let meter = Arc::new(Meter::new(&args.topic, args.rate));
    let _serving = match args.metrics {
        Some(address) => Some(meter.serve(address).await?),
        None => None,
    };
    let (watched, stop) = (Watched { progress: progress(args.records)?, meter }, CancellationToken::new());
    let mut loading = std::pin::pin!(send(source, target, manner, limits, &watched, &stop));
    let loaded = tokio::select! {
        loaded = &mut loading => Some(loaded),
        _ = until_signal(pending::<Result<()>>()) => None,
    };
    let loaded = match loaded {
        Some(loaded) => loaded,
        None => {
            stop.cancel();
            timeout(STOP_TIME, loading).await.unwrap_or_else(|_| bail!("what was sent last has not arrived in time"))
        }
    };
    // A bar that is finished stands at its end, wherever it was.
    let durable = watched.progress.position();
    watched.progress.finish_and_clear();
    let loaded =
        loaded.map_err(|error| error.context(format!("after {} records that are durable", grouped(durable))))?;
    let (records, seconds) = (loaded.records, loaded.elapsed.as_secs_f64());
    let rate = grouped((records as f64 / seconds.max(1e-9)) as u64);
    writeln!(stdout(), "loaded {} records in {seconds:.2} s: {rate} records/s", grouped(records))?;
    Ok(Outcome::Done)
}

/// What a terminal shows: records and their rate.
fn progress(records: Option<u64>) -> Result<ProgressBar> {
    let (bar, template) = match records {
        Some(records) => {
            (ProgressBar::new(records), "[{wide_bar:.cyan}] {human_pos}/{human_len} records, {rate}/s, {eta} left")
        }
        None => (ProgressBar::new_spinner(), "{spinner} {human_pos} records, {rate}/s, {elapsed}"),
    };
    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        // Writing to a terminal's line buffer does not fail.
        let _ = out.write_str(&grouped(state.per_sec() as u64));
    };
    bar.set_style(ProgressStyle::with_template(template)?.with_key("rate", rate).progress_chars("=> "));
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn parse(arguments: &str) -> Result<LoadArgs, String> {
        let arguments = ["load", "--topic", "clicks"].into_iter().chain(arguments.split_whitespace());
        Command::try_parse_from(arguments).map(|command| command.load).map_err(|error| error.to_string())
    }

    #[test]
    fn rates_durations_and_times_are_read_as_people_write_them() {
        let args = parse("--rate 5000/s --duration 2m --from 1970-01-01T00:00:01Z --speed 60").unwrap();
        assert_eq!((args.rate, args.duration), (Some(5_000), Some(Duration::from_secs(120))));
        assert_eq!((args.from, args.speed), (Some(1_000_000), 60.0));
        assert_eq!(parse("--rate 7").unwrap().rate, Some(7));
    }

    #[test]
    fn wrong_arguments_are_refused_with_what_would_be_right() {
        for (arguments, help) in [
            ("--rate 0", "5000/s"),
            ("--rate fast", "5000/s"),
            ("--duration 30", "30s"),
            ("--from yesterday", "2026-01-31T12:00:00Z"),
            ("--speed 0", "above 0"),
            ("--speed nan", "above 0"),
            ("--threads 0", "1..=256"),
            ("--partitions 0", "1..=1024"),
            ("--sequence", "--key"),
            ("--file f --seed 1", "--seed"),
            ("--server http://host --config c", "--config"),
            ("--generator rain", "commerce-orders"),
            ("--broken 2", "0.02"),
            ("--metrics nowhere", "127.0.0.1:9100"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(help), "{arguments}: {error}");
        }
    }

    #[tokio::test]
    async fn a_key_that_clicks_do_not_have_is_refused_with_those_that_they_have() {
        let error = source(&parse("--key campaign").unwrap()).unwrap_err();
        assert!(error.is::<Usage>() && error.to_string().contains("campaignId"), "{error}");
    }
}

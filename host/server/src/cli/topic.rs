//! `azenha topic`

use std::io::{BufWriter, Stdout, Write, stdout};
use std::ops::Range;
use std::time::Duration;

use anyhow::Result;
use arrow_array::{Array, BinaryArray};
use azenha_engine::log::{Bounds, LogError, ReadLimit, Topic};
use azenha_formats::civil::push_iso;
use azenha_model::plan::TopicKind;
use azenha_model::{Fetched, Offset};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::Outcome;
use super::run::until_signal;
use crate::browse::{Browser, LogArgs};
use crate::results::{align_right, grouped, table};
use crate::usage::Usage;

/// How often a topic that is followed is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(300);
/// What is read and printed at once.
const LIMIT: ReadLimit = ReadLimit { records: 10_000, bytes: 8 << 20, wait: Duration::ZERO };

#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Lists the topics.
    List(LogArgs),
    /// Prints the records of a topic.
    Read(ReadArgs),
}

#[derive(Debug, Args)]
pub struct ReadArgs {
    /// The topic.
    topic: String,
    /// Prints each record as a JSON object.
    #[arg(long)]
    json: bool,
    /// Goes on with the records that come.
    #[arg(long)]
    follow: bool,
    /// Begins at this offset of each partition, instead of at the first record.
    #[arg(long, value_name = "OFFSET")]
    from: Option<Offset>,
    #[command(flatten)]
    log: LogArgs,
}

/// Shows what is in the log.
pub async fn topic(command: TopicCommand) -> Result<Outcome> {
    match command {
        TopicCommand::List(log) => list(&log).await?,
        // Being stopped is how following ends.
        TopicCommand::Read(args) => until_signal(read(&args)).await.unwrap_or(Ok(()))?,
    }
    Ok(Outcome::Done)
}

async fn list(log: &LogArgs) -> Result<()> {
    let log = Browser::open(log).await?;
    let mut table = table(["topic", "kind", "partitions", "records"].map(str::to_owned));
    for topic in log.topics().await? {
        let records = log.bounds(&topic).await?.iter().map(|bounds| bounds.end - bounds.start).sum();
        let Topic { spec, .. } = topic;
        table.add_row([spec.name, kind_name(spec.kind).to_owned(), spec.partitions.to_string(), grouped(records)]);
    }
    align_right(&mut table, 2..4);
    writeln!(stdout(), "{table}")?;
    Ok(())
}

fn kind_name(kind: TopicKind) -> &'static str {
    match kind {
        TopicKind::Source => "source",
        TopicKind::Output => "output",
        TopicKind::Internal => "internal",
        TopicKind::Changelog => "changelog",
        TopicKind::Compacted => "compacted",
    }
}

async fn read(args: &ReadArgs) -> Result<()> {
    let log = Browser::open(&args.log).await?;
    let topics = log.topics().await?;
    let Some(topic) = topics.iter().find(|topic| topic.spec.name == args.topic) else {
        let known: Vec<&str> = topics.iter().map(|topic| topic.spec.name.as_str()).collect();
        return Err(Usage(format!("there is no topic `{}`; there is {}", args.topic, known.join(", "))).into());
    };
    let wanted = |bounds: &Bounds| {
        let from = args.from.map_or(bounds.start, |from| from.clamp(bounds.start, bounds.end));
        from..if args.follow { Offset::MAX } else { bounds.end }
    };
    let mut partitions: Vec<Range<Offset>> = log.bounds(topic).await?.iter().map(wanted).collect();
    let mut printer = Printer { out: BufWriter::new(stdout()), json: args.json };
    loop {
        let mut printed = 0;
        for (partition, wanted) in (0..).zip(&mut partitions).filter(|(_, wanted)| !wanted.is_empty()) {
            let fetched = fetch(&log, &args.topic, partition, wanted).await?;
            printer.print(partition, &fetched)?;
            printed += fetched.records.len();
        }
        printer.out.flush()?;
        if printed > 0 {
            continue;
        }
        if !args.follow {
            return Ok(());
        }
        sleep(FOLLOW_INTERVAL).await;
    }
}

/// The first of the wanted records, which from then on are those behind them. A host that runs may purge records
/// before they are read.
async fn fetch(log: &Browser, topic: &str, partition: u32, wanted: &mut Range<Offset>) -> Result<Fetched> {
    loop {
        match log.read(topic, partition, wanted.start, LIMIT).await {
            Ok(fetched) => {
                wanted.start = fetched.next;
                return Ok(fetched);
            }
            Err(LogError::OutOfRange { start, .. }) if wanted.start < start => wanted.start = start,
            Err(error) => return Err(error.into()),
        }
    }
}

struct Printer {
    out: BufWriter<Stdout>,
    json: bool,
}

/// A record, as it is printed.
#[derive(Serialize)]
struct Line<'a> {
    partition: u32,
    offset: Offset,
    timestamp: &'a str,
    key: Content<'a>,
    /// Null deletes the row with this key.
    value: Content<'a>,
}

/// What a record holds: JSON, other text, other bytes, or nothing.
#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Nothing,
    Json(Box<RawValue>),
    Text(&'a str),
    Bytes { base64: String },
}

impl<'a> Content<'a> {
    fn of(column: &'a BinaryArray, row: usize) -> Self {
        if column.is_null(row) {
            return Self::Nothing;
        }
        let bytes = column.value(row);
        match str::from_utf8(bytes) {
            // Line ends in JSON are no more than blanks, and a record is one line.
            Ok(text) => RawValue::from_string(text.replace(['\n', '\r'], " ")).map_or(Self::Text(text), Self::Json),
            Err(_) => Self::Bytes { base64: BASE64_STANDARD.encode(bytes) },
        }
    }
}

impl Printer {
    fn print(&mut self, partition: u32, fetched: &Fetched) -> Result<()> {
        let Fetched { offsets, records, .. } = fetched;
        for (row, offset) in offsets.iter().enumerate() {
            let mut timestamp = String::new();
            push_iso(&mut timestamp, records.timestamps[row]);
            let (key, value) = (Content::of(&records.keys, row), Content::of(&records.values, row));
            let line = Line { partition, offset: *offset, timestamp: &timestamp, key, value };
            if self.json {
                writeln!(self.out, "{}", serde_json::to_string(&line)?)?;
            } else {
                let (key, value) = (serde_json::to_string(&line.key)?, serde_json::to_string(&line.value)?);
                writeln!(self.out, "{partition}/{offset}  {timestamp}  {key}  {value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_one_line_of_json() {
        let column = BinaryArray::from_opt_vec(vec![Some(b"{\"a\":\n1.50}"), Some(b"plain"), Some(&[0xff]), None]);
        let lines: Vec<String> = (0..4).map(|row| serde_json::to_string(&Content::of(&column, row)).unwrap()).collect();
        assert_eq!(lines, [r#"{"a": 1.50}"#, r#""plain""#, r#"{"base64":"/w=="}"#, "null"]);
    }
}

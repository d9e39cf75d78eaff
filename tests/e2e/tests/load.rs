//! `azenha load`: what it says it sent is there, the same again for the same seed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use azenha_e2e::{Azenha, free_address, get, repository};
use serde_json::Value;

const TOPIC: &str = "click_events";

/// A pipeline that reads what is loaded.
const KEPT: &str = r"
name: kept
sources:
  clicks:
    topic: click_events
    partitions: 3
    schema: { campaignId: text, userId: text, event: text, timestamp: timestamp(ms) }
steps:
  counts: { aggregate: click-count, from: clicks, by: [campaignId] }
sinks:
  warehouse: { from: counts, connection: warehouse, table: counts, key: [campaignId] }
";

/// The values of a topic by partition, in order.
fn loaded(azenha: &Azenha) -> Result<BTreeMap<u64, Vec<Value>>> {
    let mut partitions: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for record in azenha.topic(TOPIC)? {
        let partition = record["partition"].as_u64().context("a record without a partition")?;
        partitions.entry(partition).or_default().push(record["value"].clone());
    }
    Ok(partitions)
}

fn load(azenha: &Azenha, arguments: &str) -> Result<String> {
    let start = format!("load --topic {TOPIC} --from 2026-01-31T12:00:00Z {arguments}");
    let data = azenha.data().display().to_string();
    let arguments = start.split_whitespace().map(str::to_owned).chain(["--data".to_owned(), data]);
    Ok(azenha.succeed(arguments)?.stdout)
}

#[test]
fn the_same_seed_loads_the_same_records_whatever_the_number_of_threads() -> Result<()> {
    let (one, three) = (Azenha::empty()?, Azenha::empty()?);
    let said = load(&one, "--partitions 3 --seed 7 --records 12345 --threads 1")?;
    assert!(said.starts_with("loaded 12,345 records in "), "{said}");
    load(&three, "--partitions 3 --seed 7 --records 12345 --threads 3")?;
    // Without keys several portions are on their way at once, and which comes first is left to chance.
    let sorted = |azenha: &Azenha| -> Result<Vec<Vec<String>>> {
        let sorted = |values: Vec<Value>| {
            let mut values: Vec<String> = values.iter().map(Value::to_string).collect();
            values.sort();
            values
        };
        Ok(loaded(azenha)?.into_values().map(sorted).collect())
    };
    let expected = sorted(&one)?;
    assert_eq!(expected.iter().map(Vec::len).sum::<usize>(), 12_345);
    assert_eq!(expected.len(), 3, "every partition has records");
    assert!(expected == sorted(&three)?);
    Ok(())
}

#[test]
fn a_sequence_numbers_the_records_of_each_key_which_keep_their_order_in_one_partition() -> Result<()> {
    let azenha = Azenha::empty()?;
    load(&azenha, "--partitions 3 --records 20000 --key campaignId --sequence")?;
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    let mut home: BTreeMap<String, u64> = BTreeMap::new();
    for (partition, values) in loaded(&azenha)? {
        for value in values {
            let key = value["campaignId"].as_str().context("a click without a campaign")?.to_owned();
            assert_eq!(*home.entry(key.clone()).or_insert(partition), partition, "{key}");
            let number = next.entry(key).or_default();
            assert_eq!(value["seq"], *number);
            *number += 1;
        }
    }
    assert_eq!(next.values().sum::<u64>(), 20_000);
    Ok(())
}

#[test]
fn a_file_is_loaded_line_by_line() -> Result<()> {
    let azenha = Azenha::empty()?;
    let sample = repository().join("pipelines/clickstream/sample/clicks.ndjson.gz");
    let data = azenha.data().display().to_string();
    let file = sample.display().to_string();
    let arguments = ["load", "--topic", TOPIC, "--partitions", "1", "--file", &file, "--data", &data];
    let said = azenha.succeed(arguments)?.stdout;
    assert!(said.starts_with("loaded 31,106 records in "), "{said}");
    assert_eq!(loaded(&azenha)?[&0].len(), 31_106);
    Ok(())
}

#[test]
fn a_host_that_runs_is_fed_over_its_api_and_the_command_says_so() -> Result<()> {
    let azenha = Azenha::new()?;
    let pipeline: PathBuf = azenha.write("kept/pipeline.yaml", KEPT)?;
    let mut host = azenha.start(&[&pipeline], &[])?;
    let data = azenha.data().display().to_string();
    let locked = azenha.run(["load", "--topic", TOPIC, "--records", "1", "--data", &data])?;
    assert_eq!(locked.status.code(), Some(2), "{}", locked.text());
    assert!(locked.stderr.contains("POST /topics/click_events/records"), "{}", locked.stderr);

    let server = format!("http://{}", host.address);
    let said = azenha.succeed(["load", "--topic", TOPIC, "--records", "5000", "--server", &server])?.stdout;
    assert!(said.starts_with("loaded 5,000 records in "), "{said}");
    host.wait_until("the records are processed", |host| {
        let metrics = get(&host.address, "/metrics")?.body;
        let folded = metrics
            .lines()
            .filter(|line| line.starts_with("azenha_records_total{") && line.contains("step=\"counts.fold\""));
        let records: f64 = folded.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        Ok(records >= 5_000.0)
    })?;

    let unknown = azenha.run(["load", "--topic", "clicks", "--records", "1", "--server", &server])?;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(unknown.stderr.contains("404") && unknown.stderr.contains(TOPIC), "{}", unknown.stderr);
    Ok(())
}

#[test]
fn a_load_that_is_stopped_says_what_it_sent_and_that_is_what_is_there() -> Result<()> {
    let azenha = Azenha::empty()?;
    let data = azenha.data().display().to_string();
    let arguments = ["load", "--topic", TOPIC, "--partitions", "2", "--rate", "2000/s", "--data", &data];
    let loading = azenha.command(arguments)?.stdout(Stdio::piped()).spawn()?;
    while !loaded(&azenha).is_ok_and(|records| !records.is_empty()) {
        sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-TERM", &loading.id().to_string()]).status()?;
    let ended = loading.wait_with_output()?;
    assert!(ended.status.success(), "{}", ended.status);
    let records: usize = loaded(&azenha)?.values().map(Vec::len).sum();
    let said = String::from_utf8(ended.stdout)?.replace(',', "");
    assert!(said.starts_with(&format!("loaded {records} records in ")), "{records}: {said}");
    Ok(())
}

#[test]
fn prometheus_is_told_what_was_sent_so_far() -> Result<()> {
    let azenha = Azenha::empty()?;
    let (data, address) = (azenha.data().display().to_string(), free_address()?);
    let arguments = ["--partitions", "2", "--rate", "2000", "--data", &data, "--metrics", &address];
    let mut loading = azenha.spawn(["load", "--topic", TOPIC].iter().chain(&arguments))?;
    let value = |metric: &str| {
        let metrics = get(&address, "/metrics").ok()?.body;
        let line = metrics.lines().find(|line| line.starts_with(&format!("{metric}{{topic=\"{TOPIC}\"}}")))?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    loading.wait_until("records are counted", |_| Ok(value("azenha_load_records_total") >= Some(4_000.0)))?;
    let (records, bytes) = (value("azenha_load_records_total"), value("azenha_load_bytes_total"));
    assert!(bytes > records.map(|records| 50.0 * records), "{records:?} records of {bytes:?} bytes");
    assert_eq!((value("azenha_load_errors_total"), value("azenha_load_target_rate")), (Some(0.0), Some(2_000.0)));
    assert!(value("azenha_load_append_seconds_count") > Some(0.0));
    assert!(loading.terminate()?.0.success());
    let there = loaded(&azenha)?.values().map(Vec::len).sum::<usize>();
    assert!(Some(there as f64) >= records, "{there} records are there, {records:?} were counted");
    Ok(())
}

#[test]
fn what_cannot_be_loaded_is_refused_with_what_can() -> Result<()> {
    let azenha = Azenha::empty()?;
    let data = azenha.data().display().to_string();
    for (arguments, help) in [
        ("--topic nowhere --records 1", "--partitions"),
        ("--topic azenha.feeds --records 1 --partitions 1", "source"),
        ("--topic clickstream.dead_letters --records 1 --partitions 1", "source"),
        ("--topic clicks --partitions 1 --file no.such.file", "no.such.file"),
        ("--topic clicks --partitions 1 --key campaign", "campaignId"),
        ("--topic clicks --server nowhere", "http://"),
    ] {
        let arguments = ["load", "--data", &data].into_iter().chain(arguments.split_whitespace());
        let refused = azenha.run(arguments)?;
        assert_eq!(refused.status.code(), Some(2), "{}", refused.text());
        assert!(refused.stderr.contains(help), "{}", refused.stderr);
    }
    Ok(())
}

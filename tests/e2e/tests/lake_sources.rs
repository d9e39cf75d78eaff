//! Rows and lines of objects are records like others: a bad one is a dead letter of its own, and windows go by their times.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use azenha_e2e::{Azenha, Click, shuffled, write_ndjson};
use fastrand::Rng;
use serde_json::{Value, json};

const LINES: &str = "
name: lines
sources:
  events: { topic: events, format: bytes }
  read: { topic: kept_objects, objects: lake, format: json, schema: { id: int64 } }
sinks:
  kept: { from: events, connection: lake, objects: kept, format: lines, announce: kept_objects }
  good: { from: read, topic: good }
";

/// The dead letters of objects that hold these lines, in the order of the lines.
fn letters(lines: &[String]) -> Result<(Azenha, Vec<Value>)> {
    let azenha = Azenha::empty()?;
    let pipeline = azenha.write("lines/pipeline.yaml", LINES)?;
    let file = azenha.path("events.ndjson");
    write_ndjson(&file, lines.iter().cloned())?;
    azenha.run_once(&pipeline, &[("events", &file)], &[])?;
    let mut letters = azenha.dead_letters("lines")?;
    letters.sort_by_key(|letter| letter["line"].as_u64());
    Ok((azenha, letters))
}

#[test]
fn each_bad_line_is_a_letter_that_says_where_it_stands_and_what_it_was() -> Result<()> {
    let lines: Vec<String> = (1..=9).map(|id| if id % 4 == 0 { format!("{{\"id\":\"{id}") } else { row(id) }).collect();
    let (azenha, letters) = letters(&lines)?;
    let told: Vec<Value> = letters
        .iter()
        .map(|letter| json!([letter["object"], letter["line"], letter["record"]["value"]["text"], letter["offset"]]))
        .collect();
    let object = azenha.topic("kept_objects")?.first().context("no object")?["value"]["path"].clone();
    assert_eq!(told, [json!([object, 4, "{\"id\":\"4", 0]), json!([object, 8, "{\"id\":\"8", 0])]);
    assert_eq!(azenha.topic("good")?.len(), 7);
    Ok(())
}

fn row(id: i64) -> String {
    json!({ "id": id }).to_string()
}

#[test]
fn of_many_large_bad_lines_the_first_are_kept_and_all_are_counted() -> Result<()> {
    let large = |id: i64| json!({ "id": format!("{id}{}", "x".repeat(700_000)) }).to_string();
    let (_, letters) = letters(&(1..=12).map(large).collect::<Vec<_>>())?;
    let kept: Vec<(u64, bool)> =
        letters.iter().filter_map(|letter| Some((letter["line"].as_u64()?, letter.get("record").is_some()))).collect();
    assert_eq!(kept, (1..=12).map(|line| (line, line <= 6)).collect::<Vec<_>>());
    Ok(())
}

const TIMED: &str = "
name: timed
sources:
  clicks:
    topic: clicks
    schema: { campaignId: text, timestamp: timestamp(ms) }
    event_time: { field: timestamp, lateness: 10s }
  kept_clicks:
    topic: kept_objects
    objects: lake
    format: parquet
    schema: { campaignId: text, timestamp: timestamp(us) }
    event_time: { field: timestamp, lateness: 10s }
steps:
  straight: { aggregate: click-count, from: clicks, by: [campaignId], window: { tumbling: 1m } }
  detour: { aggregate: click-count, from: kept_clicks, by: [campaignId], window: { tumbling: 1m } }
sinks:
  kept: { from: clicks, connection: lake, objects: kept, roll: { rows: 1000 }, announce: kept_objects }
  straight_counts: { from: straight, topic: straight_counts, key: [campaignId, start_time] }
  detour_counts: { from: detour, topic: detour_counts, key: [campaignId, start_time] }
";

/// The last count of each window in a topic.
fn counts(azenha: &Azenha, topic: &str) -> Result<BTreeMap<String, i64>> {
    let counts = azenha.topic(topic)?;
    let count = |record: &Value| Some((record["key"].to_string(), record["value"]["click_count"].as_i64()?));
    Ok(counts.iter().filter_map(count).collect())
}

#[test]
fn windows_over_the_rows_of_files_count_what_windows_over_the_records_do() -> Result<()> {
    let mut random = Rng::with_seed(5);
    let click =
        |number: i64| Click { campaign: format!("c{}", number % 7), timestamp: 1_700_000_000_000 + number * 40 };
    // More disorder than the lateness allows for: some come too late.
    let clicks = shuffled(&(0..20_000).map(click).collect::<Vec<_>>(), 30_000, &mut random);
    let azenha = Azenha::new()?;
    let pipeline = azenha.write("timed/pipeline.yaml", TIMED)?;
    let file = azenha.path("clicks.ndjson");
    write_ndjson(&file, clicks.iter().map(Click::json))?;
    azenha.run_once(&pipeline, &[("clicks", &file)], &[])?;

    let (straight, detour) = (counts(&azenha, "straight_counts")?, counts(&azenha, "detour_counts")?);
    assert!(straight.len() > 50, "{} windows", straight.len());
    assert_eq!(straight, detour);
    let letters = azenha.dead_letters("timed")?;
    let late = |step: &str| letters.iter().filter(|letter| letter["step"] == step).count();
    assert!(late("straight") > 0 && late("straight") == late("detour"), "{} and {}", late("straight"), late("detour"));
    Ok(())
}

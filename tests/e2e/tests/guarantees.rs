//! What cannot be done exactly once is refused, and says so: never done halfway, never in silence.

use std::path::{Path, PathBuf};

use anyhow::Result;
use azenha_e2e::{Azenha, Click, write_ndjson};

const COUNTED: &str = r"
name: counted
sources:
  clicks: { topic: clicks_in, format: json, schema: { campaignId: text, platform: text, timestamp: timestamp(ms) } }
steps:
  counts: { aggregate: click-count, from: clicks, by: [campaignId] }
sinks:
  warehouse: { from: counts, connection: warehouse, table: counts, key: [campaignId] }
";

/// A host that has counted clicks of so many campaigns.
fn counted(campaigns: usize) -> Result<(Azenha, PathBuf)> {
    let azenha = Azenha::new()?;
    let file = azenha.path("clicks.ndjson");
    let click = |number| Click { campaign: format!("campaign_{number}"), timestamp: 1_700_000_000_000 }.json();
    write_ndjson(&file, (0..campaigns).map(click))?;
    let pipeline = azenha.write("counted/pipeline.yaml", COUNTED)?;
    azenha.run_once(&pipeline, &[("clicks", &file)], &["--strict"])?;
    Ok((azenha, pipeline))
}

/// Runs what must be refused; gives what it says.
fn refused(azenha: &Azenha, pipeline: &Path, words: &[&str]) -> Result<()> {
    let finished = azenha.run(azenha.run_arguments(pipeline, &[], &["--once"]))?;
    assert_eq!(finished.status.code(), Some(1), "{}", finished.text());
    for word in words {
        assert!(finished.text().contains(word), "`{word}` is not in: {}", finished.text());
    }
    Ok(())
}

#[test]
fn a_sink_that_comes_too_late_for_purged_results_is_refused() -> Result<()> {
    let (azenha, pipeline) = counted(2_000)?;
    let second = "  second: { from: counts, connection: second, table: counts, key: [campaignId] }\n";
    azenha.write("counted/pipeline.yaml", &format!("{COUNTED}{second}"))?;
    refused(&azenha, &pipeline, &["second", "deleted"])
}

#[test]
fn a_state_is_not_read_back_under_another_definition() -> Result<()> {
    let (azenha, pipeline) = counted(10)?;
    let other = COUNTED.replace("[campaignId]", "[platform]").replace("table: counts", "table: by_platform");
    azenha.write("counted/pipeline.yaml", &other)?;
    refused(&azenha, &pipeline, &["counts", "definition", "campaignId", "platform"])
}

#[test]
fn a_sink_that_stands_behind_the_end_of_its_topic_fails_the_run() -> Result<()> {
    let (azenha, pipeline) = counted(500)?;
    for name in ["log.db", "log.db-wal", "log.db-shm"] {
        let path = azenha.data().join(name);
        if path.exists() {
            std::fs::remove_file(path)?;
        }
    }
    refused(&azenha, &pipeline, &["warehouse", "offset 500"])?;
    // Also once the new topic is longer than the old one was.
    let file = azenha.path("more.ndjson");
    let click = |number| Click { campaign: format!("later_{number}"), timestamp: 1_700_000_000_000 }.json();
    write_ndjson(&file, (0..2_000).map(click))?;
    for _ in 0..2 {
        let finished = azenha.run(azenha.run_arguments(&pipeline, &[("clicks", &file)], &["--once"]))?;
        assert_eq!(finished.status.code(), Some(1), "{}", finished.text());
    }
    Ok(())
}

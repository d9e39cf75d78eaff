//! The clickstream, from a file of real clicks to a table: the counts are those of a recount in plain SQL.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use azenha_e2e::{Azenha, Counts, Database, LAYERS, Lake, recount, repository, text_of};

const WINDOW: i64 = 120_000;
const TABLE: &str = "SELECT campaign_id, start_time, click_count FROM click_counts";

fn pipeline() -> PathBuf {
    repository().join("pipelines/clickstream")
}

fn sample() -> PathBuf {
    pipeline().join("sample/clicks.ndjson.gz")
}

async fn table(azenha: &Azenha) -> Result<Counts> {
    Database::open(&azenha.data().join("warehouse.db")).await?.counts(TABLE).await
}

/// The last value of each key in the output topic.
fn last_values(azenha: &Azenha) -> Result<Counts> {
    let mut counts = Counts::new();
    for record in azenha.topic("click_counts_table_output")? {
        let (key, value) = (&record["key"], &record["value"]);
        ensure!(key["campaignId"] == value["campaignId"] && key["start_time"] == value["start_time"], "{record}");
        let name = value["campaignId"].as_str().unwrap_or_default().to_owned();
        let (start, end) = (value["start_time"].as_i64().unwrap_or(0), value["end_time"].as_i64().unwrap_or(0));
        ensure!(end - start == WINDOW, "{record}");
        counts.insert((name, start.to_string()), value["click_count"].as_i64().unwrap_or(-1));
    }
    Ok(counts)
}

#[tokio::test(flavor = "multi_thread")]
async fn real_clicks_are_counted_as_sql_counts_them_and_a_second_run_changes_nothing() -> Result<()> {
    let azenha = Azenha::new()?;
    let clicks = text_of(&sample())?;
    let expected = recount(clicks.lines(), WINDOW).await?;
    assert!(expected.len() > 10_000, "the sample fills {} windows", expected.len());

    azenha.run_once(&pipeline(), &[("clicks", &sample())], &[])?;
    assert_eq!(table(&azenha).await?, expected);
    let topic = last_values(&azenha)?;
    assert_eq!(topic.len(), expected.len());
    assert_eq!(topic.values().sum::<i64>(), clicks.lines().count() as i64);

    let written = azenha.topic("click_counts_table_output")?.len();
    azenha.run_once(&pipeline(), &[("clicks", &sample())], &["--strict"])?;
    assert_eq!(table(&azenha).await?, expected);
    assert_eq!(azenha.topic("click_counts_table_output")?.len(), written);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_holds_timestamps_and_only_the_columns_that_the_pipeline_names() -> Result<()> {
    let azenha = Azenha::new()?;
    azenha.run_once(&pipeline(), &[("clicks", &sample())], &[])?;
    let mut database = Database::open(&azenha.data().join("warehouse.db")).await?;
    let columns = database.counts("SELECT name, type, pk > 0 FROM pragma_table_info('click_counts')").await?;
    let names: Vec<(&str, &str, i64)> =
        columns.iter().map(|((name, kind), key)| (name.as_str(), kind.as_str(), *key)).collect();
    assert_eq!(
        names,
        [
            ("campaign_id", "TEXT", 1),
            ("click_count", "BIGINT", 0),
            ("end_time", "TIMESTAMP", 0),
            ("start_time", "TIMESTAMP", 1)
        ]
    );
    let odd = database
        .number("SELECT count(*) FROM click_counts WHERE julianday(end_time) - julianday(start_time) NOT BETWEEN 0.00138 AND 0.0014")
        .await;
    assert_eq!(odd, Some(0), "windows of two minutes, as SQLite reads them");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_the_result_and_may_be_run_twice() -> Result<()> {
    let azenha = Azenha::new()?;
    let pipelines = azenha.path("pipelines");
    std::os::unix::fs::symlink(repository().canonicalize()?.join("pipelines"), &pipelines)?;
    let data = azenha.data().display().to_string();
    for _ in 0..2 {
        let shown = azenha.succeed(["demo", "--once", "--data", &data])?;
        assert!(shown.stdout.contains("click_count") && shown.stdout.contains("paid_search"), "{}", shown.text());
        assert!(shown.stdout.contains("published: the new tables are in place"), "{}", shown.text());
        let mut commerce = Database::open(&azenha.data().join("commerce.db")).await?;
        assert_eq!(commerce.number("SELECT COUNT(*) FROM orders").await, Some(278));
        let mut warehouse = Database::open(&azenha.data().join("warehouse.db")).await?;
        let (facts, lines) = ("SELECT COUNT(*) FROM fact_order_line", "SELECT COUNT(*) FROM stg_order_lines");
        let facts = warehouse.number(facts).await;
        assert!(facts > Some(800) && facts <= warehouse.number(lines).await, "{facts:?} facts");
        let lake = Lake::embedded(&azenha)?;
        for layer in LAYERS {
            assert!(!lake.paths(&format!("{layer}/pedidos"))?.is_empty(), "nothing stands in {layer}");
        }
    }
    Ok(())
}

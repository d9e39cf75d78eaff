//! A plugin that does not merge sees the rows of a group in their order, wherever they were read.

use std::collections::BTreeMap;

use anyhow::Result;
use azenha_e2e::{Azenha, Database, repository, text_of};

const JOURNEYS: &str = r"
name: journeys
sources:
  clicks:
    topic: journey_clicks
    partitions: 4
    partitioned_by: [userId]
    schema: { userId: text, sessionId: text, event: text, timestamp: timestamp(ms) }
steps:
  journeys: { aggregate: click-journey, from: clicks, by: [sessionId] }
sinks:
  warehouse: { from: journeys, connection: warehouse, table: journeys, key: [sessionId] }
";

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_group_cross_the_exchange_in_order_also_over_a_restart() -> Result<()> {
    let azenha = Azenha::new()?;
    let pipeline = azenha.write("journeys/pipeline.yaml", JOURNEYS)?;
    let text = text_of(&repository().join("pipelines/clickstream/sample/clicks.ndjson.gz"))?;
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines() {
        let click: serde_json::Value = serde_json::from_str(line)?;
        let (session, event) = (click["sessionId"].as_str().unwrap_or(""), click["event"].as_str().unwrap_or(""));
        let journey = expected.entry(session.to_owned()).or_default();
        if !journey.is_empty() {
            journey.push('>');
        }
        journey.push_str(event);
    }
    // The file grows between two runs: journeys that had begun go on.
    let half = text.len() / 2 + text[text.len() / 2..].find('\n').unwrap_or(0) + 1;
    let file = azenha.path("clicks.ndjson");
    for part in [&text[..half], &text] {
        std::fs::write(&file, part)?;
        azenha.run_once(&pipeline, &[("clicks", &file)], &["--strict"])?;
    }
    let mut database = Database::open(&azenha.data().join("warehouse.db")).await?;
    let table = database.counts("SELECT sessionId, journey, steps FROM journeys").await?;
    let journeys: BTreeMap<String, String> = table.into_keys().collect();
    assert_eq!(journeys, expected);
    Ok(())
}

//! Files of whole records, with keys and tombstones.

use std::path::PathBuf;

use anyhow::Result;
use azenha_e2e::{Azenha, write_ndjson};
use serde_json::{Value, json};

const COPIED: &str = r"
name: copied
sources:
  rows: { topic: rows_in, partitions: 3, schema: { id: int64 } }
sinks:
  copies: { from: rows, topic: rows_out }
";

struct Fed {
    azenha: Azenha,
    pipeline: PathBuf,
    file: PathBuf,
}

impl Fed {
    fn new(lines: &[Value]) -> Result<Self> {
        let azenha = Azenha::empty()?;
        let pipeline = azenha.write("copied/pipeline.yaml", COPIED)?;
        let file = azenha.path("rows.records.ndjson");
        write_ndjson(&file, lines.iter().map(Value::to_string))?;
        Ok(Self { azenha, pipeline, file })
    }

    fn arguments(&self) -> Vec<String> {
        self.azenha.run_arguments(&self.pipeline, &[("rows", &self.file)], &["--once"])
    }

    /// Key and value of what is in the topic, by partition and offset.
    fn records(&self) -> Result<Vec<Value>> {
        let records = self.azenha.topic("rows_in")?;
        Ok(records.iter().map(|record| json!({ "key": record["key"], "value": record["value"] })).collect())
    }
}

fn row(id: i64) -> Value {
    json!({ "key": { "id": id }, "value": { "id": id } })
}

fn tombstone(id: i64) -> Value {
    json!({ "key": { "id": id }, "value": null })
}

fn sorted(mut records: Vec<Value>) -> Vec<Value> {
    records.sort_by_key(Value::to_string);
    records
}

#[test]
fn whole_records_keep_their_keys_and_tombstones_and_what_topic_read_prints_can_be_fed() -> Result<()> {
    let lines: Vec<Value> = (0..20).map(row).chain((0..20).map(tombstone)).collect();
    let fed = Fed::new(&lines)?;
    fed.azenha.succeed(fed.arguments())?;
    assert_eq!(sorted(fed.records()?), sorted(lines));
    for records in fed.azenha.topic("rows_in")?.chunk_by(|left, right| left["partition"] == right["partition"]) {
        let (values, tombstones) = records.split_at(records.len() / 2);
        let key = |record: &Value| record["key"].clone();
        assert!(
            values.iter().map(key).eq(tombstones.iter().map(key)),
            "a tombstone stands behind its row: {records:?}"
        );
    }

    let printed = fed.azenha.topic("rows_in")?;
    let again = Fed::new(&printed)?;
    again.azenha.succeed(again.arguments())?;
    assert_eq!(sorted(again.records()?), sorted(fed.records()?));
    Ok(())
}

#[test]
fn a_line_that_is_no_record_is_named_and_what_stood_before_it_is_fed_once() -> Result<()> {
    let fed = Fed::new(&[row(1), row(2), json!({ "id": 3 })])?;
    for _ in 0..2 {
        let finished = fed.azenha.run(fed.arguments())?;
        assert!(!finished.status.success());
        let place = format!("the line at byte {}", 2 * (row(1).to_string().len() + 1));
        assert!(
            finished.stderr.contains(&place) && finished.stderr.contains("rows.records.ndjson"),
            "{}",
            finished.text()
        );
        assert_eq!(fed.records()?.len(), 2);
    }
    Ok(())
}

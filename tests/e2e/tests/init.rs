//! `azenha init`: what a pipeline needs is made, and what is there stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use azenha_e2e::orders::Shop;
use azenha_e2e::{
    Azenha, BucketLake, Click, Database, Finished, LAYERS, OwnConnect, OwnDatabase, OwnKafka, repository, write_ndjson,
};
use serde_json::Value;

const COUNTED: &str = r"
name: counted
sources:
  clicks: { topic: clicks_in, partitions: 3, format: json, schema: { campaignId: text, timestamp: timestamp(ms) } }
steps:
  counts: { aggregate: click-count, from: clicks, by: [campaignId] }
sinks:
  warehouse: { from: counts, connection: warehouse, table: counts, key: [campaignId] }
";

struct Site {
    azenha: Azenha,
    pipeline: PathBuf,
}

impl Site {
    fn new() -> Result<Self> {
        let azenha = Azenha::new()?;
        let pipeline = azenha.write("counted/pipeline.yaml", COUNTED)?;
        Ok(Self { azenha, pipeline })
    }

    fn init(&self, more: &[&str]) -> Result<Finished> {
        let (pipeline, data) = (self.pipeline.display().to_string(), self.azenha.data().display().to_string());
        self.azenha.run([&["init", &pipeline, "--data", &data], more].concat())
    }

    fn succeed(&self, more: &[&str]) -> Result<String> {
        let done = self.init(more)?;
        ensure!(done.status.success(), "{}", done.text());
        Ok(done.stdout)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pipeline_needs_is_made_once() -> Result<()> {
    let site = Site::new()?;
    let first = site.succeed(&[])?;
    assert!(first.contains("topic `clicks_in`, 3 partitions: made"), "{first}");
    assert!(first.contains("table `counts` of `warehouse`: ready"), "{first}");
    let file = site.azenha.path("clicks.ndjson");
    let click = |number: i64| Click { campaign: "a".to_owned(), timestamp: 1_700_000_000_000 + number }.json();
    write_ndjson(&file, (0..10).map(click))?;
    site.azenha.run_once(&site.pipeline, &[("clicks", &file)], &["--strict"])?;
    let second = site.succeed(&[])?;
    assert!(second.contains("topic `clicks_in`, 3 partitions: is there"), "{second}");
    assert!(!second.contains("made"), "{second}");
    let mut database = Database::open(&site.azenha.data().join("warehouse.db")).await?;
    assert_eq!(database.number("SELECT click_count FROM counts").await, Some(10));
    Ok(())
}

#[test]
fn a_wrong_file_makes_nothing() -> Result<()> {
    let mut site = Site::new()?;
    site.pipeline = site.azenha.write("counted/pipeline.yaml", &COUNTED.replace("[campaignId] }", "[campaingId] }"))?;
    let refused = site.init(&[])?;
    assert_eq!(refused.status.code(), Some(1), "{}", refused.text());
    assert!(refused.stderr.contains("pipeline.yaml:6:"), "{}", refused.stderr);
    assert!(!site.azenha.data().join("warehouse.db").exists());
    let data = site.azenha.data().display().to_string();
    let topics = site.azenha.succeed(["topic", "list", "--data", &data])?;
    assert!(!topics.stdout.contains("clicks_in"), "{}", topics.stdout);
    Ok(())
}

#[test]
fn a_connect_that_does_not_answer_is_named_by_its_option() -> Result<()> {
    let site = Site::new()?;
    site.azenha.write("counted/connectors/shop.json", r#"{ "name": "shop" }"#)?;
    let refused = site.init(&["--connect", "http://user:hidden@127.0.0.1:1"])?;
    assert_eq!(refused.status.code(), Some(1), "{}", refused.text());
    assert!(refused.stderr.contains("--connect") && !refused.stderr.contains("hidden"), "{}", refused.stderr);
    Ok(())
}

/// A connector as Connect has it.
fn registered(connect: &OwnConnect) -> Result<Value> {
    let answer = Command::new("curl").args(["-sf", &format!("{}/connectors/loja/config", connect.url()?)]).output()?;
    Ok(serde_json::from_slice(&answer.stdout)?)
}

fn remove(connect: &OwnConnect) -> Result<()> {
    let url = format!("{}/connectors/loja", connect.url()?);
    let removed = Command::new("curl").args(["-sf", "-X", "DELETE", &url]).status()?;
    ensure!(removed.success(), "{removed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn connectors_are_made_changed_or_left_as_they_are() -> Result<()> {
    let (Some(kafka), Some(postgres)) = (OwnKafka::start(1)?, OwnDatabase::postgres()?) else { return Ok(()) };
    let shop = Shop::in_postgres(&postgres.url()?).await?;
    let brokers = kafka.brokers()?;
    let connect = OwnConnect::start(&brokers, &shop.connector(), shop.environment(&brokers)?)?;
    let site = Site::new()?;
    for database in ["mariadb", "postgres"] {
        let file = repository().join(format!("pipelines/orders/connectors/{database}.json"));
        site.azenha.write(&format!("counted/connectors/{database}.json"), &fs::read_to_string(file)?)?;
    }
    let url = connect.url()?;
    let ambiguous = site.init(&["--connect", &url])?;
    assert_eq!(ambiguous.status.code(), Some(2), "{}", ambiguous.text());
    assert!(ambiguous.stderr.contains("--connector"), "{}", ambiguous.stderr);

    let chosen = ["--connect", url.as_str(), "--connector", "postgres"];
    let same = site.succeed(&chosen)?;
    assert!(same.contains("connector `loja`: is there"), "{same}");
    remove(&connect)?;
    let made = site.succeed(&chosen)?;
    assert!(made.contains("connector `loja`: made"), "{made}");
    let file = Path::new("counted/connectors/postgres.json");
    let text = fs::read_to_string(site.azenha.path(&file.display().to_string()))?;
    let changed = text.replace(r#""poll.interval.ms": "100""#, r#""poll.interval.ms": "200""#);
    assert_ne!(text, changed);
    site.azenha.write(&file.display().to_string(), &changed)?;
    let done = site.succeed(&chosen)?;
    assert!(done.contains("connector `loja`: changed"), "{done}");
    assert_eq!(registered(&connect)?["poll.interval.ms"], "200");

    site.azenha.write(&file.display().to_string(), r#"{ "name": "loja", "connector.class": "None" }"#)?;
    let refused = site.init(&chosen)?;
    assert_eq!(refused.status.code(), Some(1), "{}", refused.text());
    assert!(refused.stderr.contains("`loja`"), "{}", refused.stderr);
    assert_eq!(registered(&connect)?["poll.interval.ms"], "200");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lake_is_made_once_with_its_buckets_and_its_connector() -> Result<()> {
    let Some(lake) = BucketLake::called("made")? else { return Ok(()) };
    let (Some(kafka), Some(postgres)) = (OwnKafka::start(1)?, OwnDatabase::postgres()?) else { return Ok(()) };
    let shop = Shop::in_postgres(&postgres.url()?).await?;
    let brokers = kafka.brokers()?;
    let connect = OwnConnect::start(&brokers, &shop.connector(), shop.environment(&brokers)?)?;
    remove(&connect)?;
    let azenha = Azenha::new()?;
    let config = format!("log: {{ kafka: {{ brokers: '{brokers}' }} }}\nconnections: {{ {} }}\n", lake.connections());
    let config = azenha.write("host.yaml", &config)?.display().to_string();
    let (pipeline, url) = (repository().join("pipelines/lake").display().to_string(), connect.url()?);
    for (topic, connector) in [("made", "made"), ("is there", "is there")] {
        let done = azenha.succeed(["init", &pipeline, "--config", &config, "--connect", &url])?;
        for told in [
            format!("topic `lake_gold_pedidos`, 1 partitions: {topic}"),
            format!("connector `loja`: {connector}"),
            "objects in `gold`: ready".to_owned(),
        ] {
            assert!(done.stdout.contains(&told), "{told}: {}", done.text());
        }
        for layer in LAYERS {
            assert!(lake.objects(layer)?.is_empty(), "nothing but the bucket is made");
        }
    }
    Ok(())
}

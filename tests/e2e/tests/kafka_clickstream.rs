//! The clickstream, its file unchanged, on real Kafka and real PostgreSQL: the counts are those of a recount in
//! plain SQL, from one host and from three that share the work.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use azenha_e2e::kafka::{Kafka, Record};
use azenha_e2e::{Azenha, Counts, Group, OwnKafka, Postgres, is_there, recount, repository, text_of};

const WINDOW: i64 = 120_000;
const INPUT: &str = "click_events";
const OUTPUT: &str = "click_counts_table_output";
const PARTITIONS: i32 = 4;

fn pipeline() -> PathBuf {
    repository().join("pipelines/clickstream")
}

fn sample() -> PathBuf {
    pipeline().join("sample/clicks.ndjson.gz")
}

/// A cluster and a database of a test's own: the pipeline's file names its topics and its table.
struct Scene {
    kafka: OwnKafka,
    client: Kafka,
    postgres: Postgres,
    clicks: String,
}

impl Scene {
    async fn new(name: &str) -> Result<Option<Self>> {
        if !is_there("AZENHA_TEST_POSTGRES") {
            return Ok(None);
        }
        let Some(kafka) = OwnKafka::start(1)? else { return Ok(None) };
        let name = format!("azenha_kafka_{name}_{}", std::process::id());
        let postgres = Postgres::create(&env::var("AZENHA_TEST_POSTGRES")?, &name).await?;
        let client = Kafka::at(&kafka.brokers()?);
        Ok(Some(Self { kafka, client, postgres, clicks: text_of(&sample())? }))
    }

    fn config(&self) -> Result<String> {
        let (brokers, url) = (self.kafka.brokers()?, self.postgres.url());
        Ok(format!(
            "log: {{ kafka: {{ brokers: '{brokers}', session_timeout_ms: 6000 }} }}\n\
             connections: {{ warehouse: {{ url: '{url}' }} }}\n"
        ))
    }

    /// Compares the table with a recount, and the topic with the table; gives how many records the topic has.
    async fn check(&self) -> Result<usize> {
        let expected = recount(self.clicks.lines(), WINDOW).await?;
        assert!(expected.len() > 10_000, "the sample fills {} windows", expected.len());
        let named = "SELECT campaign_id, to_char(start_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), click_count \
                     FROM click_counts";
        let table: Counts = self.postgres.rows(named).await?.into_iter().collect();
        ensure!(table == expected, "the table has {} windows, not {}, or others", table.len(), expected.len());
        let numbered =
            "SELECT campaign_id, (extract(epoch FROM start_time) * 1000)::bigint, click_count FROM click_counts";
        let records = self.client.read(OUTPUT)?;
        ensure!(last_values(&records)? == self.postgres.rows(numbered).await?.into_iter().collect());
        Ok(records.len())
    }

    /// Whether all clicks are in the table.
    async fn is_done(&self) -> bool {
        let sum = "SELECT sum(click_count)::bigint FROM click_counts";
        self.postgres.number(sum).await.is_some_and(|sum| sum >= self.clicks.lines().count() as i64)
    }
}

/// The last count of each campaign and window.
fn last_values(records: &[Record]) -> Result<BTreeMap<(String, i64), i64>> {
    let mut counts = BTreeMap::new();
    for record in records {
        let value = record.json()?;
        let (start, end) = (value["start_time"].as_i64(), value["end_time"].as_i64());
        let (start, end) = start.zip(end).with_context(|| value.to_string())?;
        ensure!(end - start == WINDOW, "{value}");
        let campaign = value["campaignId"].as_str().with_context(|| value.to_string())?;
        counts.insert((campaign.to_owned(), start), value["click_count"].as_i64().with_context(|| value.to_string())?);
    }
    Ok(counts)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_host_counts_real_clicks_as_sql_does_and_a_second_run_changes_nothing() -> Result<()> {
    let Some(scene) = Scene::new("one").await? else { return Ok(()) };
    let azenha = Azenha::new()?;
    let config = azenha.write("host.yaml", &scene.config()?)?.display().to_string();
    let (partitions, sample) = (PARTITIONS.to_string(), sample().display().to_string());
    let load = ["load", "--topic", INPUT, "--partitions", &partitions, "--key", "campaignId", "--file", &sample];
    azenha.succeed(load.into_iter().chain(["--config", &config]))?;

    let run = azenha.run_arguments(&pipeline(), &[], &["--once", "--strict", "--config", &config]);
    azenha.succeed(&run)?;
    let written = scene.check().await?;
    azenha.succeed(&run)?;
    assert_eq!(scene.check().await?, written);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hosts_share_the_partitions_and_count_as_one_does_and_a_restart_changes_nothing() -> Result<()> {
    let Some(scene) = Scene::new("three").await? else { return Ok(()) };
    let mut group = Group::new(&[&pipeline()], &scene.config()?);
    let outcome = count_on_three(&scene, &mut group).await;
    group.judge("clickstream", outcome)
}

async fn count_on_three(scene: &Scene, group: &mut Group) -> Result<()> {
    scene.client.create_topic(INPUT, PARTITIONS).await?;
    for _ in 0..3 {
        group.add()?;
    }
    group.wait_until_shared("clickstream").await?;
    let all_work = async |group: &Group| Ok(group.running("clickstream").iter().all(|lanes| !lanes.is_empty()));
    group.wait_until("each host of three has something to do", all_work).await?;

    let mut sender = scene.client.producer()?;
    for line in scene.clicks.lines() {
        let click: serde_json::Value = serde_json::from_str(line)?;
        sender.send(INPUT, None, click["campaignId"].as_str().unwrap_or_default(), line)?;
    }
    sender.finish()?;
    group.wait_until("every click is counted", async |_| Ok(scene.is_done().await)).await?;
    group.stop_all()?;
    let written = scene.check().await?;

    for host in 0..3 {
        group.start(host, &[])?;
    }
    group.wait_until_shared("clickstream").await?;
    group.stop_all()?;
    ensure!(scene.check().await? == written, "the restart wrote something");
    Ok(())
}

//! A slow sink slows its own pipeline and nothing else. Runs where AZENHA_TEST_POSTGRES is the URL of a server.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, Running, get};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

const RECORDS: usize = 600_000;

/// What a host may hold at most while it waits, in kilobytes: far less than all the records that wait.
const MEMORY_KB: u64 = 700_000;

fn pipeline(name: &str, connection: &str) -> String {
    format!(
        "name: {name}
sources:
  notes: {{ topic: {name}_notes, partitions: 2, schema: {{ id: int64, text: text }} }}
sinks:
  {name}_kept: {{ from: notes, topic: {name}_kept }}
  {name}_table: {{ from: {name}_kept, connection: {connection}, table: notes_{name}, mode: append }}
"
    )
}

/// Notes of half a kilobyte, one a line.
fn notes() -> String {
    let text = "x".repeat(480);
    (0..RECORDS).fold(String::new(), |mut notes, id| {
        // Writing to a string cannot fail.
        let _ = writeln!(notes, "{{\"id\":{id},\"text\":\"{text}\"}}");
        notes
    })
}

/// The lag of a step over all partitions, as `/metrics` tells it.
fn lag(host: &Running, step: &str) -> Result<u64> {
    let metrics = get(&host.address, "/metrics")?.body;
    let of_step = |line: &&str| line.starts_with("azenha_lag_records{") && line.contains(&format!("step=\"{step}\""));
    let value = |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<u64>().ok());
    Ok(metrics.lines().filter(of_step).filter_map(value).sum())
}

fn memory_kb(host: &Running) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", host.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak of memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

struct Scene {
    azenha: Azenha,
    url: String,
    files: [PathBuf; 2],
    notes: PathBuf,
}

impl Scene {
    async fn new() -> Result<Option<Self>> {
        let Ok(server) = std::env::var("AZENHA_TEST_POSTGRES") else {
            println!("skipped: AZENHA_TEST_POSTGRES is not set");
            return Ok(None);
        };
        let database = format!("azenha_e2e_backpressure_{}", std::process::id());
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {database}"));
        sqlx::raw_sql(create).execute(&mut PgConnection::connect(&server).await?).await?;
        let (base, _) = server.rsplit_once('/').context("the URL names no database")?;
        let url = format!("{base}/{database}");
        let azenha = Azenha::new()?;
        let quick = azenha.path("quick.db").display().to_string();
        let connections =
            format!("connections: {{ slow: {{ url: \"{url}\" }}, quick: {{ url: \"sqlite:{quick}\" }} }}\n");
        azenha.write("host.yaml", &connections)?;
        let files = [
            azenha.write("slow.yaml", &pipeline("slow", "slow"))?,
            azenha.write("quick.yaml", &pipeline("quick", "quick"))?,
        ];
        let notes = azenha.write("notes.ndjson", &notes())?;
        Ok(Some(Self { azenha, url, files, notes }))
    }

    fn start(&self) -> Result<Running> {
        let config = self.azenha.path("host.yaml").display().to_string();
        let input = |source: &str| format!("{source}={}", self.notes.display());
        let (slow, quick) = (input("slow.notes"), input("quick.notes"));
        let more = ["--config", &config, "--input", &slow, "--input", &quick];
        self.azenha.start(&[&self.files[0], &self.files[1]], &more)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_stands_still_holds_up_its_own_pipeline_only_and_memory_stays_bounded() -> Result<()> {
    let Some(scene) = Scene::new().await? else { return Ok(()) };
    let mut blocker = PgConnection::connect(&scene.url).await?;
    sqlx::raw_sql("CREATE TABLE notes_slow (id bigint NOT NULL, text text NOT NULL)").execute(&mut blocker).await?;
    sqlx::raw_sql("BEGIN; LOCK TABLE notes_slow").execute(&mut blocker).await?;

    let mut host = scene.start()?;
    let mut quick = azenha_e2e::Database::open(&scene.azenha.path("quick.db")).await?;
    wait_for(&mut host, &mut quick, RECORDS as i64).await?;
    // What the sink could not take waits in the log, and both places say so.
    host.wait_until("the slow sink lags", |host| Ok(lag(host, "slow_table")? > RECORDS as u64 / 2))?;
    let detail: serde_json::Value = serde_json::from_str(&get(&host.address, "/pipelines/slow")?.body)?;
    let tasks = detail["tasks"].as_array().context("no tasks")?;
    let sink = tasks.iter().find(|task| task["task"] == "slow_table").context("no sink")?;
    let lags = sink["lanes"].as_array().context("no lanes")?.iter().filter_map(|lane| lane["lag"].as_u64());
    assert!(lags.sum::<u64>() > RECORDS as u64 / 2, "{sink}");
    let peak = memory_kb(&host)?;
    ensure!(peak < MEMORY_KB, "{peak} kB while a sink stands still");

    sqlx::raw_sql("COMMIT").execute(&mut blocker).await?;
    host.wait_until("the slow sink catches up", |host| Ok(lag(host, "slow_table")? == 0))?;
    let counted = "SELECT (count(*), count(DISTINCT id))::text FROM notes_slow";
    let counted: String = sqlx::query_scalar(counted).fetch_one(&mut blocker).await?;
    assert_eq!(counted, format!("({RECORDS},{RECORDS})"));
    Ok(())
}

/// Waits until the quick pipeline has written everything.
async fn wait_for(host: &mut Running, table: &mut azenha_e2e::Database, rows: i64) -> Result<()> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(180);
    loop {
        let written = table.number("SELECT count(*) FROM notes_quick").await.unwrap_or(0);
        if written == rows {
            return Ok(());
        }
        if let Some(status) = host.ended()? {
            anyhow::bail!("the host ended with {status}: {}", host.log());
        }
        ensure!(std::time::Instant::now() < deadline, "{written} of {rows} rows beside a sink that stands still");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

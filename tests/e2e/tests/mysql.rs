//! The clickstream into a real MariaDB. Runs where AZENHA_TEST_MARIADB is the URL of one.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, Counts, OwnDatabase, is_there, recount, repository, text_of};
use sqlx::mysql::MySqlConnection;
use sqlx::{Connection, Row};

const TABLE: &str = "SELECT campaign_id, TRIM(TRAILING '.000000' FROM CAST(start_time AS CHAR)), click_count \
                     FROM click_counts";

/// How long a database that crashed may take until it answers again and has all clicks.
const PATIENCE: Duration = Duration::from_secs(120);

/// A host whose warehouse is a database of its own in MariaDB.
struct Scene {
    azenha: Azenha,
    url: String,
    pipeline: PathBuf,
    sample: PathBuf,
}

impl Scene {
    async fn new(server: &str, name: &str) -> Result<Self> {
        let database = format!("azenha_e2e_{name}_{}", std::process::id());
        let mut connection = MySqlConnection::connect(server).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {database}"))).execute(&mut connection).await?;
        let (base, _) = server.rsplit_once('/').context("the URL names no database")?;
        let url = format!("{base}/{database}");
        let azenha = Azenha::new()?;
        azenha.write("host.yaml", &format!("connections: {{ warehouse: {{ url: \"{url}\" }} }}\n"))?;
        let pipeline = repository().join("pipelines/clickstream");
        let sample = pipeline.join("sample/clicks.ndjson.gz");
        Ok(Self { azenha, url, pipeline, sample })
    }

    fn arguments(&self) -> Vec<String> {
        let config = self.azenha.path("host.yaml").display().to_string();
        self.azenha.run_arguments(&self.pipeline, &[("clicks", &self.sample)], &["--once", "--config", &config])
    }

    async fn table(&self) -> Result<Counts> {
        let mut connection = MySqlConnection::connect(&self.url).await?;
        let rows = sqlx::query(TABLE).fetch_all(&mut connection).await?;
        rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?))).collect()
    }

    /// Counted anew in SQLite.
    async fn recount(&self) -> Result<Counts> {
        recount(text_of(&self.sample)?.lines(), 120_000).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_clicks_are_counted_in_mariadb_whatever_kills_the_host() -> Result<()> {
    if !is_there("AZENHA_TEST_MARIADB") {
        return Ok(());
    }
    let scene = Scene::new(&std::env::var("AZENHA_TEST_MARIADB")?, "kill").await?;
    for pause in [150, 300, 450] {
        let mut running = scene.azenha.spawn(scene.arguments())?;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        running.kill()?;
    }
    scene.azenha.succeed(scene.arguments())?;
    assert_eq!(scene.table().await?, scene.recount().await?);
    Ok(())
}

/// In the middle of a commit: the host has advanced its position and waits for the table.
#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_that_crashes_holds_the_clicks_up_and_loses_none() -> Result<()> {
    let Some(server) = OwnDatabase::mariadb()? else { return Ok(()) };
    let scene = Scene::new(&server.url()?, "crash").await?;
    let mut other = MySqlConnection::connect(&scene.url).await?;
    let table = "CREATE TABLE click_counts (
            campaign_id VARCHAR(700) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, start_time DATETIME(6),
            end_time DATETIME(6) NOT NULL, click_count BIGINT NOT NULL, PRIMARY KEY (campaign_id, start_time)
        ) ENGINE=InnoDB;
        LOCK TABLES click_counts WRITE";
    sqlx::raw_sql(table).execute(&mut other).await?;
    // Not with `--once`, which gives up when a store is away for long.
    let clicks = format!("clicks={}", scene.sample.display());
    let config = scene.azenha.path("host.yaml").display().to_string();
    let mut running = scene.azenha.launch(&[&scene.pipeline], &["--input", &clicks, "--config", &config], &[])?;
    let waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'Waiting for table metadata lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut other).await? == 0 {
        ensure!(running.ended()?.is_none(), "{}", running.log());
    }
    server.crash()?;
    let expected = scene.recount().await?;
    let begun = Instant::now();
    while scene.table().await.ok().as_ref() != Some(&expected) {
        ensure!(running.ended()?.is_none() && begun.elapsed() < PATIENCE, "{}", running.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (status, _) = running.terminate()?;
    ensure!(status.success(), "{}", running.log());
    assert_eq!(scene.table().await?, expected);
    Ok(())
}

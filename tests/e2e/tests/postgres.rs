//! The clickstream into a real PostgreSQL. Runs where AZENHA_TEST_POSTGRES is the URL of one.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use azenha_e2e::{Azenha, Counts, recount, repository, text_of};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

const TABLE: &str = "SELECT campaign_id, to_char(start_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), click_count \
                     FROM click_counts";

/// A host whose warehouse is a database of its own in PostgreSQL.
struct Scene {
    azenha: Azenha,
    url: String,
    pipeline: PathBuf,
    sample: PathBuf,
}

impl Scene {
    async fn new(name: &str) -> Result<Option<Self>> {
        let Ok(server) = std::env::var("AZENHA_TEST_POSTGRES") else {
            println!("skipped: AZENHA_TEST_POSTGRES is not set");
            return Ok(None);
        };
        let database = format!("azenha_e2e_{name}_{}", std::process::id());
        let mut connection = PgConnection::connect(&server).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {database}"))).execute(&mut connection).await?;
        let (base, _) = server.rsplit_once('/').context("the URL names no database")?;
        let url = format!("{base}/{database}");
        let azenha = Azenha::new()?;
        azenha.write("host.yaml", &format!("connections: {{ warehouse: {{ url: \"{url}\" }} }}\n"))?;
        let pipeline = repository().join("pipelines/clickstream");
        let sample = pipeline.join("sample/clicks.ndjson.gz");
        Ok(Some(Self { azenha, url, pipeline, sample }))
    }

    fn arguments(&self) -> Vec<String> {
        let config = self.azenha.path("host.yaml").display().to_string();
        self.azenha.run_arguments(&self.pipeline, &[("clicks", &self.sample)], &["--once", "--config", &config])
    }

    async fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.url).await?)
    }

    async fn table(&self) -> Result<Counts> {
        let rows = sqlx::query(TABLE).fetch_all(&mut self.connect().await?).await?;
        rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?))).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_clicks_are_counted_in_postgres_whatever_kills_the_host() -> Result<()> {
    let Some(scene) = Scene::new("kill").await? else { return Ok(()) };
    let clicks = text_of(&scene.sample)?;
    let expected = recount(clicks.lines(), 120_000).await?;
    for pause in [150, 300, 450] {
        let mut running = scene.azenha.spawn(scene.arguments())?;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        running.kill()?;
    }
    scene.azenha.succeed(scene.arguments())?;
    assert_eq!(scene.table().await?, expected);
    let types = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'click_counts' \
                 AND column_name IN ('start_time', 'end_time') AND data_type = 'timestamp with time zone'";
    let count: i64 = sqlx::query_scalar(types).fetch_one(&mut scene.connect().await?).await?;
    assert_eq!(count, 2, "timestamps are timestamps");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_postgres_refuses_is_a_dead_letter_and_the_others_arrive() -> Result<()> {
    let Some(scene) = Scene::new("refused").await? else { return Ok(()) };
    let clicks = text_of(&scene.sample)?;
    let mut expected = recount(clicks.lines(), 120_000).await?;
    let all = expected.len();
    let table = "CREATE TABLE click_counts (campaign_id text NOT NULL, start_time timestamptz NOT NULL, \
                 end_time timestamptz NOT NULL, click_count bigint NOT NULL CHECK (click_count < 4), \
                 PRIMARY KEY (campaign_id, start_time))";
    sqlx::raw_sql(table).execute(&mut scene.connect().await?).await?;
    // A window of four clicks or more may have been written with fewer before: that is not what is tested.
    expected.retain(|_, count| *count < 4);
    assert!(expected.len() < all);
    scene.azenha.succeed(scene.arguments())?;
    let written = scene.table().await?;
    for (key, count) in &expected {
        assert_eq!(written.get(key), Some(count), "{key:?}");
    }
    let dead = scene.azenha.dead_letters("clickstream")?;
    assert!(dead.len() >= all - expected.len(), "{} dead letters", dead.len());
    assert!(dead.iter().all(|letter| letter["cause"] == "refused"), "{}", dead[0]);
    assert!(dead[0]["reason"].as_str().is_some_and(|reason| reason.contains("check")), "{}", dead[0]);
    Ok(())
}

//! The clickstream's dashboard, which asks PostgreSQL, too. Runs where AZENHA_TEST_POSTGRES is the URL of one.

use std::env;
use std::fs;
use std::process::{Command, Stdio};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, free_address, repository};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::queries::{Asked, queries};
use crate::started::{HOSTS, PASSWORD, Started, adapted, eventually, kafka, log_of, start_host, start_prometheus};

/// A database of its own, and a directory with the host's files.
struct Scene {
    azenha: Azenha,
    database: PgConnectOptions,
    warehouse: String,
    topic: String,
    /// Where the host listens.
    address: String,
}

impl Scene {
    async fn new(postgres: &str) -> Result<Self> {
        let name = format!("azenha_dashboards_{}", std::process::id());
        let mut connection = PgConnectOptions::from_str(postgres)?.connect().await?;
        for statement in [format!("CREATE DATABASE {name}"), "DROP ROLE IF EXISTS grafana".to_owned()] {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
        }
        let (base, _) = postgres.rsplit_once('/').context("the URL names no database")?;
        let warehouse = format!("{base}/{name}");
        let (azenha, address) = (Azenha::new()?, free_address()?);
        let database = PgConnectOptions::from_str(&warehouse)?;
        let scene = Self { azenha, database, warehouse, topic: format!("clicks_{name}"), address };
        scene.make_role()?;
        scene.write_files()?;
        Ok(scene)
    }

    /// What the container of PostgreSQL does when it starts for the first time.
    fn make_role(&self) -> Result<()> {
        let database = &self.database;
        let made = Command::new("sh")
            .arg(repository().join("compose/postgres/grafana.sh"))
            .env("PGHOST", database.get_host())
            .env("PGPORT", database.get_port().to_string())
            .env("POSTGRES_USER", database.get_username())
            .env("POSTGRES_DB", database.get_database().context("no database")?)
            .env("GRAFANA_PASSWORD", PASSWORD)
            .output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Ok(())
    }

    /// The files of the host. Without Kafka, one line of its configuration differs. On a broker that other tests use
    /// too, names are the test's own.
    fn write_files(&self) -> Result<()> {
        self.azenha.write("host.yaml", &adapted("host.yaml", &log_of(&self.azenha))?)?;
        let pipeline = fs::read_to_string(repository().join("pipelines/clickstream/pipeline.yaml"))?;
        let pipeline = pipeline.replace("name: clickstream", &format!("name: {}", self.topic));
        let pipeline = pipeline.replace("topic: click_events", &format!("topic: {}", self.topic));
        let pipeline = pipeline.replace("topic: click_counts", &format!("topic: {}_counts", self.topic));
        self.azenha.write("clickstream/pipeline.yaml", &pipeline)?;
        let lines: String = (0..5).map(|_| "{\"event\":\"home\"}\n").collect();
        self.azenha.write("without_campaign.ndjson", &lines)?;
        Ok(())
    }

    /// A command with the environment that compose gives its services.
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.azenha.command(arguments)?;
        command.env("WAREHOUSE", &self.warehouse).env("LISTEN", &self.address);
        command.env("AZENHA_TOKEN", PASSWORD).env("AZENHA_METRICS_TOKEN", format!("metrics_{PASSWORD}"));
        command.envs(kafka().map(|brokers| ("KAFKA", brokers)));
        command.envs(env::var("AZENHA_TEST_REGISTRY").ok().map(|url| ("REGISTRY", url)));
        command.stdout(Stdio::null()).stderr(fs::File::create(self.azenha.path(&format!("{}.log", arguments[0])))?);
        Ok(command)
    }

    /// Where `azenha load` sends records: the log, or the host if it is the host's own.
    fn target(&self) -> [String; 2] {
        match kafka() {
            Some(_) => ["--config".to_owned(), self.azenha.path("host.yaml").display().to_string()],
            None => ["--server".to_owned(), format!("http://{}", self.address)],
        }
    }

    fn load(&self, how: &[&str]) -> Result<Command> {
        let [option, target] = self.target();
        self.command(&[&["load", "--topic", &self.topic, &option, &target], how].concat())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_dashboard_gives_values_that_change_while_clicks_come_in() -> Result<()> {
    let (Ok(postgres), Ok(prometheus)) = (env::var("AZENHA_TEST_POSTGRES"), env::var("AZENHA_TEST_PROMETHEUS")) else {
        println!("skipped: AZENHA_TEST_POSTGRES or AZENHA_TEST_PROMETHEUS is not set");
        return Ok(());
    };
    let scene = Scene::new(&postgres).await?;
    let host = scene.command(&["run", "clickstream", "--config", "host.yaml"])?;
    let _host = start_host(&scene.azenha, host, &scene.address).await?;
    let (_prometheus, prometheus) =
        start_prometheus(&scene.azenha, &prometheus, &[(HOSTS, scene.address.as_str())]).await?;
    let _load = Started(scene.load(&["--rate", "2000"])?.spawn()?);
    let table = "SELECT count(*) FROM pg_tables WHERE tablename = 'click_counts'";
    let mut owner = scene.database.connect().await?;
    eventually("the table is made", async || Ok(sqlx::query_scalar::<_, i64>(table).fetch_one(&mut owner).await? == 1))
        .await?;

    let grafana = scene.database.clone().username("grafana").password(PASSWORD).connect().await?;
    let mut asked = Asked { prometheus, grafana: Some(grafana) };
    let written = asked.write("DELETE FROM click_counts").await;
    assert!(written.is_err(), "Grafana's role only reads");
    let open = queries("clickstream", &[])?;
    assert!(open.len() >= 15, "the dashboard has {} queries", open.len());
    asked
        .until_answered(open, || {
            // Clicks without a campaign are dead letters.
            let refused = scene.load(&["--file", "without_campaign.ndjson"])?.status()?;
            ensure!(refused.success(), "{}", fs::read_to_string(scene.azenha.path("load.log"))?);
            Ok(())
        })
        .await
}

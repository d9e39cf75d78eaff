//! The dashboard of `compose/`, asked of a running system with the configuration files of `compose/`: each of its
//! queries gives values, and they change while clicks come in. Runs where AZENHA_TEST_POSTGRES is the URL of a
//! PostgreSQL and AZENHA_TEST_PROMETHEUS the path of a Prometheus; on Kafka where AZENHA_TEST_KAFKA has its brokers.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, get, repository};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_secs(120);
const PASSWORD: &str = "0123456789abcdef";

/// Metrics of what does not change while nothing fails.
const STEADY: [&str; 3] = ["azenha_build_info", "azenha_lane_state", "azenha_retries_total"];

/// What was started; it ends with the test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

async fn eventually(what: &str, mut check: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !check().await? {
        ensure!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// A file of `compose/` with parts replaced, each of which it must have.
fn adapted(file: &str, replacements: &[(&str, &str)]) -> Result<String> {
    let mut text = fs::read_to_string(repository().join("compose").join(file))?;
    for (from, to) in replacements {
        ensure!(text.contains(from), "{file} has no `{from}`");
        text = text.replace(from, to);
    }
    Ok(text)
}

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
        let log = "log: { kafka: { brokers: \"${KAFKA:-kafka:9092}\" } }";
        let embedded = format!("log: {{ embedded: {} }}", self.azenha.data().display());
        let log = if kafka().is_some() { (log, log) } else { (log, embedded.as_str()) };
        self.azenha.write("host.yaml", &adapted("host.yaml", &[log])?)?;
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

    async fn start_host(&self) -> Result<Started> {
        let mut host = Started(self.command(&["run", "clickstream", "--config", "host.yaml"])?.spawn()?);
        eventually("the host is ready", async || {
            let log = || fs::read_to_string(self.azenha.path("run.log")).unwrap_or_default();
            ensure!(host.0.try_wait()?.is_none(), "the host has ended: {}", log());
            Ok(get(&self.address, "/readyz").is_ok_and(|answer| answer.status == 200))
        })
        .await?;
        Ok(host)
    }

    /// A Prometheus that has scraped the host, quicker than the one of compose.
    async fn start_prometheus(&self, program: &str) -> Result<(Started, String)> {
        let token = self.azenha.write("metrics_token", &format!("metrics_{PASSWORD}"))?.display().to_string();
        let discovered = "dns_sd_configs:\n      - { names: [azenha], type: A, port: 8080, refresh_interval: 5s }";
        let here = format!("static_configs:\n      - {{ targets: [\"{}\"] }}", self.address);
        let replaced = [("/run/secrets/metrics_token", token.as_str()), (discovered, &here), ("5s", "1s")];
        let config = self.azenha.write("prometheus.yml", &adapted("prometheus/prometheus.yml", &replaced)?)?;
        let address = free_address()?;
        let started = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", self.azenha.path("prometheus").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.azenha.path("prometheus.log"))?)
            .spawn()
            .context(program.to_owned())?;
        let started = Started(started);
        eventually("Prometheus has scraped the host", async || {
            let up = get(&address, "/api/v1/query?query=up");
            Ok(up.is_ok_and(|answer| answer.body.contains(",\"1\"]")))
        })
        .await?;
        Ok((started, address))
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

fn kafka() -> Option<String> {
    env::var("AZENHA_TEST_KAFKA").ok()
}

/// A query of the dashboard.
#[derive(Debug)]
struct Query {
    panel: String,
    /// To Prometheus, or else to PostgreSQL.
    metrics: bool,
    /// As it stands in the dashboard.
    text: String,
    /// The first values that it gave.
    first: Option<String>,
}

fn queries() -> Result<Vec<Query>> {
    let file = repository().join("compose/grafana/dashboards/clickstream.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().context("no panels")? {
        for target in panel["targets"].as_array().context("a panel without queries")? {
            let (metrics, text) = match (&target["expr"], &target["rawSql"]) {
                (Value::String(expression), _) => (true, expression.clone()),
                (_, Value::String(sql)) => (false, sql.clone()),
                _ => anyhow::bail!("a query of no kind: {target}"),
            };
            queries.push(Query { panel: panel["title"].to_string(), metrics, text, first: None });
        }
    }
    Ok(queries)
}

/// The systems that are asked.
struct Asked {
    prometheus: String,
    grafana: PgConnection,
}

impl Query {
    /// Whether it gave values, and, unless they are steady, other ones than at first.
    async fn is_answered(&mut self, asked: &mut Asked) -> Result<bool> {
        let answer = if self.metrics { asked.metrics(&self.text)? } else { asked.rows(&self.text).await? };
        let Some(answer) = answer else { return Ok(false) };
        let steady = STEADY.iter().any(|metric| self.text.contains(metric));
        Ok(self.first.get_or_insert_with(|| answer.clone()) != &answer || steady)
    }
}

impl Asked {
    /// The values of an expression now; none without any that is a number.
    fn metrics(&self, expression: &str) -> Result<Option<String>> {
        // What Grafana makes of a scrape each second: four scrapes.
        let expression = expression.replace("$__rate_interval", "4s").replace("$pipeline", ".*");
        ensure!(!expression.contains('$'), "a variable that this test does not know: {expression}");
        let answer = get(&self.prometheus, &format!("/api/v1/query?query={}", encoded(&expression)))?.json()?;
        ensure!(answer["status"] == "success", "{expression}: {answer}");
        let series = answer["data"]["result"].as_array().context("no result")?;
        let values: Vec<&str> = series.iter().filter_map(|one| one["value"][1].as_str()).collect();
        let numbers: Vec<&str> = values.into_iter().filter(|value| *value != "NaN").collect();
        Ok((!numbers.is_empty()).then(|| numbers.join(" ")))
    }

    /// The rows of a query for the last half hour; none without any that has a number.
    async fn rows(&mut self, sql: &str) -> Result<Option<String>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let (before, rest) = sql.split_once("$__timeFilter(").context("a query of all times")?;
        let (column, after) = rest.split_once(')').context("a macro that is not closed")?;
        let range = format!("{column} BETWEEN to_timestamp({}) AND to_timestamp({now})", now - 1_800);
        let sql = format!("SELECT coalesce(json_agg(rows), '[]')::text FROM ({before}{range}{after}) AS rows");
        ensure!(!sql.contains('$'), "a variable that this test does not know: {sql}");
        let rows: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.grafana).await?;
        let parsed: Vec<Value> = serde_json::from_str(&rows)?;
        let has_number = |row: &Value| row.as_object().is_some_and(|row| row.values().any(Value::is_number));
        Ok(parsed.iter().any(has_number).then_some(rows))
    }
}

/// A text as part of a URL's query.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_dashboard_gives_values_that_change_while_clicks_come_in() -> Result<()> {
    let (Ok(postgres), Ok(prometheus)) = (env::var("AZENHA_TEST_POSTGRES"), env::var("AZENHA_TEST_PROMETHEUS")) else {
        println!("skipped: AZENHA_TEST_POSTGRES or AZENHA_TEST_PROMETHEUS is not set");
        return Ok(());
    };
    let scene = Scene::new(&postgres).await?;
    let _host = scene.start_host().await?;
    let (_prometheus, prometheus) = scene.start_prometheus(&prometheus).await?;
    let _load = Started(scene.load(&["--rate", "2000"])?.spawn()?);
    let table = "SELECT count(*) FROM pg_tables WHERE tablename = 'click_counts'";
    let mut owner = scene.database.connect().await?;
    eventually("the table is made", async || Ok(sqlx::query_scalar::<_, i64>(table).fetch_one(&mut owner).await? == 1))
        .await?;

    let grafana = scene.database.clone().username("grafana").password(PASSWORD).connect().await?;
    let (mut asked, mut open) = (Asked { prometheus, grafana }, queries()?);
    let written = sqlx::raw_sql("DELETE FROM click_counts").execute(&mut asked.grafana).await;
    assert!(written.is_err(), "Grafana's role only reads");
    assert!(open.len() >= 15, "the dashboard has {} queries", open.len());
    let start = Instant::now();
    while !open.is_empty() {
        ensure!(start.elapsed() < PATIENCE, "no values, or always the same: {open:#?}");
        // Clicks without a campaign are dead letters.
        let refused = scene.load(&["--file", "without_campaign.ndjson"])?.status()?;
        ensure!(refused.success(), "{}", fs::read_to_string(scene.azenha.path("load.log"))?);
        let mut still = Vec::new();
        for mut query in open {
            if !query.is_answered(&mut asked).await.with_context(|| query.panel.clone())? {
                still.push(query);
            }
        }
        open = still;
    }
    Ok(())
}

//! Events a second into a database and a search engine at once, the words of their texts indexed in both. Beside it, in the
//! same run, bare clients that send the same rows, made before, into tables and indexes of the same kind: `INSERT`s of many
//! rows, `LOAD DATA LOCAL`, bulk requests, as many connections as the host has lanes. Prints; fails only if rows are missing.
//!
//! `cargo bench --profile release --workspace --bench stores -- 20000` takes another number of events. The servers are those
//! of AZENHA_TEST_MARIADB, which may be a MySQL, and AZENHA_TEST_OPENSEARCH, which may be an Elasticsearch.

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use azenha_bench::{CustomerLoad, cpu_seconds};
use azenha_connect::embedded::{EmbeddedLog, EmbeddedOptions};
use azenha_connect::open_store;
use azenha_engine::clock::SystemClock;
use azenha_engine::edition::Edition;
use azenha_engine::log::{Append, Log};
use azenha_engine::store::Store;
use azenha_engine::{Engine, EngineOptions, Program};
use azenha_model::Records;
use azenha_model::config::HostConfig;
use azenha_model::plan::{End, Plan};
use azenha_sandbox::{Limits, Sandbox};
use azenha_server::program::{Loaded, Loader, PipelineText};
use futures::future::{try_join, try_join_all};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};
use tokio::task::spawn_blocking;

/// Events of a run, if the command line does not say.
const EVENTS: usize = 100_000;
/// Partitions of the topic, and connections of a bare client.
const LANES: usize = 2;
/// Batches that are appended at once.
const GROUP: usize = 32;

/// The sinks of the pipeline, which are also its connections.
const DATABASE: &str = "database";
const ENGINE: &str = "engine";

#[tokio::main]
async fn main() -> Result<()> {
    let servers = ["AZENHA_TEST_MARIADB", "AZENHA_TEST_OPENSEARCH"].map(env::var);
    let [Ok(database), Ok(engine)] = servers else {
        println!("skipped: AZENHA_TEST_MARIADB and AZENHA_TEST_OPENSEARCH name no servers");
        return Ok(());
    };
    // It is an error if there is a provider already, and as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let events = env::args().find_map(|argument| argument.parse().ok()).unwrap_or(EVENTS);
    let bench = Bench { database, engine, client: reqwest::Client::new(), load: CustomerLoad::new(events)? };
    println!("{} events, {LANES} lanes or connections\n", bench.load.len());
    println!("{:<44} {:>9} {:>9} {:>6}", "", "events/s", "/CPU s", "ratio");
    let inserts = bench.bare("bare INSERTs", &[DATABASE], Bare::Inserts).await?;
    let loaded = bench.bare("bare LOAD DATA LOCAL", &[DATABASE], Bare::Files).await?;
    let bulks = bench.bare("bare bulk requests", &[ENGINE], Bare::Inserts).await?;
    let both = bench.bare("bare INSERTs and bulk requests at once", &[DATABASE, ENGINE], Bare::Inserts).await?;
    bench.host("host -> database", &[DATABASE], inserts.min(loaded)).await?;
    bench.host("host -> engine", &[ENGINE], bulks).await?;
    bench.host("host -> database and engine", &[DATABASE, ENGINE], both).await
}

/// How a bare client writes to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bare {
    Inserts,
    Files,
}

/// The servers, and what is written.
struct Bench {
    database: String,
    engine: String,
    client: reqwest::Client,
    load: CustomerLoad,
}

impl Bench {
    /// Sends all events to some stores as plainly as they allow; how long it took.
    async fn bare(&self, what: &str, stores: &[&str], how: Bare) -> Result<Duration> {
        let plan = self.prepared(stores).await?;
        let directory = tempfile::tempdir()?;
        let table = name(&plan, DATABASE).unwrap_or_default();
        let (inserts, files) = match (stores.contains(&DATABASE), how) {
            (false, _) => (Vec::new(), Vec::new()),
            (true, Bare::Inserts) => (self.load.inserts(table, LANES), Vec::new()),
            (true, Bare::Files) => (Vec::new(), write_files(directory.path(), self.load.files(LANES))?),
        };
        let bulks = match stores.contains(&ENGINE) {
            true => self.load.bulks(name(&plan, ENGINE)?, LANES),
            false => Vec::new(),
        };
        let (started, cpu) = (Instant::now(), cpu_seconds()?);
        let loads = files.iter().map(|file| self.load_file(file, table));
        let database = try_join(try_join_all(inserts.iter().map(|share| self.insert(share))), try_join_all(loads));
        try_join(database, try_join_all(bulks.into_iter().map(|share| self.send(share)))).await?;
        let taken = started.elapsed();
        self.report(what, taken, cpu_seconds()? - cpu, None);
        self.check_and_drop(&plan).await?;
        Ok(taken)
    }

    /// Has a host write all events to some stores, until everything is committed.
    async fn host(&self, what: &str, stores: &[&str], bare: Duration) -> Result<()> {
        let plan = self.prepared(stores).await?;
        let directory = tempfile::tempdir()?;
        let log = Arc::new(EmbeddedLog::open(directory.path(), EmbeddedOptions::default()).await?);
        self.append(log.as_ref(), &plan).await?;
        let engine = Engine::start(log.clone(), Arc::new(SystemClock::start()), EngineOptions::default())?;
        let program = Program {
            plan: plan.clone(),
            plugins: HashMap::new(),
            stores: self.stores(stores)?,
            objects: HashMap::new(),
            registries: HashMap::new(),
            generation: 0,
            edition: Edition::default(),
        };
        let (started, cpu) = (Instant::now(), cpu_seconds()?);
        let pipeline = engine.run(program).await?;
        pipeline.drain().await?;
        let taken = started.elapsed();
        self.report(what, taken, cpu_seconds()? - cpu, Some(bare));
        pipeline.stop().await;
        self.check_and_drop(&plan).await?;
        Ok(log.close().await?)
    }

    fn report(&self, what: &str, taken: Duration, cpu: f64, bare: Option<Duration>) {
        let events = self.load.len() as f64;
        let ratio = bare.map_or(String::new(), |bare| format!("{:.2}", bare.as_secs_f64() / taken.as_secs_f64()));
        println!("{what:<44} {:>9.0} {:>9.0} {ratio:>6}", events / taken.as_secs_f64(), events / cpu.max(0.01));
    }

    fn stores(&self, stores: &[&str]) -> Result<HashMap<String, Arc<dyn Store>>> {
        let url = |store: &str| if store == DATABASE { &self.database } else { &self.engine };
        stores.iter().map(|store| Ok(((*store).to_owned(), open_store(store, url(store))?))).collect()
    }

    /// A plan that writes to some stores, under a name of its own, and empty tables and indexes for it.
    async fn prepared(&self, stores: &[&str]) -> Result<Plan> {
        let since = std::time::UNIX_EPOCH.elapsed()?.as_millis();
        let plan = plan(stores, &format!("stores_{since}"))?;
        let opened = self.stores(stores)?;
        for task in &plan.tasks {
            let End::Store(output) = &task.end else { continue };
            opened.get(&output.connection).context("a store that is not measured")?.prepare(output).await?;
        }
        Ok(plan)
    }

    async fn append(&self, log: &dyn Log, plan: &Plan) -> Result<()> {
        let source = plan.topics.first().context("a plan without topics")?;
        log.ensure_topic(source).await?;
        for group in self.load.records.chunks(GROUP) {
            let append = |(number, values): (usize, &_)| Append {
                topic: source.name.clone(),
                partition: (number % LANES) as u32,
                records: Records::unkeyed(Clone::clone(values), 0),
            };
            log.append(group.iter().enumerate().map(append).collect()).await?;
        }
        Ok(())
    }

    async fn insert(&self, statements: &[String]) -> Result<()> {
        let mut connection = MySqlConnection::connect(&self.database).await?;
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await?;
        }
        Ok(connection.close().await?)
    }

    /// By the server's own client: the driver does not send files.
    async fn load_file(&self, file: &Path, table: &str) -> Result<()> {
        let url = reqwest::Url::parse(&self.database)?;
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--protocol=tcp", "--local-infile=1", "--default-character-set=utf8mb4"]);
        command.arg(format!("--host={}", url.host_str().context("no host")?));
        command.arg(format!("--port={}", url.port().unwrap_or(3306))).arg(format!("--user={}", url.username()));
        command.env("MYSQL_PWD", url.password().unwrap_or_default()).arg(url.path().trim_start_matches('/'));
        let file = file.display();
        command.arg(format!("--execute=LOAD DATA LOCAL INFILE '{file}' INTO TABLE {table} CHARACTER SET utf8mb4"));
        let output = spawn_blocking(move || command.output()).await??;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    async fn send(&self, bulks: Vec<String>) -> Result<()> {
        for bulk in bulks {
            let request = self.client.post(format!("{}/_bulk?filter_path=errors", self.engine)).body(bulk);
            let answer: Value = request.header("Content-Type", "application/x-ndjson").send().await?.json().await?;
            ensure!(answer["errors"] == false, "{answer}");
        }
        Ok(())
    }

    /// That every event is in the stores of a plan, which are emptied then.
    async fn check_and_drop(&self, plan: &Plan) -> Result<()> {
        if let Ok(table) = name(plan, DATABASE) {
            let mut connection = MySqlConnection::connect(&self.database).await?;
            let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
            let found: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await?;
            ensure!(found as usize == self.load.len(), "{found} rows in the table");
            sqlx::raw_sql(AssertSqlSafe(format!("DROP TABLE {table}"))).execute(&mut connection).await?;
        }
        if let Ok(index) = name(plan, ENGINE) {
            let url = format!("{}/{index}", self.engine);
            self.client.post(format!("{url}/_refresh")).send().await?.error_for_status()?;
            let found: Value = self.client.get(format!("{url}/_count")).send().await?.json().await?;
            ensure!(found["count"] == self.load.len(), "documents in the index: {found}");
            self.client.delete(url).send().await?.error_for_status()?;
        }
        Ok(())
    }
}

/// The table or index of a sink.
fn name<'a>(plan: &'a Plan, sink: &str) -> Result<&'a str> {
    let outputs = plan.tasks.iter().filter_map(|task| match &task.end {
        End::Store(output) => Some(output),
        _ => None,
    });
    let found = outputs.into_iter().find(|output| output.sink == sink);
    Ok(&found.with_context(|| format!("no sink `{sink}`"))?.name)
}

/// The pipeline with some of its sinks, under another name.
fn plan(stores: &[&str], name: &str) -> Result<Plan> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("stores/pipeline.yaml");
    let is_left_out = |line: &str| {
        [DATABASE, ENGINE].iter().any(|sink| line.starts_with(&format!("  {sink}: ")) && !stores.contains(sink))
    };
    let text = fs::read_to_string(&file)?;
    let lines: Vec<&str> = text.lines().filter(|line| !is_left_out(line)).collect();
    let text = lines
        .join("\n")
        .replace("stores_events", &format!("{name}_events"))
        .replace("name: stores", &format!("name: {name}"));
    let (config, sandbox) = (HostConfig::default_for(Path::new("data")), Sandbox::new(Limits::default(), None)?);
    let pipeline = PipelineText { shown: file.display().to_string(), text };
    let Loaded { plan, .. } = Loader::new(&config, &sandbox, BTreeMap::new()).load_text(&file, &pipeline)?;
    Ok(plan)
}

fn write_files(directory: &Path, contents: Vec<String>) -> Result<Vec<std::path::PathBuf>> {
    let write = |(number, content): (usize, String)| {
        let file = directory.join(format!("{number}.tsv"));
        fs::write(&file, content)?;
        Ok(file)
    };
    contents.into_iter().enumerate().map(write).collect()
}

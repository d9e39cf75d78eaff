//! The host dies at every step of what it does, once at the first pass and once at a later one; started again, it
//! gives what it would have given. On Kafka with PostgreSQL, and on the embedded log with SQLite.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use azenha_e2e::kafka::{Kafka, Sender};
use azenha_e2e::{Azenha, Database, Group, Postgres, is_there, write_ndjson};
use azenha_engine::failpoint::POINTS;
use serde_json::Value;
use sqlx::Row;
use tokio::runtime::{Builder, Runtime};

const FAILPOINT: &str = "AZENHA_FAILPOINT";
/// The passes at which the host dies.
const PASSES: [u32; 2] = [1, 2];
/// Scenarios at a time.
const AT_A_TIME: usize = 8;
/// How long the host may take until it comes by the failpoint.
const PATIENCE: Duration = Duration::from_secs(180);
const SIGABRT: i32 = 6;

const SHOPS: i64 = 10;
/// Every so manieth order is refused by the table.
const POISON: i64 = 100;
const START: i64 = 1_700_000_040_000;
const WINDOW: i64 = 60_000;
/// Milliseconds of event time from order to order.
const STEP: i64 = 100;
/// Long after all others: closes their windows.
const FINALE: i64 = START + 86_400_000;
const PARTITIONS: i64 = 2;

/// Copies orders to a topic and a table, and counts them through the exchange; each count comes once, when its
/// window closes.
fn pipeline(name: &str) -> String {
    format!(
        "name: {name}\n\
         sources:\n  orders:\n    topic: {name}_orders\n    partitions: {PARTITIONS}\n\
         \x20   schema: {{ shop: text, number: int64, timestamp: timestamp(ms) }}\n\
         \x20   event_time: {{ field: timestamp, lateness: 5s, idle_after: 10m }}\n\
         steps:\n\
         \x20 kept: {{ transform: filter, from: orders, config: {{ column: number, at_least: 0 }} }}\n\
         \x20 counts: {{ aggregate: click-count, from: orders, by: [shop], window: {{ tumbling: 1m }}, emit: final }}\n\
         sinks:\n\
         \x20 copies: {{ from: kept, topic: {name}_copies, key: [number] }}\n\
         \x20 archive: {{ from: copies, connection: warehouse, table: {name}_archive, mode: append, columns: [shop, number] }}\n\
         \x20 results: {{ from: counts, topic: {name}_results, key: [shop, start_time] }}\n\
         \x20 totals: {{ from: results, connection: warehouse, table: {name}_totals, key: [shop, start_time] }}\n"
    )
}

/// The table that refuses some orders.
fn archive(name: &str) -> String {
    format!(
        "CREATE TABLE {name}_archive (shop text NOT NULL, number bigint NOT NULL CHECK (number % {POISON} <> {}))",
        POISON / 2
    )
}

fn is_poison(number: i64) -> bool {
    number % POISON == POISON / 2
}

fn order(shop: &str, number: i64, timestamp: i64) -> String {
    format!(r#"{{"shop":"{shop}","number":{number},"timestamp":{timestamp}}}"#)
}

/// The order of that number.
fn numbered(number: i64) -> String {
    order(&format!("shop_{}", number % SHOPS), number, START + number * STEP)
}

/// What came out.
#[derive(Default)]
struct Results {
    copies: Vec<i64>,
    counts: Vec<(String, i64, i64)>,
    archive: Vec<i64>,
    /// Dead letters by id.
    dead: BTreeMap<String, Value>,
}

impl Results {
    fn add_copy(&mut self, value: &Value) -> Result<()> {
        self.copies.push(value["number"].as_i64().with_context(|| value.to_string())?);
        Ok(())
    }

    /// Those of the shop of the finale may still be open.
    fn add_count(&mut self, value: &Value) -> Result<()> {
        let shop = value["shop"].as_str().with_context(|| value.to_string())?;
        let (start, count) = (value["start_time"].as_i64(), value["click_count"].as_i64());
        let (start, count) = start.zip(count).with_context(|| value.to_string())?;
        if shop.starts_with("shop_") {
            self.counts.push((shop.to_owned(), start, count));
        }
        Ok(())
    }

    fn add_dead(&mut self, letter: Value) {
        self.dead.insert(letter["id"].to_string(), letter);
    }

    /// Compares with what an undisturbed run gives: that follows from the orders.
    fn check(mut self, orders: i64) -> Result<()> {
        self.copies.sort_unstable();
        self.counts.sort_unstable();
        self.archive.sort_unstable();
        let all: Vec<i64> = (0..orders).collect();
        ensure!(self.copies == all, "copies: {}", difference(&self.copies, &all));
        let kept: Vec<i64> = all.iter().copied().filter(|number| !is_poison(*number)).collect();
        ensure!(self.archive == kept, "table: {}", difference(&self.archive, &kept));
        let windows: Vec<(String, i64, i64)> =
            windows(orders - PARTITIONS).into_iter().map(|((shop, start), count)| (shop, start, count)).collect();
        ensure!(self.counts == windows, "counts: {:?}, not {windows:?}", self.counts);
        let poisoned = orders as usize - kept.len();
        ensure!(self.dead.len() == poisoned, "{} dead letters, not {poisoned}", self.dead.len());
        let other = self.dead.values().find(|letter| letter["cause"] != "refused");
        ensure!(other.is_none(), "{other:?}");
        Ok(())
    }
}

/// How often each shop ordered in each window.
fn windows(orders: i64) -> BTreeMap<(String, i64), i64> {
    let mut windows = BTreeMap::new();
    for number in 0..orders {
        let start = (START + number * STEP) / WINDOW * WINDOW;
        *windows.entry((format!("shop_{}", number % SHOPS), start)).or_default() += 1;
    }
    windows
}

fn difference(found: &[i64], expected: &[i64]) -> String {
    let (found_once, wanted): (BTreeSet<_>, BTreeSet<_>) = (found.iter().collect(), expected.iter().collect());
    let lost: Vec<_> = wanted.difference(&found_once).take(10).collect();
    let strange: Vec<_> = found_once.difference(&wanted).take(10).collect();
    format!(
        "{} of {}, {} different; lost {lost:?}, unexpected {strange:?}",
        found.len(),
        expected.len(),
        found_once.len()
    )
}

fn died_there(status: ExitStatus) -> Result<()> {
    ensure!(status.signal() == Some(SIGABRT), "the host ended with {status}, not at the failpoint");
    Ok(())
}

/// One pipeline on Kafka whose host dies.
struct Scenario {
    name: String,
    kafka: Kafka,
    postgres: Postgres,
    group: Group,
    sender: Sender,
    sent: i64,
    _directory: Azenha,
}

impl Scenario {
    async fn new(name: String, brokers: &str, postgres: Postgres) -> Result<Self> {
        let kafka = Kafka::at(brokers);
        kafka.create_topic(&format!("{name}_orders"), PARTITIONS as i32).await?;
        postgres.execute(&archive(&name)).await?;
        let directory = Azenha::new()?;
        let file = directory.write(&format!("{name}/pipeline.yaml"), &pipeline(&name))?;
        let config = format!(
            "log: {{ kafka: {{ brokers: '{brokers}', session_timeout_ms: 2000, heartbeat_interval_ms: 500, \
             transaction_timeout_ms: 5000 }} }}\n\
             commit_interval: 20ms\n\
             connections: {{ warehouse: {{ url: '{}' }} }}\n",
            postgres.url()
        );
        let (group, sender) = (Group::new(&[&file], &config), kafka.producer()?);
        Ok(Self { name, kafka, postgres, group, sender, sent: 0, _directory: directory })
    }

    async fn run(&mut self, place: &str) -> Result<()> {
        self.group.add_with(&[(FAILPOINT, place)])?;
        if place.starts_with("group.") {
            // Partitions are taken from a host only when another one joins.
            self.group.wait_until_shared(&self.name).await?;
            self.group.add()?;
        }
        died_there(self.load_until_death().await?)?;
        self.group.start(0, &[])?;
        self.finish().await
    }

    /// Sends orders until the first host is dead.
    async fn load_until_death(&mut self) -> Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.group.hosts()[0].ended()? {
                return Ok(status);
            }
            if begun.elapsed() > PATIENCE {
                bail!("the host did not come by the failpoint within {PATIENCE:?}");
            }
            self.send(10)?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn send(&mut self, orders: i64) -> Result<()> {
        for number in self.sent..self.sent + orders {
            self.send_to(number, &numbered(number))?;
        }
        self.sent += orders;
        Ok(())
    }

    fn send_to(&mut self, number: i64, order: &str) -> Result<()> {
        self.sender.send(&format!("{}_orders", self.name), Some((number % PARTITIONS) as i32), "", order)
    }

    /// Closes the windows, waits for everything, stops the hosts and compares.
    async fn finish(&mut self) -> Result<()> {
        self.send(1_000)?;
        for number in self.sent..self.sent + PARTITIONS {
            self.send_to(number, &order("finale", number, FINALE))?;
        }
        self.sent += PARTITIONS;
        let (postgres, name) = (self.postgres.clone(), self.name.clone());
        let rows = (0..self.sent).filter(|number| !is_poison(*number)).count();
        let counts = windows(self.sent - PARTITIONS).len();
        let sql = format!(
            "SELECT ((SELECT count(*) FROM {name}_archive) >= {rows} \
             AND (SELECT count(*) FROM {name}_totals) >= {counts})::int::bigint"
        );
        self.group.wait_until("everything arrives", async |_| Ok(postgres.number(&sql).await == Some(1))).await?;
        self.group.stop_all()?;
        self.results().await?.check(self.sent)
    }

    async fn results(&self) -> Result<Results> {
        let Self { name, kafka, .. } = self;
        let mut results = Results::default();
        for record in kafka.read(&format!("{name}_copies"))? {
            results.add_copy(&record.json()?)?;
        }
        for record in kafka.read(&format!("{name}_results"))? {
            results.add_count(&record.json()?)?;
        }
        for record in kafka.read(&format!("{name}.dead_letters"))? {
            results.add_dead(record.json()?);
        }
        for row in self.postgres.query(&format!("SELECT number FROM {name}_archive")).await? {
            results.archive.push(row.try_get(0)?);
        }
        Ok(results)
    }
}

async fn die_on_kafka(place: &str, name: &str, brokers: &str, postgres: Postgres) -> Result<()> {
    let mut scenario = Scenario::new(name.to_owned(), brokers, postgres).await?;
    let outcome = scenario.run(place).await;
    scenario.group.judge(name, outcome)
}

/// Whether the clickstream does not come by: the tests of MongoDB, of the lake, and of dead letters die there.
fn is_of_other_stores(point: &str) -> bool {
    ["mongodb.", "elasticsearch.", "objects.", "letter."].iter().any(|prefix| point.starts_with(prefix))
}

#[test]
fn a_crash_at_any_step_changes_nothing_on_kafka() -> Result<()> {
    if !is_there("AZENHA_TEST_KAFKA") || !is_there("AZENHA_TEST_POSTGRES") {
        return Ok(());
    }
    let (brokers, server) = (env::var("AZENHA_TEST_KAFKA")?, env::var("AZENHA_TEST_POSTGRES")?);
    // Topics of an earlier run may still be there.
    let suffix = std::process::id();
    let database = format!("azenha_failpoints_{suffix}");
    let postgres = Runtime::new()?.block_on(Postgres::create(&server, &database))?;
    let points: Vec<&str> = POINTS.iter().copied().filter(|point| !is_of_other_stores(point)).collect();
    everywhere(&points, |place, name| {
        let name = format!("{name}_{suffix}");
        block_on(die_on_kafka(place, &name, &brokers, postgres.clone()))
    })
}

/// Runs what awaits other processes.
fn block_on(scenario: impl Future<Output = Result<()>>) -> Result<()> {
    Builder::new_current_thread().enable_all().build()?.block_on(scenario)
}

/// Dies at each of the points and passes, some at a time. `die` takes `POINT:PASS`, and a name for the pipeline.
fn everywhere(points: &[&str], die: impl Fn(&str, &str) -> Result<()> + Sync) -> Result<()> {
    let places = points.iter().flat_map(|point| PASSES.map(|pass| (*point, pass)));
    let (places, failures) = (Mutex::new(places), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                let next = || places.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some((point, pass)) = next() {
                    let place = format!("{point}:{pass}");
                    if let Err(error) = die(&place, &format!("{}_{pass}", point.replace('.', "_"))) {
                        let failure = format!("{place}: {error:#}");
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

async fn die_embedded(place: &str, name: &str) -> Result<()> {
    const ORDERS: i64 = 3_000;
    let azenha = Azenha::new()?;
    let file = azenha.write(&format!("{name}/pipeline.yaml"), &pipeline(name))?;
    let config = azenha.write("host.yaml", "commit_interval: 10ms\n")?.display().to_string();
    let finale = (ORDERS..ORDERS + PARTITIONS).map(|number| order("finale", number, FINALE));
    let orders = azenha.path("orders.ndjson");
    write_ndjson(&orders, (0..ORDERS).map(numbered).chain(finale))?;
    std::fs::create_dir(azenha.data())?;
    let mut warehouse = Database::open(&azenha.data().join("warehouse.db")).await?;
    warehouse.execute(&archive(name)).await?;

    let run = azenha.run_arguments(&file, &[("orders", &orders)], &["--once", "--rate", "500", "--config", &config]);
    let died = azenha.run_with(&run, &[(FAILPOINT, place)])?;
    died_there(died.status).with_context(|| died.text())?;
    azenha.succeed(&run)?;

    let mut results = Results::default();
    for record in azenha.topic(&format!("{name}_copies"))? {
        results.add_copy(&record["value"])?;
    }
    for record in azenha.topic(&format!("{name}_results"))? {
        results.add_count(&record["value"])?;
    }
    azenha.dead_letters(name)?.into_iter().for_each(|letter| results.add_dead(letter));
    results.archive = warehouse.numbers(&format!("SELECT number FROM {name}_archive")).await?;
    results.check(ORDERS + PARTITIONS)
}

#[test]
fn a_crash_at_any_step_changes_nothing_on_the_embedded_log() -> Result<()> {
    let is_elsewhere =
        |point: &&str| is_of_other_stores(point) || ["kafka.", "group."].iter().any(|prefix| point.starts_with(prefix));
    let points: Vec<&str> = POINTS.iter().copied().filter(|point| !is_elsewhere(point)).collect();
    everywhere(&points, |place, name| block_on(die_embedded(place, name)))
}

//! Changes a second, from the embedded log through a join and an assembly to a topic: lines with their products, totals
//! of orders. Beside it one thread that reads and parses the same changes, keeps the same rows in hash maps, and adds up
//! every order that changed. Then a product that ten thousand lines name, what the state takes, and how fast it is read
//! back. Prints; fails only if the totals are wrong.
//!
//! `cargo bench --profile release --workspace --bench tables -- 10000` takes another number of orders, of ten lines each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::env;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arrow_array::BinaryArray;
use azenha_connect::embedded::{EmbeddedLog, EmbeddedOptions};
use azenha_engine::clock::SystemClock;
use azenha_engine::edition::Edition;
use azenha_engine::log::{Append, Log, ReadLimit};
use azenha_engine::{Engine, EngineOptions, Pipeline, Program};
use azenha_model::Records;
use azenha_model::config::HostConfig;
use azenha_sandbox::{Limits, Sandbox};
use azenha_server::program::{Loaded, Loader};
use serde::Deserialize;
use serde_json::Value;

/// Orders of the larger run; the smaller one has a tenth.
const ORDERS: u64 = 100_000;
/// Lines of an order.
const LINES: u64 = 10;
/// Products; the first one is popular.
const PRODUCTS: u64 = 5_000;
/// Lines that name the popular product.
const POPULAR: u64 = 10_000;
/// Lines that change once everything stands.
const CHANGES: u64 = 200_000;
/// How often the popular product changes.
const RENAMES: u64 = 20;
/// Records of an append.
const BATCH: usize = 1_000;

fn main() -> Result<()> {
    let orders = env::args().find_map(|argument| argument.parse().ok()).unwrap_or(ORDERS);
    let cores = available_parallelism().map_or(1, usize::from);
    println!("{CHANGES} changes of lines, {PRODUCTS} products, {cores} cores; thousands of changes a second\n");
    println!("{:<42} {:>8} {:>8} {:>7}", "", "plain", "azenha", "ratio");
    let runtime = tokio::runtime::Runtime::new()?;
    for orders in [orders / 10, orders] {
        runtime.block_on(measure(orders))?;
    }
    Ok(())
}

/// One line, as JSON. A later `version` has another amount.
fn line(id: u64, orders: u64, version: u64) -> String {
    let product = if id < POPULAR { 0 } else { id % PRODUCTS };
    let cents = 100 + (id * 7 + version * 13) % 900;
    format!(
        r#"{{"id":{id},"order":{},"product":{product},"quantidade":1,"valor":"{}.{:02}","desconto":"0.00"}}"#,
        id % orders,
        cents / 100,
        cents % 100
    )
}

struct Case {
    log: Arc<EmbeddedLog>,
    plain: Plain,
    orders: u64,
}

async fn measure(orders: u64) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let log = Arc::new(EmbeddedLog::open(directory.path(), EmbeddedOptions::default()).await?);
    let mut case = Case { log: Arc::clone(&log), plain: Plain::default(), orders };
    let engine = engine(&log)?;
    let pipeline = engine.run(program()?).await?;

    let lines = orders * LINES;
    let order = |id: u64| format!(r#"{{"id":{id}}}"#);
    let product = |id: u64, name: &str| format!(r#"{{"id":{id},"name":"{name} {id}"}}"#);
    case.append("orders", (0..orders).map(order)).await?;
    case.append("products", (0..PRODUCTS).map(|id| product(id, "product"))).await?;
    pipeline.drain().await?;
    case.plain.take(&log).await?;
    case.run(&format!("{orders} orders: {lines} lines appear"), ("lines", lines), &pipeline, |id| line(id, orders, 0))
        .await?;
    let random = |number: u64| (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % lines;
    let changed = |number: u64| line(random(number), orders, 1 + number);
    case.run(&format!("{orders} orders: lines change"), ("lines", CHANGES), &pipeline, changed).await?;
    let renamed = |number: u64| product(0, &format!("name {number} of product"));
    case.run(&format!("{orders} orders: a product of {POPULAR} lines"), ("products", RENAMES), &pipeline, renamed)
        .await?;

    let (rows, bytes) = state(&pipeline);
    pipeline.stop().await;
    case.check().await?;
    let engine = self::engine(&log)?;
    let started = Instant::now();
    let pipeline = engine.run(program()?).await?;
    pipeline.drain().await?;
    let taken = started.elapsed().as_secs_f64();
    println!(
        "  state: {rows} rows in {:.0} bytes each; read back in {taken:.2} s, {:.0} thousand rows a second\n",
        bytes as f64 / rows as f64,
        rows as f64 / taken / 1e3
    );
    pipeline.stop().await;
    Ok(log.close().await?)
}

fn engine(log: &Arc<EmbeddedLog>) -> Result<Engine> {
    let options = EngineOptions { workers: available_parallelism().map_or(1, usize::from), ..Default::default() };
    Ok(Engine::start(Arc::clone(log) as Arc<dyn Log>, Arc::new(SystemClock::start()), options)?)
}

fn program() -> Result<Program> {
    let sandbox = Sandbox::new(Limits::default(), None)?;
    let config = HostConfig::default_for(Path::new("data"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tables");
    let loaded = Loader::new(&config, &sandbox, BTreeMap::new()).load(&folder)?.pop();
    let Loaded { plan, plugins, .. } = loaded.context("the folder holds no pipeline")?;
    Ok(Program {
        plan,
        plugins,
        stores: HashMap::new(),
        objects: HashMap::new(),
        registries: HashMap::new(),
        generation: 0,
        edition: Edition::default(),
    })
}

/// Rows in the states of all lanes, and their bytes.
fn state(pipeline: &Pipeline) -> (u64, u64) {
    let counters = pipeline.tasks().iter().flat_map(|task| &task.lanes).map(|lane| &lane.counters);
    counters.fold((0, 0), |(rows, bytes), counters| {
        (rows + counters.state_groups.load(Relaxed), bytes + counters.state_bytes.load(Relaxed))
    })
}

impl Case {
    async fn append(&self, topic: &str, records: impl Iterator<Item = String>) -> Result<()> {
        let records: Vec<String> = records.collect();
        for batch in records.chunks(BATCH) {
            let id = |record: &String| record.split([':', ',', '}']).nth(1).map(|id| format!(r#"{{"id":{id}}}"#));
            let keys = BinaryArray::from_iter(batch.iter().map(id));
            let values = BinaryArray::from_iter_values(batch);
            let records = Records { timestamps: vec![0; batch.len()], keys, values };
            self.log.append(vec![Append { topic: topic.to_owned(), partition: 0, records }]).await?;
        }
        Ok(())
    }

    /// Appends so many changes to a topic, and times how long each side takes for them.
    async fn run(
        &mut self,
        what: &str,
        (topic, changes): (&str, u64),
        pipeline: &Pipeline,
        change: impl Fn(u64) -> String,
    ) -> Result<()> {
        // What is appended is processed at once: the pipeline is as far as the append is, and little behind.
        let started = Instant::now();
        self.append(topic, (0..changes).map(change)).await?;
        pipeline.drain().await?;
        let azenha = started.elapsed();
        let plain = self.plain.take(&self.log).await?;
        let rate = |taken: Duration| changes as f64 / taken.as_secs_f64() / 1e3;
        let (plain, azenha) = (rate(plain), rate(azenha));
        println!("{what:<44} {plain:>8.2} {azenha:>8.2} {:>7.2}", azenha / plain);
        Ok(())
    }

    /// The last total of each order is what the plain code has.
    async fn check(&self) -> Result<()> {
        let mut found: HashMap<u64, i64> = HashMap::new();
        let mut next = 0;
        while let Some(values) = read(&self.log, "totals", &mut next).await? {
            for value in values.iter().flatten() {
                let total: Value = serde_json::from_slice(value)?;
                let liquid = total["liquido"].as_str().context("a total without an amount")?;
                found.insert(total["id"].as_u64().context("a total without an order")?, cents(liquid)?);
            }
        }
        ensure!(found == self.plain.totals, "the totals of {} orders are not those of the plain code", self.orders);
        Ok(())
    }
}

/// The next records of a topic's only partition; none at its end.
async fn read(log: &EmbeddedLog, topic: &str, next: &mut u64) -> Result<Option<BinaryArray>> {
    if *next >= log.bounds(topic, 0).await?.end {
        return Ok(None);
    }
    let limit = ReadLimit { records: 8_192, bytes: 8 << 20, wait: Duration::ZERO };
    let fetched = log.read(topic, 0, *next, limit).await?;
    *next = fetched.next;
    Ok(Some(fetched.records.values))
}

fn cents(amount: &str) -> Result<i64> {
    Ok(amount.replace('.', "").parse()?)
}

/// What anybody would write without Azenha: rows in hash maps, and nothing is kept.
#[derive(Default)]
struct Plain {
    next: HashMap<&'static str, u64>,
    lines: HashMap<u64, Line>,
    of_order: HashMap<u64, BTreeSet<u64>>,
    of_product: HashMap<u64, BTreeSet<u64>>,
    products: HashMap<u64, String>,
    totals: HashMap<u64, i64>,
}

#[derive(Deserialize)]
struct Line {
    id: u64,
    order: u64,
    product: u64,
    valor: String,
}

#[derive(Deserialize)]
struct Product {
    id: u64,
    name: String,
}

impl Plain {
    /// Takes what is new in the topics; gives how long that took.
    async fn take(&mut self, log: &EmbeddedLog) -> Result<Duration> {
        let mut taken = Duration::ZERO;
        for topic in ["orders", "products", "lines"] {
            let mut next = self.next.get(topic).copied().unwrap_or_default();
            let mut started = Instant::now();
            while let Some(values) = read(log, topic, &mut next).await? {
                let mut changed = BTreeSet::new();
                for value in values.iter().flatten() {
                    self.change(topic, value, &mut changed)?;
                }
                changed.into_iter().try_for_each(|order| self.total(order))?;
                taken += started.elapsed();
                started = Instant::now();
            }
            self.next.insert(topic, next);
        }
        Ok(taken)
    }

    /// Takes one record in, and notes the orders whose lines changed.
    fn change(&mut self, topic: &str, value: &[u8], changed: &mut BTreeSet<u64>) -> Result<()> {
        match topic {
            "lines" => {
                let line: Line = serde_json::from_slice(value)?;
                changed.insert(line.order);
                self.of_order.entry(line.order).or_default().insert(line.id);
                self.of_product.entry(line.product).or_default().insert(line.id);
                self.lines.insert(line.id, line);
            }
            "products" => {
                let product: Product = serde_json::from_slice(value)?;
                let lines = self.of_product.get(&product.id).into_iter().flatten();
                changed.extend(lines.filter_map(|line| self.lines.get(line)).map(|line| line.order));
                self.products.insert(product.id, product.name);
            }
            _ => {
                let order: Value = serde_json::from_slice(value)?;
                changed.insert(order["id"].as_u64().context("an order without an id")?);
            }
        }
        Ok(())
    }

    fn total(&mut self, order: u64) -> Result<()> {
        let lines = self.of_order.get(&order).into_iter().flatten().filter_map(|line| self.lines.get(line));
        let named = lines.filter(|line| self.products.contains_key(&line.product));
        let total = named.map(|line| cents(&line.valor)).sum::<Result<i64>>()?;
        self.totals.insert(order, total);
        Ok(())
    }
}

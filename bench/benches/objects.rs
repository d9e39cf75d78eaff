//! Records a second from a log to Parquet files in a folder and in a bucket, and from those through a plugin to other
//! files; beside them a writer that gets the same columns from memory, and a consumer in Python. Then the memory that a run
//! takes at several sizes of objects. Prints; fails only if rows are missing.
//!
//! `cargo bench --profile release --workspace --bench objects -- 1000000` takes another number of records. The log is the
//! embedded one, and Kafka where AZENHA_TEST_KAFKA is set; the bucket is on AZENHA_TEST_S3, Python is AZENHA_TEST_DUCKDB.

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch};
use arrow_schema::{Field as ArrowField, Schema as ArrowSchema};
use azenha_bench::{Clicks, cpu_seconds, peak_memory};
use azenha_connect::embedded::{EmbeddedLog, EmbeddedOptions};
use azenha_connect::kafka::{KafkaLog, KafkaOptions};
use azenha_connect::open_objects;
use azenha_engine::clock::SystemClock;
use azenha_engine::edition::Edition;
use azenha_engine::log::{Append, Log};
use azenha_engine::objects::Objects;
use azenha_engine::{Engine, EngineOptions, Pipeline, Program};
use azenha_formats::Decoder;
use azenha_model::Records;
use azenha_model::access::Secret;
use azenha_model::config::HostConfig;
use azenha_model::connection::{Connection, ObjectCredentials, ObjectOptions};
use azenha_model::plan::{Input, Plan};
use azenha_sandbox::{Limits, Plugin, Sandbox};
use azenha_server::program::{Loaded, Loader, PipelineText};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

/// Records of a run, if the command line does not say.
const RECORDS: usize = 2_000_000;
/// Records of a batch, and batches that are appended at once.
const BATCH: usize = 1_000;
const GROUP: usize = 32;
const PARTITIONS: usize = 2;
/// Rows of a file of the bare writer.
const FILE_ROWS: usize = 1_000_000;
/// Rows of a row group, as the host cuts them.
const GROUP_ROWS: usize = 122_880;
/// Sizes at which objects end, for the measurement of memory.
const SIZES: [&str; 4] = ["1MiB", "8MiB", "64MiB", "256MiB"];

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["memory", bytes, records] => runtime.block_on(memory(bytes, records.parse()?)),
        [] => runtime.block_on(measure(RECORDS)),
        [records, ..] => runtime.block_on(measure(records.parse()?)),
    }
}

/// What is written, and how much JSON it is.
struct Load {
    clicks: Clicks,
    records: usize,
    bytes: f64,
}

impl Load {
    fn new(records: usize) -> Self {
        let clicks = Clicks::dense();
        let sample = records.clamp(1, BATCH);
        let bytes = clicks.records(0, sample).values().len() as f64 * (records as f64 / sample as f64);
        Self { clicks, records, bytes }
    }

    /// Appends the records to the source of a plan, a batch to each partition in turn. `make` gives the records with the
    /// numbers from `first` on.
    async fn append(&self, log: &dyn Log, plan: &Plan, make: impl Fn(usize, usize) -> BinaryArray) -> Result<()> {
        let source = plan.topics.first().context("a plan without topics")?;
        log.ensure_topic(source).await?;
        let mut first = 0;
        while first < self.records {
            let last = self.records.min(first + GROUP * BATCH);
            let append = |first: usize| Append {
                topic: source.name.clone(),
                partition: (first / BATCH % PARTITIONS) as u32,
                records: Records::unkeyed(make(first, BATCH.min(last - first)), 0),
            };
            log.append((first..last).step_by(BATCH).map(append).collect()).await?;
            first = last;
        }
        Ok(())
    }

    fn print(&self, what: &str, taken: Duration, cpu: Option<f64>, size: u64) {
        let (seconds, thousands) = (taken.as_secs_f64(), self.records as f64 / 1e3);
        let cpu = cpu.map_or("".to_owned(), |seconds| format!("{:.0}", thousands / seconds));
        println!(
            "{what:<44} {:>8.0} {cpu:>9} {:>7.0} {:>9.1}",
            thousands / seconds,
            self.bytes / seconds / 1e6,
            size as f64 / 1e6
        );
    }
}

async fn measure(records: usize) -> Result<()> {
    let load = Load::new(records);
    println!("{records} clicks, {:.0} MB of JSON\n", load.bytes / 1e6);
    println!("{:<44} {:>8} {:>9} {:>7} {:>9}", "", "1000/s", "1000/cpu s", "MB/s", "files, MB");
    let sandbox = Sandbox::new(Limits::default(), None)?;
    bare_writer(&load, &sandbox)?;
    let directory = tempfile::tempdir()?;
    python_over_a_file(&load, directory.path())?;
    for place in ["folder", "bucket"] {
        let Some(lake) = lake(place, directory.path())? else { continue };
        let log = EmbeddedLog::open(&directory.path().join(format!("log-{place}")), EmbeddedOptions::default()).await?;
        let log = Arc::new(log);
        Site { log: log.clone(), lake, load: &load, sandbox: &sandbox, name: "embedded log", place }.measure().await?;
        log.close().await?;
        let Ok(brokers) = env::var("AZENHA_TEST_KAFKA") else { continue };
        let Some(lake) = self::lake(place, &directory.path().join(format!("kafka-{}", std::process::id())))? else {
            continue;
        };
        let log = Arc::new(KafkaLog::connect(kafka_options(&brokers)).await?);
        let site = Site { log: log.clone(), lake, load: &load, sandbox: &sandbox, name: "Kafka", place };
        let topic = site.measure().await?;
        if place == "folder" {
            python(&load, "Python over Kafka", &[&brokers, &topic, &records.to_string()])?;
        }
    }
    println!("\npeak memory of a process that writes clicks that cannot be compressed, in MB");
    for size in SIZES {
        for records in [records, 3 * records] {
            let child = Command::new(env::current_exe()?).args(["memory", size, &records.to_string()]).output()?;
            ensure!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
            println!("objects of {size:<8} {records:>9} records {:>16}", String::from_utf8(child.stdout)?.trim());
        }
    }
    Ok(())
}

/// A log with records, and where files go.
struct Site<'a> {
    log: Arc<dyn Log>,
    lake: Arc<dyn Objects>,
    load: &'a Load,
    sandbox: &'a Sandbox,
    name: &'a str,
    place: &'a str,
}

impl Site<'_> {
    /// Says in which topic the records are.
    async fn measure(&self) -> Result<String> {
        let Self { log, load, name, place, .. } = self;
        let (plan, plugins) = loaded(self.sandbox, "write", place)?;
        let topic = plan.topics.first().context("a plan without topics")?.name.clone();
        load.append(log.as_ref(), &plan, |first, count| load.clicks.records(first, count)).await?;
        let done = self.run(plan, plugins, "clicks").await?;
        load.print(&format!("{name} -> {place}"), done.taken, Some(done.cpu), done.bytes);
        let (plan, plugins) = loaded(self.sandbox, "read", place)?;
        let done = self.run(plan, plugins, "enriched").await?;
        load.print(
            &format!("{place} -> plugin -> {place}, announced in {name}"),
            done.taken,
            Some(done.cpu),
            done.bytes,
        );
        Ok(topic)
    }

    /// Runs a pipeline until everything is in the files below a path.
    async fn run(&self, plan: Plan, plugins: HashMap<String, Plugin>, below: &str) -> Result<Done> {
        let engine = Engine::start(Arc::clone(&self.log), Arc::new(SystemClock::start()), EngineOptions::default())?;
        let objects = HashMap::from([("lake".to_owned(), Arc::clone(&self.lake))]);
        let (stores, registries) = (HashMap::new(), HashMap::new());
        let (started, cpu) = (Instant::now(), cpu_seconds()?);
        let pipeline = engine
            .run(Program { plan, plugins, stores, objects, registries, generation: 0, edition: Edition::default() })
            .await?;
        pipeline.drain().await?;
        let (taken, cpu) = (started.elapsed(), cpu_seconds()? - cpu);
        let rows = rows_out(&pipeline);
        pipeline.stop().await;
        ensure!(rows == self.load.records as u64, "{rows} rows were written, not {}", self.load.records);
        let bytes = self.lake.list(below).await?.iter().map(|object| object.bytes).sum();
        Ok(Done { taken, cpu, bytes })
    }
}

struct Done {
    taken: Duration,
    /// Seconds of CPU.
    cpu: f64,
    /// Of all files.
    bytes: u64,
}

fn rows_out(pipeline: &Pipeline) -> u64 {
    let tasks = pipeline.tasks();
    tasks.iter().flat_map(|task| &task.lanes).map(|lane| lane.counters.rows_out.load(Relaxed)).sum()
}

/// A pipeline of `bench/objects` with a name and topics of this run alone: a broker keeps what others did.
fn loaded(sandbox: &Sandbox, name: &str, run: &str) -> Result<(Plan, HashMap<String, Plugin>)> {
    let (file, text) = text(name)?;
    let own = format!("{}_{run}_", std::process::id());
    let text = text.replace("objects_", &format!("objects_{own}")).replace("name: ", &format!("name: bench_{own}"));
    load_text(sandbox, &file, text)
}

fn text(name: &str) -> Result<(PathBuf, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("objects/{name}.yaml"));
    let text = fs::read_to_string(&file)?;
    Ok((file, text))
}

fn load_text(sandbox: &Sandbox, file: &Path, text: String) -> Result<(Plan, HashMap<String, Plugin>)> {
    let config = HostConfig::default_for(Path::new("data"));
    let pipeline = PipelineText { shown: file.display().to_string(), text };
    let Loaded { plan, plugins, .. } = Loader::new(&config, sandbox, BTreeMap::new()).load_text(file, &pipeline)?;
    Ok((plan, plugins))
}

/// A folder, or a bucket if there is a server for it.
fn lake(place: &str, directory: &Path) -> Result<Option<Arc<dyn Objects>>> {
    let mut connection = Connection {
        url: Secret::from(format!("file:{}", directory.join("lake").display())),
        objects: ObjectOptions::default(),
    };
    if place == "bucket" {
        let Ok(url) = env::var("AZENHA_TEST_S3") else { return Ok(None) };
        let (keys, server) = url.trim_start_matches("http://").split_once('@').context("a URL without keys")?;
        let (id, secret) = keys.split_once(':').context("a key without a secret")?;
        let prefix = directory.file_name().context("a directory without a name")?.to_string_lossy().to_lowercase();
        connection.url = Secret::from(format!("s3://azenha-bench/{}", prefix.trim_start_matches('.')));
        connection.objects.endpoint = Some(format!("http://{server}"));
        connection.objects.credentials =
            Some(ObjectCredentials::Key { id: id.to_owned(), secret: Secret::from(secret.to_owned()) });
    }
    Ok(Some(open_objects("lake", &connection, directory)?))
}

fn kafka_options(brokers: &str) -> KafkaOptions {
    KafkaOptions {
        brokers: brokers.to_owned(),
        properties: BTreeMap::new(),
        instance: format!("bench-{}", std::process::id()),
        committers: 2,
        replication: None,
    }
}

/// The limit: columns that are in memory, written by the Parquet library alone, one file after the other.
fn bare_writer(load: &Load, sandbox: &Sandbox) -> Result<()> {
    let (plan, _) = loaded(sandbox, "write", "")?;
    let task = plan.tasks.first().context("a plan without tasks")?;
    let Input::Stream(input) = &task.input else { anyhow::bail!("the task reads no stream") };
    let mut decoder = Decoder::new(input);
    let rows = load.records.min(FILE_ROWS);
    let batches: Vec<RecordBatch> = (0..rows)
        .step_by(GROUP_ROWS)
        .map(|first| {
            let records = Records::unkeyed(load.clicks.records(first, GROUP_ROWS.min(rows - first)), 0);
            let columns: Vec<ArrayRef> = decoder.decode(&records).columns.into_iter().flatten().collect();
            let field = |(index, column): (usize, &ArrayRef)| {
                ArrowField::new(index.to_string(), column.data_type().clone(), true)
            };
            let schema = ArrowSchema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>());
            Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
        })
        .collect::<Result<_>>()?;
    let schema = batches.first().context("no rows")?.schema();
    let directory = tempfile::tempdir()?;
    let (started, mut written, mut bytes) = (Instant::now(), 0, 0);
    while written < load.records {
        let path = directory.path().join(format!("{written}.parquet"));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let mut writer = ArrowWriter::try_new(File::create(&path)?, Arc::clone(&schema), Some(properties))?;
        for batch in &batches {
            writer.write(batch)?;
        }
        writer.into_inner()?.sync_all()?;
        bytes += fs::metadata(&path)?.len();
        written += rows;
    }
    let taken = started.elapsed().mul_f64(load.records as f64 / written as f64);
    let bytes = bytes as f64 * load.records as f64 / written as f64;
    load.print("bare writer from memory, one thread", taken, None, bytes as u64);
    Ok(())
}

/// A consumer in Python, which has the records as lines of a file.
fn python_over_a_file(load: &Load, directory: &Path) -> Result<()> {
    let path = directory.join("clicks.ndjson");
    let mut file = BufWriter::new(File::create(&path)?);
    for first in (0..load.records).step_by(BATCH) {
        for value in load.clicks.records(first, BATCH.min(load.records - first)).iter().flatten() {
            file.write_all(value)?;
            file.write_all(b"\n")?;
        }
    }
    file.flush()?;
    python(load, "Python over a file of lines", &[&path.display().to_string()])?;
    Ok(fs::remove_file(path)?)
}

/// A consumer in Python over a source.
fn python(load: &Load, what: &str, source: &[&str]) -> Result<()> {
    let Ok(python) = env::var("AZENHA_TEST_DUCKDB") else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("objects/consume.py");
    let output = Command::new(python).arg(script).arg(folder.path()).args(source).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    if error.contains("No module named") {
        println!("{what}: skipped, {}", error.lines().last().unwrap_or_default());
        return Ok(());
    }
    ensure!(output.status.success(), "{error}");
    let printed = String::from_utf8(output.stdout)?;
    let (seconds, bytes) = printed.trim().split_once(' ').context("Python printed no two numbers")?;
    load.print(what, Duration::from_secs_f64(seconds.parse()?), None, bytes.parse()?);
    Ok(())
}

/// Clicks that cannot be compressed well, so that objects grow.
fn noise(first: usize, count: usize) -> BinaryArray {
    let mixed = |number: usize| (number as u64 ^ 0x9e37_79b9).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let session =
        |number: usize| format!("{:016x}{:016x}", mixed(number), mixed(number).rotate_left(29) ^ mixed(!number));
    let click = |number| {
        format!(r#"{{"campaignId":"a","sessionId":"{}","timestamp":{}}}"#, session(number), 1_704_368_640_000 + number)
    };
    BinaryArray::from_iter_values((first..first + count).map(click))
}

/// Writes records to objects of a size, and prints the most memory that this process had, and the files' size, in MB.
async fn memory(bytes: &str, records: usize) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let log = Arc::new(EmbeddedLog::open(&directory.path().join("log"), EmbeddedOptions::default()).await?);
    let lake = lake("folder", directory.path())?.context("no folder")?;
    let (load, sandbox) = (Load::new(records), Sandbox::new(Limits::default(), None)?);
    let (file, text) = text("write")?;
    let roll = format!(", roll: {{ rows: 4000000000, bytes: {bytes}, every: 1h }}, announce");
    let (plan, plugins) = load_text(&sandbox, &file, text.replace(", announce", &roll))?;
    load.append(log.as_ref(), &plan, noise).await?;
    let site = Site { log: log.clone(), lake, load: &load, sandbox: &sandbox, name: "", place: "" };
    let done = site.run(plan, plugins, "clicks").await?;
    println!("{} (files: {})", peak_memory()? / 1_000_000, done.bytes / 1_000_000);
    Ok(log.close().await?)
}

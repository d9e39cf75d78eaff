//! A lake that is made of its raw objects while its table is changed and somebody else keeps more of them: nothing is lost,
//! nothing is there twice, wherever the past ends and the present begins. Runs where AZENHA_TEST_KAFKA names brokers.
//!
//! AZENHA_TEST_SEED repeats the changes of a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use azenha_e2e::kafka::{Kafka, Record};
use azenha_e2e::{Azenha, Lake, Running, is_there, repository, seed};
use fastrand::Rng;
use serde_json::{Value, json};

/// Rows of the table.
const ROWS: i64 = 400;

const KEEPER: &str = "
name: keeper-NAME
sources: { events: { topic: TOPIC, format: bytes } }
sinks:
  kept:
    from: events
    connection: raw
    objects: NAME
    format: record
    partition_by: [$timestamp]
    roll: { rows: 300, every: 200ms }
";

/// What Debezium says of a change of a row.
fn event(operation: &str, id: i64, version: i64) -> String {
    let row = json!({ "id": id, "cliente_id": version, "loja_id": id % 7, "criado_em": 1_483_000_000_000_000 + id * 3_600_000_000 });
    let (before, after) = if operation == "d" { (row, Value::Null) } else { (Value::Null, row) };
    let source = json!({ "connector": "postgresql", "name": "loja", "ts_ms": version, "snapshot": "false", "db": "postgres",
        "schema": "public", "table": "pedidos", "txId": version, "lsn": version });
    json!({ "before": before, "after": after, "source": source, "op": operation, "ts_ms": version }).to_string()
}

/// Changes rows at random until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<(String, String)>>>,
}

impl Load {
    fn start(kafka: &Kafka, topic: String, seed: u64) -> Result<Self> {
        let (stop, mut sender, mut random) =
            (Arc::new(AtomicBool::new(false)), kafka.producer()?, Rng::with_seed(seed));
        let told = Arc::clone(&stop);
        let thread = spawn(move || {
            let mut sent = Vec::new();
            let mut there = vec![false; ROWS as usize];
            for version in 1.. {
                let id = random.usize(..there.len());
                let operation = match (there[id], random.u8(..4)) {
                    (false, _) => "c",
                    (true, 0) => "d",
                    (true, _) => "u",
                };
                there[id] = operation != "d";
                let (key, value) = (json!({ "id": id }).to_string(), event(operation, id as i64, version));
                sender.send(&topic, None, &key, &value)?;
                sent.push((key, value));
                if version % 10 == 0 {
                    sleep(Duration::from_millis(25));
                }
                if told.load(Relaxed) {
                    break;
                }
            }
            sender.finish()?;
            Ok(sent)
        });
        Ok(Self { stop, thread })
    }

    /// Key and value of all that was sent.
    fn stop(self) -> Result<Vec<(String, String)>> {
        self.stop.store(true, Relaxed);
        self.thread.join().ok().context("the load panicked")?
    }
}

/// A lake of one table on Kafka.
struct Scene {
    azenha: Azenha,
    name: String,
    topic: String,
    kafka: Kafka,
    lake: Lake,
}

impl Scene {
    async fn new(brokers: &str, what: &str) -> Result<Self> {
        let (azenha, kafka) = (Azenha::new()?, Kafka::at(brokers));
        let name = format!("{what}{}", std::process::id());
        let topic = format!("{name}.pedidos");
        kafka.create_topic(&topic, 2).await?;
        let lake = Lake::embedded(&azenha)?;
        let connection = |layer: &&str| format!("{layer}: {{ url: 'file:{}' }}", lake.folder.join(layer).display());
        let connections: Vec<String> = ["raw", "bronze", "silver", "gold"].iter().map(connection).collect();
        let log =
            format!("{{ kafka: {{ brokers: '{brokers}', session_timeout_ms: 6000, heartbeat_interval_ms: 1000 }} }}");
        azenha.write("host.yaml", &format!("log: {log}\nconnections: {{ {} }}\n", connections.join(", ")))?;
        let ours = repository().join("pipelines/lake");
        let model = fs::read_to_string(ours.join("models/pedidos.yaml"))?.replace("loja.public.pedidos", &topic);
        azenha.write(&format!("lake/models/{name}.yaml"), &model)?;
        azenha.write("lake/pipeline.yaml", &fs::read_to_string(ours.join("pipeline.yaml"))?)?;
        azenha.write("keeper.yaml", &KEEPER.replace("NAME", &name).replace("TOPIC", &topic))?;
        Ok(Self { azenha, name, topic, kafka, lake })
    }

    fn pipeline(&self) -> PathBuf {
        self.azenha.path("lake/pipeline.yaml")
    }

    fn raw(&self) -> Result<usize> {
        Ok(self.lake.paths(&format!("raw/{}", self.name))?.len())
    }

    /// Arguments of a command of a host that has a data directory of its own.
    fn arguments(&self, command: &str, pipeline: &str, data: &str) -> Vec<String> {
        let (pipeline, config) = (self.azenha.path(pipeline), self.azenha.path("host.yaml"));
        let data = self.azenha.path(data);
        let [pipeline, config, data] = [pipeline, config, data].map(|path| path.display().to_string());
        let listen = if command == "run" { &["--listen", "127.0.0.1:0"][..] } else { &[] };
        let arguments = [&[command, &pipeline, "--config", &config, "--data", &data][..], listen].concat();
        arguments.into_iter().map(str::to_owned).collect()
    }

    fn run_once(&self) -> Result<()> {
        let mut arguments = self.arguments("run", "lake/pipeline.yaml", "data-lake");
        arguments.extend(["--once", "--strict"].map(str::to_owned));
        self.azenha.succeed(arguments).map(drop)
    }

    /// What every layer must be, given what was sent.
    fn check(&self, sent: &[(String, String)]) -> Result<()> {
        let records = self.kafka.read(&self.topic)?;
        ensure!(records.len() == sent.len(), "{} records of {} are there", records.len(), sent.len());
        self.check_raw(&records)?;
        for layer in ["raw", "bronze", "silver"] {
            let announced = self.announced(layer)?;
            let rows: u64 = announced.iter().filter_map(|object| object["rows"].as_u64()).sum();
            assert_eq!(rows, sent.len() as u64, "{layer}: rows that are announced");
            let mut paths: Vec<&str> = announced.iter().filter_map(|object| object["path"].as_str()).collect();
            paths.sort_unstable();
            assert!(paths.is_sorted_by(|one, other| one < other), "{layer}: an object is announced twice");
            assert_eq!(
                paths,
                self.lake.paths(&format!("{layer}/{}", self.name))?,
                "{layer}: what is there and announced"
            );
        }
        self.check_rows(sent)
    }

    fn announced(&self, layer: &str) -> Result<Vec<Value>> {
        self.kafka.read(&format!("lake_{layer}_{}", self.name))?.iter().map(Record::json).collect()
    }

    /// Each record is one object, with its bytes.
    fn check_raw(&self, records: &[Record]) -> Result<()> {
        let raw = self.lake.contents(&format!("raw/{}", self.name))?;
        let place = |path: &str| path.rsplit('/').next().map(str::to_owned).context("no name");
        let kept = raw.into_iter().map(|(path, content)| Ok((place(&path)?, content)));
        let kept: BTreeMap<String, Vec<u8>> = kept.collect::<Result<_>>()?;
        let wanted = records.iter().map(|Record { partition, offset, value, .. }| {
            (format!("{}-{partition:04}-{offset:016}.json", self.topic), value.clone().unwrap_or_default())
        });
        assert!(kept == wanted.collect(), "raw is not what the topic holds");
        Ok(())
    }

    /// Silver has each event, and gold each row as the last event left it.
    fn check_rows(&self, sent: &[(String, String)]) -> Result<()> {
        let Some(query) = self.lake.duckdb() else { return Ok(()) };
        let (mut events, mut table) = (Vec::new(), BTreeMap::new());
        for (key, value) in sent {
            let (key, value): (Value, Value) = (serde_json::from_str(key)?, serde_json::from_str(value)?);
            let (id, version) = (key["id"].as_i64().context("an id")?, value["ts_ms"].as_i64().context("a version")?);
            events.push(json!([id, version, value["op"]]));
            match value["op"] == "d" {
                true => table.remove(&id),
                false => table.insert(id, version),
            };
        }
        let name = &self.name;
        let silver =
            format!("select pedido, epoch_ms(capturado_em), operacao from 'silver/{name}/*.parquet' order by all");
        events.sort_by_key(|event| (event[0].as_i64(), event[1].as_i64()));
        assert!(query(&silver)? == events, "silver is not what was sent");
        let gold = format!("select pedido, cliente from 'gold/{name}/*/*.parquet' order by all");
        let table: Vec<Value> = table.into_iter().map(|(id, version)| json!([id, version])).collect();
        assert!(query(&gold)? == table, "gold is not the table");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_past_that_goes_on_while_it_is_read_is_handed_over_without_loss_or_repetition() -> Result<()> {
    if !is_there("AZENHA_TEST_KAFKA") {
        return Ok(());
    }
    let seed = seed();
    let scene = Scene::new(&std::env::var("AZENHA_TEST_KAFKA")?, "seam").await?;
    let mut random = Rng::with_seed(seed);
    let load = Load::start(&scene.kafka, scene.topic.clone(), seed)?;
    let mut keeper = scene.azenha.spawn(scene.arguments("run", "keeper.yaml", "data-keeper"))?;
    keeper.wait_until("a past is kept", |_| Ok(scene.raw()? > 1_000))?;

    let backfill = scene.arguments("backfill", "lake/pipeline.yaml", "data-lake");
    for _ in 0..4 {
        let mut killed = scene.azenha.spawn(&backfill)?;
        sleep(Duration::from_millis(random.u64(50..2_500)));
        killed.kill()?;
    }
    // Groups of hosts that were killed still have them for a while.
    keeper.wait_until("the past is read", |_| Ok(scene.azenha.run(&backfill)?.status.success()))?;
    keeper.kill()?;
    let mut live = scene.azenha.spawn(scene.arguments("run", "lake/pipeline.yaml", "data-lake"))?;
    let before = scene.raw()?;
    live.wait_until("more is kept", |_| Ok(scene.raw()? > before + 300))?;
    let sent = load.stop()?;
    live.terminate()?;
    scene.run_once()?;
    println!("seed {seed}: {} events", sent.len());
    scene.check(&sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_past_is_not_told_while_another_host_runs_the_pipeline() -> Result<()> {
    if !is_there("AZENHA_TEST_KAFKA") {
        return Ok(());
    }
    let scene = Scene::new(&std::env::var("AZENHA_TEST_KAFKA")?, "busy").await?;
    let load = Load::start(&scene.kafka, scene.topic.clone(), 1)?;
    let mut keeper = scene.azenha.spawn(scene.arguments("run", "keeper.yaml", "data-keeper"))?;
    keeper.wait_until("a past is kept", |_| Ok(scene.raw()? > 100))?;
    let sent = load.stop()?;
    keeper.terminate()?;
    // The other host has made nothing yet, but reads.
    let slow = fs::read_to_string(scene.pipeline())?.replacen("roll: { every: 5s }", "roll: { every: 1h }", 1);
    scene.azenha.write("lake/pipeline.yaml", &slow)?;
    let mut other = scene
        .azenha
        .start(&[&scene.pipeline()], &["--config", &scene.azenha.path("host.yaml").display().to_string()])?;
    let refused = scene.azenha.run(scene.arguments("backfill", "lake/pipeline.yaml", "data-lake"))?;
    assert!(!refused.status.success() && refused.stderr.contains("is being read"), "{}", refused.text());
    assert!(scene.announced("raw")?.is_empty(), "nothing is announced");
    other.terminate()?;
    scene.azenha.succeed(scene.arguments("backfill", "lake/pipeline.yaml", "data-lake"))?;
    scene.run_once()?;
    scene.check(&sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_backfills_at_once_announce_a_past_once() -> Result<()> {
    if !is_there("AZENHA_TEST_KAFKA") {
        return Ok(());
    }
    let scene = Scene::new(&std::env::var("AZENHA_TEST_KAFKA")?, "twice").await?;
    let load = Load::start(&scene.kafka, scene.topic.clone(), 2)?;
    let mut keeper = scene.azenha.spawn(scene.arguments("run", "keeper.yaml", "data-keeper"))?;
    keeper.wait_until("a past is kept", |_| Ok(scene.raw()? > 300))?;
    let sent = load.stop()?;
    // Both find the same, so the sink that keeps it stands where the other one would set it.
    keeper.wait_until("all of it is kept", |_| Ok(scene.raw()? == sent.len()))?;
    keeper.terminate()?;
    let start = |data| scene.azenha.spawn(scene.arguments("backfill", "lake/pipeline.yaml", data));
    let mut both = [start("data-one")?, start("data-other")?];
    one_succeeds(&mut both)?;
    for backfill in &mut both {
        if backfill.ended()?.is_none() {
            backfill.terminate()?;
        }
    }
    scene.run_once()?;
    scene.check(&sent)
}

/// Waits until one of them has read the past.
fn one_succeeds(backfills: &mut [Running]) -> Result<()> {
    let begun = Instant::now();
    loop {
        let ended = backfills.iter_mut().map(Running::ended).collect::<Result<Vec<_>>>()?;
        if ended.iter().flatten().any(|status| status.success()) {
            return Ok(());
        }
        let is_hopeless = ended.iter().all(Option::is_some) || begun.elapsed() > Duration::from_secs(120);
        ensure!(!is_hopeless, "{ended:?}: {}", backfills.iter().map(Running::log).collect::<String>());
        sleep(Duration::from_millis(50));
    }
}

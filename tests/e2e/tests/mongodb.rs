//! Documents in a real MongoDB. Runs where AZENHA_TEST_MONGODB is the URL of one.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, Mongo, OwnDatabase};
use azenha_engine::failpoint::POINTS;
use fastrand::Rng;
use mongodb::bson::{Bson, DateTime, Document, doc};

const PIPELINE: &str = r"
name: ordering
sources:
  orders:
    topic: orders
    schema: { number: int64, customer: text, total: decimal(2), at: timestamp(ms), lines: json }
sinks:
  latest:
    from: orders
    connection: documents
    collection: Pedido
    key: [number]
    columns: { lines: linhas }
    indexes: [[customer], [linhas.units]]
  events: { from: orders, connection: documents, collection: events, mode: append }
";

const CHANGES: usize = 20_000;
const ORDERS: i64 = 3_000;
const START: i64 = 1_700_000_000_000;
const SIGABRT: i32 = 6;
/// So that a host that is killed is killed at work.
const RATE: &str = "20000";

/// A change of an order.
#[derive(Clone)]
struct Change {
    number: i64,
    total: String,
    at: i64,
    units: i64,
}

impl Change {
    /// The changes, in the order in which they come.
    fn all(seed: u64) -> Vec<Self> {
        let mut random = Rng::with_seed(seed);
        let change = |index: usize| Self {
            number: random.i64(0..ORDERS),
            total: format!("{}.{:02}", random.u32(0..10_000), random.u32(0..100)),
            at: START + index as i64,
            units: random.i64(1..100),
        };
        (0..CHANGES).map(change).collect()
    }

    fn customer(&self) -> String {
        format!("c{}", self.number % 100)
    }

    fn json(&self) -> String {
        let Self { number, total, at, units } = self;
        let customer = self.customer();
        format!(
            r#"{{"number":{number},"customer":"{customer}","total":"{total}","at":{at},"lines":[{{"units":{units},"price":0.10}}]}}"#
        )
    }

    fn document(&self) -> Result<Document> {
        let decimal = |text: &str| -> Result<Bson> { Ok(Bson::Decimal128(text.parse()?)) };
        Ok(doc! {
            "_id": self.number,
            "number": self.number,
            "customer": self.customer(),
            "total": decimal(&self.total)?,
            "at": DateTime::from_millis(self.at),
            "linhas": [{ "units": self.units, "price": decimal("0.10")? }],
        })
    }
}

/// A host that writes to a database of its own.
struct Scene {
    azenha: Azenha,
    mongo: Mongo,
    pipeline: PathBuf,
    input: PathBuf,
    changes: Vec<Change>,
}

impl Scene {
    async fn new(server: &str, name: &str) -> Result<Self> {
        let mongo = Mongo::at(server, &format!("azenha_e2e_{name}_{}", std::process::id())).await?;
        let azenha = Azenha::new()?;
        azenha.write("host.yaml", &format!("connections: {{ documents: {{ url: \"{}\" }} }}\n", mongo.url()))?;
        let pipeline = azenha.write("ordering.yaml", PIPELINE)?;
        let changes = Change::all(7);
        let lines: Vec<String> = changes.iter().map(Change::json).collect();
        let input = azenha.write("orders.ndjson", &(lines.join("\n") + "\n"))?;
        Ok(Self { azenha, mongo, pipeline, input, changes })
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let config = self.azenha.path("host.yaml").display().to_string();
        let more = [&["--once", "--config", &config], more].concat();
        self.azenha.run_arguments(&self.pipeline, &[("orders", &self.input)], &more)
    }

    /// Each order as its last change left it, and each change once.
    async fn check(&self) -> Result<()> {
        let mut latest = BTreeMap::new();
        for change in &self.changes {
            latest.insert(change.number, change.document()?);
        }
        let found = self.mongo.documents("Pedido").await?;
        ensure!(found.len() == latest.len(), "{} orders, not {}", found.len(), latest.len());
        for (found, wanted) in found.iter().zip(latest.values()) {
            ensure!(found == wanted, "{found}, not {wanted}");
        }
        let events = self.mongo.documents("events").await?;
        let mut moments = events.iter().map(|event| event.get_datetime("at")).collect::<Result<Vec<_>, _>>()?;
        moments.sort();
        let wanted: Vec<DateTime> = self.changes.iter().map(|change| DateTime::from_millis(change.at)).collect();
        ensure!(moments.into_iter().eq(&wanted), "{} events, not {} different ones", events.len(), wanted.len());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_the_last_state_whatever_kills_host_and_server() -> Result<()> {
    let Some(server) = OwnDatabase::mongodb()? else { return Ok(()) };
    let scene = Scene::new(&server.url()?, "kill").await?;
    for share in 1..=4 {
        let mut running = scene.azenha.spawn(scene.arguments(&["--rate", RATE]))?;
        while scene.mongo.count("events").await? < share * CHANGES as u64 / 6 && running.ended()?.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if share % 2 == 0 {
            server.crash()?;
        }
        running.kill()?;
    }
    scene.azenha.succeed(scene.arguments(&[]))?;
    scene.check().await
}

/// The transaction that such a host leaves open does not hold its successor up for the server's whole minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_at_any_step_of_a_commit_changes_nothing() -> Result<()> {
    let Ok(server) = std::env::var("AZENHA_TEST_MONGODB") else {
        println!("skipped: AZENHA_TEST_MONGODB is not set");
        return Ok(());
    };
    let points: Vec<&str> = POINTS.iter().copied().filter(|point| point.starts_with("mongodb.")).collect();
    for point in points {
        let scene = Scene::new(&server, &point.replace('.', "_")).await?;
        let passing = format!("{point}:2");
        let died = scene.azenha.run_with(scene.arguments(&["--rate", RATE]), &[("AZENHA_FAILPOINT", &passing)])?;
        ensure!(died.status.signal() == Some(SIGABRT), "{point}: {}: {}", died.status, died.text());
        scene.azenha.succeed(scene.arguments(&[])).context(point)?;
        scene.check().await.context(point)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_the_server_refuses_is_a_dead_letter_and_the_others_arrive() -> Result<()> {
    let Ok(server) = std::env::var("AZENHA_TEST_MONGODB") else {
        println!("skipped: AZENHA_TEST_MONGODB is not set");
        return Ok(());
    };
    let scene = Scene::new(&server, "refused").await?;
    let validator = doc! { "linhas.units": { "$ne": 13_i64 } };
    scene.mongo.run(doc! { "create": "Pedido", "validator": validator }).await?;
    scene.azenha.succeed(scene.arguments(&[]))?;
    let dead = scene.azenha.dead_letters("ordering")?;
    ensure!(!dead.is_empty(), "nothing was refused");
    for letter in &dead {
        let reason = letter["reason"].as_str().unwrap_or_default();
        ensure!(letter["cause"] == "refused" && reason.contains("validator"), "{letter}");
    }
    // Whether a change between two commits is seen depends on their borders: of those that are left, all arrived.
    let numbers: Vec<i64> =
        scene.mongo.documents("Pedido").await?.iter().map(|order| order.get_i64("number")).collect::<Result<_, _>>()?;
    let healthy = scene.changes.iter().filter(|change| change.units != 13);
    let mut wanted: Vec<i64> = healthy.map(|change| change.number).collect();
    wanted.sort_unstable();
    wanted.dedup();
    ensure!(numbers == wanted, "{} orders, not {}", numbers.len(), wanted.len());
    Ok(())
}

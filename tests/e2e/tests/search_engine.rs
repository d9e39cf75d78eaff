//! Events in a search engine beside a table, and the same questions asked of both. Runs where AZENHA_TEST_OPENSEARCH is the
//! URL of one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, OwnDatabase, Running, get};
use azenha_engine::failpoint::POINTS;
use fastrand::Rng;
use serde_json::{Value, json};

const PIPELINE: &str = r"
name: NAME
sources:
  events:
    topic: events
    schema: { id: int64, day: date, customer: text, at: timestamp(ms), texto: text }
    event_time: { field: at }
sinks:
  found:
    from: events
    connection: engine
    index: NAME
    key: [id, day]
    search: [texto]
  kept: { from: events, connection: warehouse, table: events, key: [id], fulltext: [texto] }
queries:
  es:
    path: /eventos_es/
    connection: engine
    search:
      index: NAME
      match: { q: [texto] }
      equal: { cliente: customer }
      from: { desde: at }
    columns: { id: int64, at: timestamp, customer: text, texto: text }
    parameters: { q: text?, cliente: { type: text?, max_length: 20 }, desde: timestamp? }
    order_by: [at desc, id]
    limit: { default: 20, max: 500 }
    freshness: found
  db:
    path: /eventos_db/
    connection: warehouse
    search: { index: events, match: { q: [texto] }, equal: { cliente: customer }, from: { desde: at } }
    columns: { id: int64, at: timestamp, customer: text, texto: text }
    parameters: { q: text?, cliente: { type: text?, max_length: 20 }, desde: timestamp? }
    order_by: [at desc, id]
    limit: { default: 20, max: 500 }
    freshness: kept
";

const CHANGES: usize = 20_000;
const EVENTS: i64 = 3_000;
/// Every so manieth record is none.
const BROKEN: usize = 500;
const START: i64 = 1_700_000_000_000;
const SIGABRT: i32 = 6;
/// So that a host that is killed is killed at work.
const RATE: &str = "20000";
const WORDS: [&str; 8] = ["produto", "reembolso", "garantia", "não", "chegou", "atendimento", "péssimo", "rápido"];

/// One index, or one for each month under one name.
const PLAIN: &str = "    index: NAME\n";
const MONTHLY: &str = "    index: NAME\n    each: { month: day }\n";

/// The day of an event, which never changes: in one of four months.
fn day(id: i64) -> String {
    format!("2023-{:02}-{:02}", 9 + id % 4, 1 + id % 28)
}

/// The changes of events, in the order in which they come.
fn changes() -> Vec<Value> {
    let mut random = Rng::with_seed(11);
    let change = |index: usize| {
        let id = random.i64(0..EVENTS);
        let words: Vec<&str> = (0..4).map(|_| WORDS[random.usize(0..WORDS.len())]).collect();
        let customer = format!("c{}", id % 50);
        json!({ "id": id, "day": day(id), "customer": customer, "at": START + index as i64, "texto": words.join(" ") })
    };
    (0..CHANGES).map(change).collect()
}

/// A host beside a search engine.
struct Scene {
    azenha: Azenha,
    /// `HOST:PORT` of the engine.
    engine: String,
    /// Of the pipeline, whose position the engine keeps, and of its index.
    name: String,
    /// There is an index for each month.
    is_monthly: bool,
    pipeline: PathBuf,
    input: PathBuf,
    changes: Vec<Value>,
}

impl Scene {
    fn new(url: &str, name: &str, is_monthly: bool) -> Result<Self> {
        let engine = url.strip_prefix("http://").context("the URL of an engine")?.to_owned();
        let name = format!("e2e-{name}-{}", std::process::id());
        let azenha = Azenha::new()?;
        let connections = format!("engine: {{ url: \"{url}\" }}, warehouse: {{ url: \"sqlite:./warehouse.db\" }}");
        azenha.write("host.yaml", &format!("connections: {{ {connections} }}\n"))?;
        let index = if is_monthly { MONTHLY } else { PLAIN };
        let text = PIPELINE.replacen(PLAIN, index, 1).replace("NAME", &name);
        let pipeline = azenha.write("support.yaml", &text)?;
        let changes = changes();
        let mut lines: Vec<String> = changes.iter().map(Value::to_string).collect();
        (0..lines.len()).step_by(BROKEN).for_each(|place| lines[place] += "\n{\"id\": }");
        let input = azenha.write("events.ndjson", &(lines.join("\n") + "\n"))?;
        Ok(Self { azenha, engine, name, is_monthly, pipeline, input, changes })
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let config = self.azenha.path("host.yaml").display().to_string();
        let more = [&["--once", "--config", &config], more].concat();
        self.azenha.run_arguments(&self.pipeline, &[("events", &self.input)], &more)
    }

    /// The documents that can be found, if the engine answers.
    fn count(&self) -> Option<u64> {
        get(&self.engine, &format!("/{}/_count", self.name)).ok()?.json().ok()?["count"].as_u64()
    }

    /// Each event as its last change left it, and a dead letter of each sink for what was none.
    fn check(&self) -> Result<()> {
        get(&self.engine, &format!("/{}/_refresh", self.name))?;
        let found = get(&self.engine, &format!("/{}/_search?size=10000&sort=id", self.name))?.json()?;
        let hits = found["hits"]["hits"].as_array().context("no hits")?;
        let latest: BTreeMap<i64, &Value> =
            self.changes.iter().filter_map(|change| Some((change["id"].as_i64()?, change))).collect();
        ensure!(hits.len() == latest.len(), "{} documents, not {}", hits.len(), latest.len());
        for (hit, wanted) in hits.iter().zip(latest.values()) {
            let (source, id) = (&hit["_source"], json!([wanted["id"].to_string(), wanted["day"]]).to_string());
            ensure!(hit["_id"] == id.as_str() && source["texto"] == wanted["texto"], "{hit}, not {wanted}");
            let month = &wanted["day"].as_str().context("a day")?[..7];
            let index = if self.is_monthly { format!("{}.{month}", self.name) } else { self.name.clone() };
            ensure!(hit["_index"] == index.as_str(), "{hit} is not in {index}");
        }
        let dead = self.azenha.dead_letters(&self.name)?;
        let wanted = 2 * CHANGES.div_ceil(BROKEN);
        ensure!(dead.len() == wanted, "{} dead letters, not {wanted}", dead.len());
        Ok(())
    }

    /// Starts a host that only answers.
    fn host(&self) -> Result<Running> {
        self.azenha.start(&[&self.pipeline], &["--config", &self.azenha.path("host.yaml").display().to_string()])
    }
}

/// The rows of all pages.
fn rows(host: &Running, path: &str, question: &str) -> Result<Vec<Value>> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = get(&host.address, &format!("{path}?{question}{cursor}"))?;
        ensure!(answer.status == 200, "{path}?{question}: {answer:?}");
        let page = answer.json()?;
        rows.extend(page["rows"].as_array().context("no rows")?.iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(rows),
        }
    }
}

#[test]
fn documents_are_the_last_state_whatever_kills_host_and_engine_and_both_endpoints_agree() -> Result<()> {
    let Some(server) = OwnDatabase::opensearch()? else { return Ok(()) };
    let scene = Scene::new(&server.url()?, "kill", true)?;
    for share in 1..=4 {
        let mut running = scene.azenha.spawn(scene.arguments(&["--rate", RATE]))?;
        while scene.count().unwrap_or_default() < share * EVENTS as u64 / 6 && running.ended()?.is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if share % 2 == 0 {
            server.crash()?;
        }
        running.kill()?;
    }
    scene.azenha.succeed(scene.arguments(&[]))?;
    scene.check()?;
    let host = scene.host()?;
    let questions = [
        "q=garantia&limit=500",
        "q=garantia%20reembolso&limit=7",
        "q=P%C3%A9ssimo&cliente=c7",
        "q=pessimo&cliente=c7",
        "cliente=c3&limit=3",
        "q=nada",
        "desde=2023-11-14T22:13:39.500Z&limit=100",
    ];
    for question in questions {
        let (es, db) = (rows(&host, "/eventos_es/", question)?, rows(&host, "/eventos_db/", question)?);
        ensure!(es == db, "{question}: {} rows of the engine, {} of the table", es.len(), db.len());
        ensure!(es.is_empty() == (question == "q=nada"), "{question}: {} rows", es.len());
    }
    wrong_requests_are_refused(&host)
}

fn wrong_requests_are_refused(host: &Running) -> Result<()> {
    let page = get(&host.address, "/eventos_es/?q=garantia&limit=3")?;
    let next = page.json()?["next"].as_str().context("there are more rows")?.to_owned();
    assert!(page.header("server-timing").is_some_and(|parts| parts.contains("query;dur=")), "{page:?}");
    for wrong in [
        "limit=0",
        "limit=501",
        "limit=99999999999999999999",
        "cursor=x",
        "desde=ontem",
        "query=garantia",
        "cliente=%7B%22match_all%22%3A%7B%7D%7Dxxxxxxxxx",
        &format!("q=garantia&cursor={}A{}", &next[..4], &next[5..]),
        &format!("q=reembolso&cursor={next}"),
    ] {
        let answer = get(&host.address, &format!("/eventos_es/?{wrong}"))?;
        ensure!(answer.status == 400, "{wrong}: {answer:?}");
    }
    for attack in ["%22%7D%2C%22match_all%22%3A%7B%7D", "%27%20OR%201%3D1%20--", "texto%3A*", "_id%3A1", "*"] {
        ensure!(rows(host, "/eventos_es/", &format!("q={attack}"))?.is_empty(), "{attack}");
    }
    Ok(())
}

#[test]
fn a_host_that_dies_at_any_step_of_a_commit_changes_nothing() -> Result<()> {
    use std::os::unix::process::ExitStatusExt;

    let Ok(url) = std::env::var("AZENHA_TEST_OPENSEARCH") else {
        println!("skipped: AZENHA_TEST_OPENSEARCH is not set");
        return Ok(());
    };
    for point in POINTS.iter().filter(|point| point.starts_with("elasticsearch.")) {
        let scene = Scene::new(&url, &point.replace(['.', '_'], "-"), false)?;
        let passing = format!("{point}:2");
        let died = scene.azenha.run_with(scene.arguments(&["--rate", RATE]), &[("AZENHA_FAILPOINT", &passing)])?;
        ensure!(died.status.signal() == Some(SIGABRT), "{point}: {}: {}", died.status, died.text());
        scene.azenha.succeed(scene.arguments(&[])).context(*point)?;
        scene.check().context(*point)?;
    }
    Ok(())
}

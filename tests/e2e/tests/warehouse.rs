//! The batch layer of the commerce system: a star schema that is made anew of raw objects, checked, and put in place all
//! at once. A recount of the objects must give the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, DAYS, Database, Finished, Postgres, Running, ShopPast, Star, get, post, repository, seed};
use fastrand::Rng;
use serde_json::Value;
use sqlx::Row;

const ORDERS: u32 = 3_000;
const INTERACTIONS: u32 = 4_000;

const FACTS: &str =
    "SELECT f.order_id || '|' || f.line || '|' || c.customer || '|' || c.city || '|' || c.state || '|' ||
    p.product_id || '|' || f.date_key || '|' || s.seller || '|' || f.status || '|' || f.quantity || '|' || f.total_cents
    FROM fact_order_line AS f JOIN dim_customer AS c ON c.customer_key = f.customer_key
    JOIN dim_product AS p ON p.product_key = f.product_key JOIN dim_store AS s ON s.store_key = f.store_key
    JOIN dim_date AS d ON d.date_key = f.date_key";
const VERSIONS: &str = "SELECT customer || '|' || COUNT(*) FROM dim_customer GROUP BY customer";
const CONTACTS: &str = "SELECT customer || '|' || product_id FROM mart_contacts";
const COUNTED: &str = "SELECT 'interactions|' || COUNT(*) FROM stg_interactions
    UNION ALL SELECT 'dead letters|' || COUNT(*) FROM warehouse_dead_letters";

/// Every table that people read.
const TABLES: [&str; 13] = [
    "stg_order_states",
    "stg_order_lines",
    "stg_interactions",
    "orders_now",
    "dim_date",
    "dim_store",
    "dim_product",
    "dim_customer",
    "fact_order_line",
    "mart_contacts",
    "mart_campaigns",
    "warehouse_objects",
    "warehouse_dead_letters",
];

/// A directory with a shop's past, and the warehouse that is made of it.
struct Scene {
    azenha: Azenha,
    past: ShopPast,
    more: Vec<String>,
}

impl Scene {
    fn new(seed: u64) -> Result<Self> {
        let azenha = Azenha::new()?;
        let past = ShopPast::make(&azenha, ORDERS, INTERACTIONS, seed)?;
        let scene = Self { azenha, past, more: Vec::new() };
        scene.past.lay(&scene.raw(), DAYS.len())?;
        Ok(scene)
    }

    fn raw(&self) -> PathBuf {
        self.azenha.data().join("raw")
    }

    fn arguments(&self, pipeline: &Path, more: &[&str]) -> Vec<String> {
        let (pipeline, data) = (pipeline.display().to_string(), self.azenha.data().display().to_string());
        let mut arguments = vec!["backfill".to_owned(), pipeline, "--data".to_owned(), data];
        arguments.extend(self.more.iter().cloned().chain(more.iter().map(|argument| (*argument).to_owned())));
        arguments
    }

    fn backfill(&self, more: &[&str]) -> Result<Finished> {
        self.azenha.succeed(self.arguments(&ours(), more))
    }

    /// A pipeline like ours but for some words; the file has each of them.
    fn changed(&self, name: &str, words: Words<'_>) -> Result<PathBuf> {
        let mut text = fs::read_to_string(ours().join("pipeline.yaml"))?;
        for (from, to) in words {
            ensure!(text.contains(from), "the file does not say {from}");
            text = text.replacen(from, to, 1);
        }
        self.azenha.write(&format!("{name}/pipeline.yaml"), &text)
    }

    async fn database(&self) -> Result<Database> {
        Database::open(&self.azenha.data().join("warehouse.db")).await
    }

    async fn rows(&self, sql: &str) -> Result<Vec<String>> {
        let rows: Vec<(String,)> = self.database().await?.rows(sql).await?;
        Ok(rows.into_iter().map(|(row,)| row).collect())
    }

    /// Fails with the first rows that are others than they must be.
    async fn must_be(&self, expected: &BTreeMap<&'static str, Vec<String>>, when: &str) -> Result<()> {
        for (table, rows) in self.dump().await? {
            let wanted = &expected[table];
            let differs = rows.iter().zip(wanted).find(|(row, wanted)| row != wanted);
            ensure!(differs.is_none(), "{when}: table {table}: {differs:?}");
            ensure!(rows.len() == wanted.len(), "{when}: table {table}: {} rows, not {}", rows.len(), wanted.len());
        }
        Ok(())
    }

    /// Everything that people read, and nothing that runs are called by.
    async fn dump(&self) -> Result<BTreeMap<&'static str, Vec<String>>> {
        let mut dump = BTreeMap::new();
        for table in TABLES {
            let columns = self.rows(&format!("SELECT name FROM pragma_table_info('{table}') ORDER BY name")).await?;
            ensure!(!columns.is_empty(), "there is no table {table}");
            let columns: Vec<String> = columns.iter().map(|name| format!("COALESCE(\"{name}\", '-')")).collect();
            let rows = format!("SELECT {} AS line FROM {table} ORDER BY line", columns.join(" || '|' || "));
            dump.insert(table, self.rows(&rows).await?);
        }
        Ok(dump)
    }
}

fn ours() -> PathBuf {
    repository().join("pipelines/warehouse")
}

fn star(facts: Vec<String>, versions: Vec<String>, contacts: Vec<String>, counted: &[String]) -> Result<Star> {
    let number = |name: &str| -> Result<usize> {
        let found = counted.iter().find_map(|line| line.strip_prefix(name)).context("it is not counted")?;
        Ok(found.trim_start_matches('|').parse()?)
    };
    let version = |line: &String| Some((line.split_once('|')?.0.to_owned(), line.split_once('|')?.1.parse().ok()?));
    Ok(Star {
        facts: facts.into_iter().collect(),
        versions: versions.iter().filter_map(version).collect(),
        contacts: contacts.into_iter().collect(),
        interactions: number("interactions")?,
        dead_letters: number("dead letters")?,
    })
}

fn check(found: &Star, expected: &Star) {
    assert!(expected.facts.len() > 2_000 && expected.dead_letters > 50, "{} facts", expected.facts.len());
    assert!(expected.versions.values().any(|versions| *versions > 1), "nobody moved");
    assert!(!expected.contacts.is_empty());
    let differ = |name: &str, found: &BTreeSet<String>, expected: &BTreeSet<String>| {
        let wrong: Vec<&String> = found.symmetric_difference(expected).take(5).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    };
    differ("facts", &found.facts, &expected.facts);
    differ("contacts", &found.contacts, &expected.contacts);
    let numbers = |star: &Star| (star.interactions, star.dead_letters);
    assert_eq!(numbers(found), numbers(expected));
    assert!(found.versions == expected.versions, "versions of customers differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_star_schema_is_what_a_recount_of_raw_gives_and_days_that_are_read_again_change_nothing() -> Result<()> {
    let scene = Scene::new(5)?;
    let done = scene.backfill(&[])?;
    assert!(done.stdout.contains("published"), "{}", done.text());
    let (facts, versions) = (scene.rows(FACTS).await?, scene.rows(VERSIONS).await?);
    let found = star(facts, versions, scene.rows(CONTACTS).await?, &scene.rows(COUNTED).await?)?;
    check(&found, &scene.past.recount()?);

    let whole = scene.dump().await?;
    let days = format!("{}..{}", DAYS[1], DAYS[2]);
    let again = scene.backfill(&["--dates", &days])?;
    assert!(again.stdout.contains(&days), "{}", again.text());
    scene.must_be(&whole, "again").await?;
    scene.backfill(&[])?;
    scene.must_be(&whole, "again").await?;
    fs::rename(scene.raw().join("commerce"), scene.raw().join("archive"))?;
    let archive = ["--from", "pedidos=archive/orders", "--from", "interacoes=archive/interactions"];
    assert!(scene.backfill(&archive)?.stdout.contains("3000 records in 9 objects"));
    assert!(!scene.azenha.data().join("batches/warehouse").exists(), "what a run needs goes with it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_comes_out_in_postgres() -> Result<()> {
    let Ok(server) = std::env::var("AZENHA_TEST_POSTGRES") else {
        println!("skipped: AZENHA_TEST_POSTGRES is not set");
        return Ok(());
    };
    let database = Postgres::create(&server, &format!("azenha_e2e_warehouse_{}", std::process::id())).await?;
    let mut scene = Scene::new(6)?;
    let raw = scene.raw();
    let (raw, url) = (raw.display(), database.url());
    let config = format!("connections: {{ warehouse: {{ url: \"{url}\" }}, raw: {{ url: \"file://{raw}\" }} }}\n");
    let config = scene.azenha.write("host.yaml", &config)?;
    scene.more = vec!["--config".to_owned(), config.display().to_string()];
    let rows = async |sql: &str| -> Result<Vec<String>> {
        database.query(sql).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    };
    for _ in 0..2 {
        scene.backfill(&[])?;
        let (facts, versions, contacts) = (rows(FACTS).await?, rows(VERSIONS).await?, rows(CONTACTS).await?);
        check(&star(facts, versions, contacts, &rows(COUNTED).await?)?, &scene.past.recount()?);
    }
    scene.backfill(&["--dates", DAYS[0]])?;
    assert_eq!(rows(FACTS).await?.len(), scene.past.recount()?.facts.len());
    Ok(())
}

/// Words of a file, each with what stands in its place.
type Words<'a> = &'a [(&'a str, &'a str)];

/// What goes wrong, what is written instead of what, and the check that must find it.
const FAULTS: [(&str, Words<'_>, &str); 4] = [
    (
        "lost rows",
        &[("o.order_id = l.order_id", "o.order_id = l.order_id AND o.status <> 'canceled'")],
        "FAILED: every line is a fact",
    ),
    (
        "a key that stands twice",
        &[("AND (c.valid_to IS NULL OR o.created_at < c.valid_to)", "OR c.customer = o.customer")],
        "FAILED: `fact_order_line` has each (order_id, line) once",
    ),
    ("orphans", &[("FROM {orders_now}\n", "FROM {orders_now} WHERE 1 = 0\n")], "FAILED: each date_key"),
    (
        "records that are no rows",
        &[("key: [order_id, changed_at]", "key: [order_id]")],
        "FAILED: every order that was kept is a row or a dead letter",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_a_fault_is_refused_and_the_tables_of_before_stay() -> Result<()> {
    let scene = Scene::new(7)?;
    scene.backfill(&[])?;
    let before = scene.dump().await?;
    for (fault, words, told) in FAULTS {
        let pipeline = scene.changed("faulty", words)?;
        let refused = scene.azenha.run(scene.arguments(&pipeline, &[]))?;
        assert_eq!(refused.status.code(), Some(1), "{fault}: {}", refused.text());
        assert!(refused.stdout.contains(told) && refused.stdout.contains("refused"), "{fault}: {}", refused.text());
        scene.must_be(&before, fault).await?;
    }
    let data = scene.azenha.data().display().to_string();
    let faulty = scene.changed("faulty", FAULTS[0].1)?.display().to_string();
    let refused = scene.azenha.run(["run", &faulty, "--once", "--data", &data])?;
    assert!(!refused.status.success() && refused.stderr.contains("was refused"), "{}", refused.text());

    let keyless =
        scene.changed("keyless", &[("    key: [id]\n    columns: [id, customer", "    columns: [id, customer")])?;
    let refused = scene.azenha.run(scene.arguments(&keyless, &["--dates", DAYS[0]]))?;
    assert!(
        refused.status.code() == Some(2) && refused.stderr.contains("`interactions` has no `key`"),
        "{}",
        refused.text()
    );

    // An object that nobody can read is missing in the tables, and so it is found.
    let broken = scene.raw().join(format!("commerce/orders/date={}/commerce_orders-0000-9.ndjson.zst", DAYS[0]));
    fs::write(&broken, "this is not compressed")?;
    let refused = scene.azenha.run(scene.arguments(&ours(), &[]))?;
    assert!(refused.stdout.contains("FAILED: every order that was kept"), "{}", refused.text());
    scene.must_be(&before, "again").await?;

    fs::remove_file(broken)?;
    assert!(scene.backfill(&[])?.stdout.contains("published"));
    scene.must_be(&before, "again").await?;
    let outcomes = "SELECT report ->> '$.outcome' || '|' || COUNT(*) FROM azenha_runs
        GROUP BY report ->> '$.outcome' ORDER BY 1";
    assert_eq!(scene.rows(outcomes).await?, ["published|2", "refused|6"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_goes_on_and_readers_see_all_before_or_all_after() -> Result<()> {
    let seed = seed();
    let (scene, mut random) = (Scene::new(8)?, Rng::with_seed(seed));
    scene.past.lay(&scene.raw(), DAYS.len())?;
    scene.backfill(&[])?;
    let expected = scene.dump().await?;
    // Of half of the past, so that a run that has been put in place shows.
    fs::remove_dir_all(scene.raw())?;
    scene.past.lay(&scene.raw(), 1)?;
    scene.backfill(&[])?;
    let half = scene.dump().await?["fact_order_line"].len();
    scene.past.lay(&scene.raw(), DAYS.len())?;

    let (stop, file) = (Arc::new(AtomicBool::new(false)), scene.azenha.data().join("warehouse.db"));
    let whole = expected["fact_order_line"].len();
    let reader = tokio::spawn(read_on(file, [half as i64, whole as i64], Arc::clone(&stop)));
    for _ in 0..12 {
        let mut running = scene.azenha.spawn(scene.arguments(&ours(), &[]))?;
        std::thread::sleep(Duration::from_millis(random.u64(5..900)));
        running.kill()?;
    }
    scene.backfill(&[])?;
    stop.store(true, Relaxed);
    let reads = reader.await??;
    assert!(reads > 50, "{reads} reads");
    scene.must_be(&expected, &format!("seed {seed}")).await?;
    Ok(())
}

/// Reads facts and lines in one statement, on and on: there are as many of one as of the other, of one batch or the other.
async fn read_on(file: PathBuf, known: [i64; 2], stop: Arc<AtomicBool>) -> Result<usize> {
    let (mut reads, mut database) = (0, Database::open(&file).await?);
    database.execute("PRAGMA busy_timeout = 30000").await?;
    while !stop.load(Relaxed) {
        let both = "SELECT (SELECT COUNT(*) FROM fact_order_line), (SELECT COUNT(*) FROM stg_order_lines)";
        let rows: Vec<(i64, i64)> = database.rows(both).await?;
        let [(facts, lines)] = rows[..] else { anyhow::bail!("no row") };
        ensure!(facts == lines && known.contains(&facts), "{facts} facts and {lines} lines, not one of {known:?}");
        reads += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(reads)
}

fn runs(answer: &Value) -> usize {
    answer["runs"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_runs_batches_when_they_are_due_or_asked_for_and_tells_their_reports() -> Result<()> {
    let scene = Scene::new(9)?;
    scene.backfill(&[])?;
    // Long ago: the run of last night was missed.
    let long_ago = "UPDATE azenha_runs SET run = '20260101T000000Z', report = json_set(report, '$.started', 1)";
    scene.database().await?.execute(long_ago).await?;
    let mut host = scene.azenha.start(&[&ours()], &[])?;
    let path = "/pipelines/warehouse/runs";
    // A report is kept before the run ends.
    let ended = |host: &Running, wanted: usize| -> Result<bool> {
        let told = get(&host.address, path)?.json()?;
        Ok(runs(&told) == wanted && told["running"] == false)
    };
    host.wait_until("the batch ran", |host| ended(host, 2))?;
    let told = get(&host.address, path)?.json()?;
    assert_eq!(told["runs"][0]["outcome"], "published", "{told}");
    assert!(told["next"].as_i64() > told["runs"][0]["started"].as_i64(), "{told}");

    let begun = post(&host.address, path, "application/json", r#"{"dates":"2026-02-02"}"#)?;
    assert_eq!(begun.status, 202, "{}", begun.body);
    host.wait_until("it ran again", |host| ended(host, 3))?;
    assert_eq!(get(&host.address, path)?.json()?["runs"][0]["dates"], "2026-02-02..2026-02-02");
    let wrong = post(&host.address, path, "application/json", r#"{"dates":"ontem"}"#)?;
    assert_eq!(wrong.status, 400, "{}", wrong.body);
    assert_eq!(get(&host.address, "/pipelines/nothing/runs")?.status, 404);

    let contacts = get(&host.address, "/contatos/?desde=2026-01-01T00:00:00Z&limit=5")?.json()?;
    assert_eq!(contacts["rows"].as_array().map(Vec::len), Some(5), "{contacts}");
    let state = get(&host.address, "/pipelines")?.json()?[0]["state"].clone();
    assert!(state == "waiting" || state == "running", "{state}");
    host.terminate()?;
    Ok(())
}

#[test]
fn a_pipeline_without_a_past_in_a_folder_is_refused() -> Result<()> {
    let azenha = Azenha::new()?;
    let data = azenha.data().display().to_string();
    let commerce = repository().join("pipelines/commerce").display().to_string();
    let refused = azenha.run(["backfill", &commerce, "--data", &data])?;
    assert_eq!(refused.status.code(), Some(2), "{}", refused.text());
    assert!(refused.stderr.contains("no past that stands in a folder"), "{}", refused.stderr);
    Ok(())
}

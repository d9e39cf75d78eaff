//! The commerce pipeline: a shop's orders and interactions, some of them broken, over HTTP into tables; a recount of what
//! the topics keep, which knows nothing of plugins, must give the same tables and as many dead letters.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use azenha_e2e::{Azenha, Database, Lake, Postgres, Running, get, post, repository};
use serde_json::{Value, json};
use sqlx::Row;

const ORDERS: &str = "3000";
const INTERACTIONS: &str = "4000";

/// What must come out.
#[derive(Debug, Default, PartialEq)]
struct Recount {
    /// Status and value by order.
    orders: BTreeMap<String, (String, i64)>,
    /// SKU, quantity and total in cents by order and line.
    lines: BTreeMap<(String, i64), (String, i64, i64)>,
    /// Customer and kind by id.
    interactions: BTreeMap<String, (String, String)>,
}

/// A record as it came, if it is JSON.
fn values(azenha: &Azenha, topic: &str) -> Result<Vec<Option<Value>>> {
    let values = azenha.topic(topic)?.into_iter().map(|record| record["value"].clone());
    // What is no JSON is shown as text.
    Ok(values.map(|value| value.is_object().then_some(value)).collect())
}

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.ends_with('Z') && text.contains('T'))
}

impl Recount {
    /// Recounts what the topics keep; with the dead letters that must be there.
    fn of(azenha: &Azenha) -> Result<(Self, usize)> {
        let (mut recount, mut dead) = (Self::default(), 0);
        for order in values(azenha, "commerce_orders")? {
            dead += order.map_or(2, |order| recount.order(&order));
        }
        for interaction in values(azenha, "commerce_interactions")? {
            dead += interaction.map_or(1, |interaction| recount.interaction(&interaction));
        }
        Ok((recount, dead))
    }

    /// Adds an order; how many dead letters it makes: an order that cannot be read is one for each of the two that read it.
    fn order(&mut self, order: &Value) -> usize {
        let (Some(id), true) = (order["orderId"].as_str(), is_time(&order["creationDate"])) else { return 2 };
        let status = order["status"].as_str().unwrap_or_default().to_owned();
        self.orders.insert(id.to_owned(), (status, order["value"].as_i64().unwrap_or(-1)));
        let mut dead = 0;
        for (line, item) in (1..).zip(order["items"].as_array().into_iter().flatten()) {
            let (quantity, price) = (item["quantity"].as_i64(), item["sellingPrice"].as_i64());
            match (quantity.filter(|quantity| *quantity > 0), price) {
                (Some(quantity), Some(price)) => {
                    let sku = item["id"].as_str().unwrap_or_default().to_owned();
                    self.lines.insert((id.to_owned(), line), (sku, quantity, quantity * price));
                }
                _ => dead += 1,
            }
        }
        dead
    }

    fn interaction(&mut self, interaction: &Value) -> usize {
        let kind = interaction["type"].as_str().unwrap_or_default();
        let says = match kind {
            "view" | "cart" => interaction["product"]["id"].is_string(),
            "search" => interaction["query"].is_string(),
            _ => false,
        };
        let (Some(customer), true, true) = (interaction["customer"].as_str(), is_time(&interaction["at"]), says) else {
            return 1;
        };
        let id = interaction["id"].as_str().unwrap_or_default().to_owned();
        self.interactions.insert(id, (customer.to_owned(), kind.to_owned()));
        0
    }
}

const ORDERS_TABLE: &str = "SELECT order_id, status, value_cents FROM orders";
const INTERACTIONS_TABLE: &str = "SELECT id, customer, kind FROM interactions";

/// A host that ran what was loaded to its end, and has stopped.
struct Scene {
    azenha: Azenha,
    config: Vec<String>,
}

impl Scene {
    fn new(config: Option<&str>) -> Result<Self> {
        let azenha = Azenha::new()?;
        let config = match config {
            Some(text) => vec!["--config".to_owned(), azenha.write("host.yaml", text)?.display().to_string()],
            None => Vec::new(),
        };
        Ok(Self { azenha, config })
    }

    fn start(&self) -> Result<Running> {
        let config: Vec<&str> = self.config.iter().map(String::as_str).collect();
        self.azenha.start(&[&repository().join("pipelines/commerce")], &config)
    }

    fn load(&self, host: &Running, generator: &str, topic: &str, key: &str, records: &str) -> Result<()> {
        let server = format!("http://{}", host.address);
        let arguments = ["load", "--generator", generator, "--topic", topic, "--server", &server, "--records", records];
        let more = ["--broken", "0.05", "--key", key, "--rate", "100000", "--seed", "11"];
        self.azenha.succeed(arguments.into_iter().chain(more))?;
        Ok(())
    }

    /// Loads both streams, waits until everything is in the tables, asks, and stops.
    fn play(&self) -> Result<()> {
        let mut host = self.start()?;
        self.load(&host, "commerce-orders", "commerce_orders", "orderId", ORDERS)?;
        self.load(&host, "commerce-interactions", "commerce_interactions", "customer", INTERACTIONS)?;
        host.wait_until("everything is processed", |host| {
            let tasks = get(&host.address, "/pipelines/commerce")?.json()?["tasks"].clone();
            let lanes = tasks.as_array().into_iter().flatten().flat_map(|task| task["lanes"].as_array()).flatten();
            Ok(lanes.map(|lane| lane["lag"].as_u64()).all(|lag| lag == Some(0)))
        })?;
        check_question(&host)?;
        host.terminate()?;
        Ok(())
    }

    fn check_dead_letters(&self, expected: usize) -> Result<()> {
        let dead = self.azenha.dead_letters("commerce")?;
        assert_eq!(dead.len(), expected);
        let parts = dead.iter().filter(|letter| letter["part"].as_str().is_some_and(|part| part.starts_with("items[")));
        assert!(parts.count() > 20, "broken lines are told by their place");
        let text = serde_json::to_string(&dead)?;
        assert!(!text.contains("@example.com"), "dead letters of orders hold no personal data");
        Ok(())
    }
}

/// What did this customer look at in the last minutes?
fn check_question(host: &Running) -> Result<()> {
    let busiest = "/interacoes/c00000?limit=500";
    let answer = get(&host.address, busiest)?.json()?;
    let rows = answer["rows"].as_array().context("no rows")?;
    assert!(rows.len() > 5, "{answer}");
    let times: Vec<&str> = rows.iter().filter_map(|row| row["at"].as_str()).collect();
    assert!(times.is_sorted_by(|earlier, later| earlier >= later), "the latest first: {times:?}");
    let freshness = &answer["freshness"];
    assert!(freshness["newest"].as_str() >= times.first().copied(), "{freshness}");
    assert!(freshness["watermark"].is_string() && freshness["age_seconds"].is_number(), "{freshness}");
    let searched = get(&host.address, &format!("{busiest}&tipo=search"))?.json()?;
    let searches = rows.iter().filter(|row| row["kind"] == "search").count();
    assert_eq!(searched["rows"].as_array().map(Vec::len), Some(searches));
    assert_eq!(get(&host.address, "/interacoes/c00000?desde=now")?.json()?["rows"].as_array().map(Vec::len), Some(0));
    assert_eq!(get(&host.address, "/interacoes/c00000?desde=ontem")?.status, 400);
    let orders = get(&host.address, "/pedidos/c00000")?.json()?;
    assert!(orders["rows"].as_array().is_some_and(|rows| rows.iter().any(|row| row["total"].is_string())), "{orders}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_dead_letters_are_what_a_recount_of_the_topics_gives() -> Result<()> {
    let scene = Scene::new(None)?;
    scene.play()?;
    let (expected, dead) = Recount::of(&scene.azenha)?;
    let mut database = Database::open(&scene.azenha.data().join("commerce.db")).await?;
    let lines = "SELECT order_id, line, sku, quantity, CAST(REPLACE(total, '.', '') AS INTEGER) FROM order_lines";
    let lines: Vec<(String, i64, String, i64, i64)> = database.rows(lines).await?;
    let orders: Vec<(String, String, i64)> = database.rows(ORDERS_TABLE).await?;
    let interactions: Vec<(String, String, String)> = database.rows(INTERACTIONS_TABLE).await?;
    let found = Recount {
        orders: orders.into_iter().map(|(id, status, value)| (id, (status, value))).collect(),
        lines: lines.into_iter().map(|(id, line, sku, quantity, total)| ((id, line), (sku, quantity, total))).collect(),
        interactions: interactions.into_iter().map(|(id, customer, kind)| (id, (customer, kind))).collect(),
    };
    assert!(expected.orders.len() > 900 && expected.lines.len() > 2_000 && dead > 200, "{dead} dead letters");
    assert_eq!(found, expected);
    scene.check_dead_letters(dead)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_comes_out_in_postgres() -> Result<()> {
    let Ok(server) = std::env::var("AZENHA_TEST_POSTGRES") else {
        println!("skipped: AZENHA_TEST_POSTGRES is not set");
        return Ok(());
    };
    let database = Postgres::create(&server, &format!("azenha_e2e_commerce_{}", std::process::id())).await?;
    let raw = tempfile::tempdir()?;
    let (raw, url) = (raw.path().display(), database.url());
    let config = format!("connections: {{ commerce: {{ url: \"{url}\" }}, raw: {{ url: \"file://{raw}\" }} }}\n");
    let scene = Scene::new(Some(&config))?;
    scene.play()?;
    let (expected, dead) = Recount::of(&scene.azenha)?;
    let lines = "SELECT order_id, line, sku, quantity, CAST(total * 100 AS bigint) FROM order_lines";
    let mut found = Recount::default();
    for row in database.query(ORDERS_TABLE).await? {
        found.orders.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
    }
    for row in database.query(lines).await? {
        let key = (row.try_get(0)?, row.try_get(1)?);
        found.lines.insert(key, (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?));
    }
    for row in database.query(INTERACTIONS_TABLE).await? {
        found.interactions.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
    }
    assert_eq!(found, expected);
    scene.check_dead_letters(dead)
}

/// An order as it stands after a change: its items are these products.
fn order(changed_at: &str, products: &[&str]) -> String {
    let item =
        |product: &&str| json!({ "id": "1", "productId": product, "name": product, "quantity": 1, "sellingPrice": 5 });
    let order = json!({
        "orderId": "1-01",
        "status": "handling",
        "creationDate": "2026-01-31T12:00:00Z",
        "lastChange": changed_at,
        "value": 100,
        "clientProfileData": { "id": "c1" },
        "items": products.iter().map(item).collect::<Vec<_>>(),
    });
    order.to_string()
}

#[test]
fn items_that_an_order_does_not_have_any_more_are_not_shown() -> Result<()> {
    let scene = Scene::new(None)?;
    let mut host = scene.start()?;
    for (minute, products) in [&["a", "b", "c"][..], &["b", "c"], &[], &["d"]].into_iter().enumerate() {
        let changed = order(&format!("2026-01-31T12:0{minute}:00Z"), products);
        let sent = post(&host.address, "/topics/commerce_orders/records", "application/x-ndjson", &changed)?;
        assert_eq!(sent.status, 200, "{}", sent.body);
        // Without items it is a row of its own.
        let expected: Vec<Value> = match products {
            [] => vec![json!([0, null])],
            products => (1..).zip(products).map(|(line, product)| json!([line, product])).collect(),
        };
        host.wait_until("the order stands as it was sent", |host| {
            let answer = get(&host.address, "/pedidos/c1")?.json()?;
            let rows = answer["rows"].as_array().cloned().unwrap_or_default();
            let found: Vec<Value> = rows.iter().map(|row| json!([row["line"], row["product"]])).collect();
            Ok(found == expected)
        })?;
    }
    host.terminate()?;
    Ok(())
}

/// What was sent of an order that stands on several lines: no JSON, and no line either.
const CUT_OFF: &str = "{\"orderId\":\"1\",\r\"email\":\"a@example.com\"";

#[test]
fn an_order_that_was_cut_off_is_kept_and_no_dead_letter_repeats_it() -> Result<()> {
    let azenha = Azenha::new()?;
    let text = fs::read_to_string(repository().join("pipelines/commerce/pipeline.yaml"))?;
    let plain = text.replace("format: lines\n", "format: lines\n    compression: none\n");
    assert_ne!(plain, text);
    let pipeline = azenha.write("commerce/pipeline.yaml", &plain)?;
    let mut host = azenha.start(&[&pipeline], &[])?;
    let sent = post(&host.address, "/topics/commerce_orders/records", "application/x-ndjson", CUT_OFF)?;
    assert_eq!(sent.status, 200, "{}", sent.body);
    host.terminate()?;
    azenha.run_once(&pipeline, &[], &[])?;
    let raw = Lake::embedded(&azenha)?.contents("raw/commerce/orders")?;
    let kept: Vec<u8> = raw.into_values().flatten().collect();
    assert_eq!(serde_json::from_slice::<String>(&kept)?, CUT_OFF);
    let letters = azenha.dead_letters("commerce")?;
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert!(!serde_json::to_string(&letters)?.contains("a@example.com"), "{letters:?}");
    Ok(())
}

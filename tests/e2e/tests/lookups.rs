//! Streams whose rows are looked up in a table, embedded: what a row finds, once, and in its window.

use std::collections::BTreeMap;

use anyhow::Result;
use azenha_e2e::Azenha;
use fastrand::Rng;
use serde_json::{Value, json};

const PIPELINE: &str = "
name: shop
sources:
  clicks:
    topic: clicks
    partitions: 3
    schema: { id: int64, product: int64?, at: timestamp(us) }
  products:
    topic: products
    key: [id]
    partitioned_by: [id]
    partitions: 2
    schema: { id: int64, name: text, price: decimal(2)? }
steps:
  named: { lookup: products, from: clicks, on: { product: id } }
  sold: { lookup: products, from: clicks, on: { product: id }, kind: inner, columns: { name: sold } }
sinks:
  named_clicks: { from: named, topic: named_clicks }
  sold_clicks: { from: sold, topic: sold_clicks }
";

const PRODUCTS: i64 = 40;

fn products(suffix: &str) -> String {
    let product = |id: i64| json!({ "id": id, "name": format!("product {id}{suffix}"), "price": "1.50" }).to_string();
    (0..PRODUCTS).map(|id| product(id) + "\n").collect()
}

/// Of four clicks one names no product, and one a product that is not there.
fn product_of(click: i64) -> Option<i64> {
    match click % 4 {
        0 => None,
        1 => Some(PRODUCTS + click),
        _ => Some(click % PRODUCTS),
    }
}

fn clicks(ids: std::ops::Range<i64>) -> String {
    let click = |id: i64| json!({ "id": id, "product": product_of(id), "at": 1_700_000_000_000_001 + id }).to_string();
    ids.map(|id| click(id) + "\n").collect()
}

/// The values of a topic by their id; each stands there once.
fn by_id(azenha: &Azenha, topic: &str) -> Result<BTreeMap<i64, Value>> {
    let records = azenha.topic(topic)?;
    let count = records.len();
    let values: BTreeMap<i64, Value> = records
        .into_iter()
        .map(|record| (record["value"]["id"].as_i64().unwrap_or(-1), record["value"].clone()))
        .collect();
    assert_eq!(values.len(), count, "{topic} has an id twice");
    Ok(values)
}

fn check(azenha: &Azenha, ids: std::ops::Range<i64>, suffix: &str) -> Result<()> {
    let (named, sold) = (by_id(azenha, "named_clicks")?, by_id(azenha, "sold_clicks")?);
    for id in ids {
        let name =
            product_of(id).filter(|product| *product < PRODUCTS).map(|product| format!("product {product}{suffix}"));
        assert_eq!(named[&id]["name"], json!(name), "{}", named[&id]);
        assert_eq!(named[&id]["price"], json!(name.as_ref().map(|_| "1.50")));
        assert_eq!(named[&id]["product"], json!(product_of(id)));
        assert_eq!(sold.get(&id).map(|click| click["sold"].clone()), name.map(Value::from), "click {id}");
    }
    Ok(())
}

#[test]
fn a_row_finds_what_stands_in_the_table_when_it_comes_and_the_whole_table_at_the_start() -> Result<()> {
    let azenha = Azenha::new()?;
    let pipeline = azenha.write("shop/pipeline.yaml", PIPELINE)?;
    let first = azenha.write("clicks.ndjson", &clicks(0..900))?;
    let old = azenha.write("products.ndjson", &products(""))?;
    azenha.run_once(&pipeline, &[("clicks", &first), ("products", &old)], &["--strict"])?;
    check(&azenha, 0..900, "")?;

    let new = azenha.write("new_products.ndjson", &products(", new"))?;
    azenha.run_once(&pipeline, &[("products", &new)], &["--strict"])?;
    assert_eq!(by_id(&azenha, "named_clicks")?.len(), 900, "a changed product changes no click of before");

    let second = azenha.write("more_clicks.ndjson", &clicks(900..1000))?;
    azenha.run_once(&pipeline, &[("clicks", &second)], &["--strict"])?;
    check(&azenha, 0..900, "")?;
    check(&azenha, 900..1000, ", new")
}

#[test]
fn a_host_that_dies_again_and_again_gives_each_row_once() -> Result<()> {
    let azenha = Azenha::new()?;
    let pipeline = azenha.write("shop/pipeline.yaml", PIPELINE)?;
    let (clicks, products) =
        (azenha.write("clicks.ndjson", &clicks(0..900))?, azenha.write("p.ndjson", &products(""))?);
    let inputs = [("clicks", clicks.as_path()), ("products", products.as_path())];
    let arguments = azenha.run_arguments(&pipeline, &inputs, &["--once"]);
    let mut deaths = 0;
    for (point, nth) in [("commit.prepared", 2), ("commit.done", 5), ("lane.restored", 7), ("commit.prepared", 9)] {
        let died = azenha.run_with(&arguments, &[("AZENHA_FAILPOINT", &format!("{point}:{nth}"))])?;
        deaths += u32::from(!died.status.success());
    }
    assert!(deaths >= 3, "{deaths} deaths");
    azenha.run_once(&pipeline, &inputs, &["--strict"])?;
    check(&azenha, 0..900, "")
}

const COUNTS: &str = "
name: counted
sources:
  clicks:
    topic: clicks
    partitions: 3
    schema: { product: int64, at: timestamp(us) }
    event_time: { field: at, lateness: 5s }
  products: { topic: products, key: [id], schema: { id: int64, name: text } }
steps:
  named: { lookup: products, from: clicks, on: { product: id }, kind: inner }
  of_products: { aggregate: click-count, from: clicks, by: [product], window: {window}, emit: final }
  of_names: { aggregate: click-count, from: named, by: [name], window: {window}, emit: final }
sinks:
  of_products_output: { from: of_products, topic: of_products }
  of_names_output: { from: of_names, topic: of_names }
";

/// Clicks in some disorder: few of them come too late.
fn disordered(count: i64, random: &mut Rng) -> String {
    let mut click = |number: i64| {
        let back = if random.u8(0..50) == 0 { 40_000_000 } else { random.i64(0..4_000_000) };
        json!({ "product": random.i64(0..5), "at": 1_700_000_000_000_000 + number * 20_000 - back }).to_string()
    };
    (0..count).map(|number| click(number) + "\n").collect()
}

/// Counts by the number of a product and the start of a window.
fn counts(azenha: &Azenha, topic: &str) -> Result<BTreeMap<(i64, i64), i64>> {
    let count = |record: Value| {
        let value = &record["value"];
        let named = value["name"].as_str().and_then(|name| name.strip_prefix("product ")?.parse().ok());
        let product = named.or(value["product"].as_i64()).unwrap_or(-1);
        let number = |column: &str| value[column].as_i64().unwrap_or(-1);
        ((product, number("start_time")), number("click_count"))
    };
    Ok(azenha.topic(topic)?.into_iter().map(count).collect())
}

#[test]
fn windows_behind_a_lookup_hold_the_same_rows_and_refuse_the_same_late_ones() -> Result<()> {
    let seed = azenha_e2e::seed();
    let clicks = disordered(6_000, &mut Rng::with_seed(seed));
    for window in ["{ tumbling: 10s }", "{ hopping: 20s, every: 5s }", "{ session: 200ms }"] {
        let azenha = Azenha::new()?;
        let pipeline = azenha.write("counted/pipeline.yaml", &COUNTS.replace("{window}", window))?;
        let (clicks, products) = (azenha.write("clicks.ndjson", &clicks)?, azenha.write("p.ndjson", &products(""))?);
        azenha.run_once(&pipeline, &[("clicks", &clicks), ("products", &products)], &[])?;
        let (direct, behind) = (counts(&azenha, "of_products")?, counts(&azenha, "of_names")?);
        assert!(direct.len() > 50, "{} windows", direct.len());
        assert!(direct == behind, "{window}, seed {seed}: {} and {} windows", direct.len(), behind.len());
        let letters = azenha.dead_letters("counted")?;
        let late =
            |step: &str| letters.iter().filter(|letter| letter["step"] == step && letter["cause"] == "late").count();
        assert!(late("of_products") > 0);
        assert_eq!(late("of_products"), late("of_names"), "{window}, seed {seed}");
        assert_eq!(letters.len(), 2 * late("of_names"), "{letters:?}");
    }
    Ok(())
}

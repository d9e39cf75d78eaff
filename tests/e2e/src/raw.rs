//! A shop's past as objects: what `azenha load` makes, laid into the folders of days, and a recount of it that knows
//! nothing of plugins or statements.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use azenha_model::civil::parse_timestamp;
use serde_json::Value;

use crate::Azenha;

/// The days into whose folders a past is laid.
pub const DAYS: [&str; 3] = ["2026-02-01", "2026-02-02", "2026-02-03"];

/// Objects in each of those folders.
const OBJECTS: usize = 3;

/// Records as they were sent; what is no JSON is text.
pub struct ShopPast {
    orders: Vec<Value>,
    interactions: Vec<Value>,
}

impl ShopPast {
    /// Makes the records.
    pub fn make(azenha: &Azenha, orders: u32, interactions: u32, seed: u64) -> Result<Self> {
        let data = azenha.path("made").display().to_string();
        let make = |generator: &str, topic: &str, records: u32| -> Result<Vec<Value>> {
            let (records, seed) = (records.to_string(), seed.to_string());
            let arguments =
                ["load", "--data", &data, "--topic", topic, "--generator", generator, "--records", &records];
            let more = ["--partitions", "1", "--seed", &seed, "--from", "2026-01-31T12:00:00Z", "--broken", "0.03"];
            let pace = ["--rate", "100000", "--speed", "8000000"];
            azenha.succeed(arguments.into_iter().chain(more).chain(pace))?;
            let read = azenha.succeed(["topic", "read", topic, "--json", "--data", &data])?;
            let records = read.stdout.lines().map(serde_json::from_str::<Value>);
            records.map(|record| Ok(record?["value"].take())).collect()
        };
        Ok(Self {
            orders: make("commerce-orders", "orders", orders)?,
            interactions: make("commerce-interactions", "interactions", interactions)?,
        })
    }

    /// Lays the records of the first days into the folder of a connection `raw`.
    pub fn lay(&self, raw: &Path, days: usize) -> Result<()> {
        lay(&self.orders, &raw.join("commerce/orders"), "commerce_orders", days)?;
        lay(&self.interactions, &raw.join("commerce/interactions"), "commerce_interactions", days)
    }

    /// What must come of the whole past.
    pub fn recount(&self) -> Result<Star> {
        let mut star = Star::default();
        let mut orders: BTreeMap<&str, Order<'_>> = BTreeMap::new();
        for record in &self.orders {
            match Order::of(record) {
                Some(order) => {
                    let latest = orders.entry(order.id).or_insert_with(|| order.clone());
                    if latest.changed_at < order.changed_at {
                        *latest = order;
                    }
                }
                // Two sinks read it.
                None => star.dead_letters += 2,
            }
        }
        for record in &self.orders {
            let Some(order) = Order::of(record) else { continue };
            let status = orders.get(order.id).map(|latest| latest.status).context("it was seen")?;
            star.lines(&order, status);
        }
        star.versions = versions(orders.values());
        for interaction in &self.interactions {
            star.interaction(interaction, &orders);
        }
        Ok(star)
    }
}

fn lay(records: &[Value], folder: &Path, topic: &str, days: usize) -> Result<()> {
    let each = records.len().div_ceil(DAYS.len() * OBJECTS);
    for (number, chunk) in records.chunks(each).enumerate().take(days * OBJECTS) {
        let folder = folder.join(format!("date={}", DAYS[number / OBJECTS]));
        fs::create_dir_all(&folder)?;
        let line = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned) + "\n";
        let text: String = chunk.iter().map(line).collect();
        fs::write(folder.join(format!("{topic}-0000-{:016}.ndjson", number * each)), text)?;
    }
    Ok(())
}

/// What must stand in the star schema, as lines of text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Star {
    /// Order, line, customer, city, state, product, day, seller, status, quantity and cents.
    pub facts: BTreeSet<String>,
    /// How many versions each customer has.
    pub versions: BTreeMap<String, usize>,
    /// Customer and product.
    pub contacts: BTreeSet<String>,
    /// Interactions that say something.
    pub interactions: usize,
    /// What was refused.
    pub dead_letters: usize,
}

#[derive(Clone)]
struct Order<'a> {
    id: &'a str,
    status: &'a str,
    created_at: i64,
    changed_at: i64,
    customer: &'a str,
    city: &'a str,
    state: &'a str,
    day: String,
    items: &'a [Value],
}

impl<'a> Order<'a> {
    fn of(record: &'a Value) -> Option<Self> {
        let created = record["creationDate"].as_str()?;
        let address = &record["shippingData"]["address"];
        Some(Self {
            id: record["orderId"].as_str()?,
            status: record["status"].as_str()?,
            created_at: parse_timestamp(created)?,
            changed_at: parse_timestamp(record["lastChange"].as_str()?)?,
            customer: record["clientProfileData"]["id"].as_str()?,
            city: address["city"].as_str()?,
            state: address["state"].as_str()?,
            day: created[..10].replace('-', ""),
            items: record["items"].as_array()?,
        })
    }
}

/// How many homes each customer had, in the order of its orders.
fn versions<'a>(orders: impl Iterator<Item = &'a Order<'a>>) -> BTreeMap<String, usize> {
    let mut homes: BTreeMap<&str, Vec<(i64, &str, &str, &str)>> = BTreeMap::new();
    for order in orders {
        homes.entry(order.customer).or_default().push((order.created_at, order.id, order.city, order.state));
    }
    let moves = |homes: &mut Vec<(i64, &str, &str, &str)>| {
        homes.sort_unstable();
        homes.dedup_by_key(|(_, _, city, state)| (*city, *state));
        homes.len()
    };
    homes.into_iter().map(|(customer, mut homes)| (customer.to_owned(), moves(&mut homes))).collect()
}

impl Star {
    fn lines(&mut self, order: &Order<'_>, status: &str) {
        let Order { id, customer, city, state, day, .. } = order;
        for (line, item) in (1..).zip(order.items) {
            let (quantity, price) = (item["quantity"].as_i64(), item["sellingPrice"].as_i64());
            let (Some(quantity), Some(price)) = (quantity.filter(|quantity| *quantity > 0), price) else {
                self.dead_letters += 1;
                continue;
            };
            let text = |name: &str| item[name].as_str().unwrap_or_default();
            let (product, seller, cents) = (text("productId"), text("seller"), quantity * price);
            self.facts.insert(format!(
                "{id}|{line}|{customer}|{city}|{state}|{product}|{day}|{seller}|{status}|{quantity}|{cents}"
            ));
        }
    }

    fn interaction(&mut self, record: &Value, orders: &BTreeMap<&str, Order<'_>>) {
        let (kind, product) = (record["type"].as_str().unwrap_or_default(), record["product"]["id"].as_str());
        let says = match kind {
            "view" | "cart" => product.is_some(),
            "search" => record["query"].is_string(),
            _ => false,
        };
        let at = record["at"].as_str().and_then(parse_timestamp);
        let (Some(customer), Some(at), true) = (record["customer"].as_str(), at, says) else {
            self.dead_letters += 1;
            return;
        };
        self.interactions += 1;
        let has_ordered = || orders.values().any(|order| order.customer == customer && order.created_at >= at);
        if kind == "cart" && !has_ordered() {
            self.contacts.insert(format!("{customer}|{}", product.unwrap_or_default()));
        }
    }
}

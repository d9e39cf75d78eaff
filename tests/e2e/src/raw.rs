//! A shop's past as objects: what `azenha load` makes, laid into the folders of days, and a recount of it that knows
//! nothing of plugins or statements.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use azenha_model::civil::parse_timestamp;
use serde_json::{Value, json};

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

    /// Adds, behind everything else, what comes in a shop's life and is not what one expects: see [`unusual`].
    pub fn add_unusual(&mut self) -> Result<()> {
        let (orders, interactions) = unusual(&self.orders, &self.interactions)?;
        self.orders.extend(orders);
        self.interactions.extend(interactions);
        Ok(())
    }

    /// How many records there are.
    pub fn records(&self) -> (usize, usize) {
        (self.orders.len(), self.interactions.len())
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
        let mut changes = BTreeSet::new();
        for record in &self.orders {
            star.dead_letters += broken_lines(record);
            let Some(order) = Order::of(record) else {
                star.dead_letters += 1;
                continue;
            };
            star.repeated += usize::from(!changes.insert((order.id, order.changed_at)));
            match orders.get_mut(order.id) {
                // Of several records of one change the last one counts.
                Some(latest) if latest.changed_at > order.changed_at => {}
                Some(latest) => *latest = order,
                None => drop(orders.insert(order.id, order)),
            }
        }
        let homes = homes(orders.values());
        for order in orders.values() {
            let home = homes[order.customer].iter().rev().find(|(from, _)| *from <= order.created_at);
            star.lines(order, home.context("a customer has a home")?.1);
        }
        star.versions = homes.iter().map(|(customer, homes)| ((*customer).to_owned(), homes.len())).collect();
        let mut seen = BTreeSet::new();
        for interaction in &self.interactions {
            star.interaction(interaction, &orders, &mut seen);
        }
        Ok(star)
    }
}

/// What is not what one expects, made of a past: the orders, then the interactions.
fn unusual(orders: &[Value], interactions: &[Value]) -> Result<(Vec<Value>, Vec<Value>)> {
    let has_whole_items =
        |record: &&Value| record["items"].as_array().is_some_and(|items| items.len() > 1) && broken_lines(record) == 0;
    let first_day = orders.iter().take(orders.len() / DAYS.len());
    let latest: BTreeMap<&str, &Value> =
        first_day.filter(has_whole_items).filter_map(|record| Some((Order::of(record)?.id, record))).collect();
    let mut latest = latest.into_values();
    // The next order as it stood at the end of the first day, changed.
    let mut changed = |change: &dyn Fn(&mut Value)| -> Result<Value> {
        let mut order = latest.next().context("there are too few orders")?.clone();
        order["lastChange"] = json!("2026-03-01T00:00:00Z");
        change(&mut order);
        Ok(order)
    };
    let without = |order: &mut Value, member: &str| drop(order.as_object_mut().and_then(|order| order.remove(member)));
    let placed = |order: &mut Value, id: &str, customer: &str, at: &str| {
        order["orderId"] = json!(id);
        order["clientProfileData"]["id"] = json!(customer);
        (order["creationDate"], order["lastChange"]) = (json!(at), json!(at));
    };
    let mut more = vec![
        // An item less, and none left.
        changed(&|order| drop(order["items"].as_array_mut().map(|items| items.remove(0))))?,
        changed(&|order| order["items"] = json!([]))?,
        // No seller.
        changed(&|order| without(&mut order["items"][0], "seller"))?,
        // Lines, but no order.
        changed(&|order| without(order, "status"))?,
        changed(&|order| without(order, "creationDate"))?,
        // An order, but no lines.
        changed(&|order| without(order, "items"))?,
        // More than sums can hold, and less than the lines are worth.
        changed(&|order| order["items"][0]["quantity"] = json!(i64::MAX))?,
        changed(&|order| order["value"] = json!(0))?,
        // A change that comes too late to count.
        changed(&|order| (order["lastChange"], order["items"]) = (json!("2020-01-01T00:00:00Z"), json!([])))?,
        // Orders that are sent nowhere: of somebody whose home is known, of somebody of whom nothing is, before one that is.
        changed(&|order| {
            without(order, "shippingData");
            (order["orderId"], order["creationDate"]) = (json!("nowhere-01"), json!("2026-03-01T00:00:00Z"));
        })?,
        changed(&|order| {
            without(order, "shippingData");
            placed(order, "nowhere-02", "nobody", "2026-03-02T00:00:00Z");
        })?,
        changed(&|order| placed(order, "nowhere-03", "nobody", "2026-03-03T00:00:00Z"))?,
        changed(&|order| {
            without(order, "shippingData");
            placed(order, "nowhere-04", "nobody", "2026-03-04T00:00:00Z");
        })?,
    ];
    // The same change twice, once more with other items; and what was kept twice.
    let mut other = changed(&|_| {})?;
    more.extend([other.clone(), other.clone()]);
    other["items"][0]["quantity"] = json!(7);
    other["items"].as_array_mut().map(Vec::pop);
    more.push(other);
    more.extend(orders.iter().take(20).cloned());
    let mut too_many = interactions.iter().find(|record| record["type"] == "cart").context("no cart")?.clone();
    (too_many["id"], too_many["quantity"]) = (json!("too-many"), json!(i64::MAX));
    Ok((more, interactions.iter().take(20).cloned().chain([too_many]).collect()))
}

/// The dead letters of the lines of a record, and of counting them.
fn broken_lines(record: &Value) -> usize {
    if record["orderId"].as_str().is_none() || record["items"].is_null() {
        return 2;
    }
    let Some(items) = record["items"].as_array() else { return 1 };
    items.iter().filter(|item| line(item).is_none()).count()
}

/// Quantity and price of an item that is none too broken.
fn line(item: &Value) -> Option<(i64, i64)> {
    let quantity = item["quantity"].as_i64().filter(|quantity| (1..=1_000_000).contains(quantity))?;
    Some((quantity, item["sellingPrice"].as_i64()?))
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
    /// Records that were told before, or are told again.
    pub repeated: usize,
    /// What was refused.
    pub dead_letters: usize,
}

/// A city and its state.
type Home<'a> = (&'a str, &'a str);

/// When an order was made, which, and where it was sent.
type Sent<'a> = (i64, &'a str, Option<Home<'a>>);

/// Of a customer who never said any.
const UNKNOWN: Home<'static> = ("unknown", "unknown");

#[derive(Clone)]
struct Order<'a> {
    id: &'a str,
    status: &'a str,
    created_at: i64,
    changed_at: i64,
    customer: &'a str,
    home: Option<Home<'a>>,
    day: String,
    items: &'a [Value],
}

impl<'a> Order<'a> {
    fn of(record: &'a Value) -> Option<Self> {
        let created = record["creationDate"].as_str()?;
        let address = &record["shippingData"]["address"];
        record["value"].as_i64()?;
        Some(Self {
            id: record["orderId"].as_str()?,
            status: record["status"].as_str()?,
            created_at: parse_timestamp(created)?,
            changed_at: parse_timestamp(record["lastChange"].as_str()?)?,
            customer: record["clientProfileData"]["id"].as_str()?,
            home: address["city"].as_str().zip(address["state"].as_str()),
            day: created[..10].replace('-', ""),
            items: record["items"].as_array().map_or(&[], Vec::as_slice),
        })
    }
}

/// Where each customer lived, and from when on, in the order of its orders.
fn homes<'a>(orders: impl Iterator<Item = &'a Order<'a>>) -> BTreeMap<&'a str, Vec<(i64, Home<'a>)>> {
    let mut sent: BTreeMap<&str, Vec<Sent<'_>>> = BTreeMap::new();
    for order in orders {
        sent.entry(order.customer).or_default().push((order.created_at, order.id, order.home));
    }
    let moves = |mut sent: Vec<Sent<'a>>| {
        sent.sort_unstable();
        let mut homes: Vec<(i64, Home<'a>)> = Vec::new();
        for (at, _, home) in sent {
            match (home, homes.last()) {
                (None, None) => homes.push((at, UNKNOWN)),
                (Some(home), last) if last.is_none_or(|(_, last)| *last != home) => homes.push((at, home)),
                _ => {}
            }
        }
        homes
    };
    sent.into_iter().map(|(customer, sent)| (customer, moves(sent))).collect()
}

impl Star {
    fn lines(&mut self, order: &Order<'_>, (city, state): Home<'_>) {
        let Order { id, status, customer, day, .. } = order;
        for (number, item) in (1..).zip(order.items) {
            let Some((quantity, price)) = line(item) else { continue };
            let (product, cents) = (item["productId"].as_str().unwrap_or_default(), quantity * price);
            let seller = item["seller"].as_str().unwrap_or("unknown");
            self.facts.insert(format!(
                "{id}|{number}|{customer}|{city}|{state}|{product}|{day}|{seller}|{status}|{quantity}|{cents}"
            ));
        }
    }

    fn interaction<'a>(&mut self, record: &'a Value, orders: &BTreeMap<&str, Order<'_>>, seen: &mut BTreeSet<&'a str>) {
        let (kind, product) = (record["type"].as_str().unwrap_or_default(), record["product"]["id"].as_str());
        let says = match kind {
            "view" => product.is_some(),
            "cart" => product.is_some() && record["quantity"].as_i64().is_some_and(|quantity| quantity <= 1_000_000),
            "search" => record["query"].is_string(),
            _ => false,
        };
        let at = record["at"].as_str().and_then(parse_timestamp);
        let (Some(customer), Some(at), true) = (record["customer"].as_str(), at, says) else {
            self.dead_letters += 1;
            return;
        };
        if !seen.insert(record["id"].as_str().unwrap_or_default()) {
            self.repeated += 1;
            return;
        }
        self.interactions += 1;
        let has_ordered = || orders.values().any(|order| order.customer == customer && order.created_at >= at);
        if kind == "cart" && !has_ordered() {
            self.contacts.insert(format!("{customer}|{}", product.unwrap_or_default()));
        }
    }
}

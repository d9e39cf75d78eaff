//! Orders, as a shop platform sends them: the whole order again with each change of its status.

use arrow_array::BinaryArray;
use fastrand::Rng;
use serde_json::{Value, json};

use super::words::{PAYMENTS, SELLERS};
use super::{Product, Stream, address, any_customer, any_product, customer, pick, product, truncated};
use crate::load::Generator;
use crate::load::random::scattered;

/// An order is sent once for each status: of three records one is new, one was new so many orders before, one so many
/// before that.
const STAGES: i64 = 3;
const BETWEEN: i64 = 40;

/// The number of the order that record 0 is about, so that those before it have numbers, too.
const FIRST: i64 = 1_000_000;

/// One order in so many is cancelled instead of paid.
const ONE_CANCELLED_IN: u32 = 12;

/// Customers move: each once in so many orders of the shop, not all at the same time.
const MOVES_ONCE_IN: i64 = 200;

/// What is wrong with a broken order.
#[derive(Debug, Clone, Copy)]
enum Fault {
    CutOff,
    NoOrderId,
    NoDate,
    NegativeQuantity,
    NoPrice,
    QuantityInWords,
    AllItems,
}

const FAULTS: [Fault; 7] = [
    Fault::CutOff,
    Fault::NoOrderId,
    Fault::NoDate,
    Fault::NegativeQuantity,
    Fault::NoPrice,
    Fault::QuantityInWords,
    Fault::AllItems,
];

/// A stream of orders.
#[derive(Debug)]
pub struct Orders(Stream);

impl Orders {
    /// Orders from `from` on (epoch microseconds), a record each `step` microseconds, of which the part `broken` is broken.
    pub fn new(seed: u64, from: i64, step: f64, broken: f64) -> Self {
        Self(Stream { seed, from, step, broken })
    }

    fn record(&self, number: i64, random: &mut Rng) -> String {
        let (stage, newest) = (number % STAGES, number / STAGES);
        let order = newest - stage * BETWEEN;
        let mut record = self.order(order, stage);
        record["lastChange"] = json!(iso(self.0.time(number)));
        if !self.0.is_broken(random) {
            return record.to_string();
        }
        let fault = FAULTS[random.usize(0..FAULTS.len())];
        if matches!(fault, Fault::CutOff) { truncated(&record) } else { broken(record, fault, random).to_string() }
    }

    /// The order with this number, from 0 on or below, as it stands at a stage.
    fn order(&self, order: i64, stage: i64) -> Value {
        let number = (FIRST + order) as u64;
        let mut traits = Rng::with_seed(scattered(self.0.seed ^ scattered(number)));
        let who = any_customer(&mut traits);
        let items: Vec<Value> = (0..traits.u32(1..=5)).map(|_| item(&mut traits)).collect();
        let sum =
            |items: &[Value]| items.iter().map(|item| cents(&item["sellingPrice"]) * cents(&item["quantity"])).sum();
        let (goods, freight): (i64, i64) = (sum(&items), traits.i64(0..40) * 100);
        let is_cancelled = traits.u32(0..ONE_CANCELLED_IN) == 0;
        let status = match (stage, is_cancelled) {
            (0, _) => "payment-pending",
            (_, true) => "canceled",
            (1, false) => "payment-approved",
            _ => "invoiced",
        };
        let payment = json!({
            "paymentSystemName": pick(&PAYMENTS, &mut traits),
            "value": goods + freight,
            "installments": traits.u8(1..=6),
        });
        json!({
            "orderId": format!("{number}-01"),
            "sequence": number.to_string(),
            "status": status,
            "creationDate": iso(self.0.time(order * STAGES)),
            "value": goods + freight,
            "totals": [{ "id": "Items", "value": goods }, { "id": "Shipping", "value": freight }],
            "clientProfileData": customer(self.0.seed, who),
            "items": items,
            "sellers": SELLERS.iter().map(|(id, name)| json!({ "id": id, "name": name })).collect::<Vec<_>>(),
            "paymentData": { "transactions": [{ "payments": [payment] }] },
            "shippingData": {
                "address": address(self.0.seed, who, home(order, who)),
                "logisticsInfo": [{ "selectedSla": "Normal", "price": freight }],
            },
        })
    }
}

/// How often a customer has moved when an order is placed.
fn home(order: i64, customer: u64) -> i64 {
    let phase = (scattered(customer) % MOVES_ONCE_IN as u64) as i64;
    (order + phase).div_euclid(MOVES_ONCE_IN)
}

fn item(random: &mut Rng) -> Value {
    let Product { id, sku, name, category, price } = product(any_product(random));
    let discount = [100, 100, 95, 90, 80][random.usize(0..5)];
    json!({
        "id": sku,
        "productId": id,
        "name": name,
        "category": category,
        "seller": SELLERS[random.usize(0..SELLERS.len())].0,
        "quantity": random.u8(1..=3),
        "listPrice": price,
        "price": price,
        "sellingPrice": price * discount / 100,
    })
}

fn cents(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn broken(mut order: Value, fault: Fault, random: &mut Rng) -> Value {
    let items = order["items"].as_array().map_or(0, Vec::len);
    let item = random.usize(0..items.max(1));
    match fault {
        Fault::CutOff => {}
        Fault::NoOrderId => drop(order.as_object_mut().and_then(|order| order.remove("orderId"))),
        Fault::NoDate => order["creationDate"] = json!("ontem"),
        Fault::NegativeQuantity => order["items"][item]["quantity"] = json!(-1),
        Fault::NoPrice => drop(order["items"][item].as_object_mut().and_then(|item| item.remove("sellingPrice"))),
        Fault::QuantityInWords => order["items"][item]["quantity"] = json!("duas"),
        Fault::AllItems => (0..items).for_each(|item| order["items"][item]["quantity"] = json!(0)),
    }
    order
}

pub(super) fn iso(time: i64) -> String {
    let mut text = String::new();
    azenha_formats::civil::push_iso(&mut text, time);
    text
}

impl Generator for Orders {
    fn fields(&self) -> &'static [&'static str] {
        &["orderId", "status", "creationDate", "lastChange"]
    }

    fn batch(&self, batch: u64) -> BinaryArray {
        self.0.batch(batch, |number, random| self.record(number, random))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn records(broken: f64) -> Vec<String> {
        let orders = Orders::new(3, 1_700_000_000_000_000, 1_000_000.0, broken);
        let batches = [orders.batch(0), orders.batch(1)];
        batches.iter().flatten().flatten().map(|record| String::from_utf8(record.to_vec()).unwrap()).collect()
    }

    #[test]
    fn an_order_is_sent_with_each_status_and_stays_the_same_else() {
        let mut orders: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for record in records(0.0) {
            let order: Value = serde_json::from_str(&record).unwrap();
            orders.entry(order["orderId"].to_string()).or_default().push(order);
        }
        let mut whole = orders.values().filter(|sent| sent.len() == 3).peekable();
        assert!(whole.peek().is_some(), "no order reaches its end");
        for sent in whole {
            assert_eq!(sent[0]["status"], "payment-pending");
            assert!(["invoiced", "canceled"].contains(&sent[2]["status"].as_str().unwrap()));
            assert!(sent[0]["lastChange"].as_str() < sent[1]["lastChange"].as_str());
            assert!(sent.iter().all(|order| order["items"] == sent[0]["items"]));
            assert_eq!(sent[0]["creationDate"], sent[0]["lastChange"]);
        }
    }

    #[test]
    fn about_as_many_are_broken_as_wanted_and_the_others_are_as_they_were() {
        let (whole, broken) = (records(0.0), records(0.1));
        let differ = whole.iter().zip(&broken).filter(|(whole, broken)| whole != broken).count();
        assert!((100..300).contains(&differ), "{differ} of 2000");
    }
}

//! What customers look at, search and put into carts.

use arrow_array::BinaryArray;
use fastrand::Rng;
use serde_json::{Value, json};

use super::orders::iso;
use super::{Product, Stream, any_customer, any_product, customer_id, product, truncated};
use crate::load::Generator;
use crate::load::random::{Weighted, scattered};

const KINDS: [(&str, u32); 3] = [("view", 72), ("search", 16), ("cart", 12)];
const DEVICES: [(&str, u32); 3] = [("mobile", 64), ("desktop", 30), ("tablet", 6)];

/// Most records arrive within so many microseconds.
const PROMPT: i64 = 300_000;

/// A stream of interactions, of the customers that orders of the same seed have.
#[derive(Debug)]
pub struct Interactions {
    stream: Stream,
    kinds: Weighted,
    devices: Weighted,
}

impl Interactions {
    /// Interactions from `from` on (epoch microseconds), one each `step` microseconds, of which the part `broken` is broken.
    pub fn new(seed: u64, from: i64, step: f64, broken: f64) -> Self {
        let stream = Stream { seed, from, step, broken };
        Self { stream, kinds: Weighted::new(KINDS), devices: Weighted::new(DEVICES) }
    }

    fn record(&self, number: i64, random: &mut Rng) -> String {
        let kind = self.kinds.pick(random);
        let Product { id, name, category, .. } = product(any_product(random));
        let mut record = json!({
            "id": format!("{:016x}", scattered(self.stream.seed ^ scattered(number as u64))),
            "type": kind,
            "customer": customer_id(any_customer(random)),
            "at": iso(self.stream.time(number) - random.i64(0..PROMPT)),
            "device": self.devices.pick(random),
        });
        match kind {
            "search" => record["query"] = json!(name),
            _ => record["product"] = json!({ "id": id, "name": name, "category": category }),
        }
        if kind == "cart" {
            record["quantity"] = json!(random.u8(1..=3));
        }
        if self.stream.is_broken(random) { broken(record, random) } else { record.to_string() }
    }
}

fn broken(mut record: Value, random: &mut Rng) -> String {
    let mut remove = |field: &str| drop(record.as_object_mut().and_then(|record| record.remove(field)));
    match random.u8(0..5) {
        0 => return truncated(&record),
        1 => remove("customer"),
        2 => record["at"] = json!("ontem"),
        3 => record["type"] = json!("dance"),
        // Whatever it is of, nothing is said of that.
        _ => ["product", "query"].into_iter().for_each(remove),
    }
    record.to_string()
}

impl Generator for Interactions {
    fn fields(&self) -> &'static [&'static str] {
        &["id", "type", "customer", "at", "device"]
    }

    fn batch(&self, batch: u64) -> BinaryArray {
        self.stream.batch(batch, |number, random| self.record(number, random))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_interaction_has_an_id_of_its_own_and_says_what_it_is_about() {
        let batch = Interactions::new(3, 1_700_000_000_000_000, 1_000.0, 0.0).batch(0);
        let mut ids = BTreeSet::new();
        for record in batch.iter().flatten() {
            let record: Value = serde_json::from_slice(record).unwrap();
            assert!(ids.insert(record["id"].to_string()), "{record}");
            let about = if record["type"] == "search" { &record["query"] } else { &record["product"]["id"] };
            assert!(about.is_string(), "{record}");
            assert_eq!(record["type"] == "cart", record["quantity"].is_number(), "{record}");
        }
    }

    #[test]
    fn broken_ones_are_among_them_if_that_is_wanted() {
        let batch = Interactions::new(3, 0, 1_000.0, 0.2).batch(0);
        let unreadable =
            batch.iter().flatten().filter(|record| serde_json::from_slice::<Value>(record).is_err()).count();
        assert!((10..80).contains(&unreadable), "{unreadable} of 1000 are cut off");
    }
}

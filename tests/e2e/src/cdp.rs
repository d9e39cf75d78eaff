//! Customers found again from the events as they came, by other means than the host's: normalised by hand, hashed, and
//! brought together by spreading labels until nothing changes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The salt that the pipeline has without another one.
const SALT: &str = "the demo has no secrets";

/// What identifies, the most telling first.
const IDENTIFIERS: [&str; 4] = ["document", "email", "phone", "cookie"];

/// What a customer's row says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Events in all.
    pub events: i64,
    /// Events that are purchases.
    pub purchases: i64,
    /// What they came to.
    pub value_cents: i64,
    /// Where the customer was seen, in alphabetical order.
    pub sources: String,
}

/// What must come out of events.
#[derive(Debug, Default)]
pub struct Customers {
    /// The ids of the events that are not dead letters.
    pub events: BTreeSet<String>,
    /// Profiles by customer.
    pub profiles: BTreeMap<String, Profile>,
    /// Dead letters.
    pub dead: usize,
}

/// An identifier: its place among the columns, and its value.
type Identifier = (usize, String);

impl Customers {
    /// Those of the events of a topic, as `azenha topic read --json` prints them.
    pub fn of(records: &[Value]) -> Self {
        let mut customers = Self::default();
        let mut known: Vec<(&Value, Vec<Identifier>)> = Vec::new();
        for record in records {
            let event = &record["value"];
            let identifiers = identifiers(event);
            let is_time = event["at"].as_str().is_some_and(|at| at.ends_with('Z'));
            // What is no JSON is shown as text, which has no members.
            if identifiers.is_empty() || !is_time || event["type"] == "dance" {
                customers.dead += 1;
            } else {
                customers.events.insert(event["id"].as_str().unwrap_or_default().to_owned());
                known.push((event, identifiers));
            }
        }
        let labels = components(&known);
        let mut sources: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for (event, identifiers) in &known {
            let (place, value) = &labels[&identifiers[0]];
            let customer = format!("{}:{value}", IDENTIFIERS[*place]);
            let profile = customers.profiles.entry(customer.clone()).or_default();
            profile.events += 1;
            profile.purchases += i64::from(event["type"] == "purchase");
            profile.value_cents += event["valueCents"].as_i64().unwrap_or_default();
            sources.entry(customer).or_default().insert(event["source"].as_str().unwrap_or_default());
        }
        for (customer, sources) in sources {
            let profile = customers.profiles.entry(customer).or_default();
            profile.sources = sources.into_iter().collect::<Vec<_>>().join(", ");
        }
        customers
    }
}

/// The smallest identifier that each is connected with.
fn components(events: &[(&Value, Vec<Identifier>)]) -> BTreeMap<Identifier, Identifier> {
    let mut labels: BTreeMap<Identifier, Identifier> = BTreeMap::new();
    loop {
        let mut is_settled = true;
        for (_, identifiers) in events {
            let label = |identifier: &Identifier| labels.get(identifier).unwrap_or(identifier).clone();
            let Some(smallest) = identifiers.iter().map(label).min() else { continue };
            for identifier in identifiers {
                let before = labels.insert(identifier.clone(), smallest.clone());
                is_settled &= before.as_ref() == Some(&smallest);
            }
        }
        if is_settled {
            return labels;
        }
    }
}

/// The identifiers of an event as the pipeline has them, in their order.
fn identifiers(event: &Value) -> Vec<Identifier> {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let normal = |name: &str| {
        let value = event[name].as_str()?.trim();
        Some(match name {
            "email" => {
                let lower = value.to_lowercase();
                let (mailbox, domain) = lower.split_once('@')?;
                format!("{}@{domain}", mailbox.split('+').next()?)
            }
            // Eleven digits behind whatever comes before them.
            "phone" => {
                let digits = digits(value);
                format!("+55{}", &digits[digits.len().checked_sub(11)?..])
            }
            "document" => digits(value),
            _ => return Some(value.to_owned()),
        })
    };
    let named = |(place, name): (usize, &&str)| {
        let value = normal(name)?;
        Some((place, if *name == "cookie" { value } else { hashed(name, &value) }))
    };
    IDENTIFIERS.iter().enumerate().filter_map(named).collect()
}

fn hashed(column: &str, value: &str) -> String {
    let digest = Sha256::digest(format!("{SALT}\0{column}\0{value}\0"));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

//! Customers found again from the events as they came, by other means than the host's: normalised by hand, hashed, and
//! brought together by spreading labels until nothing changes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The salt that the pipeline has without another one.
const SALT: &str = "the demo has no secrets";

/// What identifies, the most telling first.
const IDENTIFIERS: [&str; 4] = ["document", "email", "phone", "cookie"];

/// Identifiers that a profile lists at most.
const MOST_LISTED: usize = 100;

/// What a customer's row says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Events in all.
    pub events: i64,
    /// Events of these kinds.
    pub purchases: i64,
    /// See `purchases`.
    pub reviews: i64,
    /// See `purchases`.
    pub complaints: i64,
    /// What they came to.
    pub value_cents: i64,
    /// Where the customer was seen, in alphabetical order.
    pub sources: String,
    /// When the first event happened, as [`moment`] writes it.
    pub first_seen: String,
    /// When the last one happened.
    pub last_seen: String,
    /// Channel, e-mail, telephone, document and name, as they were known last.
    pub latest: [Option<String>; 5],
    /// What the customer goes by.
    pub identifiers: String,
}

/// A moment as databases and events write it, in one spelling.
pub fn moment(text: &str) -> String {
    let text = text.replace('T', " ");
    let text = text.trim_end_matches('Z');
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
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
            let is_time = event["at"].as_str().is_some_and(is_possible);
            // What is no JSON is shown as text, which has no members.
            if identifiers.is_empty() || !is_time || event["type"] == "dance" {
                customers.dead += 1;
            } else {
                customers.events.insert(event["id"].as_str().unwrap_or_default().to_owned());
                known.push((event, identifiers));
            }
        }
        let labels = components(&known);
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        for (event, identifiers) in &known {
            seen.entry(listed(&labels[&identifiers[0]])).or_default().add(event, identifiers);
        }
        customers.profiles = seen.into_iter().map(|(customer, seen)| (customer, seen.profile())).collect();
        customers
    }
}

/// Whether a text is a time, and one at which the pipeline takes events to have happened.
fn is_possible(at: &str) -> bool {
    at.ends_with('Z') && ("2015".."2036").contains(&at)
}

/// What the events of a customer say together.
#[derive(Default)]
struct Seen<'a> {
    profile: Profile,
    sources: BTreeSet<&'a str>,
    /// When, and what it was.
    latest: [Option<(String, String)>; 5],
    identifiers: BTreeSet<Identifier>,
}

impl<'a> Seen<'a> {
    fn add(&mut self, event: &'a Value, identifiers: &[Identifier]) {
        let (profile, text) = (&mut self.profile, |name: &str| event[name].as_str().unwrap_or_default());
        let is = |kind: &str| i64::from(event["type"] == kind);
        profile.events += 1;
        profile.purchases += is("purchase");
        profile.reviews += is("review");
        profile.complaints += is("complaint");
        profile.value_cents += event["valueCents"].as_i64().unwrap_or_default();
        let at = moment(text("at"));
        if profile.first_seen.is_empty() || at < profile.first_seen {
            profile.first_seen.clone_from(&at);
        }
        profile.last_seen = profile.last_seen.clone().max(at.clone());
        self.sources.insert(event["source"].as_str().unwrap_or_default());
        let identifier = |place: usize| identifiers.iter().find(|(of, _)| *of == place).map(|(_, value)| value.clone());
        let known = [Some(channel(event)), identifier(1), identifier(2), identifier(0), initials(text("name"))];
        for (latest, known) in self.latest.iter_mut().zip(known) {
            // None is before everything.
            *latest = latest.take().max(known.map(|known| (at.clone(), known)));
        }
        self.identifiers.extend(identifiers.iter().cloned());
    }

    fn profile(self) -> Profile {
        let identifiers: Vec<String> = self.identifiers.iter().take(MOST_LISTED).map(listed).collect();
        Profile {
            sources: self.sources.into_iter().collect::<Vec<_>>().join(", "),
            latest: self.latest.map(|latest| latest.map(|(_, value)| value)),
            identifiers: identifiers.join(","),
            ..self.profile
        }
    }
}

fn listed((place, value): &Identifier) -> String {
    format!("{}:{value}", IDENTIFIERS[*place])
}

/// By which way the customer came, by the address of the page.
fn channel(event: &Value) -> String {
    let (_, query) = event["url"].as_str().unwrap_or_default().split_once('?').unwrap_or_default();
    let medium = query.split('&').find_map(|pair| pair.strip_prefix("utm_medium=")).filter(|medium| !medium.is_empty());
    let channel = match (event["source"].as_str().unwrap_or_default(), medium) {
        ("shop", _) => "store",
        ("support", _) => "support",
        (_, Some("cpc" | "ppc")) => "paid_search",
        (_, Some(known @ ("paid_search" | "paid_social" | "social" | "email" | "affiliate" | "referral"))) => known,
        (_, Some(_)) => "other",
        ("app", None) => "app",
        _ => "direct",
    };
    channel.to_owned()
}

/// A name as it is masked; none if there is none.
fn initials(name: &str) -> Option<String> {
    let initials: Vec<String> =
        name.split_whitespace().map(|word| word.chars().take(1).chain(['.']).collect()).collect();
    (!initials.is_empty()).then(|| initials.join(" "))
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

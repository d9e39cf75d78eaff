//! Customers of a shop that does not exist, seen by its site, its app, its till and its support: the same person comes
//! under different identifiers, which become known one by one and are spelt as people spell them.

mod people;
mod text;
mod words;

use std::fmt::Write;

use arrow_array::BinaryArray;
use arrow_array::builder::BinaryBuilder;
use azenha_formats::civil::push_iso;
use fastrand::Rng;

use super::commerce::{Product, product};
use super::random::{Weighted, scattered};
use super::{BATCH, Generator};
use people::Person;
use text::Occasion;
use words::{AGENTS, CAMPAIGNS};

const SOURCES: [(&str, u32); 4] = [("site", 46), ("app", 30), ("shop", 14), ("support", 10)];

/// What happens where, and how often.
const ON_LINE: [(&str, u32); 6] =
    [("view", 50), ("search", 18), ("cart", 12), ("purchase", 6), ("review", 10), ("question", 4)];
const IN_THE_SHOP: [(&str, u32); 3] = [("purchase", 80), ("review", 12), ("question", 8)];
const AT_THE_SUPPORT: [(&str, u32); 3] = [("complaint", 62), ("question", 26), ("praise", 12)];

/// Products, of which some are liked much more than others.
const PRODUCTS: f64 = 600.0;

/// Most events arrive within so many milliseconds.
const PROMPT: i64 = 400;

/// What a clock says that nobody has set.
const UNSET_CLOCK: &str = "1970-01-01T00:00:00Z";

/// A stream of customers' events.
#[derive(Debug)]
pub struct CustomerEvents {
    seed: u64,
    /// Epoch microseconds of the first arrival.
    from: i64,
    /// Microseconds from one arrival to the next.
    step: f64,
    /// The part of the events that is broken.
    broken: f64,
    sources: Weighted,
    on_line: Weighted,
    in_the_shop: Weighted,
    at_the_support: Weighted,
}

impl CustomerEvents {
    /// Events that arrive from `from` on (epoch microseconds), one each `step` microseconds, of which the part `broken` is
    /// broken.
    pub fn new(seed: u64, from: i64, step: f64, broken: f64) -> Self {
        Self {
            seed,
            from,
            step,
            broken,
            sources: Weighted::new(SOURCES),
            on_line: Weighted::new(ON_LINE),
            in_the_shop: Weighted::new(IN_THE_SHOP),
            at_the_support: Weighted::new(AT_THE_SUPPORT),
        }
    }

    /// Writes the event with this number; `text` is room for its text.
    fn write(&self, number: u64, random: &mut Rng, json: &mut String, text: &mut String) {
        let fault = (random.f64() < self.broken).then(|| Fault::any(number, random));
        let source = self.sources.pick(random);
        let kinds = match source {
            "shop" => &self.in_the_shop,
            "support" => &self.at_the_support,
            _ => &self.on_line,
        };
        let kind = kinds.pick(random);
        let arrival = (self.from + (number as f64 * self.step) as i64) / 1_000;
        let at = (arrival - random.i64(0..PROMPT)) * 1_000;
        let thing = product((random.f64().powi(3) * PRODUCTS) as u64);

        json.clear();
        // Writing to a string does not fail, here and below.
        let _ = write!(json, r#"{{"id":"{:016x}","source":"{source}""#, scattered(self.seed ^ scattered(number)));
        let kind = if fault == Some(Fault::UnknownKind) { "dance" } else { kind };
        let _ = write!(json, r#","type":"{kind}","at":""#);
        match fault {
            Some(Fault::NoTime) => json.push_str("ontem"),
            Some(Fault::WrongYear) => json.push_str(UNSET_CLOCK),
            _ => push_iso(json, at),
        }
        json.push('"');
        if fault != Some(Fault::Nobody) {
            Person::any(self.seed, random).write_identifiers(source, random, json);
        }
        write_visit(source, &thing, random, json);
        let _ = write!(
            json,
            r#","product":{{"id":"{}","name":"{}","category":"{}"}}"#,
            thing.id, thing.name, thing.category
        );
        write_details(kind, &thing, random, json);
        text.clear();
        text::write(text, Occasion::of(kind), &thing, random);
        let _ = write!(json, r#","text":"{text}"}}"#);
        if fault == Some(Fault::CutOff) {
            cut_off(json);
        }
    }
}

/// What is wrong with a broken event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    CutOff,
    NoTime,
    WrongYear,
    Nobody,
    UnknownKind,
}

impl Fault {
    /// By chance. What is wrong with a time follows from the event's number, so that it takes no more of the chance, on which all
    /// events behind it depend.
    fn any(number: u64, random: &mut Rng) -> Self {
        let of_time = if number.is_multiple_of(2) { Self::NoTime } else { Self::WrongYear };
        [Self::CutOff, of_time, Self::Nobody, Self::UnknownKind][random.usize(0..4)]
    }
}

/// Where on the site, or with which app, and what brought the visitor there.
fn write_visit(source: &str, thing: &Product, random: &mut Rng, json: &mut String) {
    let agents = match source {
        "site" => &AGENTS[..6],
        "app" => &AGENTS[6..],
        _ => return,
    };
    let agent = agents[random.usize(0..agents.len())];
    let _ = write!(json, r#","userAgent":"{agent}","url":"https://loja.example/produto/{}"#, thing.id);
    if random.u8(0..5) < 2 {
        let (medium, name, campaign) = CAMPAIGNS[random.usize(0..CAMPAIGNS.len())];
        let _ = write!(json, "?utm_source={name}&utm_medium={medium}&utm_campaign={campaign}");
    }
    json.push('"');
}

fn write_details(kind: &str, thing: &Product, random: &mut Rng, json: &mut String) {
    let _ = match kind {
        "purchase" => write!(json, r#","valueCents":{}"#, thing.price * random.i64(1..=3)),
        "review" => write!(json, r#","rating":{}"#, random.u8(1..=5)),
        _ => Ok(()),
    };
}

/// Ends the record in its middle, as if a connection had broken.
fn cut_off(json: &mut String) {
    let middle = json.len() / 2;
    let middle = (0..=middle).rev().find(|index| json.is_char_boundary(*index)).unwrap_or_default();
    json.truncate(middle);
}

impl Generator for CustomerEvents {
    fn fields(&self) -> &'static [&'static str] {
        &["id", "source", "type", "at"]
    }

    fn batch(&self, batch: u64) -> BinaryArray {
        let mut random = Rng::with_seed(scattered(self.seed ^ scattered(batch)));
        let (mut events, mut json, mut text) = (BinaryBuilder::new(), String::new(), String::new());
        for number in batch * BATCH..(batch + 1) * BATCH {
            self.write(number, &mut random, &mut json, &mut text);
            events.append_value(&json);
        }
        events.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::*;

    const FROM: i64 = 1_700_000_000_000_000;

    fn events(seed: u64, batches: u64) -> Vec<Value> {
        let events = CustomerEvents::new(seed, FROM, 1_000.0, 0.0);
        let batches: Vec<BinaryArray> = (0..batches).map(|batch| events.batch(batch)).collect();
        batches.iter().flatten().map(|json| serde_json::from_slice(json.unwrap()).unwrap()).collect()
    }

    #[test]
    fn every_event_has_an_id_of_its_own_and_says_whom_it_is_of() {
        let mut ids = BTreeSet::new();
        for event in events(1, 5) {
            assert!(ids.insert(event["id"].to_string()), "{event}");
            let is_known = |name: &&str| event[*name].is_string();
            assert!(["email", "phone", "cookie", "document"].iter().any(is_known), "{event}");
            assert!(CustomerEvents::new(1, 0, 1.0, 0.0).fields().iter().all(is_known), "{event}");
        }
    }

    #[test]
    fn one_address_of_email_comes_in_several_spellings() {
        let mut spellings: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for event in events(2, 20) {
            let Some(email) = event["email"].as_str() else { continue };
            let (name, _) = email.trim().split_once('@').unwrap();
            let name = name.split('+').next().unwrap().to_lowercase();
            spellings.entry(name).or_default().insert(email.to_owned());
        }
        let most = spellings.values().map(BTreeSet::len).max();
        assert!(most >= Some(4), "{most:?}");
    }

    #[test]
    fn texts_are_long_and_hardly_any_stands_twice() {
        let events = events(3, 10);
        let texts: BTreeSet<&str> = events.iter().filter_map(|event| event["text"].as_str()).collect();
        let length: usize = texts.iter().map(|text| text.chars().count()).sum();
        assert!(texts.len() > events.len() * 9 / 10, "{} of {}", texts.len(), events.len());
        assert!(length / texts.len() > 120, "{} letters on average", length / texts.len());
    }

    #[test]
    fn broken_events_are_among_them_if_that_is_wanted() {
        let batch = CustomerEvents::new(3, FROM, 1_000.0, 0.2).batch(0);
        let read: Vec<_> = batch.iter().flatten().map(serde_json::from_slice::<Value>).collect();
        let whole: Vec<&Value> = read.iter().flatten().collect();
        let count = |is_it: fn(&Value) -> bool| whole.iter().filter(|event| is_it(event)).count();
        let found = [
            read.len() - whole.len(),
            count(|event| event["at"] == "ontem"),
            count(|event| event["at"] == UNSET_CLOCK),
            count(|event| event["type"] == "dance"),
            count(|event| ["email", "phone", "cookie", "document"].iter().all(|name| event[*name].is_null())),
        ];
        assert!(found.iter().all(|count| (8..90).contains(count)), "{found:?} of 1000");
    }
}

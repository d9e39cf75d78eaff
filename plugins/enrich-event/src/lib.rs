//! Customers' events of several sources in one form: identifiers are normalised, and hashed or masked if that is wanted;
//! what brought the customer, and with which device, is said in words of one list; texts get features that can be counted,
//! and a form in which they can be searched.

mod identifiers;
mod nobodys;
mod personal;
mod text;
mod times;
mod visit;

use std::borrow::Cow;

use azenha_sdk::{Problem, Rejection, Row, Timestamp, Transform};
use serde::Deserialize;

use identifiers::Identifier;
use nobodys::Nobodys;
use personal::{Personal, Protection};
use text::Features;
use times::Times;
use visit::{Agent, Campaign, channel};

/// What an event may be of.
const KINDS: [&str; 8] = ["view", "search", "cart", "purchase", "review", "question", "complaint", "praise"];

/// An event as it comes; its other columns are passed on.
#[derive(Row)]
pub struct Event<'a> {
    #[row(optional)]
    at: Option<Timestamp>,
    source: &'a str,
    kind: &'a str,
    #[row(optional)]
    email: Option<&'a str>,
    #[row(optional)]
    phone: Option<&'a str>,
    #[row(optional)]
    cookie: Option<&'a str>,
    #[row(optional)]
    document: Option<&'a str>,
    #[row(optional)]
    name: Option<&'a str>,
    #[row(optional)]
    user_agent: Option<&'a str>,
    #[row(optional)]
    url: Option<&'a str>,
    #[row(optional)]
    product: Option<&'a str>,
    #[row(optional)]
    text: Option<&'a str>,
}

/// What is certain of an event, and what is derived from it.
#[derive(Row)]
pub struct EnrichedEvent<'a> {
    email: Option<String>,
    phone: Option<String>,
    cookie: Option<String>,
    document: Option<String>,
    name: Option<Cow<'a, str>>,
    /// Identifiers that were none, such as a document with wrong check digits.
    unusable: Option<String>,
    channel: &'a str,
    utm_source: Option<Cow<'a, str>>,
    utm_medium: Option<Cow<'a, str>>,
    utm_campaign: Option<Cow<'a, str>>,
    browser: Option<&'a str>,
    system: Option<&'a str>,
    device: Option<&'a str>,
    /// Characters.
    text_length: i64,
    text_words: i64,
    exclamations: i64,
    is_question: bool,
    /// The words of product and text in lower case and without accents.
    search_text: String,
}

/// What becomes of personal columns, and which events are refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// By column.
    #[serde(default)]
    personal: Personal,
    /// Stands before every value that is hashed; at least 16 bytes.
    #[serde(default)]
    salt: String,
    /// When events can have happened.
    #[serde(default)]
    times: Times,
    /// Identifiers that many give and nobody has.
    #[serde(default)]
    nobodys: Nobodys,
}

/// The transform.
pub struct EnrichEvent {
    protection: Protection,
    times: Times,
    nobodys: Nobodys,
}

impl Transform for EnrichEvent {
    type Config = Config;
    type Input<'a> = Event<'a>;
    type Output<'a> = EnrichedEvent<'a>;

    fn open(config: Config) -> Result<Self, Problem> {
        let Config { personal, salt, times, nobodys } = config;
        let protection = Protection::new(personal, salt)?;
        Ok(Self { protection, times: times.checked()?, nobodys: nobodys.normal() })
    }

    fn process<'a>(&'a self, event: Event<'a>) -> Result<EnrichedEvent<'a>, Rejection> {
        if !KINDS.contains(&event.kind) {
            return Err(Rejection::of_part("kind", format!("none of {}", KINDS.join(", "))));
        }
        if !self.times.hold(event.at) {
            return Err(Rejection::of_part("at", format!("no time {}", self.times)));
        }
        let mut unusable = Vec::new();
        let mut known = |identifier: Identifier, value: Option<&str>| {
            let value = value.map(str::trim).filter(|value| !value.is_empty())?;
            let found = identifier.normal(value).filter(|found| !self.nobodys.contain(identifier, found));
            if found.is_none() {
                unusable.push(identifier.column());
            }
            found.map(|found| self.protection.identifier(identifier, found))
        };
        let email = known(Identifier::Email, event.email);
        let phone = known(Identifier::Phone, event.phone);
        let document = known(Identifier::Document, event.document);
        let cookie = known(Identifier::Cookie, event.cookie);
        if email.is_none() && phone.is_none() && document.is_none() && cookie.is_none() {
            return Err(Rejection::new("nobody's: no usable e-mail, phone, document or cookie"));
        }
        let Campaign { source, medium, name } = event.url.map(Campaign::of_url).unwrap_or_default();
        let agent = event.user_agent.map(Agent::of).unwrap_or_default();
        let Features { length, words, exclamations, is_question } = Features::of(event.text.unwrap_or_default());
        Ok(EnrichedEvent {
            email,
            phone,
            cookie,
            document,
            name: event.name.map(str::trim).filter(|name| !name.is_empty()).map(|name| self.protection.name(name)),
            unusable: (!unusable.is_empty()).then(|| unusable.join(", ")),
            channel: channel(event.source, medium.as_deref()),
            utm_source: source,
            utm_medium: medium,
            utm_campaign: name,
            browser: agent.browser,
            system: agent.system,
            device: agent.device,
            text_length: length,
            text_words: words,
            exclamations,
            is_question,
            search_text: text::searchable(&[event.product, event.text]),
        })
    }
}

azenha_sdk::transform!(EnrichEvent);

#[cfg(test)]
mod tests {
    #[test]
    fn the_cases_hold() {
        azenha_sdk::testing::transform_cases::<super::EnrichEvent>();
    }
}

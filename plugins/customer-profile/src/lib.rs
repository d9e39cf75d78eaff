//! What is known of a customer: where and when they were seen, what they did, and what they were last known by. Profiles
//! of customers who turn out to be one are merged, in any order.

use std::collections::{BTreeMap, BTreeSet};

use azenha_sdk::{Accumulator, Aggregate, NoConfig, Problem, Rejection, Row, Timestamp};

/// What is read of an event.
#[derive(Row)]
pub struct Event<'a> {
    at: Timestamp,
    source: &'a str,
    kind: &'a str,
    channel: &'a str,
    #[row(optional)]
    value_cents: Option<i64>,
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
}

/// What a customer goes by, the most telling first.
const IDENTIFIERS: [&str; 4] = ["document", "email", "phone", "cookie"];

/// Identifiers of one customer that are kept: the first in order, so that it makes no difference in which they come.
const MOST_IDENTIFIERS: usize = 100;

/// An identifier: its place in [`IDENTIFIERS`], and its value.
type Identifier = (u8, String);

/// The latest value of something; of two at the same time the greater one, so that order does not matter.
type Latest = Option<(Timestamp, String)>;

/// What is known so far.
#[derive(Default, Accumulator)]
pub struct Known {
    first_seen: Option<Timestamp>,
    last_seen: Option<Timestamp>,
    sources: BTreeSet<String>,
    /// How many events there were of each kind.
    kinds: BTreeMap<String, u64>,
    value_cents: i128,
    channel: Latest,
    email: Latest,
    phone: Latest,
    document: Latest,
    name: Latest,
    identifiers: BTreeSet<Identifier>,
}

/// What version 1 knew.
#[derive(Accumulator)]
struct KnownBefore {
    first_seen: Option<Timestamp>,
    last_seen: Option<Timestamp>,
    sources: BTreeSet<String>,
    kinds: BTreeMap<String, u64>,
    value_cents: i128,
    channel: Latest,
    email: Latest,
    phone: Latest,
    document: Latest,
    name: Latest,
}

/// A customer's row.
#[derive(Row)]
pub struct Profile {
    first_seen: Option<Timestamp>,
    last_seen: Option<Timestamp>,
    sources: String,
    events: i64,
    purchases: i64,
    reviews: i64,
    complaints: i64,
    value_cents: i64,
    channel: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    document: Option<String>,
    name: Option<String>,
    /// `document:…,email:…`, by which events are the customer's.
    identifiers: Option<String>,
}

/// The aggregate.
pub struct CustomerProfile;

impl Aggregate for CustomerProfile {
    type Config = NoConfig;
    type Input<'a> = Event<'a>;
    type State = Known;
    type Output = Profile;

    const MERGES: bool = true;
    const STATE_VERSION: u32 = 2;
    const READS_VERSIONS: &'static [u32] = &[1];

    fn open(_config: NoConfig) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn fold(&self, known: &mut Known, event: Event<'_>) -> Result<(), Rejection> {
        known.value_cents += i128::from(event.value_cents.unwrap_or_default());
        known.see(event.at, event.at);
        known.sources.insert(event.source.to_owned());
        *known.kinds.entry(event.kind.to_owned()).or_default() += 1;
        let latest = |value: Option<&str>| value.map(|value| (event.at, value.to_owned()));
        known.learn([Some(event.channel), event.email, event.phone, event.document, event.name].map(latest));
        let values = [event.document, event.email, event.phone, event.cookie];
        let identifiers = (0..).zip(values).filter_map(|(place, value)| Some((place, value?.to_owned())));
        known.identify(identifiers);
        Ok(())
    }

    fn merge(&self, left: &mut Known, right: Known) -> Result<(), String> {
        left.value_cents += right.value_cents;
        if let (Some(first), Some(last)) = (right.first_seen, right.last_seen) {
            left.see(first, last);
        }
        left.sources.extend(right.sources);
        for (kind, count) in right.kinds {
            *left.kinds.entry(kind).or_default() += count;
        }
        left.learn([right.channel, right.email, right.phone, right.document, right.name]);
        left.identify(right.identifiers);
        Ok(())
    }

    /// Of identifiers only the latest were kept.
    fn migrate(&self, from_version: u32, state: &[u8]) -> Result<Known, String> {
        if from_version != 1 {
            return Err(format!("states of version {from_version} cannot be read"));
        }
        let KnownBefore { first_seen, last_seen, sources, kinds, value_cents, channel, email, phone, document, name } =
            KnownBefore::decode(&mut &*state)?;
        let latest = [&document, &email, &phone];
        let identifiers = (0..).zip(latest).filter_map(|(place, value)| Some((place, value.as_ref()?.1.clone())));
        let identifiers = identifiers.collect();
        let counted = Known { first_seen, last_seen, sources, kinds, value_cents, ..Known::default() };
        Ok(Known { channel, email, phone, document, name, identifiers, ..counted })
    }

    fn finish(&self, known: &Known) -> Result<Option<Profile>, Rejection> {
        let count = |kind: &str| known.kinds.get(kind).map_or(0, |count| *count as i64);
        let value = |latest: &Latest| latest.as_ref().map(|(_, value)| value.clone());
        Ok(Some(Profile {
            first_seen: known.first_seen,
            last_seen: known.last_seen,
            sources: known.sources.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
            events: known.kinds.values().sum::<u64>() as i64,
            purchases: count("purchase"),
            reviews: count("review"),
            complaints: count("complaint"),
            value_cents: i64::try_from(known.value_cents).map_err(|_| "a value that an int64 cannot hold")?,
            channel: value(&known.channel),
            email: value(&known.email),
            phone: value(&known.phone),
            document: value(&known.document),
            name: value(&known.name),
            identifiers: known.listed(),
        }))
    }
}

impl Known {
    fn see(&mut self, first: Timestamp, last: Timestamp) {
        self.first_seen = Some(self.first_seen.map_or(first, |seen| seen.min(first)));
        self.last_seen = self.last_seen.max(Some(last));
    }

    fn identify(&mut self, identifiers: impl IntoIterator<Item = Identifier>) {
        self.identifiers.extend(identifiers.into_iter().filter(|(_, value)| !value.is_empty()));
        while self.identifiers.len() > MOST_IDENTIFIERS {
            self.identifiers.pop_last();
        }
    }

    /// As the parameter of a search takes them; none if there are none.
    fn listed(&self) -> Option<String> {
        let listed: Vec<String> = self
            .identifiers
            .iter()
            .filter_map(|(place, value)| Some(format!("{}:{value}", IDENTIFIERS.get(usize::from(*place))?)))
            .collect();
        (!listed.is_empty()).then(|| listed.join(","))
    }

    fn learn(&mut self, [channel, email, phone, document, name]: [Latest; 5]) {
        let pairs = [
            (&mut self.channel, channel),
            (&mut self.email, email),
            (&mut self.phone, phone),
            (&mut self.document, document),
            (&mut self.name, name),
        ];
        for (known, learned) in pairs {
            // None is before everything.
            if learned > *known {
                *known = learned;
            }
        }
    }
}

azenha_sdk::aggregate!(CustomerProfile);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_cases_hold() {
        azenha_sdk::testing::aggregate_cases::<super::CustomerProfile>();
    }

    #[test]
    fn what_version_1_knew_is_kept() {
        let at = Timestamp(5);
        let email = Some((at, "ana@example.com".to_owned()));
        let before = KnownBefore {
            first_seen: Some(at),
            last_seen: Some(at),
            sources: BTreeSet::from(["app".to_owned()]),
            kinds: BTreeMap::from([("view".to_owned(), 3)]),
            value_cents: 7,
            channel: None,
            email: email.clone(),
            phone: None,
            document: None,
            name: None,
        };
        let mut state = Vec::new();
        before.encode(&mut state);
        let known = CustomerProfile.migrate(1, &state).unwrap();
        assert_eq!((known.kinds["view"], known.value_cents, &known.email), (3, 7, &email));
        assert_eq!(known.listed().as_deref(), Some("email:ana@example.com"));
        assert!(CustomerProfile.migrate(3, &state).is_err());
    }

    #[test]
    fn the_first_identifiers_in_order_are_kept_whatever_comes_first() {
        let all: Vec<Identifier> =
            (0..150).map(|number| (3, format!("{number:03}"))).chain([(0, "1".to_owned())]).collect();
        let (mut forwards, mut backwards) = (Known::default(), Known::default());
        forwards.identify(all.clone());
        backwards.identify(all.into_iter().rev());
        assert_eq!(forwards.identifiers, backwards.identifiers);
        assert_eq!(forwards.identifiers.len(), MOST_IDENTIFIERS);
        assert!(forwards.listed().unwrap().starts_with("document:1,cookie:000,cookie:001,"));
    }
}

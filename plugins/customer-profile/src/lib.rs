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
    document: Option<&'a str>,
    #[row(optional)]
    name: Option<&'a str>,
}

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
}

/// The aggregate.
pub struct CustomerProfile;

impl Aggregate for CustomerProfile {
    type Config = NoConfig;
    type Input<'a> = Event<'a>;
    type State = Known;
    type Output = Profile;

    const MERGES: bool = true;

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
        Ok(())
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
        }))
    }
}

impl Known {
    fn see(&mut self, first: Timestamp, last: Timestamp) {
        self.first_seen = Some(self.first_seen.map_or(first, |seen| seen.min(first)));
        self.last_seen = self.last_seen.max(Some(last));
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
mod tests {
    #[test]
    fn the_cases_hold() {
        azenha_sdk::testing::aggregate_cases::<super::CustomerProfile>();
    }
}

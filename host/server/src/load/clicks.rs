//! Clicks that nobody made: as a shop's are, and the same ones again for the same seed.

use std::io::Write;

use arrow_array::BinaryArray;
use arrow_array::builder::BinaryBuilder;
use fastrand::Rng;

use super::random::{Weighted, scattered};
use super::{BATCH, Generator};

/// The most popular first: the one at place n has about 1/n of the clicks of the first.
const CAMPAIGNS: [&str; 20] = [
    "organic",
    "paid_search",
    "email",
    "social",
    "direct",
    "newsletter",
    "affiliate",
    "retargeting",
    "spring_sale",
    "referral",
    "influencer",
    "video",
    "display",
    "loyalty",
    "app_push",
    "marketplace",
    "sms",
    "podcast",
    "print",
    "radio",
];

/// What is clicked, and how often in a thousand clicks.
const EVENTS: [(&str, u32); 12] = [
    ("product_view", 230),
    ("catalog", 220),
    ("search", 135),
    ("home", 95),
    ("filter_results", 90),
    ("add_to_cart", 60),
    ("cart", 50),
    ("shipping_details", 35),
    ("wishlist_add", 30),
    ("payment_details", 25),
    ("purchase", 20),
    ("support_chat", 10),
];

const PLATFORMS: [(&str, u32); 3] = [("desktop", 52), ("mobile", 37), ("tablet", 11)];
const LIFECYCLES: [(&str, u32); 3] = [("returning", 52), ("new", 25), ("loyal", 23)];

/// Users, of whom some click much more often than others.
const USERS: f64 = 100_000.0;

/// A user's clicks within so many milliseconds are one session.
const SESSION: i64 = 30 * 60 * 1_000;

/// Most clicks arrive within so many milliseconds.
const PROMPT: i64 = 300;

/// One click in [`ONE_DELAYED_IN`] comes from a device that was offline for up to so many milliseconds.
const DELAYED: i64 = 5_000;
const ONE_DELAYED_IN: u32 = 20;

/// A stream of clicks.
#[derive(Debug)]
pub struct Clicks {
    seed: u64,
    /// Epoch microseconds of the first arrival.
    from: i64,
    /// Microseconds from one arrival to the next.
    step: f64,
    campaigns: Weighted,
    events: Weighted,
    platforms: Weighted,
    lifecycles: Weighted,
}

impl Clicks {
    /// Clicks that arrive from `from` on (epoch microseconds), one each `step` microseconds, by their own time.
    pub fn new(seed: u64, from: i64, step: f64) -> Self {
        let campaigns = (1..).zip(CAMPAIGNS).map(|(place, name)| (name, 1_000 / place));
        Self {
            seed,
            from,
            step,
            campaigns: Weighted::new(campaigns),
            events: Weighted::new(EVENTS),
            platforms: Weighted::new(PLATFORMS),
            lifecycles: Weighted::new(LIFECYCLES),
        }
    }

    /// Writes a click that arrives at `arrival` (epoch milliseconds).
    fn write(&self, json: &mut Vec<u8>, arrival: i64, random: &mut Rng) {
        let longest = if random.u32(0..ONE_DELAYED_IN) == 0 { DELAYED } else { PROMPT };
        let timestamp = arrival - random.i64(0..longest);
        let user = (random.f64().powi(2) * USERS) as u64;
        // What belongs to a user is the same in all of the user's clicks.
        let mut traits = Rng::with_seed(scattered(self.seed ^ user));
        let session = scattered(user ^ scattered((timestamp / SESSION) as u64)) % 1_000_000;
        // Writing to memory does not fail.
        let _ = write!(
            json,
            r#"{{"campaignId":"{}","userId":"user_{user:05}","sessionId":"sess_{session:06}","event":"{}","timestamp":{timestamp},"platform":"{}","cohort":"2024-{:02}","lifecycle":"{}"}}"#,
            self.campaigns.pick(random),
            self.events.pick(random),
            self.platforms.pick(&mut traits),
            traits.u32(1..=12),
            self.lifecycles.pick(&mut traits),
        );
    }
}

impl Generator for Clicks {
    fn fields(&self) -> &'static [&'static str] {
        &["campaignId", "userId", "sessionId", "event", "timestamp", "platform", "cohort", "lifecycle"]
    }

    fn batch(&self, batch: u64) -> BinaryArray {
        let mut random = Rng::with_seed(scattered(self.seed ^ scattered(batch)));
        let (mut clicks, mut json) = (BinaryBuilder::new(), Vec::new());
        for number in batch * BATCH..(batch + 1) * BATCH {
            let arrival = self.from + (number as f64 * self.step) as i64;
            json.clear();
            self.write(&mut json, arrival / 1_000, &mut random);
            clicks.append_value(&json);
        }
        clicks.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::{Map, Value};

    use super::*;

    const FROM: i64 = 1_700_000_000_000_000;

    fn clicks(seed: u64) -> Vec<Map<String, Value>> {
        let clicks = Clicks::new(seed, FROM, 1_000.0);
        let batches: Vec<BinaryArray> = (0..20).map(|batch| clicks.batch(batch)).collect();
        batches.iter().flatten().map(|json| serde_json::from_slice(json.unwrap()).unwrap()).collect()
    }

    #[test]
    fn a_click_has_the_fields_that_are_promised() {
        for click in clicks(1) {
            let (fields, promised): (BTreeSet<&str>, BTreeSet<&str>) = (
                click.keys().map(String::as_str).collect(),
                Clicks::new(1, FROM, 1.0).fields().iter().copied().collect(),
            );
            assert_eq!(fields, promised);
        }
    }

    #[test]
    fn some_campaigns_are_much_more_popular_than_others_and_none_is_forgotten() {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for click in clicks(2) {
            *counts.entry(click["campaignId"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        assert_eq!(counts.len(), CAMPAIGNS.len());
        assert!(counts["organic"] > 5 * counts["newsletter"] / 2, "{counts:?}");
        assert!(counts["organic"] > 10 * counts["radio"], "{counts:?}");
    }

    #[test]
    fn event_times_pass_and_are_out_of_order_by_seconds_at_most() {
        let times: Vec<i64> = clicks(3).iter().map(|click| click["timestamp"].as_i64().unwrap()).collect();
        let mut latest = i64::MIN;
        let mut behind = 0;
        for (number, time) in (0..).zip(&times) {
            let arrival = FROM / 1_000 + number;
            assert!((arrival - DELAYED..=arrival).contains(time), "{number}: {time}");
            latest = latest.max(*time);
            behind = behind.max(latest - time);
        }
        assert!(behind > PROMPT, "some come seconds late, and not only {behind} ms");
    }

    #[test]
    fn a_user_keeps_platform_cohort_and_lifecycle() {
        let mut traits: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for click in clicks(4) {
            let of_user = ["platform", "cohort", "lifecycle"].map(|field| click[field].to_string()).join(" ");
            traits.entry(click["userId"].to_string()).or_default().insert(of_user);
        }
        assert!(traits.values().all(|variants| variants.len() == 1));
        assert!(traits.values().flatten().collect::<BTreeSet<_>>().len() > 50);
    }

    #[test]
    fn another_seed_gives_other_clicks() {
        assert_ne!(clicks(5), clicks(6));
    }
}

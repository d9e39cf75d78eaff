//! Any number of clicks, made of a few that are repeated at later times.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result};
use arrow_array::BinaryArray;
use arrow_array::builder::BinaryBuilder;
use flate2::read::GzDecoder;

use crate::repository;

/// The windows of the pipeline, in milliseconds.
const WINDOW: i64 = 120_000;

/// Clicks that are repeated without end, each round so much later that windows fill and close as in the first.
pub struct Clicks {
    round: Vec<Click>,
    /// Milliseconds from one round to the next: whole windows.
    step: i64,
}

/// The JSON of a click, cut where its time stands.
struct Click {
    before: String,
    /// Epoch milliseconds.
    timestamp: i64,
    after: String,
}

impl Clicks {
    /// The clicks of the sample: sparse, hardly two of a campaign in one window.
    pub fn sparse() -> Result<Self> {
        let mut text = String::new();
        let path = repository().join("pipelines/clickstream/sample/clicks.ndjson.gz");
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        GzDecoder::new(file).read_to_string(&mut text)?;
        let round = text.lines().map(Click::parse).collect::<Result<Vec<_>>>()?;
        Ok(Self::repeating(round))
    }

    /// Clicks of ten campaigns, one each 3 ms: 40,000 in a window, so few results.
    pub fn dense() -> Self {
        let events = ["home", "search", "catalog", "product_view", "add_to_cart", "purchase"];
        let click = |number: usize| {
            let scattered = number.wrapping_mul(2_654_435_761) >> 7;
            let (campaign, event) = (scattered % 10, events[scattered % events.len()]);
            Click {
                before: format!(
                    r#"{{"campaignId":"campaign_{campaign}","userId":"user_{:04}","sessionId":"sess_{:06}","event":"{event}","timestamp":"#,
                    scattered % 2_000,
                    number / 5
                ),
                timestamp: 1_704_368_640_000 + number as i64 * 3,
                after: r#","platform":"tablet","cohort":"2024-01","lifecycle":"new"}"#.to_owned(),
            }
        };
        Self::repeating((0..40_000).map(click).collect())
    }

    fn repeating(round: Vec<Click>) -> Self {
        let times = || round.iter().map(|click| click.timestamp);
        let span = times().max().unwrap_or_default() - times().min().unwrap_or_default();
        Self { step: (span / WINDOW + 1) * WINDOW, round }
    }

    /// The clicks with the numbers `first..first + count`, as JSON.
    pub fn records(&self, first: usize, count: usize) -> BinaryArray {
        let mut values = BinaryBuilder::new();
        for number in first..first + count {
            let Click { before, timestamp, after } = &self.round[number % self.round.len()];
            let later = (number / self.round.len()) as i64 * self.step;
            values.append_value(format!("{before}{}{after}", timestamp + later));
        }
        values.finish()
    }
}

impl Click {
    fn parse(json: &str) -> Result<Self> {
        let name = r#""timestamp":"#;
        let cut = json.find(name).with_context(|| format!("a click without a time: {json}"))? + name.len();
        let (before, rest) = json.split_at(cut);
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let (timestamp, after) = rest.split_at(digits);
        Ok(Self { before: before.to_owned(), timestamp: timestamp.parse()?, after: after.to_owned() })
    }
}

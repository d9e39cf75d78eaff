//! Clicks: real ones, generated ones, and how often each campaign was clicked in each window.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use fastrand::Rng;
use flate2::read::GzDecoder;

use crate::sql::{Counts, Database};

/// A click with what counting needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Click {
    /// The campaign.
    pub campaign: String,
    /// Epoch milliseconds.
    pub timestamp: i64,
}

impl Click {
    /// The record as a shop sends it.
    pub fn json(&self) -> String {
        format!(
            r#"{{"campaignId":"{}","userId":"user_0001","sessionId":"sess_1","event":"catalog","timestamp":{},"platform":"desktop","cohort":"2024-01","lifecycle":"new"}}"#,
            self.campaign, self.timestamp
        )
    }
}

/// The text of a gzip file.
pub fn text_of(gzip: &Path) -> Result<String> {
    let mut text = String::new();
    let file = File::open(gzip).with_context(|| gzip.display().to_string())?;
    GzDecoder::new(file).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes lines.
pub fn write_ndjson(path: &Path, lines: impl IntoIterator<Item = String>) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for line in lines {
        file.write_all(line.as_bytes())?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}

/// Sorted clicks in another order, each at most `milliseconds` before one that stands before it.
pub fn shuffled(clicks: &[Click], milliseconds: i64, random: &mut Rng) -> Vec<Click> {
    let mut keyed: Vec<(i64, &Click)> =
        clicks.iter().map(|click| (click.timestamp + random.i64(0..milliseconds), click)).collect();
    keyed.sort_by_key(|(arrival, _)| *arrival);
    keyed.into_iter().map(|(_, click)| click.clone()).collect()
}

/// Counts lines by campaign and window of `milliseconds`, in plain SQL over the raw JSON.
pub async fn recount<'a>(lines: impl Iterator<Item = &'a str>, milliseconds: i64) -> Result<Counts> {
    let mut database = Database::open(Path::new(":memory:")).await?;
    database.load(lines).await?;
    let sql = format!(
        "SELECT json_extract(line, '$.campaignId') AS campaign, \
                datetime(json_extract(line, '$.timestamp') / {milliseconds} * {milliseconds} / 1000, 'unixepoch') AS start, \
                count(*) FROM lines GROUP BY campaign, start"
    );
    database.counts(&sql).await
}

//! Counts the rows of a group as `click-count` does, and fails where a row's `campaignId` tells it to, for the host's tests.

use azenha_sdk::{Aggregate, NoConfig, Problem, Rejection, Row};

/// A row.
#[derive(Row)]
pub struct Order<'a> {
    #[row(name = "campaignId")]
    campaign_id: &'a str,
}

/// The result for a group.
#[derive(Row)]
pub struct Count {
    click_count: i64,
}

/// What a row wants, as a bit of the state that no count reaches.
const WANTS: [(&str, u64); 3] = [("fail finish", 1 << 40), ("refuse finish", 1 << 41), ("fail merge", 1 << 42)];

/// The bits that count.
const COUNT: u64 = u32::MAX as u64;

/// Counts rows.
pub struct HostileCount;

impl Aggregate for HostileCount {
    type Config = NoConfig;
    type Input<'a> = Order<'a>;
    type State = u64;
    type Output = Count;

    const MERGES: bool = true;

    fn open(_config: NoConfig) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn fold<'a>(&'a self, state: &mut u64, row: Order<'a>) -> Result<(), Rejection> {
        assert!(!row.campaign_id.contains("fail fold"), "a row wants it");
        if row.campaign_id.contains("refuse fold") {
            return Err(Rejection::new("a row that wants to be refused"));
        }
        *state += 1;
        WANTS.iter().filter(|(wish, _)| row.campaign_id.contains(wish)).for_each(|(_, bit)| *state |= bit);
        Ok(())
    }

    fn merge(&self, left: &mut u64, right: u64) -> Result<(), String> {
        if wants("fail merge", right) {
            return Err("a group that is not to be merged".to_owned());
        }
        *left = (*left + (right & COUNT)) | (right & !COUNT);
        Ok(())
    }

    fn finish(&self, state: &u64) -> Result<Option<Count>, Rejection> {
        assert!(!wants("fail finish", *state), "a group wants it");
        if wants("refuse finish", *state) {
            return Err(Rejection::new("a group that wants to be refused"));
        }
        Ok(Some(Count { click_count: (*state & COUNT) as i64 }))
    }
}

fn wants(wish: &str, state: u64) -> bool {
    WANTS.iter().any(|(known, bit)| *known == wish && state & bit != 0)
}

azenha_sdk::aggregate!(HostileCount);

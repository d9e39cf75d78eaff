//! Counts the clicks of a group. It reads no column: that a row is there is all that it needs to know.

use azenha_sdk::{Aggregate, NoConfig, Problem, Rejection, Row};

/// The result for a group.
#[derive(Row)]
pub struct Count {
    click_count: i64,
}

/// Counts rows.
pub struct ClickCount;

impl Aggregate for ClickCount {
    type Config = NoConfig;
    type Input<'a> = ();
    type State = u64;
    type Output = Count;

    const MERGES: bool = true;
    const RETRACTS: bool = true;

    fn open(_config: NoConfig) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn fold(&self, count: &mut u64, _click: ()) -> Result<(), Rejection> {
        *count += 1;
        Ok(())
    }

    fn retract(&self, count: &mut u64, _click: ()) -> Result<(), Rejection> {
        *count = count.checked_sub(1).ok_or("a click is taken back that was not counted")?;
        Ok(())
    }

    fn merge(&self, left: &mut u64, right: u64) -> Result<(), String> {
        *left += right;
        Ok(())
    }

    fn finish(&self, count: &u64) -> Result<Option<Count>, Rejection> {
        let click_count = i64::try_from(*count).map_err(|_| "more clicks than an int64 can count")?;
        Ok((click_count > 0).then_some(Count { click_count }))
    }
}

azenha_sdk::aggregate!(ClickCount);

#[cfg(test)]
mod tests {
    #[test]
    fn the_cases_hold() {
        azenha_sdk::testing::aggregate_cases::<super::ClickCount>();
    }
}

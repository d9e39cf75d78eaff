//! Counts the rows of a group and says under which tag it did, for the tests of the host: versions of a pipeline that count
//! alike are told apart by it. `{"tag": "a"}`, `{"tag": "a", "fails": true}`.

use azenha_sdk::{Aggregate, Problem, Rejection, Row};
use serde::Deserialize;

/// The configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What results are tagged with.
    tag: String,
    /// Whether it traps on every row.
    #[serde(default)]
    fails: bool,
}

/// The result for a group.
#[derive(Row)]
pub struct Count {
    counted: i64,
    tag: String,
}

/// Counts rows.
pub struct TaggedCount(Config);

impl Aggregate for TaggedCount {
    type Config = Config;
    type Input<'a> = ();
    type State = u64;
    type Output = Count;

    const MERGES: bool = true;

    fn open(config: Config) -> Result<Self, Problem> {
        Ok(Self(config))
    }

    fn fold(&self, count: &mut u64, _row: ()) -> Result<(), Rejection> {
        assert!(!self.0.fails, "this version fails on everything");
        *count += 1;
        Ok(())
    }

    fn merge(&self, left: &mut u64, right: u64) -> Result<(), String> {
        *left += right;
        Ok(())
    }

    fn finish(&self, count: &u64) -> Result<Option<Count>, Rejection> {
        let counted = i64::try_from(*count).map_err(|_| "more rows than an int64 can count")?;
        Ok(Some(Count { counted, tag: self.0.tag.clone() }))
    }
}

azenha_sdk::aggregate!(TaggedCount);

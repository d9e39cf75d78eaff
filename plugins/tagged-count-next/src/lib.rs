//! A later `tagged-count`, for the tests of the host: its accumulators hold more, and it reads the earlier ones.

use azenha_sdk::{Accumulator, Aggregate, Problem, Rejection, Row};
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
    before: i64,
    tag: String,
}

/// What is known of a group.
#[derive(Default, Accumulator)]
pub struct Counted {
    rows: u64,
    /// Those of them that an earlier version counted.
    before: u64,
}

/// Counts rows.
pub struct TaggedCount(Config);

impl Aggregate for TaggedCount {
    type Config = Config;
    type Input<'a> = ();
    type State = Counted;
    type Output = Count;

    const STATE_VERSION: u32 = 2;
    const READS_VERSIONS: &'static [u32] = &[1];
    const MERGES: bool = true;

    fn open(config: Config) -> Result<Self, Problem> {
        Ok(Self(config))
    }

    fn fold(&self, state: &mut Counted, _row: ()) -> Result<(), Rejection> {
        assert!(!self.0.fails, "this version fails on everything");
        state.rows += 1;
        Ok(())
    }

    fn merge(&self, left: &mut Counted, right: Counted) -> Result<(), String> {
        left.rows += right.rows;
        left.before += right.before;
        Ok(())
    }

    fn finish(&self, state: &Counted) -> Result<Option<Count>, Rejection> {
        let of = |rows: u64| i64::try_from(rows).map_err(|_| Rejection::new("more rows than an int64 can count"));
        Ok(Some(Count { counted: of(state.rows)?, before: of(state.before)?, tag: self.0.tag.clone() }))
    }

    fn migrate(&self, _: u32, state: &[u8]) -> Result<Counted, String> {
        let rows = u64::decode(&mut &state[..])?;
        Ok(Counted { rows, before: rows })
    }
}

azenha_sdk::aggregate!(TaggedCount);

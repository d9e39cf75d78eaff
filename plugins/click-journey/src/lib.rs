//! The path of a visitor through the shop: the events of a group, in order. The order is the point, so paths
//! can't be merged, and the host brings the rows of a group together before it folds them.

use azenha_sdk::{Accumulator, Aggregate, NoConfig, Problem, Rejection, Row};

/// So many steps of a path are kept; a crawler's has no end.
const STEPS: i64 = 200;

/// What a path is made of.
#[derive(Row)]
pub struct Visit<'a> {
    event: &'a str,
}

/// The path so far.
#[derive(Default, Accumulator)]
pub struct Path {
    events: String,
    steps: i64,
}

/// The result for a group.
#[derive(Row)]
pub struct Journey {
    journey: String,
    steps: i64,
}

/// Appends events.
pub struct ClickJourney;

impl Aggregate for ClickJourney {
    type Config = NoConfig;
    type Input<'a> = Visit<'a>;
    type State = Path;
    type Output = Journey;

    fn open(_config: NoConfig) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn fold(&self, path: &mut Path, visit: Visit<'_>) -> Result<(), Rejection> {
        if path.steps < STEPS {
            if path.steps > 0 {
                path.events.push('>');
            }
            path.events.push_str(visit.event);
        }
        path.steps += 1;
        Ok(())
    }

    fn finish(&self, path: &Path) -> Result<Option<Journey>, Rejection> {
        Ok(Some(Journey { journey: path.events.clone(), steps: path.steps }))
    }
}

azenha_sdk::aggregate!(ClickJourney);

#[cfg(test)]
mod tests {
    #[test]
    fn the_cases_hold() {
        azenha_sdk::testing::aggregate_cases::<super::ClickJourney>();
    }
}

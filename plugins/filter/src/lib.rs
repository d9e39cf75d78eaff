//! Keeps the rows that meet a condition:
//!
//! ```yaml
//! all:
//!   - { column: event, is: purchase }
//!   - { column: amount, above: 10 }
//!   - not: { column: platform, in: [bot, crawler] }
//! ```
//!
//! An absent value meets `absent`, `is_not` and nothing else; `not` turns whatever it holds around.

mod check;
mod condition;

use azenha_sdk::{Batch, ColumnTransform, Field, Given, Output, Plan, Problem, Selection};

use check::Checked;
pub use condition::{Condition, Test};

/// Keeps the rows that meet a condition; all their columns are passed on, without entering the plugin.
pub struct Filter {
    condition: Checked,
}

impl ColumnTransform for Filter {
    type Config = Condition;

    fn open(condition: Condition, input: &[Field]) -> Result<(Self, Plan), Vec<Problem>> {
        let mut reads = Vec::new();
        let mut problems = Vec::new();
        let condition = Checked::new(&condition, "", input, &mut reads, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let own = input.iter().enumerate().filter(|(_, field)| !field.name.starts_with('$'));
        let gives = own.map(|(index, field)| Given::Passed { input: index as u32, name: field.name.clone() });
        Ok((Self { condition }, Plan::main(reads, gives.collect())))
    }

    fn process(&mut self, batch: &Batch) -> Result<Output, String> {
        let kept = self.condition.of_batch(batch)?;
        let rows = kept.iter().zip(0..).filter(|(kept, _)| **kept).map(|(_, row)| row);
        Ok(Output::main(Selection::Rows(rows.collect()), Vec::new()))
    }
}

azenha_sdk::column_transform!(Filter, config_schema = include_str!("../config.schema.json"));

#[cfg(test)]
mod tests {
    #[test]
    fn the_cases_hold() {
        azenha_sdk::testing::column_transform_cases::<super::Filter>();
    }

    #[test]
    fn the_schema_describes_the_configuration() {
        azenha_sdk::testing::config_schema_is_current::<super::Condition>();
    }
}

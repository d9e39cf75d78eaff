//! Renames, casts, drops and computes columns:
//!
//! ```yaml
//! columns:
//!   customer: { from: customerId }
//!   amount:   { from: amountText, cast: decimal(2) }
//!   label:    { concatenate: [{ column: first }, " ", { column: last }] }
//!   year:     { date_part: { of: createdAt, part: year } }
//!   lines:    { length: items }
//!   origin:   { constant: shop }
//! drop: [internalNote]
//! keep_others: true
//! ```
//!
//! Columns that only change their name never enter the plugin. A row whose value cannot be cast is refused,
//! naming the column.

mod config;
mod make;
mod plan;
mod scalar;

use azenha_sdk::{Batch, ColumnTransform, DataType, Emitted, Field, Output, Plan, Problem, Rejection, Selection};

pub use config::{Config, DatePart, Definition, Part, PartName};
use make::Maker;
use scalar::{ScalarBuilder, read_column};

/// Renames, casts, drops and computes columns.
pub struct Rename {
    /// The types of the columns that are read.
    reads: Vec<DataType>,
    makers: Vec<Maker>,
}

impl ColumnTransform for Rename {
    type Config = Config;

    fn open(config: Config, input: &[Field]) -> Result<(Self, Plan), Vec<Problem>> {
        plan::open(&config, input)
    }

    fn process(&mut self, batch: &Batch) -> Result<Output, String> {
        let columns: Vec<_> = self
            .reads
            .iter()
            .enumerate()
            .map(|(slot, read)| read_column(batch, slot, *read))
            .collect::<Result<_, _>>()?;
        let mut builders: Vec<_> = self.makers.iter().map(|maker| ScalarBuilder::new(maker.field.data_type)).collect();
        let (mut kept, mut rejected) = (Vec::new(), Vec::new());
        for row in 0..batch.rows {
            let made: Result<Vec<_>, Rejection> =
                self.makers.iter().map(|maker| maker.make(&columns, row as usize)).collect();
            match made {
                Ok(values) => {
                    kept.push(row);
                    builders.iter_mut().zip(values).for_each(|(builder, value)| builder.push(value));
                }
                Err(rejection) => rejected.push(rejection.at_row(row)),
            }
        }
        let rows = if rejected.is_empty() { Selection::All } else { Selection::Rows(kept) };
        let columns = builders.into_iter().map(ScalarBuilder::finish).collect();
        Ok(Output { outputs: vec![Emitted { rows, columns }], rejected })
    }
}

azenha_sdk::column_transform!(Rename, config_schema = include_str!("../config.schema.json"));

#[cfg(test)]
mod tests {
    #[test]
    fn the_cases_hold() {
        azenha_sdk::testing::column_transform_cases::<super::Rename>();
    }

    #[test]
    fn the_schema_describes_the_configuration() {
        azenha_sdk::testing::config_schema_is_current::<super::Config>();
    }
}

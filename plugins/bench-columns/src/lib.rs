//! What the benchmarks run: reads three columns and makes two, by whole columns, so that what is measured is
//! the boundary and not the work.

use azenha_sdk::{Batch, Column, ColumnBuilder, ColumnTransform, DataType, Field, Given, NoConfig, Output, Plan};
use azenha_sdk::{Problem, Selection, Timestamp, Values, missing};

/// The columns that are read, and their types.
const READS: [(&str, DataType); 3] =
    [("campaignId", DataType::Text), ("timestamp", DataType::Timestamp), ("platform", DataType::Text)];

const MICROS_PER_MINUTE: i64 = 60_000_000;

/// Makes `minute` (since 1970) and `paidMobile` (a paid campaign on a telephone).
pub struct BenchColumns;

impl ColumnTransform for BenchColumns {
    type Config = NoConfig;

    fn open(_config: NoConfig, input: &[Field]) -> Result<(Self, Plan), Vec<Problem>> {
        let find = |(name, data_type): (&str, DataType)| {
            let found = input.iter().position(|field| field.name == name && field.data_type == data_type);
            found.map(|index| index as u32).ok_or_else(|| vec![Problem::new(missing(name, input))])
        };
        let reads = READS.into_iter().map(find).collect::<Result<Vec<u32>, _>>()?;
        let made = [("minute", DataType::Int64), ("paidMobile", DataType::Boolean)];
        let gives = made.into_iter().map(|(name, data_type)| Given::Made(Field::new(name, data_type, false)));
        Ok((Self, Plan::main(reads, gives.collect())))
    }

    fn process(&mut self, batch: &Batch) -> Result<Output, String> {
        let campaigns = batch.column::<&str>(0)?;
        let timestamps = batch.column::<Timestamp>(1)?;
        let platforms = batch.column::<&str>(2)?;
        let minutes = timestamps.values.iter().map(|micros| micros.div_euclid(MICROS_PER_MINUTE)).collect();
        let mut paid_mobile = ColumnBuilder::<bool>::default();
        for row in 0..batch.rows as usize {
            paid_mobile.push(platforms.values.at(row) == "mobile" && campaigns.values.at(row).starts_with("paid"));
        }
        Ok(Output::main(Selection::All, vec![Column::of(Values::Int64s(minutes)), paid_mobile.finish()]))
    }
}

azenha_sdk::column_transform!(BenchColumns);

//! The stateless work that `bench/peers` gives to every system: `campaignId` and `userId` are renamed, `event` is
//! written in capitals, `minute` is made of the timestamp, and the platform is left out.

use azenha_sdk::{Batch, Column, ColumnBuilder, ColumnTransform, DataType, Field, Given, NoConfig, Output, Plan};
use azenha_sdk::{Problem, Selection, Strings, Timestamp, Values, missing};

const MICROS_PER_MINUTE: i64 = 60_000_000;

/// Makes `event` and `minute` (since 1970).
pub struct BenchClicks;

impl ColumnTransform for BenchClicks {
    type Config = NoConfig;

    fn open(_config: NoConfig, input: &[Field]) -> Result<(Self, Plan), Vec<Problem>> {
        let find = |name: &str, data_type: DataType| {
            let found = input.iter().position(|field| field.name == name && field.data_type == data_type);
            found.map(|index| index as u32).ok_or_else(|| vec![Problem::new(missing(name, input))])
        };
        let (campaign, user) = (find("campaignId", DataType::Text)?, find("userId", DataType::Text)?);
        let (event, timestamp) = (find("event", DataType::Text)?, find("timestamp", DataType::Timestamp)?);
        let passed = |input: u32, name: &str| Given::Passed { input, name: name.to_owned() };
        let gives = vec![
            passed(campaign, "campaign"),
            passed(user, "user"),
            Given::Made(Field::new("event", DataType::Text, false)),
            passed(timestamp, "timestamp"),
            Given::Made(Field::new("minute", DataType::Int64, false)),
        ];
        Ok((Self, Plan::main(vec![event, timestamp], gives)))
    }

    fn process(&mut self, batch: &Batch) -> Result<Output, String> {
        let timestamps = batch.column::<Timestamp>(1)?;
        let minutes = timestamps.values.iter().map(|micros| micros.div_euclid(MICROS_PER_MINUTE)).collect();
        Ok(Output::main(Selection::All, vec![capitals(batch)?, Column::of(Values::Int64s(minutes))]))
    }
}

/// The first column in capitals. Those of ASCII are as long as the letters, so that all rows are done at once.
fn capitals(batch: &Batch) -> Result<Column, String> {
    match batch.columns.first().map(|column| &column.values) {
        Some(Values::Texts(Strings { offsets, bytes })) if bytes.is_ascii() => {
            let capitals = Strings { offsets: offsets.clone(), bytes: bytes.to_ascii_uppercase() };
            Ok(Column::of(Values::Texts(capitals)))
        }
        _ => {
            let mut capitals = ColumnBuilder::<String>::default();
            batch.column::<&str>(0)?.iter().for_each(|text| capitals.push(text.unwrap_or_default().to_uppercase()));
            Ok(capitals.finish())
        }
    }
}

azenha_sdk::column_transform!(BenchClicks);

#[cfg(test)]
mod tests {
    #[test]
    fn the_cases_hold() {
        azenha_sdk::testing::column_transform_cases::<super::BenchClicks>();
    }
}

//! Values that go through a store and come back as they were.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use azenha_engine::store::StoreRows;
use azenha_model::plan::WriteMode;
use azenha_model::{DataType, Field};

use crate::store_helpers::*;

/// What goes in comes out, to the last digit.
pub async fn every_type_keeps_its_extremes(fixture: &dyn StoreFixture) {
    let types = [
        ("id", DataType::Int64),
        ("boolean", DataType::Boolean),
        ("float64", DataType::Float64),
        ("decimal", DataType::Decimal { scale: 2 }),
        ("text", DataType::Text),
        ("bytes", DataType::Bytes),
        ("date", DataType::Date),
        ("time", DataType::Time),
        ("timestamp", DataType::Timestamp),
        ("json", DataType::Json),
    ];
    let fields = types.map(|(name, data_type)| Field::new(name, data_type, name != "id"));
    let keeps = fixture.keeps();
    let most = 10_i128.pow(keeps.digits) - 1;
    let decimals = vec![-most, -5, most, 1250];
    let decimals = Decimal128Array::from(decimals).with_precision_and_scale(38, 2).unwrap();
    let timestamps = vec![-62_135_596_800_000_000, -1, 253_402_300_799_999_999, 1_700_000_000_000_000];
    let json = vec!["{\"a\": [1, null]}", "123", "\"x\"", "null"];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![i64::MIN, -1, 0, i64::MAX])),
        Arc::new(BooleanArray::from(vec![true, false, true, false])),
        Arc::new(Float64Array::from(vec![f64::MIN, f64::MIN_POSITIVE, f64::MAX, 0.1])),
        Arc::new(decimals),
        Arc::new(StringArray::from(vec!["", "1.0", "Ω 🦀 '\" \\", "null"])),
        Arc::new(BinaryArray::from(vec![b"".as_slice(), &[0], &[255, 0, 128], b"text"])),
        Arc::new(Date32Array::from(vec![-719_162, -1, 2_932_896, 0])),
        Arc::new(Time64MicrosecondArray::from(vec![0, 1, 86_399_999_999, 43_200_000_000])),
        Arc::new(TimestampMicrosecondArray::from(timestamps).with_timezone("UTC")),
        Arc::new(StringArray::from(json)),
    ];
    let output = output("extremes", &fields, &[0], WriteMode::Upsert);
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[batch(&fields, columns, 0)], 4).await.unwrap();
    let nines = "9".repeat(keeps.digits as usize - 2);
    let fraction = if keeps.microseconds { "999999" } else { "999000" };
    let wanted = [
        format!(
            "-9223372036854775808|1|-1.7976931348623157e308|-{nines}.99|||0001-01-01|00:00:00|0001-01-01 00:00:00|\
             {{\"a\":[1,null]}}"
        ),
        format!(
            "-1|0|2.2250738585072014e-308|-0.05|1.0|00|1969-12-31|00:00:00.000001|1969-12-31 23:59:59.{fraction}|123"
        ),
        format!(
            "0|1|1.7976931348623157e308|{nines}.99|Ω 🦀 '\" \\|ff0080|9999-12-31|23:59:59.999999|\
             9999-12-31 23:59:59.{fraction}|\"x\""
        ),
        "9223372036854775807|0|0.1|12.50|null|74657874|1970-01-01|12:00:00|2023-11-14 22:13:20|null".to_owned(),
    ];
    let mut found = fixture.rows("extremes", &fields).await;
    for json in found.iter_mut().filter_map(|row| row[9].as_mut()) {
        json.retain(|letter| letter != ' ');
    }
    let found: Vec<String> = found.into_iter().map(joined).collect();
    assert_eq!(found, wanted);
}

fn joined(row: Vec<Option<String>>) -> String {
    let texts: Vec<String> = row.into_iter().map(|value| value.unwrap_or("NULL".to_owned())).collect();
    texts.join("|")
}

fn float_fields() -> [Field; 2] {
    [Field::new("id", DataType::Int64, false), Field::new("ratio", DataType::Float64, true)]
}

fn floats(values: &[f64]) -> StoreRows {
    let ids = Int64Array::from_iter_values(0..values.len() as i64);
    batch(&float_fields(), vec![Arc::new(ids), Arc::new(Float64Array::from(values.to_vec()))], 0)
}

/// Also those that are next to nothing.
pub async fn floats_keep_every_digit(fixture: &dyn StoreFixture) {
    let values = [0.0, 1.0 / 3.0, -2.0 / 3.0, 5e-324, -5e-324, 1e300, 0.1 + 0.2, 9_007_199_254_740_993.0];
    let mut owner = prepared(fixture.store(), &output("ratios", &float_fields(), &[0], WriteMode::Upsert)).await;
    owner.commit(&[floats(&values)], values.len() as u64).await.unwrap();
    let found: Vec<_> = fixture.rows("ratios", &float_fields()).await.into_iter().map(|row| row[1].clone()).collect();
    assert_eq!(found, values.map(|value| Some(format!("{value:?}"))));
}

/// But never changed.
pub async fn a_float_that_is_no_number_is_kept_or_refused(fixture: &dyn StoreFixture) {
    for (value, table) in [(f64::INFINITY, "infinite"), (f64::NEG_INFINITY, "below"), (f64::NAN, "no_number")] {
        let mut owner = prepared(fixture.store(), &output(table, &float_fields(), &[0], WriteMode::Upsert)).await;
        match owner.commit(&[floats(&[1.5, value])], 2).await {
            Ok(()) => {
                let rows = fixture.rows(table, &float_fields()).await;
                assert_eq!(rows[1][1], Some(format!("{value:?}")));
            }
            ended => {
                let refused = refused(ended);
                assert_eq!(places(&refused), [(0, 1)]);
                assert!(refused[0].reason.contains("column `ratio`"), "{}", refused[0].reason);
            }
        }
    }
}

/// Case, accents and spaces at the end among them.
pub async fn text_keys_differ_in_every_byte(fixture: &dyn StoreFixture) {
    let fields = [Field::new("name", DataType::Text, false), Field::new("number", DataType::Int64, true)];
    let output = output("spelling", &fields, &[0], WriteMode::Upsert);
    let names = ["", " ", "A", "a", "a ", "a  ", "á", "a\u{301}", "ß", "ss", "🦀", "🦞"];
    let numbered = |first| {
        let numbers = Int64Array::from_iter_values(0..names.len() as i64);
        batch(&fields, vec![Arc::new(StringArray::from(names.to_vec())), Arc::new(numbers)], first)
    };
    let mut owner = prepared(fixture.store(), &output).await;
    owner.commit(&[numbered(0)], 20).await.unwrap();
    owner.commit(&[numbered(20)], 40).await.unwrap();
    let rows = fixture.rows("spelling", &fields).await;
    let mut found: Vec<(&str, &str)> =
        rows.iter().map(|row| (row[0].as_deref().unwrap(), row[1].as_deref().unwrap())).collect();
    found.sort_unstable_by_key(|row| row.1.parse::<usize>().unwrap());
    assert_eq!(found.iter().map(|row| row.0).collect::<Vec<_>>(), names);
    let deletes = (0..names.len()).map(|index| Some(index % 2 == 0)).collect::<BooleanArray>();
    owner.commit(&[StoreRows { deletes: Some(deletes), ..numbered(40) }], 60).await.unwrap();
    let mut left: Vec<String> =
        fixture.rows("spelling", &fields).await.into_iter().filter_map(|mut row| row.swap_remove(0)).collect();
    left.sort_unstable();
    assert_eq!(left, [" ", "a", "a  ", "a\u{301}", "ss", "🦞"]);
}

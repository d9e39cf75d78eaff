//! The rows of a case as columns, and back.

use anyhow::{Context, Result, bail};
use arrow_array::{ArrayRef, BinaryArray, RecordBatch, RecordBatchOptions};
use azenha_formats::json::{JsonDecoder, JsonEncoder};
use azenha_model::plan::{OutputColumn, StreamColumn, TimeFormat};
use azenha_model::{DataType, Field, Records, Schema};
use serde_json::{Number, Value};

use super::format::JsonRow;

const MICROS_PER_MILLI: i64 = 1_000;

/// The columns of rows.
pub fn batch(fields: &[Field], rows: &[JsonRow]) -> Result<RecordBatch> {
    for (index, row) in rows.iter().enumerate() {
        if let Some(unknown) = row.keys().find(|name| fields.iter().all(|field| field.name != **name)) {
            bail!("row {index} has a value for `{unknown}`, which is no column of the input");
        }
    }
    let column = |field: &Field| StreamColumn {
        field: field.clone(),
        path: vec![field.name.clone()],
        time_format: TimeFormat::Micros,
    };
    let columns: Vec<StreamColumn> = fields.iter().map(column).collect();
    let all: Vec<usize> = (0..fields.len()).collect();
    let texts = rows.iter().map(|row| Value::Object(with_times(row, fields, to_micros)).to_string());
    let records = Records::unkeyed(BinaryArray::from_iter_values(texts.collect::<Vec<_>>()), 0);
    let decoded = JsonDecoder::new(&columns, &all, &[]).decode(&records);
    if let Some(refused) = decoded.rejected.first() {
        bail!("row {}: {} {}", refused.record, refused.field.as_deref().unwrap_or_default(), refused.reason);
    }
    let arrays = decoded.columns.into_iter().flatten().collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(Schema::new(fields.to_vec()).arrow(), arrays, &options)?)
}

/// The rows of columns.
pub fn json_rows(fields: &[Field], arrays: &[ArrayRef], rows: usize) -> Result<Vec<Value>> {
    let column =
        |(input, field): (usize, &Field)| OutputColumn { input, field: field.clone(), time_format: TimeFormat::Micros };
    let columns: Vec<OutputColumn> = fields.iter().enumerate().map(column).collect();
    let (_, values) = JsonEncoder::new(&columns, &[]).encode(arrays, rows, None);
    let row = |value: Option<&[u8]>| {
        let row: JsonRow = serde_json::from_slice(value.context("a row without a value")?)?;
        Ok(Value::Object(with_times(&row, fields, to_millis)))
    };
    values.iter().map(row).collect()
}

/// Cases write timestamps as epoch milliseconds, with a fraction if need be; columns hold microseconds.
fn with_times(row: &JsonRow, fields: &[Field], convert: fn(&Value) -> Option<Value>) -> JsonRow {
    let mut row = row.clone();
    for field in fields.iter().filter(|field| field.data_type == DataType::Timestamp) {
        if let Some(value) = row.get_mut(&field.name)
            && let Some(converted) = convert(value)
        {
            *value = converted;
        }
    }
    row
}

fn to_micros(millis: &Value) -> Option<Value> {
    match millis.as_i64() {
        Some(millis) => millis.checked_mul(MICROS_PER_MILLI).map(Value::from),
        None => millis.as_f64().map(|millis| Value::from((millis * MICROS_PER_MILLI as f64).round() as i64)),
    }
}

fn to_millis(micros: &Value) -> Option<Value> {
    match micros.as_i64()? {
        micros if micros % MICROS_PER_MILLI == 0 => Some(Value::from(micros / MICROS_PER_MILLI)),
        micros => Number::from_f64(micros as f64 / MICROS_PER_MILLI as f64).map(Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_come_back_as_they_went_in() {
        let fields = [
            Field::new("time", DataType::Timestamp, false),
            Field::new("price", DataType::Decimal { scale: 2 }, false),
            Field::new("note", DataType::Text, true),
        ];
        let rows = json!([
            { "time": 1_704_368_738_000_i64, "price": "12.50", "note": "x" },
            { "time": 1_704_368_738_000.25, "price": "0.01", "note": null },
        ]);
        let objects: Vec<JsonRow> = serde_json::from_value(rows.clone()).unwrap();
        let batch = batch(&fields, &objects).unwrap();
        assert_eq!(Value::Array(json_rows(&fields, batch.columns(), 2).unwrap()), rows);
    }

    #[test]
    fn a_row_that_does_not_fit_the_columns_is_an_error() {
        let fields = [Field::new("count", DataType::Int64, false)];
        let refused = |row: Value| batch(&fields, &[row.as_object().unwrap().clone()]).unwrap_err().to_string();
        assert!(refused(json!({ "count": "x" })).contains("count"));
        assert!(refused(json!({})).contains("count"));
        assert!(refused(json!({ "count": 1, "other": 2 })).contains("`other`"));
    }
}

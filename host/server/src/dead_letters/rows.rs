//! The rows of a bundle as columns.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use arrow_array::{BinaryArray, RecordBatch, RecordBatchOptions};
use azenha_formats::json::JsonDecoder;
use azenha_model::plan::{StreamColumn, TimeFormat};
use azenha_model::{DataType, Field, Records, Schema};
use serde_json::value::RawValue;

/// The columns `fields` of rows as dead letters write them. For a value that is masked stands another one of its type.
///
/// # Errors
/// If a row has no such column, or a value that its type does not allow.
pub fn batch(fields: &[Field], rows: &[&RawValue]) -> Result<RecordBatch> {
    let column = |field: &Field| StreamColumn {
        field: field.clone(),
        path: vec![field.name.clone()],
        time_format: TimeFormat::Iso,
    };
    let columns: Vec<StreamColumn> = fields.iter().map(column).collect();
    let all: Vec<usize> = (0..fields.len()).collect();
    let texts = rows.iter().map(|row| unmasked(fields, row)).collect::<Result<Vec<String>>>()?;
    let records = Records::unkeyed(BinaryArray::from_iter_values(texts), 0);
    let decoded = JsonDecoder::new(&columns, &all, &[]).decode(&records);
    if let Some(refused) = decoded.rejected.first() {
        bail!("row {}: {} {}", refused.record, refused.field.as_deref().unwrap_or_default(), refused.reason);
    }
    let arrays = decoded.columns.into_iter().flatten().collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(Schema::new(fields.to_vec()).arrow(), arrays, &options)?)
}

/// A row with the wanted columns only.
fn unmasked(fields: &[Field], row: &RawValue) -> Result<String> {
    let values: BTreeMap<String, &RawValue> = serde_json::from_str(row.get()).context("a row is no JSON object")?;
    let mut members = Vec::with_capacity(fields.len());
    for field in fields {
        let name = &field.name;
        let Some(value) = values.get(name) else {
            bail!("the plugin reads column `{name}`, which the bundle does not hold");
        };
        let value = if field.pii { stand_in(field) } else { value.get() };
        members.push(format!("{}:{value}", serde_json::to_string(name)?));
    }
    Ok(format!("{{{}}}", members.join(",")))
}

/// What stands for a value of personal data.
fn stand_in(field: &Field) -> &'static str {
    match field.data_type {
        DataType::Text | DataType::Json => r#""***""#,
        _ if field.nullable => "null",
        DataType::Boolean => "false",
        DataType::Int64 | DataType::Float64 | DataType::Decimal { .. } => "0",
        DataType::Bytes => r#""""#,
        DataType::Date => r#""1970-01-01""#,
        DataType::Time => r#""00:00:00""#,
        DataType::Timestamp => r#""1970-01-01T00:00:00Z""#,
    }
}

#[cfg(test)]
mod tests {
    use azenha_formats::json::row_json;

    use super::*;

    fn fields() -> Vec<Field> {
        vec![
            Field::new("time", DataType::Timestamp, false),
            Field::new("price", DataType::Decimal { scale: 2 }, false),
            Field::new("score", DataType::Float64, true),
            Field::new("bytes", DataType::Bytes, true),
            Field::new("json", DataType::Json, true),
            Field { pii: true, ..Field::new("email", DataType::Text, true) },
            Field { pii: true, ..Field::new("born", DataType::Date, false) },
        ]
    }

    const ROW: &str = r#"{"time":"2024-01-04T09:18:58.000001Z","price":"12.50","score":0.1,"bytes":"AAE=","json":{"b": [1,  2]},"email":"***","born":"***"}"#;

    #[test]
    fn a_row_of_a_dead_letter_becomes_the_columns_that_it_was_written_of() {
        let row = RawValue::from_string(ROW.to_owned()).unwrap();
        let batch = batch(&fields(), &[&row]).unwrap();
        assert_eq!(row_json(&fields(), batch.columns(), 0, true), ROW);
    }

    #[test]
    fn a_column_that_is_not_there_is_named() {
        let row = RawValue::from_string(ROW.to_owned()).unwrap();
        let more = [fields(), vec![Field::new("city", DataType::Text, true)]].concat();
        assert!(batch(&more, &[&row]).unwrap_err().to_string().contains("`city`"));
    }

    #[test]
    fn a_plugin_that_reads_nothing_gets_rows_all_the_same() {
        let row = RawValue::from_string("{}".to_owned()).unwrap();
        assert_eq!(batch(&[], &[&row, &row]).unwrap().num_rows(), 2);
    }
}

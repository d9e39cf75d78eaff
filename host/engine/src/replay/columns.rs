//! Rows as dead letters write them, as columns again.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::{BinaryArray, RecordBatch};
use azenha_formats::json::JsonDecoder;
use azenha_model::plan::{StreamColumn, TimeFormat};
use azenha_model::{DataType, Field, Records, Schema};
use serde_json::value::RawValue;

use super::ReplayError;
use crate::rows::batch_of;

/// The columns `fields` of rows as dead letters write them. For a value of a `masked` column stands another one of its type.
///
/// # Errors
/// If a row has no such column, or a value that its type does not allow.
pub fn batch(fields: &[Field], rows: &[&RawValue], masked: &BTreeSet<String>) -> Result<RecordBatch, ReplayError> {
    let column = |field: &Field| StreamColumn {
        field: field.clone(),
        path: vec![field.name.clone()],
        time_format: TimeFormat::Iso,
    };
    let columns: Vec<StreamColumn> = fields.iter().map(column).collect();
    let all: Vec<usize> = (0..fields.len()).collect();
    let texts = rows.iter().map(|row| picked(fields, row, masked)).collect::<Result<Vec<String>, _>>()?;
    let records = Records::unkeyed(BinaryArray::from_iter_values(texts), 0);
    let decoded = JsonDecoder::new(&columns, &all, &[]).decode(&records);
    if let Some(refused) = decoded.rejected.first() {
        let field = refused.field.as_deref().unwrap_or_default();
        return Err(ReplayError::Malformed(format!("row {}: {field} {}", refused.record, refused.reason)));
    }
    let arrays = decoded.columns.into_iter().flatten().collect();
    Ok(batch_of(Schema::new(fields.to_vec()).arrow(), arrays, rows.len())?)
}

/// A row with the wanted columns only.
fn picked(fields: &[Field], row: &RawValue, masked: &BTreeSet<String>) -> Result<String, ReplayError> {
    let wrong = |error: serde_json::Error| ReplayError::Malformed(format!("a row is no JSON object: {error}"));
    let values: BTreeMap<String, &RawValue> = serde_json::from_str(row.get()).map_err(wrong)?;
    let mut members = Vec::with_capacity(fields.len());
    for field in fields {
        let name = &field.name;
        let missing = || ReplayError::Malformed(format!("column `{name}` is wanted, which the bundle does not hold"));
        let value = values.get(name).ok_or_else(missing)?;
        let value = if masked.contains(name) { stand_in(field) } else { value.get() };
        members.push(format!("{}:{value}", serde_json::to_string(name).map_err(wrong)?));
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

    const ROW: &str = r#"{"time":"2024-01-04T09:18:58.000001Z","price":"12.50","score":0.1,"bytes":"AAE=","json":{"b": [1,  2]},"email":"a@b.c","born":"2000-02-29"}"#;

    fn row(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn a_row_of_a_dead_letter_becomes_the_columns_that_it_was_written_of() {
        let batch = batch(&fields(), &[&row(ROW)], &BTreeSet::new()).unwrap();
        assert_eq!(row_json(&fields(), batch.columns(), 0, false), ROW);
    }

    #[test]
    fn something_stands_for_what_is_masked() {
        let masked = ["email".to_owned(), "born".to_owned()].into();
        let text = ROW.replace("a@b.c", "***").replace("2000-02-29", "***");
        let batch = batch(&fields(), &[&row(&text)], &masked).unwrap();
        let shown = row_json(&fields(), batch.columns(), 0, false);
        assert!(shown.contains(r#""email":"***","born":"1970-01-01""#), "{shown}");
    }

    #[test]
    fn a_column_that_is_not_there_is_named() {
        let more = [fields(), vec![Field::new("city", DataType::Text, true)]].concat();
        assert!(batch(&more, &[&row(ROW)], &BTreeSet::new()).unwrap_err().to_string().contains("`city`"));
    }

    #[test]
    fn a_plugin_that_reads_nothing_gets_rows_all_the_same() {
        assert_eq!(batch(&[], &[&row("{}"), &row("{}")], &BTreeSet::new()).unwrap().num_rows(), 2);
    }
}

//! What the tests of the JSON codec share.

use arrow_array::BinaryArray;
use azenha_formats::json::{Decoded, JsonDecoder};
use azenha_model::plan::{StreamColumn, TimeFormat};
use azenha_model::{DataType, Field, Records};

/// A column that allows no nulls, at a path with points between names.
pub fn column(path: &str, data_type: DataType) -> StreamColumn {
    let path: Vec<String> = path.split('.').map(str::to_owned).collect();
    let field = Field::new(path.last().unwrap(), data_type, false);
    StreamColumn { field, path, time_format: TimeFormat::Millis }
}

/// The same column with nulls.
#[allow(dead_code)] // each test is a crate of its own, and not all need it
pub fn nullable(mut column: StreamColumn) -> StreamColumn {
    column.field.nullable = true;
    column
}

/// Decodes values without keys, all columns, and checks that the lengths agree.
pub fn decode<T: AsRef<[u8]>>(columns: &[StreamColumn], values: &[T]) -> Decoded {
    let needed: Vec<usize> = (0..columns.len()).collect();
    let records = Records::unkeyed(BinaryArray::from_iter_values(values), 0);
    let decoded = JsonDecoder::new(columns, &needed, &[]).decode(&records);
    assert_eq!(decoded.rows.len() + decoded.rejected.len(), values.len(), "every record is a row or refused");
    assert!(decoded.columns.iter().flatten().all(|array| array.len() == decoded.rows.len()));
    decoded
}

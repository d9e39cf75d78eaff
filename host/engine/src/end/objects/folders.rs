//! Which folder each row belongs to: `column=value`, as Hive has it and every reader of lakes understands.

use std::collections::BTreeMap;
use std::fmt::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use azenha_formats::civil;
use azenha_model::plan::PartitionColumn;
use percent_encoding::percent_decode_str;
use twox_hash::XxHash3_64;

/// The values of a folder's columns, by name; none stands for null.
pub type Values = BTreeMap<String, Option<String>>;

/// What stands for null in a path.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Bytes of a name in a path, beside a hash: a folder's name may have 255 with column and `=`.
const LONGEST: usize = 96;

const DAY: i64 = 86_400_000_000;

/// The folder of a row and its values, from the arrays of its partition columns.
pub fn folder(columns: &[PartitionColumn], arrays: &[ArrayRef], row: usize) -> (String, Values) {
    let mut path = String::new();
    let mut values = Values::new();
    for (column, array) in columns.iter().zip(arrays) {
        let value = (!array.is_null(row)).then(|| text(array, row));
        path.push_str(&escaped(&column.name));
        path.push('=');
        path.push_str(&value.as_deref().map_or(NULL.to_owned(), escaped));
        path.push('/');
        values.insert(column.name.clone(), value);
    }
    (path, values)
}

/// The columns of the folders that an object stands in, the outermost first, and their values; none stands for null.
pub fn folders_of(path: &str) -> impl Iterator<Item = (String, Option<String>)> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let folders = path.split('/').filter_map(|part| part.split_once('='));
    folders.map(move |(column, value)| (decoded(column), (value != NULL).then(|| decoded(value))))
}

fn text(array: &ArrayRef, row: usize) -> String {
    match array.data_type() {
        DataType::Timestamp(..) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            civil::format_date(micros.div_euclid(DAY) as i32)
        }
        DataType::Date32 => civil::format_date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        _ => array.as_string::<i32>().value(row).to_owned(),
    }
}

/// Everything but letters, digits and a few signs is written as `%XX`, so that no value makes a path of its own, or looks
/// like null. What would be too long for a name is cut, and told by its hash.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_-.".contains(&byte) && !matches!(text, "." | ".." | NULL) {
            escaped.push(byte.into());
        } else {
            // Writing into a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    if escaped.len() > LONGEST {
        let hash = XxHash3_64::oneshot(text.as_bytes());
        escaped.truncate(LONGEST);
        let _ = write!(escaped, "-{hash:016x}");
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Date32Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn values_become_folders_that_every_reader_understands() {
        let column = |name: &str| PartitionColumn { name: name.to_owned(), input: 0 };
        let columns = [column("day"), column("seen_date"), column("state")];
        let arrays: [ArrayRef; 3] = [
            Arc::new(Date32Array::from(vec![Some(0), None])),
            Arc::new(TimestampMicrosecondArray::from(vec![-1, 86_400_000_000])),
            Arc::new(StringArray::from(vec!["São/Paulo=1", ".."])),
        ];
        let (path, values) = folder(&columns, &arrays, 0);
        assert_eq!(path, "day=1970-01-01/seen_date=1969-12-31/state=S%C3%A3o%2FPaulo%3D1/");
        assert_eq!(values["state"].as_deref(), Some("São/Paulo=1"));
        let (path, values) = folder(&columns, &arrays, 1);
        assert_eq!(path, "day=__HIVE_DEFAULT_PARTITION__/seen_date=1970-01-02/state=%2E%2E/");
        assert_eq!(values["day"], None);
        let read: Values = folders_of(&format!("events/{path}rows.parquet")).collect();
        assert_eq!(read, values);
    }

    #[test]
    fn no_text_looks_like_null_and_long_ones_are_told_apart() {
        assert!(escaped(NULL).starts_with("%5F") && escaped(NULL) != NULL);
        let (one, other) = (escaped(&("a".repeat(400) + "b")), escaped(&("a".repeat(400) + "c")));
        assert!(one.len() < 128 && one != other, "{one} {other}");
    }
}

//! What the lines of a file say: the values of records, or whole records.

use std::path::Path;

use arrow_array::Array;
use arrow_array::builder::BinaryBuilder;
use azenha_engine::log::Append;
use azenha_model::Records;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::ingest::{Router, now};

/// How the names of files end whose lines are whole records.
const WHOLE_RECORDS: [&str; 2] = [".records.ndjson", ".records.ndjson.gz"];

/// A record, as `azenha topic read --json` prints it: key and value are JSON, and a record may have neither. What else
/// stands in the line is passed over.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    /// Null is a tombstone, but it must be said.
    #[serde(borrow, deserialize_with = "said")]
    value: Option<&'a RawValue>,
}

fn said<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    Option::deserialize(value)
}

/// Records that are fed at once.
pub struct Batch {
    /// None if the lines are values.
    keys: Option<BinaryBuilder>,
    values: BinaryBuilder,
}

impl Batch {
    /// An empty batch of what is in the file at `path`; its name says what its lines are.
    pub fn of_file(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let whole = WHOLE_RECORDS.iter().any(|end| name.ends_with(end));
        Self { keys: whole.then(BinaryBuilder::new), values: BinaryBuilder::new() }
    }

    /// Adds a line. An error says why it is no record.
    pub fn push(&mut self, line: &[u8]) -> Result<(), String> {
        let Some(keys) = &mut self.keys else {
            self.values.append_value(line);
            return Ok(());
        };
        let record: Line = serde_json::from_slice(line)
            .map_err(|error| format!(r#"is no record, which is written {{"key": …, "value": …}}: {error}"#))?;
        keys.append_option(record.key.map(RawValue::get));
        self.values.append_option(record.value.map(RawValue::get));
        Ok(())
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.values.offsets_slice().len() - 1
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        let of_keys = self.keys.as_ref().map_or(0, |keys| keys.values_slice().len());
        of_keys + self.values.values_slice().len()
    }

    /// The appends for these records. `first` is the number of the first among all records of the file.
    pub fn route(mut self, router: &mut Router, first: u64) -> Vec<Append> {
        let values = self.values.finish();
        match self.keys {
            None => router.route(&values, first),
            Some(mut keys) => {
                let timestamps = vec![now(); values.len()];
                router.route_keyed(&Records { timestamps, keys: keys.finish(), values })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(column: &arrow_array::BinaryArray) -> Vec<Option<String>> {
        column.iter().map(|value| value.map(|value| String::from_utf8_lossy(value).into_owned())).collect()
    }

    #[test]
    fn the_name_of_a_file_says_what_its_lines_are() {
        for (name, whole) in [
            ("orders.records.ndjson", true),
            ("sample/orders.records.ndjson.gz", true),
            ("orders.ndjson", false),
            ("records.ndjson", false),
            ("", false),
        ] {
            assert_eq!(Batch::of_file(Path::new(name)).keys.is_some(), whole, "{name}");
        }
    }

    #[test]
    fn keys_and_values_are_kept_as_they_are_written_and_a_null_value_is_a_tombstone() {
        let mut batch = Batch::of_file(Path::new("orders.records.ndjson"));
        batch.push(br#"{"offset":7,"key":{"id": 1},"value":{"price":1.50}}"#).unwrap();
        batch.push(br#"{"value":null,"key":{"id": 1}}"#).unwrap();
        batch.push(br#"{"value":[]}"#).unwrap();
        assert_eq!((batch.len(), batch.bytes()), (3, 34));
        assert_eq!(text(&batch.values.finish()), [Some(r#"{"price":1.50}"#.into()), None, Some("[]".into())]);
        let keys = batch.keys.map(|mut keys| text(&keys.finish())).unwrap();
        assert_eq!(keys, [Some(r#"{"id": 1}"#.into()), Some(r#"{"id": 1}"#.into()), None]);
    }

    #[test]
    fn a_line_that_is_no_record_is_refused() {
        for line in ["oops", "[]", r#"{"key":1}"#, r#"{"key":1,"value":{}"#, r#"{"value":1}}"#] {
            let mut batch = Batch::of_file(Path::new("orders.records.ndjson"));
            assert!(batch.push(line.as_bytes()).unwrap_err().contains("is no record"), "{line}");
            assert_eq!(batch.len(), 0);
        }
    }
}

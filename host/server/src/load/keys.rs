//! Keys from a field of JSON records, and sequence numbers by key.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;

use arrow_array::BinaryArray;
use arrow_array::builder::BinaryBuilder;
use azenha_model::Records;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::{Deserializer, Value};

/// The field that numbers the records of a key.
const SEQUENCE: &str = "seq";

/// A key for each record: a JSON object with one field, as a host makes it that partitions a topic by this field.
/// Null where a record is no JSON object, or has no such field: any partition will do.
pub fn keys_of(values: &BinaryArray, field: &str) -> BinaryArray {
    let key = |value: Option<&[u8]>| {
        let found = OneField(field).deserialize(&mut Deserializer::from_slice(value?)).ok()??;
        Some(Value::from_iter([(field, found)]).to_string().into_bytes())
    };
    values.iter().map(key).collect()
}

/// Finds one field of an object, without keeping the others.
struct OneField<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for OneField<'_> {
    type Value = Option<Value>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneField<'_> {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = object.next_key::<String>()? {
            if name == self.0 {
                found = Some(object.next_value()?);
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// How many records each key had: (key, number) names a record, so that a test finds what was lost, doubled or moved.
#[derive(Debug, Default)]
pub struct Sequences(HashMap<Vec<u8>, u64>);

impl Sequences {
    /// Gives each record that has a key its number among those of the key, from 0 on, as a last field.
    pub fn stamp(&mut self, records: &mut Records) {
        let (mut stamped, mut json) = (BinaryBuilder::new(), Vec::new());
        for (key, value) in records.keys.iter().zip(&records.values) {
            json.clear();
            json.extend_from_slice(value.unwrap_or_default());
            // A record with a key is an object with a field.
            if let (Some(key), Some(b'}')) = (key, json.pop()) {
                let number = self.next(key);
                // Writing to memory does not fail.
                let _ = write!(json, r#","{SEQUENCE}":{number}}}"#);
                stamped.append_value(&json);
            } else {
                stamped.append_option(value);
            }
        }
        records.values = stamped.finish();
    }

    fn next(&mut self, key: &[u8]) -> u64 {
        if let Some(next) = self.0.get_mut(key) {
            *next += 1;
            return *next;
        }
        self.0.insert(key.to_owned(), 0);
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(array: &BinaryArray) -> Vec<Option<&str>> {
        array.iter().map(|bytes| bytes.map(|bytes| std::str::from_utf8(bytes).unwrap())).collect()
    }

    #[test]
    fn a_key_is_the_field_however_it_is_written_or_nothing() {
        let records = [r#"{"k":"a","n":1}"#, r#" {"x":{"k":2}, "k" : "\u0061"} "#, r#"{"k":7}"#, "{}", "[1]", "oops"];
        let keys = keys_of(&BinaryArray::from_iter_values(records), "k");
        let a = Some(r#"{"k":"a"}"#);
        assert_eq!(texts(&keys), [a, a, Some(r#"{"k":7}"#), None, None, None]);
    }

    #[test]
    fn the_records_of_each_key_are_numbered_and_others_are_left_as_they_are() {
        let mut sequences = Sequences::default();
        let values = BinaryArray::from_iter_values([r#"{"k":"a"}"#, r#"{"k":"b"}"#, "oops", r#"{"k":"a"}"#]);
        let mut records = Records { keys: keys_of(&values, "k"), ..Records::unkeyed(values, 0) };
        let mut more = records.slice(0, 1);
        sequences.stamp(&mut records);
        sequences.stamp(&mut more);
        let first = [r#"{"k":"a","seq":0}"#, r#"{"k":"b","seq":0}"#, "oops", r#"{"k":"a","seq":1}"#];
        assert_eq!(texts(&records.values), first.map(Some));
        assert_eq!(texts(&more.values), [Some(r#"{"k":"a","seq":2}"#)]);
    }
}

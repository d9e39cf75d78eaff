//! Answers as JSON.

use azenha_model::Field;
use azenha_model::query::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};
use serde_json::value::RawValue;

/// What an answer says.
#[derive(Debug)]
pub struct Page<'a> {
    /// The columns.
    pub columns: &'a [Field],
    /// A value for each column.
    pub rows: Vec<Vec<Value>>,
    /// Whether there are more rows than these.
    pub more: bool,
    /// Where the next page begins, if there is one: queries without an order have no pages.
    pub next: Option<String>,
}

/// How fresh an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// The latest event that was committed, in microseconds since 1970; none before the first.
    pub newest: Option<i64>,
    /// Up to when everything is there, in microseconds since 1970, if that is known.
    pub watermark: Option<i64>,
}

/// The body of an answer; `now` is the present, from which the age is counted.
pub fn body(page: &Page<'_>, freshness: Option<Freshness>, now: i64) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Body { page, freshness, now })
}

struct Body<'a> {
    page: &'a Page<'a>,
    freshness: Option<Freshness>,
    now: i64,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_struct("Body", 4)?;
        let rows: Vec<Row<'_>> =
            self.page.rows.iter().map(|values| Row { columns: self.page.columns, values }).collect();
        body.serialize_field("rows", &rows)?;
        body.serialize_field("more", &self.page.more)?;
        body.serialize_field("next", &self.page.next)?;
        if let Some(freshness) = self.freshness {
            let iso = |time: Option<i64>| time.map(|time| Value::Timestamp(time).to_string());
            let age = freshness.newest.map(|newest| (self.now - newest) as f64 / 1e6);
            let told = serde_json::json!({
                "newest": iso(freshness.newest), "age_seconds": age, "watermark": iso(freshness.watermark),
            });
            body.serialize_field("freshness", &told)?;
        }
        body.end()
    }
}

struct Row<'a> {
    columns: &'a [Field],
    values: &'a [Value],
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, value) in self.columns.iter().zip(self.values) {
            row.serialize_entry(&column.name, &Cell(value))?;
        }
        row.end()
    }
}

/// A value in the form in which JSON usually has it: what a number of JSON would round is a string.
struct Cell<'a>(&'a Value);

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_none(),
            Value::Boolean(value) => serializer.serialize_bool(*value),
            Value::Int64(value) => serializer.serialize_i64(*value),
            Value::Float64(value) => serializer.serialize_f64(*value),
            Value::Bytes(bytes) => serializer.serialize_str(&STANDARD.encode(bytes)),
            Value::Json(text) => match serde_json::from_str::<&RawValue>(text) {
                Ok(json) => json.serialize(serializer),
                Err(_) => serializer.serialize_str(text),
            },
            Value::Text(text) | Value::Decimal(text) => serializer.serialize_str(text),
            Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => serializer.collect_str(self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use azenha_model::DataType;

    use super::*;

    #[test]
    fn values_have_their_usual_forms() {
        let values = [
            ("none", Value::Null),
            ("flag", Value::Boolean(true)),
            ("count", Value::Int64(i64::MAX)),
            ("ratio", Value::Float64(0.5)),
            ("price", Value::Decimal("12.50".to_owned())),
            ("name", Value::Text("it's \"Zoé\"".to_owned())),
            ("raw", Value::Bytes(vec![0, 255])),
            ("day", Value::Date(0)),
            ("time", Value::Time(1)),
            ("at", Value::Timestamp(1_500_000)),
            ("object", Value::Json(r#"{"b":1.10,"a":[2]}"#.to_owned())),
        ];
        let columns: Vec<Field> = values.iter().map(|(name, _)| Field::new(*name, DataType::Text, true)).collect();
        let page =
            Page { columns: &columns, rows: vec![values.map(|(_, value)| value).to_vec()], more: false, next: None };
        let freshness = Freshness { newest: Some(500_000), watermark: None };
        let text = String::from_utf8(body(&page, Some(freshness), 2_000_000).unwrap()).unwrap();
        assert_eq!(
            text,
            r#"{"rows":[{"none":null,"flag":true,"count":9223372036854775807,"ratio":0.5,"price":"12.50","#.to_owned()
                + r#""name":"it's \"Zoé\"","raw":"AP8=","day":"1970-01-01","time":"00:00:00.000001","#
                + r#""at":"1970-01-01T00:00:01.500000Z","object":{"b":1.10,"a":[2]}}],"more":false,"next":null,"#
                + r#""freshness":{"age_seconds":1.5,"newest":"1970-01-01T00:00:00.500000Z","watermark":null}}"#
        );
    }
}

//! JSON documents, for columns of the type json: whatever serde writes, with decimals as exact numbers.

use serde::ser::Error;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::decimal::{Decimal, DecimalText};
use crate::types::{Date, Json, Time, Timestamp};

impl Json<String> {
    /// The document that `value` makes; an error if it has none, such as a map whose keys are no text.
    ///
    /// ```
    /// use azenha_sdk::{Decimal, Json};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Line<'a> {
    ///     product: Option<&'a str>,
    ///     amount: Decimal<2>,
    /// }
    ///
    /// let lines = [Line { product: Some("olives"), amount: Decimal(1250) }, Line { product: None, amount: Decimal(-5) }];
    /// let document = Json::of(&lines)?;
    /// assert_eq!(document.0, r#"[{"product":"olives","amount":12.50},{"product":null,"amount":-0.05}]"#);
    /// # Ok::<(), String>(())
    /// ```
    pub fn of(value: &(impl Serialize + ?Sized)) -> Result<Self, String> {
        serde_json::to_string(value).map(Self).map_err(|error| error.to_string())
    }
}

impl<'a> Json<&'a str> {
    /// What serde reads of the document; an error says what does not fit and where, and repeats no value.
    ///
    /// ```
    /// use azenha_sdk::Json;
    ///
    /// #[derive(Debug, serde::Deserialize)]
    /// struct Line {
    ///     units: Vec<u8>,
    /// }
    ///
    /// let read = |text| Json(text).read::<Line>().map(|line| line.units);
    /// assert_eq!(read(r#"{"units":[1,2]}"#), Ok(vec![1, 2]));
    /// assert_eq!(read(r#"{"units":[1,"Zoé"]}"#).unwrap_err(), "`units[1]`: expected u8");
    /// assert_eq!(read("{}").unwrap_err(), "missing field `units`");
    /// ```
    pub fn read<T: Deserialize<'a>>(self) -> Result<T, String> {
        let mut document = serde_json::Deserializer::from_str(self.0);
        serde_path_to_error::deserialize(&mut document).map_err(|error| {
            let (path, text) = (error.path().to_string(), error.inner().to_string());
            let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
            match text.rsplit_once("expected ") {
                Some((_, expected)) if path != "." => format!("`{path}`: expected {expected}"),
                Some((_, expected)) => format!("expected {expected}"),
                None => text.to_owned(),
            }
        })
    }

    /// The items of an array, each to be read by itself, so that one that is broken does not take the others with it.
    ///
    /// ```
    /// use azenha_sdk::Json;
    ///
    /// let items = Json("[1, {\"units\": 2}]").items()?;
    /// assert_eq!(items, [Json("1"), Json("{\"units\": 2}")]);
    /// assert_eq!(items[0].read::<u8>(), Ok(1));
    /// assert!(items[1].read::<u8>().is_err());
    /// # Ok::<(), String>(())
    /// ```
    pub fn items(self) -> Result<Vec<Self>, String> {
        let items: Vec<&RawValue> = self.read()?;
        Ok(items.into_iter().map(|item| Self(item.get())).collect())
    }
}

/// Text that is one JSON value already.
fn verbatim<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::from_str::<&RawValue>(text).map_err(S::Error::custom)?.serialize(serializer)
}

/// A number with exactly the digits of the decimal.
impl<const SCALE: u8> Serialize for Decimal<SCALE> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        verbatim(DecimalText::new(self.0, SCALE).as_str(), serializer)
    }
}

/// A part of a document that is JSON already.
impl<T: AsRef<str>> Serialize for Json<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        verbatim(self.0.as_ref(), serializer)
    }
}

macro_rules! as_text {
    ($($value:ty),*) => {$(
        impl Serialize for $value {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

as_text!(Date, Time, Timestamp);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn json(value: impl Serialize) -> String {
        Json::of(&value).unwrap().0
    }

    #[test]
    fn a_decimal_is_a_number_with_all_its_digits() {
        assert_eq!(json(Decimal::<2>(10_i128.pow(38) - 1)), "999999999999999999999999999999999999.99");
        assert_eq!(json(Decimal::<2>(-5)), "-0.05");
        assert_eq!(json(Decimal::<0>(7)), "7");
    }

    #[test]
    fn what_is_json_already_is_nested_and_what_is_none_is_an_error() {
        let document = |note| BTreeMap::from([("note", Json(note))]);
        assert_eq!(json(document(r#"{"a": [1.50]}"#)), r#"{"note":{"a": [1.50]}}"#);
        assert!(Json::of(&document("1} , {")).is_err());
    }

    #[test]
    fn times_are_text() {
        assert_eq!(
            json((Date(0), Time(1), Timestamp(-1))),
            r#"["1970-01-01","00:00:00.000001","1969-12-31T23:59:59.999999Z"]"#
        );
    }
}

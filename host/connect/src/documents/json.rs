//! What a `json` column holds, as BSON. Numbers are whole ones of 64 bits, or decimals with every digit that is
//! written: of what JSON calls a number, nobody knows whether it was money.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::{MAX_DEPTH, bson, decimal};

const INVALID: &str = "holds no valid JSON, or is nested more than 100 levels deep";

/// Appends the JSON as an element. The error is what is wrong with it, and continues `column … `.
pub(crate) fn push(out: &mut Vec<u8>, name: &str, json: &str) -> Result<(), &'static str> {
    serde_json::from_str::<IgnoredAny>(json).map_err(|_| INVALID)?;
    let mut walk = Walk { json, at: 0 };
    walk.space();
    // The document itself is the first level.
    walk.value(out, name, 1)
}

/// A way through text that is known to be JSON.
struct Walk<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    fn peek(&self) -> u8 {
        self.json.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Goes behind a comma, a colon or a bracket, and the space after it.
    fn step(&mut self) {
        self.at += 1;
        self.space();
    }

    /// Appends the value here, which stands in `outer` documents and arrays, and goes behind it and the space after it.
    fn value(&mut self, out: &mut Vec<u8>, name: &str, outer: usize) -> Result<(), &'static str> {
        match self.peek() {
            b'{' => self.object(out, name, outer + 1)?,
            b'[' => self.array(out, name, outer + 1)?,
            b'"' => bson::string(out, name, &self.string()?),
            _ => match self.word() {
                "null" => bson::null(out, name),
                "true" => bson::boolean(out, name, true),
                "false" => bson::boolean(out, name, false),
                number => match number.parse() {
                    Ok(whole) => bson::int64(out, name, whole),
                    Err(_) => bson::decimal128(out, name, decimal::parse(number).ok_or(decimal::TOO_LONG)?),
                },
            },
        }
        self.space();
        Ok(())
    }

    fn object(&mut self, out: &mut Vec<u8>, name: &str, depth: usize) -> Result<(), &'static str> {
        if depth > MAX_DEPTH {
            return Err(INVALID);
        }
        let open = bson::open_document(out, name);
        self.step();
        while self.peek() != b'}' {
            let member = self.string()?;
            if member.contains('\0') {
                return Err("has a field whose name holds a NUL");
            }
            self.space();
            self.step();
            self.value(out, &member, depth)?;
            if self.peek() == b',' {
                self.step();
            }
        }
        self.at += 1;
        bson::close(out, open);
        Ok(())
    }

    fn array(&mut self, out: &mut Vec<u8>, name: &str, depth: usize) -> Result<(), &'static str> {
        if depth > MAX_DEPTH {
            return Err(INVALID);
        }
        let open = bson::open_array(out, name);
        let mut index = itoa::Buffer::new();
        self.step();
        for element in 0.. {
            if self.peek() == b']' {
                break;
            }
            self.value(out, index.format(element), depth)?;
            if self.peek() == b',' {
                self.step();
            }
        }
        self.at += 1;
        bson::close(out, open);
        Ok(())
    }

    /// Goes behind the string here.
    fn string(&mut self) -> Result<Cow<'a, str>, &'static str> {
        let (start, bytes) = (self.at, self.json.as_bytes());
        let mut escapes = false;
        self.at += 1;
        while self.peek() != b'"' {
            let is_escape = bytes[self.at] == b'\\';
            escapes |= is_escape;
            self.at += 1 + usize::from(is_escape);
        }
        self.at += 1;
        if !escapes {
            return Ok(Cow::Borrowed(&self.json[start + 1..self.at - 1]));
        }
        let unescaped = serde_json::from_str(&self.json[start..self.at]);
        unescaped.map(Cow::Owned).map_err(|_| "holds a text that is no Unicode")
    }

    /// Goes behind the number or the name here.
    fn word(&mut self) -> &'a str {
        let start = self.at;
        while matches!(self.peek(), b'a'..=b'z' | b'0'..=b'9' | b'-' | b'+' | b'.' | b'E') {
            self.at += 1;
        }
        &self.json[start..self.at]
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Bson, Document, bson};

    use super::*;

    fn read(json: &str) -> Result<Bson, &'static str> {
        let mut out = Vec::new();
        let open = bson::open(&mut out);
        push(&mut out, "value", json)?;
        bson::close(&mut out, open);
        let document = Document::from_reader(out.as_slice()).unwrap();
        Ok(document.get("value").unwrap().clone())
    }

    fn decimal(text: &str) -> Bson {
        Bson::Decimal128(text.parse().unwrap())
    }

    #[test]
    fn every_kind_of_value_becomes_its_own() {
        let json = r#" { "a" : [ 1 , -2.50, true,false, null , "x\u00e9\"" , [], {} ] , "" : { "b.c": "é" } } "#;
        let wanted = bson!({
            "a": [1_i64, decimal("-2.50"), true, false, null, "xé\"", [], {}],
            "": { "b.c": "é" },
        });
        assert_eq!(read(json).unwrap(), wanted);
        assert_eq!(read("null").unwrap(), Bson::Null);
        assert_eq!(read(" 7 ").unwrap(), Bson::Int64(7));
        assert_eq!(read("\"\\\\\"").unwrap(), Bson::String("\\".to_owned()));
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(read("9223372036854775807").unwrap(), Bson::Int64(i64::MAX));
        assert_eq!(read("9223372036854775808").unwrap(), decimal("9223372036854775808"));
        assert_eq!(read("0.10").unwrap(), decimal("0.10"));
        assert_eq!(read("1e3").unwrap(), decimal("1E+3"));
        assert!(read(&"1".repeat(35)).unwrap_err().contains("34 digits"));
        assert!(read("1e9999").unwrap_err().contains("34 digits"));
    }

    #[test]
    fn what_no_document_can_hold_is_refused() {
        for json in ["", "{", "{\"a\":}", "[1,]", "nul", "1 2", "'a'", "NaN"] {
            assert_eq!(read(json), Err(INVALID), "{json}");
        }
        assert!(read("{\"a\\u0000b\":1}").unwrap_err().contains("NUL"));
        assert_eq!(read("\"a\\u0000b\"").unwrap(), Bson::String("a\0b".to_owned()));
        assert!(read("\"\\ud800\"").is_err());
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(read(&nested(99)).is_ok());
        assert_eq!(read(&nested(100)), Err(INVALID));
        assert_eq!(read(&nested(100_000)), Err(INVALID));
    }
}

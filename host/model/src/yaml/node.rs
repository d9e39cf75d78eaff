//! A YAML document as a tree whose nodes know their places.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::{DuplicateKeyPolicy, Location, MessageFormatter, UserMessageFormatter};

use super::environment::{self, Environment};
use super::{Place, Report, Spanned};

/// A value of the document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub place: Place,
    pub value: Value,
    /// Whether messages must not repeat the text, because it may be a secret: a variable's value, for instance.
    pub is_hidden: bool,
    /// The text with its variables by name, if there were any to replace.
    pub by_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    /// An unquoted scalar in which variables were replaced: whether it is a text, a number or a boolean
    /// depends on who reads it.
    Expanded(String),
    /// A scalar whose variables could not be replaced, which is in the report already.
    Wrong,
    Sequence(Vec<Node>),
    Mapping(Vec<(Spanned<String>, Node)>),
}

impl Node {
    /// Whether people look for this value at its key: it is left out, or begins in a later line.
    fn is_found_by_its_key(&self, key: Place) -> bool {
        self.value == Value::Null || (self.place.line != key.line && matches!(self.value, Value::Mapping(_)))
    }

    /// What stands here, for messages: `the number 5`.
    pub fn found(&self) -> String {
        match &self.value {
            Value::Null | Value::Wrong => "nothing".to_owned(),
            Value::Bool(value) => format!("the boolean `{value}`"),
            Value::Number(value) => format!("the number {value}"),
            Value::Text(_) | Value::Expanded(_) if self.is_hidden => "a text".to_owned(),
            Value::Text(value) | Value::Expanded(value) => format!("the text `{value}`"),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
        }
    }

    /// The text that was read here, for messages: `` `fast` ``.
    pub fn quoted(&self, text: &str) -> String {
        if self.is_hidden { "this".to_owned() } else { format!("`{text}`") }
    }

    /// Hides every text in it.
    pub fn hide(&mut self) {
        self.is_hidden = true;
        match &mut self.value {
            Value::Sequence(items) => items.iter_mut().for_each(Self::hide),
            Value::Mapping(entries) => entries.iter_mut().for_each(|(_, node)| node.hide()),
            _ => {}
        }
    }

    /// The value of `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|(name, _)| name.value == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The node that a JSON pointer names, or the deepest one on the way to it.
    pub fn at_pointer(&self, pointer: &str) -> &Self {
        let mut node = self;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let child = match &node.value {
                Value::Sequence(items) => token.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => node.get(&token),
            };
            match child {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }

    pub fn json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null | Value::Wrong => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(value) => Json::Number(value.clone()),
            Value::Text(value) => Json::String(value.clone()),
            Value::Expanded(value) => match serde_json::from_str(value) {
                Ok(scalar @ (Json::Bool(_) | Json::Number(_))) => scalar,
                _ => Json::String(value.clone()),
            },
            Value::Sequence(items) => items.iter().map(Self::json).collect(),
            Value::Mapping(entries) => entries.iter().map(|(key, node)| (key.value.clone(), node.json())).collect(),
        }
    }

    /// What [`Node::json`] gives, with variables by name where their values would stand.
    pub fn json_by_name(&self) -> serde_json::Value {
        match (&self.by_name, &self.value) {
            (Some(text), _) => text.as_str().into(),
            (None, Value::Sequence(items)) => items.iter().map(Self::json_by_name).collect(),
            (None, Value::Mapping(entries)) => {
                entries.iter().map(|(key, node)| (key.value.clone(), node.json_by_name())).collect()
            }
            (None, _) => self.json(),
        }
    }

    fn report_repeated_keys(&self, report: &mut Report) {
        match &self.value {
            Value::Sequence(items) => items.iter().for_each(|item| item.report_repeated_keys(report)),
            Value::Mapping(entries) => {
                let mut seen = HashMap::new();
                for (key, node) in entries {
                    if let Some(first) = seen.insert(key.value.as_str(), key.place) {
                        report
                            .error(key.place, format!("`{}` stands here a second time", key.value))
                            .suggest(format!("keep this one or the one in line {}", first.line));
                    }
                    node.report_repeated_keys(report);
                }
            }
            _ => {}
        }
    }
}

/// The longest file that is read.
const MAX_BYTES: usize = 1 << 20;

/// Reads a document and replaces its variables. Nothing if it is no YAML; the report says why.
pub(crate) fn parse(text: &str, environment: &Environment<'_>, report: &mut Report) -> Option<Node> {
    if text.len() > MAX_BYTES {
        report.error(Place::default(), format!("this file has {} bytes, more than {MAX_BYTES}", text.len()));
        return None;
    }
    // With this policy both of two equal keys arrive here, where they are reported together with all else.
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::LastWins, with_snippet: false };
    match serde_saphyr::from_str_with_options::<Node>(text, options) {
        Ok(mut root) => {
            root.report_repeated_keys(report);
            environment::expand(&mut root, text, environment, report);
            Some(root)
        }
        Err(error) => {
            let place = error.location().map(Place::from).unwrap_or_default();
            report.error(place, format!("this is not YAML: {}", UserMessageFormatter.format_message(&error)));
            None
        }
    }
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        Self { line: location.line() as usize, column: location.column() as usize }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = serde_saphyr::Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { place: spanned.referenced.into(), value: spanned.value, is_hidden: false, by_name: None })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom(format!("{value} is not a finite number")))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element()? {
            nodes.push(node);
        }
        Ok(Value::Sequence(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some((key, mut node)) = entries.next_entry::<serde_saphyr::Spanned<String>, Node>()? {
            let key = Spanned { value: key.value, place: key.referenced.into() };
            if node.is_found_by_its_key(key.place) {
                node.place = key.place;
            }
            nodes.push((key, node));
        }
        Ok(Value::Mapping(nodes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_without_variables(text: &str) -> Result<Node, crate::Diagnostics> {
        let mut report = Report::new("test.yaml");
        let root = parse(text, &|_| None, &mut report);
        report.into_result(root)
    }

    #[test]
    fn every_value_and_key_knows_its_place() {
        let root = parse_without_variables("a: 1\nb:\n  - x: yes\n    y: { z: 3s }\n").unwrap();
        let inner = root.at_pointer("/b/0/y/z");
        assert_eq!((inner.place, &inner.value), (Place { line: 4, column: 13 }, &Value::Text("3s".into())));
        let Value::Mapping(entries) = &root.value else { panic!("{root:?}") };
        assert_eq!(entries[1].0.place, Place { line: 2, column: 1 });
    }

    #[test]
    fn a_pointer_to_nothing_ends_at_the_deepest_node_on_its_way() {
        let root = parse_without_variables("a: { b: [1, 2] }\n").unwrap();
        assert_eq!(root.at_pointer("/a/b/7/c"), root.at_pointer("/a/b"));
    }

    #[test]
    fn every_repeated_key_is_reported() {
        let errors = parse_without_variables("a: 1\nb: { c: 1, c: 2 }\na: 3\n").unwrap_err().0;
        let places: Vec<_> = errors.iter().map(|error| (error.line, error.column)).collect();
        assert_eq!(places, [(2, 12), (3, 1)]);
    }

    #[test]
    fn a_file_of_more_than_a_mebibyte_is_refused() {
        let of_length = |length: usize| format!("a: {}", "x".repeat(length - 3));
        assert!(parse_without_variables(&of_length(MAX_BYTES)).is_ok());
        let errors = parse_without_variables(&of_length(MAX_BYTES + 1)).unwrap_err();
        assert_eq!(errors.to_string(), "test.yaml: this file has 1048577 bytes, more than 1048576");
    }

    #[test]
    fn broken_yaml_is_reported_with_its_place() {
        let errors = parse_without_variables("a: 1\nb: [1, 2\n").unwrap_err().0;
        assert_eq!(errors.len(), 1);
        assert!(errors[0].line >= 2, "{errors:?}");
    }
}

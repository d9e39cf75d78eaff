//! Scalars as the types that files ask for.

use std::ops::RangeInclusive;

use super::keys::{FromNode, read};
use super::node::{Node, Value};
use super::{Report, Spanned};
use crate::names::listed;

impl<T: FromNode> FromNode for Spanned<T> {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        Some(Self { value: T::from_node(node, report)?, place: node.place })
    }
}

impl FromNode for Node {
    fn from_node(node: &Node, _: &mut Report) -> Option<Self> {
        Some(node.clone())
    }
}

impl FromNode for String {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Text(text) | Value::Expanded(text) => return Some(text.clone()),
            Value::Bool(value) => quotes_wanted(node, &value.to_string(), report),
            Value::Number(value) => quotes_wanted(node, &value.to_string(), report),
            _ => {
                report.error(node.place, format!("a text is wanted, {} is found", node.found()));
            }
        }
        None
    }
}

fn quotes_wanted(node: &Node, scalar: &str, report: &mut Report) {
    report
        .error(node.place, format!("a text is wanted, {} is found", node.found()))
        .suggest(format!("put it in quotes: \"{scalar}\""));
}

impl FromNode for u32 {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        whole_number(node, 0..=Self::MAX, report)
    }
}

/// Reads a number of a range. A text of digits is taken as well: within braces, a variable has to stand in
/// quotes.
pub(crate) fn whole_number(node: &Node, range: RangeInclusive<u32>, report: &mut Report) -> Option<u32> {
    let number = match &node.value {
        Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        Value::Text(text) | Value::Expanded(text) => text.parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| range.contains(number));
    if number.is_none() {
        let (least, most) = range.into_inner();
        report
            .error(node.place, format!("a whole number is wanted, {} is found", node.found()))
            .suggest(format!("write a number from {least} to {most}"));
    }
    number
}

impl FromNode for bool {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let truth = match &node.value {
            Value::Bool(value) => Some(*value),
            Value::Text(text) | Value::Expanded(text) => text.parse().ok(),
            _ => None,
        };
        if truth.is_none() {
            report
                .error(node.place, format!("a boolean is wanted, {} is found", node.found()))
                .suggest("write `true` or `false`");
        }
        truth
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let Value::Sequence(items) = &node.value else {
            report
                .error(node.place, format!("a list is wanted, {} is found", node.found()))
                .suggest("write `[first, second]`");
            return None;
        };
        Some(items.iter().filter_map(|item| read(item, report)).collect())
    }
}

/// Reads one of a few words.
pub(crate) fn word<T: Copy>(node: &Node, words: &[(&str, T)], report: &mut Report) -> Option<T> {
    let text = String::from_node(node, report)?;
    let meaning = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
    if meaning.is_none() {
        let known = listed(words.iter().map(|(word, _)| *word));
        report
            .error(node.place, format!("{} is not known here", node.quoted(&text)))
            .suggest(format!("write one of {known}"));
    }
    meaning
}

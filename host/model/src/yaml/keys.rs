//! Mappings as structs: which keys there are, which must be, and what else stands there.

use std::borrow::Cow;

use schemars::{JsonSchema, SchemaGenerator, json_schema};

use super::node::{Node, Value};
use super::{Report, Spanned};
use crate::names::{listed, nearest, unknown};

/// What can be read from a node.
pub(crate) trait FromNode: Sized {
    /// Nothing if the node is wrong; the report says why.
    fn from_node(node: &Node, report: &mut Report) -> Option<Self>;
}

/// Reads a part of what is read. What is in the report already gives no second error.
pub(super) fn read<T: FromNode>(node: &Node, report: &mut Report) -> Option<T> {
    if node.value == Value::Wrong { None } else { T::from_node(node, report) }
}

/// A struct that is written as a mapping.
pub(crate) trait FromKeys {
    /// Every key that the mapping may have.
    const KEYS: &'static [&'static str];
}

/// Implements [`FromNode`] for a struct with a field for each key.
macro_rules! from_keys {
    ($type:ident, $what:literal, required: [$($required:ident),*], optional: [$($optional:ident),*]) => {
        impl $crate::yaml::FromKeys for $type {
            const KEYS: &'static [&'static str] = &[$(stringify!($required),)* $(stringify!($optional)),*];
        }

        impl $crate::yaml::FromNode for $type {
            fn from_node(node: &$crate::yaml::Node, report: &mut $crate::yaml::Report) -> Option<Self> {
                use $crate::yaml::FromKeys;
                let mut keys = $crate::yaml::Keys::of($what, node, Self::KEYS, report)?;
                $(let $required = keys.required(stringify!($required));)*
                $(let $optional = keys.optional(stringify!($optional));)*
                Some(Self { $($required: $required?,)* $($optional),* })
            }
        }
    };
}
pub(crate) use from_keys;

/// The keys of a mapping while they are read.
pub(crate) struct Keys<'a> {
    what: &'static str,
    node: &'a Node,
    report: &'a mut Report,
}

impl<'a> Keys<'a> {
    /// `what` says in messages what the mapping is: `a source`. Keys that are not among `known` are
    /// reported. Nothing if the node is no mapping.
    pub fn of(what: &'static str, node: &'a Node, known: &[&str], report: &'a mut Report) -> Option<Self> {
        let Value::Mapping(entries) = &node.value else {
            report
                .error(node.place, format!("{what} is a mapping, {} is found", node.found()))
                .suggest(format!("its keys are {}", listed(known)));
            return None;
        };
        for (key, _) in entries {
            if !known.contains(&key.value.as_str()) {
                report.error(key.place, format!("{what} has no key `{}`", key.value)).suggest(unknown(
                    &key.value,
                    "its keys are",
                    known,
                ));
            }
        }
        Some(Self { what, node, report })
    }

    /// The value of a key that must be there.
    pub fn required<T: FromNode>(&mut self, key: &str) -> Option<T> {
        if self.node.get(key).is_none() {
            self.report
                .error(self.node.place, format!("{} needs `{key}`", self.what))
                .suggest(format!("add `{key}: …`"));
        }
        self.optional(key)
    }

    /// The value of a key that may be left out.
    pub fn optional<T: FromNode>(&mut self, key: &str) -> Option<T> {
        read(self.node.get(key)?, self.report)
    }
}

/// Which of several keys a mapping has, of which it must have exactly one.
pub(crate) fn choose<'a>(what: &str, node: &Node, choices: &[&'a str], report: &mut Report) -> Option<&'a str> {
    let Value::Mapping(entries) = &node.value else {
        report.error(node.place, format!("{what} is a mapping, {} is found", node.found())).suggest(format!(
            "it needs one of {}: write `{{ {}: … }}`",
            listed(choices),
            choices[0]
        ));
        return None;
    };
    let chosen: Vec<&str> = choices.iter().copied().filter(|choice| node.get(choice).is_some()).collect();
    match chosen[..] {
        [choice] => return Some(choice),
        [] => {
            match entries.iter().find(|(key, _)| nearest(&key.value, choices).is_some()) {
                Some((key, _)) => report
                    .error(key.place, format!("{what} has no key `{}`", key.value))
                    .suggest(unknown(&key.value, "it needs one of", choices)),
                None => report
                    .error(node.place, format!("{what} needs one of {}", listed(choices)))
                    .suggest(format!("add for instance `{}: …`", choices[0])),
            }
        }
        _ => report
            .error(node.place, format!("{what} has {}, and may have only one of them", listed(&chosen)))
            .suggest("keep one of them"),
    }
    None
}

/// Something that has a name in the file.
#[derive(Debug, Clone)]
pub(crate) struct Named<T> {
    pub name: Spanned<String>,
    pub value: T,
}

/// A mapping of names that the author chooses, in the order of the file.
#[derive(Debug, Clone)]
pub(crate) struct Entries<T>(pub Vec<Named<T>>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: FromNode> FromNode for Entries<T> {
    fn from_node(node: &Node, report: &mut Report) -> Option<Self> {
        let Value::Mapping(entries) = &node.value else {
            report
                .error(node.place, format!("a mapping of names is wanted, {} is found", node.found()))
                .suggest("write `name: …` for each");
            return None;
        };
        let named =
            |(name, node): &(Spanned<String>, Node)| Some(Named { name: name.clone(), value: read(node, report)? });
        Some(Self(entries.iter().filter_map(named).collect()))
    }
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("EntriesOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> schemars::Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}

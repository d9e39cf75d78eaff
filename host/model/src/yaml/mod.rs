//! YAML files that people write, read so that every value knows its place and that every error is found,
//! not only the first.

mod environment;
mod keys;
mod node;
mod scalars;

use std::borrow::Cow;

use schemars::{JsonSchema, SchemaGenerator};

pub use environment::Environment;
pub(crate) use keys::{Entries, FromKeys, FromNode, Keys, Named, choose, from_keys};
pub(crate) use node::{Node, Value, parse};
pub(crate) use scalars::{whole_number, word};

use crate::diagnostic::{Diagnostic, Diagnostics};

/// Where in a file something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// From 1; 0 if it stands nowhere.
    pub line: usize,
    /// From 1, in characters; 0 if it stands nowhere.
    pub column: usize,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it begins.
    pub place: Place,
}

/// In the schema of the file, the place does not show.
impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// The errors of one file, as they are found.
#[derive(Debug)]
pub(crate) struct Report {
    file: String,
    found: Vec<Diagnostic>,
}

impl Report {
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), found: Vec::new() }
    }

    /// Adds an error; what would be right can be added to what this returns.
    pub fn error(&mut self, place: Place, message: impl Into<String>) -> &mut Diagnostic {
        let Place { line, column } = place;
        let diagnostic = Diagnostic { file: self.file.clone(), line, column, message: message.into(), help: None };
        self.found.push_mut(diagnostic)
    }

    /// The value, if it is there and no error was found; otherwise the errors in the order of the file.
    pub fn into_result<T>(mut self, value: Option<T>) -> Result<T, Diagnostics> {
        self.found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(Diagnostics(self.found)),
        }
    }
}

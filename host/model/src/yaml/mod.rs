//! YAML files that people write, read so that every value knows its place and that every error is found,
//! not only the first.

mod environment;
mod keys;
mod node;
mod scalars;

use std::borrow::Cow;

use schemars::{JsonSchema, SchemaGenerator};

pub use environment::{Environment, with_variables};
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

/// Errors that are told of one file; nobody reads more, and a file may have as many as letters.
const TOLD: usize = 100;

/// The errors of one file, as they are found.
#[derive(Debug)]
pub(crate) struct Report {
    file: String,
    /// Those that are told.
    found: Vec<Diagnostic>,
    /// How many were found beyond them.
    more: usize,
    /// The last of those.
    untold: Option<Diagnostic>,
}

impl Report {
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), found: Vec::new(), more: 0, untold: None }
    }

    /// Adds an error; what would be right can be added to what this returns.
    pub fn error(&mut self, place: Place, message: impl Into<String>) -> &mut Diagnostic {
        let Place { line, column } = place;
        let diagnostic = Diagnostic { file: self.file.clone(), line, column, message: message.into(), help: None };
        if self.found.len() < TOLD {
            return self.found.push_mut(diagnostic);
        }
        self.more += 1;
        self.untold.insert(diagnostic)
    }

    /// The value, if it is there and no error was found; otherwise the errors in the order of the file.
    pub fn into_result<T>(mut self, value: Option<T>) -> Result<T, Diagnostics> {
        self.found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        if let Some(last) = self.untold {
            let message = format!("and {} more errors, the last one found in line {}", self.more, last.line);
            self.found.push(Diagnostic { file: self.file, line: 0, column: 0, message, help: None });
        }
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(Diagnostics(self.found)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_errors_some_are_told_and_the_others_counted() {
        let mut report = Report::new("test.yaml");
        for line in 1..=TOLD + 20 {
            report.error(Place { line, column: 1 }, "wrong").suggest("write it right");
        }
        let errors = report.into_result(Some(())).unwrap_err().0;
        assert_eq!(errors.len(), TOLD + 1);
        assert!(errors[TOLD].message.starts_with("and 20 more errors"), "{}", errors[TOLD]);
    }
}

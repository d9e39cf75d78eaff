//! Questions that are no statements: which rows of an index have some words and values.

use super::Value;

/// What is searched for: the rows that satisfy every condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The index, or the table with a full-text index.
    pub index: String,
    /// What rows must have.
    pub conditions: Vec<Condition>,
}

/// What a row must have, unless the parameter is null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The position of a parameter.
    pub parameter: usize,
    /// How it is compared with what.
    pub test: Test,
}

/// How a parameter is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Each of its words stands in one of these columns.
    Words(Vec<String>),
    /// The column equals it.
    Equal(String),
    /// The column is not less.
    From(String),
    /// The column is less.
    Before(String),
}

impl Search {
    /// The conditions that count, each with the value of its parameter.
    pub fn asked<'a>(&'a self, arguments: &'a [Value]) -> impl Iterator<Item = (&'a Condition, &'a Value)> {
        let asked = self.conditions.iter().map(|condition| (condition, &arguments[condition.parameter]));
        asked.filter(|(_, value)| **value != Value::Null)
    }

    /// The words of a text: letters and digits in a row, with accents that are characters of their own.
    pub fn words(text: &str) -> impl Iterator<Item = &str> {
        let is_accent = |letter: char| ('\u{300}'..='\u{36f}').contains(&letter);
        let ends = move |letter: char| !letter.is_alphanumeric() && !is_accent(letter);
        text.split(ends).filter(|word| !word.is_empty())
    }
}

impl Test {
    /// The columns that it looks at.
    pub fn columns(&self) -> &[String] {
        match self {
            Self::Words(columns) => columns,
            Self::Equal(column) | Self::From(column) | Self::Before(column) => std::slice::from_ref(column),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_absent_parameter_asks_for_nothing() {
        let condition = |parameter, column: &str| Condition { parameter, test: Test::Equal(column.to_owned()) };
        let search = Search { index: "events".to_owned(), conditions: vec![condition(1, "a"), condition(0, "b")] };
        let arguments = [Value::Int64(7), Value::Null];
        let asked: Vec<_> = search.asked(&arguments).collect();
        assert_eq!(asked, [(&condition(0, "b"), &Value::Int64(7))]);
    }

    #[test]
    fn words_are_letters_and_digits_whatever_stands_between_them() {
        let words: Vec<_> = Search::words("  não-chegou: \"2 caixas\" OR *; 日本 ").collect();
        assert_eq!(words, ["não", "chegou", "2", "caixas", "OR", "日本"]);
        assert_eq!(Search::words(" +-*\"() ").count(), 0);
        assert_eq!(Search::words("a\u{303}o").count(), 1);
    }
}

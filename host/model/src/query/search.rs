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
    /// It names values of these columns, of which one stands in its column; see [`Search::named`].
    Any(Vec<String>),
    /// The column equals it.
    Equal(String),
    /// The column is not less.
    From(String),
    /// The column is less.
    Before(String),
}

/// Values that one parameter may name: databases take no condition of thousands of parts.
const MOST_NAMED: usize = 500;

impl Search {
    /// The conditions that count, each with the value of its parameter.
    pub fn asked<'a>(&'a self, arguments: &'a [Value]) -> impl Iterator<Item = (&'a Condition, &'a Value)> {
        let asked = self.conditions.iter().map(|condition| (condition, &arguments[condition.parameter]));
        asked.filter(|(_, value)| **value != Value::Null)
    }

    /// The words of a text: letters and digits in a row, with accents that are characters of their own.
    pub fn words(text: &str) -> impl Iterator<Item = &str> {
        let ends = |letter: char| !letter.is_alphanumeric() && !Self::is_accent(letter);
        text.split(ends).filter(|word| !word.is_empty())
    }

    /// Whether a character is an accent of the letter before it.
    pub fn is_accent(letter: char) -> bool {
        ('\u{300}'..='\u{36f}').contains(&letter)
    }

    /// The values that a text like `document:52998224725,cookie:9f` names, each with its column, which must be one of these.
    ///
    /// # Errors
    /// What would be right.
    pub fn named<'a>(columns: &'a [String], text: &'a str) -> Result<Vec<(&'a str, &'a str)>, String> {
        let named = |part: &'a str| {
            let (name, value) = part.trim().split_once(':').filter(|(_, value)| !value.is_empty())?;
            columns.iter().find(|column| *column == name).map(|column| (column.as_str(), value))
        };
        let given = text.split(',').count();
        if given > MOST_NAMED {
            return Err(format!("write {MOST_NAMED} values at most, and not {given}"));
        }
        let found: Option<Vec<_>> = text.split(',').map(named).collect();
        found.ok_or_else(|| {
            let columns: Vec<String> = columns.iter().map(|column| format!("{column}:…")).collect();
            format!("write values of {}, with commas between them", columns.join(", "))
        })
    }

    /// What is wrong with a value of a parameter, beside its type.
    pub(super) fn check(&self, parameter: usize, value: &Value) -> Result<(), String> {
        let of_parameter = self.conditions.iter().filter(|condition| condition.parameter == parameter);
        for Condition { test, .. } in of_parameter {
            if let (Test::Any(columns), Value::Text(text)) = (test, value) {
                Self::named(columns, text)?;
            }
        }
        Ok(())
    }
}

impl Test {
    /// The columns that it looks at.
    pub fn columns(&self) -> &[String] {
        match self {
            Self::Words(columns) | Self::Any(columns) => columns,
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
    fn values_are_named_by_their_columns() {
        let columns = ["email", "cookie"].map(str::to_owned);
        let (most, more) = (["cookie:9f"; MOST_NAMED].join(","), ["cookie:9f"; MOST_NAMED + 1].join(","));
        let named = |text| Search::named(&columns, text);
        assert_eq!(named("cookie:9f, email:a:b@c").unwrap(), [("cookie", "9f"), ("email", "a:b@c")]);
        assert_eq!(named(&most).unwrap().len(), MOST_NAMED);
        assert!(named(&more).unwrap_err().contains("at most"));
        for wrong in ["", "9f", "phone:9f", "cookie:", "cookie:9f,", "cookie:9f,,email:a", ":9f"] {
            let help = named(wrong).unwrap_err();
            assert_eq!(help, "write values of email:…, cookie:…, with commas between them", "{wrong}");
        }
    }

    #[test]
    fn words_are_letters_and_digits_whatever_stands_between_them() {
        let words: Vec<_> = Search::words("  não-chegou: \"2 caixas\" OR *; 日本 ").collect();
        assert_eq!(words, ["não", "chegou", "2", "caixas", "OR", "日本"]);
        assert_eq!(Search::words(" +-*\"() ").count(), 0);
        assert_eq!(Search::words("a\u{303}o").count(), 1);
    }
}

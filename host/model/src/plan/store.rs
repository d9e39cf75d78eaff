//! Sinks in stores.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OutputColumn;
use crate::civil::format_date;

/// A table, a collection or an index of a store that rows are written to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreOutput {
    /// The sink's name.
    pub sink: String,
    /// The name of a connection of the host's configuration.
    pub connection: String,
    /// The name of the table, collection or index, as the store has it.
    pub name: String,
    /// Which of them it is.
    pub target: Target,
    /// What is written.
    pub columns: Vec<OutputColumn>,
    /// Positions in `columns`; not empty if rows are upserted.
    pub key: Vec<usize>,
    /// Whether rows replace others.
    pub mode: WriteMode,
}

/// What a store keeps rows in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A table: a row each.
    Table {
        /// The columns of text whose words can be searched for; none if it has no full-text index.
        fulltext: Vec<String>,
    },
    /// A collection: a document each.
    Collection {
        /// The indexes that it gets: of each the fields, with points where they lead into one.
        indexes: Vec<Vec<String>>,
    },
    /// An index of a search engine: a document each.
    Index {
        /// The columns of text whose words can be searched for.
        search: Vec<String>,
        /// The language of these texts; none if words are to be found as they are written.
        language: Option<Language>,
        /// What parts the rows among several indexes; none if there is one.
        each: Option<Each>,
    },
}

/// That there is an index for each day, month or year in which rows fall. All of them have one name together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Each {
    /// What an index holds.
    pub part: DatePart,
    /// The column that says when: a date or a timestamp (UTC), which never changes for a row and is never null.
    pub column: String,
}

/// A part of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatePart {
    /// `2026-01-31`
    Day,
    /// `2026-01`
    Month,
    /// `2026`
    Year,
}

impl DatePart {
    /// The one in which a day falls, given in days since 1970-01-01, of the years 0 to 9999.
    pub fn of(self, days: i32) -> String {
        let mut text = format_date(days);
        text.truncate(match self {
            Self::Day => 10,
            Self::Month => 7,
            Self::Year => 4,
        });
        text
    }
}

/// A language whose words a search engine finds in their other forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Portuguese.
    Portuguese,
    /// English.
    English,
    /// Spanish.
    Spanish,
}

/// How rows are written to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WriteMode {
    /// A row replaces the one with its key; deletes are applied.
    Upsert,
    /// Every row is added.
    Append,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_falls_into_its_month_and_its_year() {
        let day = 20_484;
        assert_eq!(
            [DatePart::Day, DatePart::Month, DatePart::Year].map(|part| part.of(day)),
            ["2026-01-31", "2026-01", "2026"]
        );
        assert_eq!(DatePart::Month.of(day + 1), "2026-02");
        assert_eq!(DatePart::Year.of(-1), "1969");
    }
}

//! Where databases differ: types, statements, advice.

use azenha_model::plan::WriteMode;
use azenha_model::{DataType, Field};

pub(super) use self::mysql::{MARIADB, MYSQL, MySql};
pub(super) use self::postgres::Postgres;
pub(super) use self::sqlite::{ROW_NUMBER, Sqlite, words_of};
use super::table::Target;

mod mysql;
mod postgres;
mod sqlite;

/// What stands around identifiers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quotes(char);

/// Those of the SQL standard.
pub(super) const DOUBLE: Quotes = Quotes('"');
pub(super) const BACKTICKS: Quotes = Quotes('`');

impl Quotes {
    fn one(self, name: &str) -> String {
        let quote = self.0;
        format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")))
    }

    /// A table, which may be qualified with a schema.
    pub fn table(self, name: &str) -> String {
        let parts: Vec<String> = name.split('.').map(|part| self.one(part)).collect();
        parts.join(".")
    }

    /// Columns, after each other.
    pub fn columns<'a>(self, names: impl IntoIterator<Item = &'a str>) -> String {
        let names: Vec<String> = names.into_iter().map(|name| self.one(name)).collect();
        names.join(", ")
    }
}

/// A column as a statement declares it.
#[derive(Debug)]
pub(super) struct Declaration {
    /// In quotes.
    pub column: String,
    pub data_type: String,
    pub not_null: bool,
}

impl std::fmt::Display for Declaration {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}{}", self.column, self.data_type, if self.not_null { " NOT NULL" } else { "" })
    }
}

/// A table that takes the place of another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replacement<'a> {
    /// What it is called.
    pub new: &'a str,
    /// What it will be called.
    pub name: &'a str,
    /// What the one before is called until it is dropped; none if there is none.
    pub old: Option<&'a str>,
}

/// What one kind of database is like.
pub(super) trait Dialect: Send + Sync {
    /// What stands around identifiers.
    fn quotes(&self) -> Quotes {
        DOUBLE
    }

    /// How a column of this type is declared.
    fn column_type(&self, data_type: DataType) -> String;

    /// How a column of this type is declared in a key of these columns.
    fn key_type(&self, _key: &[&Field], data_type: DataType) -> String {
        self.column_type(data_type)
    }

    /// Whether a column that is declared so keeps every value of the type as it is, or refuses it.
    fn keeps(&self, data_type: DataType, declared: &str) -> bool;

    /// Whether values that differ are different keys in a column that is declared so.
    fn tells_keys_apart(&self, _declared: &str) -> bool {
        true
    }

    /// Whether two names mean the same column.
    fn same_name(&self, left: &str, right: &str) -> bool;

    /// How a column of text is declared whose words are indexed.
    fn searched_type(&self) -> String {
        self.column_type(DataType::Text)
    }

    /// A column of the database's own numbers by which an index of words finds rows, if it needs one.
    fn row_number(&self) -> Option<&'static str> {
        None
    }

    /// The statements that make the index of words of a table.
    fn fulltext(&self, _target: &Target) -> Vec<String> {
        Vec::new()
    }

    /// What stands behind the columns of a new table; with upserts it has a primary key.
    fn table_options(&self, target: &Target) -> &'static str;

    /// The statement that gives a column of a table another type; none if there is no such statement.
    fn change_type(&self, table: &str, wanted: &Declaration) -> Option<String>;

    /// The statement that adds a column to a table.
    fn add_column(&self, table: &str, column: &Declaration) -> String;

    /// Taken at the start of a transaction that makes tables, so that two hosts do not make the same one.
    fn definition_lock(&self) -> Option<&'static str>;

    /// Has constraints that wait for the commit checked at each statement of a transaction instead.
    fn check_at_once(&self) -> Option<&'static str>;

    /// Makes a connection ready for statements of people, which may take long and have names in double quotes.
    fn of_people(&self) -> &'static str;

    /// The type to which any value can be cast to be shown.
    fn shown_type(&self) -> &'static str {
        "TEXT"
    }

    /// The statements, of one transaction, after which tables stand in the place of others that are gone; nobody sees
    /// some of them replaced and others not.
    fn replace_tables(&self, tables: &[Replacement<'_>]) -> Vec<String> {
        let replace = |table: &Replacement<'_>| {
            let (new, name) = (DOUBLE.table(table.new), DOUBLE.table(table.name));
            [format!("DROP TABLE IF EXISTS {name}"), format!("ALTER TABLE {new} RENAME TO {name}")]
        };
        tables.iter().flat_map(replace).collect()
    }

    /// The statements that make columns of a table that a statement made fit for an index: these are its columns, and how
    /// they are declared.
    fn indexable(&self, _table: &str, _key: &[(&str, &str)]) -> Vec<String> {
        Vec::new()
    }

    /// A query that gives 1 once nobody else takes tables for a run or puts them in place, until the session ends; none if a
    /// transaction does as much.
    fn takeover_lock(&self) -> Option<&'static str> {
        None
    }

    /// Ends an `INSERT` into a table that has a column `epoch`: a row whose key is there stays as it is.
    fn unless_there(&self) -> &'static str {
        " ON CONFLICT DO NOTHING"
    }
}

/// `ON CONFLICT` for a sink that replaces rows; nothing for one that adds them.
fn on_conflict(target: &Target) -> String {
    if target.mode == WriteMode::Append {
        return String::new();
    }
    let others = target.fields.iter().enumerate().filter(|(index, _)| !target.key.contains(index));
    let updates: Vec<String> = others
        .map(|(_, field)| {
            let column = DOUBLE.columns([field.name.as_str()]);
            format!("{column} = excluded.{column}")
        })
        .collect();
    let action = if updates.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", updates.join(", ")) };
    format!(" ON CONFLICT ({}) DO {action}", DOUBLE.columns(target.key_names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: [DataType; 10] = [
        DataType::Boolean,
        DataType::Int64,
        DataType::Float64,
        DataType::Decimal { scale: 2 },
        DataType::Text,
        DataType::Bytes,
        DataType::Date,
        DataType::Time,
        DataType::Timestamp,
        DataType::Json,
    ];

    #[test]
    fn what_is_declared_keeps_its_own_values() {
        for data_type in TYPES {
            assert!(Sqlite.keeps(data_type, &Sqlite.column_type(data_type)), "{data_type}");
            // As the server spells it.
            let declared = MARIADB.column_type(data_type).to_lowercase().replace(" character set utf8mb4", "");
            assert!(MARIADB.keeps(data_type, &declared), "{data_type}");
        }
    }

    #[test]
    fn a_column_that_would_round_is_refused() {
        let money = DataType::Decimal { scale: 2 };
        assert!(!Sqlite.keeps(money, "DECIMAL(38, 2)"));
        assert!(!Postgres.keeps(money, "numeric(38,1)"));
        assert!(!Postgres.keeps(money, "double precision"));
        assert!(Postgres.keeps(money, "numeric(10,3)"));
        assert!(!Postgres.keeps(DataType::Timestamp, "timestamp without time zone"));
        assert!(!MYSQL.keeps(money, "decimal(38,1)"));
        assert!(MYSQL.keeps(money, "decimal(10,3)"));
        assert!(!MYSQL.keeps(DataType::Float64, "double(10,2)"));
        assert!(!MYSQL.keeps(DataType::Timestamp, "datetime(3)"));
        assert!(!MYSQL.keeps(DataType::Text, "char(5) COLLATE utf8mb4_0900_bin"), "it drops spaces");
    }

    #[test]
    fn identifiers_cannot_end_their_quotes() {
        assert_eq!(DOUBLE.table("public.a\"b"), "\"public\".\"a\"\"b\"");
        assert_eq!(DOUBLE.columns(["a.b", "c\"; --"]), "\"a.b\", \"c\"\"; --\"");
        assert_eq!(BACKTICKS.columns(["a\"", "b`; --"]), "`a\"`, `b``; --`");
    }
}

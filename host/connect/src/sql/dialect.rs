//! Where databases differ: types, statements, advice.

use azenha_model::plan::WriteMode;
use azenha_model::types::DECIMAL_PRECISION;
use azenha_model::{DataType, Field};

use super::session::Operation;
use super::table::Target;

/// An identifier in quotes; a table may be qualified with a schema.
pub(super) fn quote(name: &str) -> String {
    let parts: Vec<String> = name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
    parts.join(".")
}

/// Columns in quotes, after each other.
pub(super) fn quote_all<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    names.join(", ")
}

/// What one kind of database is like.
pub(super) trait Dialect: Send + Sync {
    /// How a column of this type is declared.
    fn column_type(&self, data_type: DataType) -> String;

    /// Whether a column that is declared so keeps every value of the type as it is.
    fn keeps(&self, data_type: DataType, declared: &str) -> bool;

    /// Whether two names mean the same column.
    fn same_name(&self, left: &str, right: &str) -> bool;

    /// What stands behind the columns of a new table with a primary key.
    fn table_options(&self) -> &'static str;

    /// The statement that gives a column another type; none if there is no such statement.
    fn change_type(&self, table: &str, column: &str, wanted: &str) -> Option<String>;

    /// The statement that adds a column, of this definition, to a table.
    fn add_column(&self, table: &str, definition: &str) -> String;

    /// Taken at the start of a transaction that makes tables, so that two hosts do not make the same one.
    fn definition_lock(&self) -> Option<&'static str>;

    /// Has constraints that wait for the commit checked at each statement of a transaction instead.
    fn check_at_once(&self) -> Option<&'static str>;
}

/// `ON CONFLICT` for a sink that replaces rows; nothing for one that adds them.
fn on_conflict(target: &Target) -> String {
    if target.mode == WriteMode::Append {
        return String::new();
    }
    let others = target.fields.iter().enumerate().filter(|(index, _)| !target.key.contains(index));
    let updates: Vec<String> = others
        .map(|(_, field)| {
            let column = quote_all([field.name.as_str()]);
            format!("{column} = excluded.{column}")
        })
        .collect();
    let action = if updates.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", updates.join(", ")) };
    format!(" ON CONFLICT ({}) DO {action}", quote_all(target.key_names()))
}

#[derive(Debug)]
pub(super) struct Sqlite;

/// SQLite gives a column an affinity by its declared type (<https://sqlite.org/datatype3.html>), and one of
/// numeric affinity would round decimals and change JSON numbers: those are declared as a kind of TEXT.
fn affinity(declared: &str) -> &'static str {
    let declared = declared.to_ascii_uppercase();
    let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
    match () {
        () if has(&["INT"]) => "INTEGER",
        () if has(&["CHAR", "CLOB", "TEXT"]) => "TEXT",
        () if declared.is_empty() || has(&["BLOB"]) => "BLOB",
        () if has(&["REAL", "FLOA", "DOUB"]) => "REAL",
        () => "NUMERIC",
    }
}

impl Dialect for Sqlite {
    fn column_type(&self, data_type: DataType) -> String {
        match data_type {
            DataType::Boolean => "BOOLEAN".to_owned(),
            DataType::Int64 => "BIGINT".to_owned(),
            DataType::Float64 => "DOUBLE".to_owned(),
            DataType::Decimal { scale } => format!("DECIMAL_TEXT({DECIMAL_PRECISION}, {scale})"),
            DataType::Text => "TEXT".to_owned(),
            DataType::Bytes => "BLOB".to_owned(),
            DataType::Date => "DATE".to_owned(),
            DataType::Time => "TIME".to_owned(),
            DataType::Timestamp => "TIMESTAMP".to_owned(),
            DataType::Json => "JSON_TEXT".to_owned(),
        }
    }

    fn keeps(&self, data_type: DataType, declared: &str) -> bool {
        let (affinity, declared) = (affinity(declared), declared.to_ascii_uppercase());
        match data_type {
            DataType::Boolean => declared.starts_with("BOOL") || affinity == "INTEGER",
            DataType::Int64 => affinity == "INTEGER",
            DataType::Float64 => affinity == "REAL",
            DataType::Decimal { .. } | DataType::Text | DataType::Json => affinity == "TEXT",
            DataType::Bytes => affinity == "BLOB",
            DataType::Date => declared == "DATE" || affinity == "TEXT",
            DataType::Time => declared == "TIME" || affinity == "TEXT",
            DataType::Timestamp => declared == "TIMESTAMP" || declared == "DATETIME" || affinity == "TEXT",
        }
    }

    fn same_name(&self, left: &str, right: &str) -> bool {
        left.eq_ignore_ascii_case(right)
    }

    fn table_options(&self) -> &'static str {
        " WITHOUT ROWID"
    }

    fn change_type(&self, _table: &str, _column: &str, _wanted: &str) -> Option<String> {
        None
    }

    fn definition_lock(&self) -> Option<&'static str> {
        None
    }

    fn add_column(&self, table: &str, definition: &str) -> String {
        format!("ALTER TABLE {} ADD COLUMN {definition}", quote(table))
    }

    fn check_at_once(&self) -> Option<&'static str> {
        None
    }
}

impl Sqlite {
    /// The statement that writes `rows` rows.
    pub fn write(&self, target: &Target, operation: Operation, rows: usize) -> String {
        let tuples = |columns: usize| vec![format!("({})", vec!["?"; columns].join(", ")); rows].join(", ");
        match operation {
            Operation::Put => format!(
                "INSERT INTO {} ({}) VALUES {}{}",
                quote(&target.table),
                quote_all(target.names()),
                tuples(target.fields.len()),
                on_conflict(target)
            ),
            Operation::Delete => format!(
                "DELETE FROM {} WHERE ({}) IN (VALUES {})",
                quote(&target.table),
                quote_all(target.key_names()),
                tuples(target.key.len())
            ),
        }
    }
}

#[derive(Debug)]
pub(super) struct Postgres;

impl Dialect for Postgres {
    fn column_type(&self, data_type: DataType) -> String {
        match data_type {
            DataType::Boolean => "boolean".to_owned(),
            DataType::Int64 => "bigint".to_owned(),
            DataType::Float64 => "double precision".to_owned(),
            DataType::Decimal { scale } => format!("numeric({DECIMAL_PRECISION},{scale})"),
            DataType::Text => "text".to_owned(),
            DataType::Bytes => "bytea".to_owned(),
            DataType::Date => "date".to_owned(),
            DataType::Time => "time".to_owned(),
            DataType::Timestamp => "timestamptz".to_owned(),
            DataType::Json => "jsonb".to_owned(),
        }
    }

    fn keeps(&self, data_type: DataType, declared: &str) -> bool {
        match data_type {
            DataType::Boolean | DataType::Int64 | DataType::Float64 | DataType::Bytes | DataType::Date => {
                declared == self.column_type(data_type)
            }
            DataType::Decimal { scale } => declared == "numeric" || numeric_scale(declared).is_some_and(|s| s >= scale),
            DataType::Text => declared == "text" || declared.starts_with("character varying"),
            DataType::Time => matches!(declared, "time without time zone" | "time(6) without time zone"),
            DataType::Timestamp => matches!(declared, "timestamp with time zone" | "timestamp(6) with time zone"),
            DataType::Json => matches!(declared, "jsonb" | "json"),
        }
    }

    fn same_name(&self, left: &str, right: &str) -> bool {
        left == right
    }

    fn table_options(&self) -> &'static str {
        ""
    }

    fn change_type(&self, table: &str, column: &str, wanted: &str) -> Option<String> {
        let (table, column) = (quote(table), quote_all([column]));
        Some(format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE {wanted} USING {column}::{wanted}"))
    }

    fn definition_lock(&self) -> Option<&'static str> {
        // The number is "azenha" in ASCII: it only has to differ from those of other programs. A statement that
        // waits to change a table holds up everybody who comes to it later: it gives up soon, and is tried again.
        Some("SET LOCAL lock_timeout = '10s'; SELECT pg_advisory_xact_lock(107183323702369)")
    }

    fn add_column(&self, table: &str, definition: &str) -> String {
        format!("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {definition}", quote(table))
    }

    fn check_at_once(&self) -> Option<&'static str> {
        Some("SET CONSTRAINTS ALL IMMEDIATE")
    }
}

impl Postgres {
    /// The statement that upserts or deletes any number of rows: each column is one array.
    pub fn write(&self, target: &Target, operation: Operation) -> String {
        let parameters = |fields: Vec<&Field>| {
            let parameter = |(index, field): (usize, &Field)| {
                let element = match field.data_type {
                    DataType::Decimal { .. } => "numeric".to_owned(),
                    other => self.column_type(other),
                };
                format!("${}::{element}[]", index + 1)
            };
            fields.into_iter().enumerate().map(parameter).collect::<Vec<_>>().join(", ")
        };
        let (table, parameters) = (quote(&target.table), parameters(target.fields_of(operation)));
        match operation {
            Operation::Put => format!(
                "INSERT INTO {table} ({}) SELECT * FROM UNNEST({parameters}){}",
                quote_all(target.names()),
                on_conflict(target)
            ),
            Operation::Delete => {
                let keys = quote_all(target.key_names());
                format!("DELETE FROM {table} WHERE ({keys}) IN (SELECT * FROM UNNEST({parameters}))")
            }
        }
    }

    /// The statement that appends the rows which follow it, in the binary format.
    pub fn copy(&self, target: &Target) -> String {
        format!("COPY {} ({}) FROM STDIN (FORMAT binary)", quote(&target.table), quote_all(target.names()))
    }
}

/// The scale of `numeric(precision,scale)`.
fn numeric_scale(declared: &str) -> Option<u8> {
    declared.strip_prefix("numeric(")?.strip_suffix(')')?.split_once(',')?.1.parse().ok()
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
    fn what_sqlite_declares_keeps_its_own_values() {
        for data_type in TYPES {
            assert!(Sqlite.keeps(data_type, &Sqlite.column_type(data_type)), "{data_type}");
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
    }

    #[test]
    fn identifiers_cannot_end_their_quotes() {
        assert_eq!(quote("public.a\"b"), "\"public\".\"a\"\"b\"");
        assert_eq!(quote_all(["a.b", "c\"; --"]), "\"a.b\", \"c\"\"; --\"");
    }
}

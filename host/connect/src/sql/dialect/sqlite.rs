//! SQLite.

use azenha_model::DataType;
use azenha_model::plan::WriteMode;
use azenha_model::types::DECIMAL_PRECISION;

use super::{DOUBLE, Declaration, Dialect, on_conflict};
use crate::sql::session::Operation;
use crate::sql::table::Target;

#[derive(Debug)]
pub(in crate::sql) struct Sqlite;

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

    fn of_people(&self) -> &'static str {
        // A view may name a table that is being replaced.
        "PRAGMA legacy_alter_table = ON"
    }

    fn same_name(&self, left: &str, right: &str) -> bool {
        left.eq_ignore_ascii_case(right)
    }

    fn table_options(&self, mode: WriteMode) -> &'static str {
        match mode {
            WriteMode::Upsert => " WITHOUT ROWID",
            WriteMode::Append => "",
        }
    }

    fn change_type(&self, _table: &str, _wanted: &Declaration) -> Option<String> {
        None
    }

    fn definition_lock(&self) -> Option<&'static str> {
        None
    }

    fn add_column(&self, table: &str, column: &Declaration) -> String {
        format!("ALTER TABLE {} ADD COLUMN {column}", DOUBLE.table(table))
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
                DOUBLE.table(&target.table),
                DOUBLE.columns(target.names()),
                tuples(target.fields.len()),
                on_conflict(target)
            ),
            Operation::Delete => format!(
                "DELETE FROM {} WHERE ({}) IN (VALUES {})",
                DOUBLE.table(&target.table),
                DOUBLE.columns(target.key_names()),
                tuples(target.key.len())
            ),
        }
    }
}

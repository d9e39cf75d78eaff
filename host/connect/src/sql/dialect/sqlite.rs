//! SQLite.

use azenha_model::DataType;
use azenha_model::plan::WriteMode;
use azenha_model::types::DECIMAL_PRECISION;

use super::{DOUBLE, Declaration, Dialect, on_conflict};
use crate::sql::session::Operation;
use crate::sql::table::Target;

#[derive(Debug)]
pub(in crate::sql) struct Sqlite;

/// The column by which an index of words finds the rows of its table.
pub(in crate::sql) const ROW_NUMBER: &str = "azenha_rowid";

/// The table of FTS5 that has the words of a table (<https://sqlite.org/fts5.html>).
pub(in crate::sql) fn words_of(table: &str) -> String {
    format!("{table}_words")
}

/// A table and that of its words, as statements name them.
struct Words {
    table: String,
    words: String,
    columns: String,
    /// The columns of the row that is added, and of the one that is removed.
    new: String,
    old: String,
}

impl Words {
    fn new(target: &Target) -> Self {
        let columns: Vec<&str> = target.fulltext.iter().map(String::as_str).collect();
        let of_row = |row: &str| {
            let columns = columns.iter().map(|column| format!("{row}.{}", DOUBLE.columns([*column])));
            columns.collect::<Vec<_>>().join(", ")
        };
        let words = DOUBLE.columns([words_of(&target.table).as_str()]);
        let (new, old) = (of_row("new"), of_row("old"));
        Self { table: DOUBLE.table(&target.table), words, columns: DOUBLE.columns(columns), new, old }
    }

    fn add(&self) -> String {
        let Self { words, columns, new, .. } = self;
        format!("INSERT INTO {words} (rowid, {columns}) VALUES (new.{ROW_NUMBER}, {new});")
    }

    /// The index is told the words that it has to forget: it keeps no texts.
    fn remove(&self) -> String {
        let Self { words, columns, old, .. } = self;
        format!("INSERT INTO {words} ({words}, rowid, {columns}) VALUES ('delete', old.{ROW_NUMBER}, {old});")
    }
}

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

    /// What `VACUUM` does not change, as it may a number that no column has.
    fn row_number(&self) -> Option<&'static str> {
        Some(ROW_NUMBER)
    }

    /// Words of other columns were indexed before, or none.
    fn fulltext(&self, target: &Target) -> Vec<String> {
        let names = Words::new(target);
        let Words { table, words, columns, .. } = &names;
        let drop = format!("DROP TABLE IF EXISTS {words}");
        let content = target.table.replace('\'', "''");
        let make = format!(
            "CREATE VIRTUAL TABLE {words} USING fts5({columns}, content='{content}', content_rowid='{ROW_NUMBER}', \
             tokenize='unicode61 remove_diacritics 2')"
        );
        let fill = format!("INSERT INTO {words} ({words}) VALUES ('rebuild')");
        let (add, remove) = (names.add(), names.remove());
        let triggers = [
            ("added", "INSERT", add.clone()),
            ("deleted", "DELETE", remove.clone()),
            ("changed", "UPDATE", remove + &add),
        ];
        let triggers = triggers.into_iter().flat_map(|(what, event, work)| {
            let trigger = DOUBLE.columns([format!("{}_{what}", words_of(&target.table)).as_str()]);
            let make = format!("CREATE TRIGGER {trigger} AFTER {event} ON {table} BEGIN {work} END");
            [format!("DROP TRIGGER IF EXISTS {trigger}"), make]
        });
        [drop, make, fill].into_iter().chain(triggers).collect()
    }

    fn table_options(&self, target: &Target) -> &'static str {
        match target.mode {
            WriteMode::Upsert if target.fulltext.is_empty() => " WITHOUT ROWID",
            _ => "",
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

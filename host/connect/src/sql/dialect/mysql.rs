//! MariaDB and MySQL.

use azenha_model::plan::WriteMode;
use azenha_model::types::DECIMAL_PRECISION;
use azenha_model::{DataType, Field};

use super::{BACKTICKS, Declaration, Dialect, Quotes, Replacement};
use crate::sql::session::Operation;
use crate::sql::table::Target;

/// The bytes that a key may have in an index of InnoDB, and those of a character at most.
const KEY_BYTES: usize = 3072;
const CHARACTER_BYTES: usize = 4;

/// The characters that the name of an index may have.
const NAME: usize = 64;

/// A collation of both servers that takes no notice of case and accents.
const FOLDING: &str = "utf8mb4_unicode_ci";

/// One of the two servers: they differ in the name of the collation that compares every byte, spaces at the end among
/// them. It is that of all text: a key must tell `a` from `A`, and text is compared as other databases do it.
#[derive(Debug)]
pub(in crate::sql) struct MySql {
    collation: &'static str,
}

pub(in crate::sql) const MARIADB: MySql = MySql { collation: "utf8mb4_nopad_bin" };
pub(in crate::sql) const MYSQL: MySql = MySql { collation: "utf8mb4_0900_bin" };

impl MySql {
    fn text(&self, declared: &str) -> String {
        format!("{declared} CHARACTER SET utf8mb4 COLLATE {}", self.collation)
    }
}

/// What an index needs for a value whose length does not vary.
fn fixed_bytes(data_type: DataType) -> usize {
    match data_type {
        DataType::Text | DataType::Json | DataType::Bytes => 0,
        DataType::Decimal { .. } => 18,
        _ => 8,
    }
}

impl Dialect for MySql {
    fn quotes(&self) -> Quotes {
        BACKTICKS
    }

    fn column_type(&self, data_type: DataType) -> String {
        match data_type {
            DataType::Boolean => "TINYINT(1)".to_owned(),
            DataType::Int64 => "BIGINT".to_owned(),
            DataType::Float64 => "DOUBLE".to_owned(),
            DataType::Decimal { scale } => format!("DECIMAL({DECIMAL_PRECISION},{scale})"),
            DataType::Text => self.text("LONGTEXT"),
            DataType::Bytes => "LONGBLOB".to_owned(),
            DataType::Date => "DATE".to_owned(),
            DataType::Time => "TIME(6)".to_owned(),
            // TIMESTAMP ends in 2038.
            DataType::Timestamp => "DATETIME(6)".to_owned(),
            DataType::Json => "JSON".to_owned(),
        }
    }

    fn key_type(&self, key: &[&Field], data_type: DataType) -> String {
        let fixed: usize = key.iter().map(|field| fixed_bytes(field.data_type)).sum();
        let varying = key.iter().filter(|field| fixed_bytes(field.data_type) == 0).count();
        let bytes = KEY_BYTES.saturating_sub(fixed) / varying.max(1);
        match data_type {
            DataType::Text | DataType::Json => self.text(&format!("VARCHAR({})", bytes / CHARACTER_BYTES)),
            DataType::Bytes => format!("VARBINARY({bytes})"),
            other => self.column_type(other),
        }
    }

    fn keeps(&self, data_type: DataType, declared: &str) -> bool {
        let declared = declared.split_once(" COLLATE ").map_or(declared, |(declared, _)| declared);
        let kind = declared.split(['(', ' ']).next().unwrap_or_default();
        let is_signed = !declared.ends_with(" unsigned");
        let is_text = matches!(kind, "varchar" | "tinytext" | "text" | "mediumtext" | "longtext");
        match data_type {
            DataType::Boolean => matches!(kind, "tinyint" | "smallint" | "mediumint" | "int" | "bigint"),
            DataType::Int64 => kind == "bigint" && is_signed,
            DataType::Float64 => declared == "double",
            DataType::Decimal { scale } => decimal_scale(declared).is_some_and(|found| found >= scale),
            DataType::Text => is_text,
            DataType::Bytes => matches!(kind, "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob"),
            DataType::Date => kind == "date",
            DataType::Time => declared == "time(6)",
            DataType::Timestamp => matches!(declared, "datetime(6)" | "timestamp(6)"),
            DataType::Json => kind == "json" || is_text,
        }
    }

    fn tells_keys_apart(&self, declared: &str) -> bool {
        declared.split_once(" COLLATE ").is_none_or(|(_, collation)| {
            [MARIADB, MYSQL].iter().any(|server| server.collation == collation) || collation.ends_with("_nopad_bin")
        })
    }

    fn of_people(&self) -> &'static str {
        "SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')"
    }

    fn shown_type(&self) -> &'static str {
        "CHAR"
    }

    /// Definitions are in no transaction here, but one statement renames several tables at once.
    fn replace_tables(&self, tables: &[Replacement<'_>]) -> Vec<String> {
        let quoted = |name: &str| BACKTICKS.table(name);
        let mut renames = Vec::new();
        for Replacement { new, name, old } in tables {
            renames.extend(old.map(|old| format!("{} TO {}", quoted(name), quoted(old))));
            renames.push(format!("{} TO {}", quoted(new), quoted(name)));
        }
        let dropped = tables.iter().filter_map(|table| table.old).map(|old| format!("DROP TABLE {}", quoted(old)));
        [format!("RENAME TABLE {}", renames.join(", "))].into_iter().chain(dropped).collect()
    }

    /// What a statement makes of texts has no length, and an index needs one.
    fn indexable(&self, table: &str, key: &[(&str, &str)]) -> Vec<String> {
        let kind = |declared: &str| declared.split(['(', ' ']).next().unwrap_or_default().to_owned();
        let is_text = |declared: &str| kind(declared).ends_with("text") || kind(declared) == "varchar";
        let texts: Vec<&(&str, &str)> = key.iter().filter(|(_, declared)| is_text(declared)).collect();
        let others = (key.len() - texts.len()) * fixed_bytes(DataType::Decimal { scale: 0 });
        let length = KEY_BYTES.saturating_sub(others) / texts.len().max(1) / CHARACTER_BYTES;
        let data_type = self.text(&format!("VARCHAR({length})"));
        let declare = |(column, _): &&(&str, &str)| Declaration {
            column: BACKTICKS.columns([*column]),
            data_type: data_type.clone(),
            not_null: true,
        };
        texts.iter().filter_map(|column| self.change_type(table, &declare(column))).collect()
    }

    /// Definitions end transactions here, so a transaction keeps nobody away.
    fn takeover_lock(&self) -> Option<&'static str> {
        Some("SELECT CAST(GET_LOCK(LEFT(CONCAT('azenha.batches.', DATABASE()), 64), 30) AS SIGNED)")
    }

    fn same_name(&self, left: &str, right: &str) -> bool {
        left.eq_ignore_ascii_case(right)
    }

    /// Words are found whatever their case and accents, as in the other stores.
    fn searched_type(&self) -> String {
        format!("LONGTEXT CHARACTER SET utf8mb4 COLLATE {FOLDING}")
    }

    fn fulltext(&self, target: &Target) -> Vec<String> {
        let (table, columns) = (BACKTICKS.table(&target.table), target.fulltext.iter().map(String::as_str));
        let name: String = format!("words_{}", target.fulltext.join("_")).chars().take(NAME).collect();
        let (name, columns) = (BACKTICKS.columns([name.as_str()]), BACKTICKS.columns(columns));
        vec![format!("CREATE FULLTEXT INDEX {name} ON {table} ({columns})")]
    }

    fn table_options(&self, _target: &Target) -> &'static str {
        " ENGINE=InnoDB"
    }

    fn change_type(&self, table: &str, wanted: &Declaration) -> Option<String> {
        Some(format!("ALTER TABLE {} MODIFY {wanted}", BACKTICKS.table(table)))
    }

    fn add_column(&self, table: &str, column: &Declaration) -> String {
        format!("ALTER TABLE {} ADD COLUMN {column}", BACKTICKS.table(table))
    }

    fn definition_lock(&self) -> Option<&'static str> {
        // Each statement that makes or alters a table commits what went before it. So the lock is one of the session,
        // with which it ends, and each statement leaves a table with which the next `prepare` can go on.
        Some("SELECT GET_LOCK(LEFT(CONCAT('azenha.', DATABASE()), 64), 10)")
    }

    fn check_at_once(&self) -> Option<&'static str> {
        None
    }

    fn unless_there(&self) -> &'static str {
        " ON DUPLICATE KEY UPDATE epoch = epoch"
    }
}

impl MySql {
    /// The statement that writes `rows` rows.
    pub fn write(&self, target: &Target, operation: Operation, rows: usize) -> String {
        match (operation, target.mode) {
            (Operation::Put, WriteMode::Append) => self.insert(target, rows),
            (Operation::Put, WriteMode::Upsert) => self.insert(target, rows) + &on_duplicate_key(target),
            (Operation::Delete, _) => {
                let (table, keys) = (BACKTICKS.table(&target.table), BACKTICKS.columns(target.key_names()));
                let values: Vec<String> = target.key_fields().into_iter().map(key_parameter).collect();
                let key = format!("({})", values.join(", "));
                format!("DELETE FROM {table} WHERE ({keys}) IN ({})", vec![key; rows].join(", "))
            }
        }
    }

    /// The statement that adds `rows` rows and replaces none.
    pub fn insert(&self, target: &Target, rows: usize) -> String {
        let (table, columns) = (BACKTICKS.table(&target.table), BACKTICKS.columns(target.names()));
        let row = format!("({})", vec!["?"; target.fields.len()].join(", "));
        format!("INSERT INTO {table} ({columns}) VALUES {}", vec![row; rows].join(", "))
    }
}

/// Replaces the row with the same key. A duplicate in any other unique index would have the server replace the row
/// that has it, whatever its key: then the subquery, which must not have two rows, ends the statement.
/// `VALUES(column)` is the only way to name the new value that both servers have.
fn on_duplicate_key(target: &Target) -> String {
    let quoted = |name: &str| BACKTICKS.columns([name]);
    let is_same: Vec<String> =
        target.key_names().map(quoted).map(|column| format!("{column} <=> VALUES({column})")).collect();
    let first = target.key_names().next().map(quoted).unwrap_or_default();
    let guard = format!("{first} = IF({}, {first}, (SELECT NULL UNION ALL SELECT NULL))", is_same.join(" AND "));
    let others = target.fields.iter().enumerate().filter(|(index, _)| !target.key.contains(index));
    let updates = others.map(|(_, field)| quoted(&field.name)).map(|column| format!("{column} = VALUES({column})"));
    let updates: Vec<String> = std::iter::once(guard).chain(updates).collect();
    format!(" ON DUPLICATE KEY UPDATE {}", updates.join(", "))
}

/// A value that is compared. A decimal goes over the wire as text, with which it would be compared as floats.
fn key_parameter(field: &Field) -> String {
    match field.data_type {
        DataType::Decimal { scale } => format!("CAST(? AS DECIMAL({DECIMAL_PRECISION},{scale}))"),
        _ => "?".to_owned(),
    }
}

/// The scale of `decimal(precision,scale)`.
fn decimal_scale(declared: &str) -> Option<u8> {
    declared.strip_prefix("decimal(")?.split_once(')')?.0.split_once(',')?.1.parse().ok()
}

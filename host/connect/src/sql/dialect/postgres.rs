//! PostgreSQL.

use azenha_model::types::DECIMAL_PRECISION;
use azenha_model::{DataType, Field};

use super::{DOUBLE, Declaration, Dialect, Replacement, on_conflict};
use crate::sql::session::Operation;
use crate::sql::table::Target;

#[derive(Debug)]
pub(in crate::sql) struct Postgres;

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

    fn of_people(&self) -> &'static str {
        "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '5s'"
    }

    fn same_name(&self, left: &str, right: &str) -> bool {
        left == right
    }

    fn table_options(&self, _target: &Target) -> &'static str {
        ""
    }

    fn change_type(&self, table: &str, wanted: &Declaration) -> Option<String> {
        let (table, Declaration { column, data_type, .. }) = (DOUBLE.table(table), wanted);
        Some(format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE {data_type} USING {column}::{data_type}"))
    }

    fn definition_lock(&self) -> Option<&'static str> {
        // The number is "azenha" in ASCII: it only has to differ from those of other programs. A statement that
        // waits to change a table holds up everybody who comes to it later: it gives up soon, and is tried again.
        Some("SET LOCAL lock_timeout = '10s'; SELECT pg_advisory_xact_lock(107183323702369)")
    }

    fn add_column(&self, table: &str, column: &Declaration) -> String {
        format!("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {column}", DOUBLE.table(table))
    }

    fn replace_tables(&self, tables: &[Replacement<'_>]) -> Vec<String> {
        let replace = |Replacement { new, name, old }: &Replacement<'_>| {
            let rights = old.map(|_| grant_again(name, new));
            let (new, name) = (DOUBLE.table(new), DOUBLE.table(name));
            let replaced = [format!("DROP TABLE IF EXISTS {name}"), format!("ALTER TABLE {new} RENAME TO {name}")];
            rights.into_iter().chain(replaced)
        };
        tables.iter().flat_map(replace).collect()
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
        let (table, parameters) = (DOUBLE.table(&target.table), parameters(target.fields_of(operation)));
        match operation {
            Operation::Put => format!(
                "INSERT INTO {table} ({}) SELECT * FROM UNNEST({parameters}){}",
                DOUBLE.columns(target.names()),
                on_conflict(target)
            ),
            Operation::Delete => {
                let keys = DOUBLE.columns(target.key_names());
                format!("DELETE FROM {table} WHERE ({keys}) IN (SELECT * FROM UNNEST({parameters}))")
            }
        }
    }

    /// The statement that appends the rows which follow it, in the binary format.
    pub fn copy(&self, target: &Target) -> String {
        format!("COPY {} ({}) FROM STDIN (FORMAT binary)", DOUBLE.table(&target.table), DOUBLE.columns(target.names()))
    }
}

/// Grants on a table what is granted on another one and on its columns; of those that the new one lacks, nothing.
fn grant_again(from: &str, to: &str) -> String {
    let literal = |name: &str| format!("'{}'", DOUBLE.table(name).replace('\'', "''"));
    let (from, to) = (literal(from), literal(to));
    format!(
        "DO $rights$ DECLARE given record; BEGIN
            FOR given IN
                SELECT acl.*, '' AS columns FROM pg_class, aclexplode(relacl) AS acl
                WHERE oid = {from}::regclass AND acl.grantee <> relowner
                UNION ALL
                SELECT acl.*, format('(%I)', attname) FROM pg_attribute AS before, aclexplode(attacl) AS acl
                WHERE attrelid = {from}::regclass AND EXISTS (SELECT 1 FROM pg_attribute AS kept
                    WHERE kept.attrelid = {to}::regclass AND kept.attname = before.attname AND NOT kept.attisdropped)
            LOOP
                EXECUTE format('GRANT %s %s ON %s TO %s %s', given.privilege_type, given.columns, {to}::regclass,
                    CASE given.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(given.grantee)) END,
                    CASE WHEN given.is_grantable THEN 'WITH GRANT OPTION' ELSE '' END);
            END LOOP;
        END $rights$"
    )
}

/// The scale of `numeric(precision,scale)`.
fn numeric_scale(declared: &str) -> Option<u8> {
    declared.strip_prefix("numeric(")?.strip_suffix(')')?.split_once(',')?.1.parse().ok()
}

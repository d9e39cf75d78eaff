//! The documents that recorded change events make, recomputed without a host: the last event of each row makes a table in
//! SQLite, and SQL does the rest.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::documents::Views;
use crate::{Database, text_of};

/// The tables with their columns, those of money last.
const TABLES: [(&str, &[&str], &[&str]); 3] = [
    ("pedidos", &["id", "cliente_id", "loja_id", "criado_em"], &[]),
    ("itens_pedido", &["id", "pedido_id", "produto_id", "quantidade"], &["valor", "desconto"]),
    ("produtos", &["id", "nome", "departamento", "marca"], &[]),
];

/// The documents of the events in `folder`, one file a table.
pub async fn recount(folder: &Path) -> Result<Views> {
    let mut database = Database::open(Path::new(":memory:")).await?;
    for (table, columns, money) in TABLES {
        let events = text_of(&folder.join(format!("{table}.records.ndjson.gz")))?;
        let rows = rows(&events, money).with_context(|| table.to_owned())?;
        let rows = Value::from(rows).to_string().replace('\'', "''");
        let columns: Vec<String> =
            columns.iter().chain(money).map(|name| format!("value ->> '{name}' AS {name}")).collect();
        let columns = columns.join(", ");
        database.execute(&format!("CREATE TABLE {table} AS SELECT {columns} FROM json_each('{rows}')")).await?;
    }
    Views::of_rows(&database.rows(include_str!("views.sqlite.sql")).await?)
}

/// What is left of a table after all events, with money in cents.
fn rows(events: &str, money: &[&str]) -> Result<Vec<Value>> {
    let mut rows = BTreeMap::new();
    for line in events.lines() {
        let mut event: Value = serde_json::from_str(line)?;
        let id = event["key"]["id"].as_i64().context("a key without an id")?;
        match event["value"]["after"].take() {
            Value::Null => drop(rows.remove(&id)),
            mut row => {
                for column in money {
                    row[column] = cents(&row[column])?.into();
                }
                rows.insert(id, row);
            }
        }
    }
    Ok(rows.into_values().collect())
}

/// Debezium writes a decimal as the bytes of its unscaled integer, the highest first.
fn cents(decimal: &Value) -> Result<i64> {
    let bytes = BASE64_STANDARD.decode(decimal.as_str().context("a decimal that is no text")?)?;
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
    Ok(bytes.iter().fold(sign, |value, byte| value << 8 | i64::from(*byte)))
}

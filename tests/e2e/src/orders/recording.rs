//! Recorded change streams: what Debezium really writes of changes to the shop's tables, as files that can be fed.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use flate2::{Compression, GzBuilder};
use serde_json::Value;

use super::changes::{Changes, Transaction};
use super::recount::recount;
use super::shop::Shop;
use super::tables::Tables;
use crate::kafka::{Kafka, Record};
use crate::{OwnConnect, repository, text_of};

/// The tables, as sources and topics call them.
pub const TABLES: [&str; 3] = ["pedidos", "itens_pedido", "produtos"];
/// How long Debezium may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was recorded of a table, for the repository's pipeline. Tombstones, which say nothing new, are left out.
pub fn recorded(table: &str) -> Result<Vec<String>> {
    let text = text_of(&repository().join(format!("pipelines/orders/sample/{table}.records.ndjson.gz")))?;
    let values = text.lines().map(|line| Ok(serde_json::from_str::<Value>(line)?["value"].take()));
    let values = values.collect::<Result<Vec<_>>>()?;
    Ok(values.iter().filter(|value| !value.is_null()).map(Value::to_string).collect())
}

/// Records the snapshot of the first `orders` orders and what comes of `statements` changes, writes a file for each table
/// into `folder`, and checks that the events make what the database has.
pub async fn record(postgres: &str, brokers: &str, folder: &Path, orders: usize, statements: usize) -> Result<()> {
    let mut shop = Shop::in_postgres(postgres).await?;
    let tables = Tables::of_first_orders(orders)?;
    shop.load(&tables).await?;
    let connect = OwnConnect::start(brokers, &shop.connector(), shop.environment(brokers)?)?;
    let mut changes = Changes::new(1, tables);
    for transaction in changes.take(statements) {
        shop.apply(&transaction).await?;
    }
    let last = changes.last_of_each_table();
    shop.apply(&last).await?;
    let kafka = Kafka::at(brokers);
    for table in TABLES {
        let records = await_last(&kafka, table, &last)?;
        write(&folder.join(format!("{table}.records.ndjson.gz")), &records)?;
        println!("{table}: {} events", records.len());
    }
    drop(connect);
    let difference = shop.views().await?.difference(&recount(folder).await?);
    ensure!(difference.is_none(), "the events do not make what the database has: {}", difference.unwrap_or_default());
    Ok(())
}

/// The events of a table, once that of its last row is among them.
fn await_last(kafka: &Kafka, table: &str, last: &Transaction) -> Result<Vec<Record>> {
    let id = last.row_of(table).with_context(|| format!("{table} has no last row"))?;
    let (key, begun) = (format!(r#"{{"id":{id}}}"#), Instant::now());
    loop {
        // The topic is made when its first event comes.
        let records = kafka.read(&format!("loja.public.{table}")).unwrap_or_default();
        if records.last().is_some_and(|record| record.key.as_deref() == Some(key.as_bytes())) {
            return Ok(records);
        }
        ensure!(begun.elapsed() < PATIENCE, "{table}: the last change was not told within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn write(path: &Path, records: &[Record]) -> Result<()> {
    // Without a time and a name in it, so that it is the same whenever it is made of the same events.
    let mut file = GzBuilder::new().write(File::create(path)?, Compression::best());
    for record in records {
        let key = record.key.as_deref().context("an event without a key")?;
        let value = record.value.as_deref().unwrap_or(b"null");
        let (key, value) = (std::str::from_utf8(key)?, std::str::from_utf8(value)?);
        writeln!(file, r#"{{"key":{key},"value":{value}}}"#)?;
    }
    file.finish()?;
    Ok(())
}

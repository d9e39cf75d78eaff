//! What becomes of the shop's tables, and what it must be.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use azenha_engine::objects::{Announcement, sha256};
use serde_json::Value;

use super::documents::Views;
use super::shop::Shop;
use crate::kafka::Record;
use crate::{Azenha, BucketLake, Mongo, repository};

/// Where the tables go, which is compared with them.
pub enum Kept {
    /// The documents of the pipeline `orders`.
    Documents(Mongo),
    /// The layers of `pedidos` and `produtos` in the pipeline `lake`.
    Lake(BucketLake),
}

/// Gold's rows of a table, as DuckDB reads them; beside it what PostgreSQL says they must be.
const GOLD: [(&str, &str, &str); 2] = [
    (
        "pedidos",
        "SELECT pedido, cliente, loja, epoch_us(criado_em), CAST(dia AS VARCHAR) \
         FROM read_parquet('{gold}/pedidos/*/*.parquet', hive_partitioning = true) ORDER BY pedido",
        "SELECT json_build_array(id, cliente_id, loja_id::text, (extract(epoch from criado_em) * 1000000)::bigint, \
         criado_em::date::text)::text FROM pedidos ORDER BY id",
    ),
    (
        "produtos",
        "SELECT produto, nome, marca, departamento FROM read_parquet('{gold}/produtos/*/*.parquet', \
         hive_partitioning = true, hive_types = {'departamento': VARCHAR}) ORDER BY produto",
        "SELECT json_build_array(id, nome, marca, departamento)::text FROM produtos ORDER BY id",
    ),
];

/// The same rows as pyarrow is asked for them: columns of gold, and the one that is its folder.
const GOLD_COLUMNS: [(&str, &str, &str); 2] = [
    ("pedidos", "pedido,cliente,loja,criado_em,dia", "dia"),
    ("produtos", "produto,nome,marca,departamento", "departamento"),
];

/// Silver's columns and their types, as DuckDB has them, by name.
const SILVER: [(&str, &str); 2] = [
    (
        "pedidos",
        "capturado_em TIMESTAMP WITH TIME ZONE, cliente BIGINT, criado_em TIMESTAMP WITH TIME ZONE, dia DATE, loja VARCHAR, \
         operacao VARCHAR, pedido BIGINT",
    ),
    (
        "produtos",
        "capturado_em TIMESTAMP WITH TIME ZONE, departamento VARCHAR, descricao VARCHAR, marca VARCHAR, nome VARCHAR, \
         operacao VARCHAR, produto BIGINT",
    ),
];

impl Kept {
    /// The host's connections, as its configuration has them.
    pub fn connections(&self) -> String {
        match self {
            Self::Documents(mongo) => format!("documentos: {{ url: '{}' }}", mongo.url()),
            Self::Lake(lake) => lake.connections(),
        }
    }

    /// The pipelines that run.
    pub fn pipelines(&self) -> &'static [&'static str] {
        match self {
            Self::Documents(_) => &["orders"],
            Self::Lake(_) => &["lake-pedidos", "lake-produtos"],
        }
    }

    /// The repository's pipeline over topics with so many partitions.
    pub fn pipeline(&self, directory: &Azenha, partitions: u32) -> Result<PathBuf> {
        let Self::Documents(_) = self else {
            ensure!(partitions == 1, "the lake's topics have one partition");
            return Ok(repository().join("pipelines/lake"));
        };
        let text = fs::read_to_string(repository().join("pipelines/orders/pipeline.yaml"))?;
        let partitioned =
            text.replace("format: debezium\n", &format!("format: debezium\n    partitions: {partitions}\n"));
        ensure!(partitioned != text, "the pipeline has no change streams");
        directory.write("orders/pipeline.yaml", &partitioned)
    }

    /// The first thing that is not what the shop's database says.
    pub async fn difference(&self, shop: &mut Shop) -> Result<Option<String>> {
        match self {
            Self::Documents(mongo) => Ok(shop.views().await?.difference(&Views::in_mongodb(mongo).await?)),
            Self::Lake(lake) => {
                for (table, read, wanted) in GOLD {
                    // Until the first object is there, there is nothing to read.
                    let found = lake.query(read).unwrap_or_default();
                    let wanted = shop.rows(wanted).await?;
                    let wrong = found.iter().zip(&wanted).find(|(found, wanted)| found != wanted);
                    if wrong.is_some() || found.len() != wanted.len() {
                        let (rows, of) = (found.len(), wanted.len());
                        return Ok(Some(format!("gold of {table} has {rows} rows of {of}: {wrong:?}")));
                    }
                }
                Ok(None)
            }
        }
    }

    /// What the layers must be when everything has come through: the objects that were announced and no others, in raw each
    /// message once, as it came, and in bronze and silver as many rows as there are events.
    pub fn check_layers(&self, read: impl Fn(&str) -> Result<Vec<Record>>) -> Result<()> {
        let Self::Lake(lake) = self else { return Ok(()) };
        for layer in crate::LAYERS {
            let mut told = BTreeMap::new();
            for (table, ..) in GOLD {
                for announcement in announced(&read(&format!("lake_{layer}_{table}"))?)? {
                    let before = told.insert(announcement.path.clone(), announcement.bytes);
                    let may_be_replaced = layer == "gold";
                    ensure!(before.is_none() || may_be_replaced, "{} was announced twice", announcement.path);
                }
            }
            let found = lake.objects(layer)?;
            let wrong = found.iter().zip(&told).find(|(found, told)| found != told);
            ensure!(found == told, "{layer}: {} objects, {} announced: {wrong:?}", found.len(), told.len());
        }
        for (table, ..) in GOLD {
            let kept = announced(&read(&format!("lake_raw_{table}"))?)?;
            let kept = kept.into_iter().map(|announcement| Ok(announcement.sha256));
            let captured = read(&format!("loja.public.{table}"))?;
            let events = captured.iter().filter(|record| record.value.is_some()).count() as u64;
            for layer in ["bronze", "silver"] {
                let told = announced(&read(&format!("lake_{layer}_{table}"))?)?;
                let rows: u64 = told.iter().map(|announcement| announcement.rows).sum();
                ensure!(rows == events, "{layer} of {table} announces {rows} rows of {events} events");
            }
            let captured = captured.iter().map(|record| Ok(sha256(record.value.as_deref().unwrap_or(b"null"))));
            let (kept, captured) = (sorted(kept)?, sorted(captured)?);
            ensure!(kept == captured, "raw of {table} announces {} messages of {}", kept.len(), captured.len());
            let held = sorted(lake.digests("raw", table)?.into_iter().map(Ok))?;
            ensure!(held == captured, "raw of {table} holds {} messages of {}", held.len(), captured.len());
        }
        check_readers(lake)
    }
}

fn announced(records: &[Record]) -> Result<Vec<Announcement>> {
    records.iter().map(|record| Ok(serde_json::from_value(record.json()?)?)).collect()
}

/// Two readers must see the same in gold, and in silver what the model makes of the captured columns.
fn check_readers(lake: &BucketLake) -> Result<()> {
    for ((table, read, _), (_, columns, folder)) in GOLD.into_iter().zip(GOLD_COLUMNS) {
        let (one, other) = (lake.query(read)?, lake.rows("gold", table, columns, folder)?);
        let wrong = one.iter().zip(&other).find(|(one, other)| one != other);
        ensure!(one == other, "of gold of {table} DuckDB reads {} rows, pyarrow {}: {wrong:?}", one.len(), other.len());
    }
    for (table, expected) in SILVER {
        let described = lake.query(&format!("DESCRIBE SELECT * FROM read_parquet('{{silver}}/{table}/*.parquet')"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut columns: Vec<String> =
            described.iter().map(|column| format!("{} {}", text(&column[0]), text(&column[1]))).collect();
        columns.sort_unstable();
        ensure!(columns.join(", ") == expected, "silver of {table} has the columns {columns:?}");
    }
    Ok(())
}

fn sorted(texts: impl Iterator<Item = Result<String>>) -> Result<Vec<String>> {
    let mut texts = texts.collect::<Result<Vec<_>>>()?;
    texts.sort_unstable();
    Ok(texts)
}

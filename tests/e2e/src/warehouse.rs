//! The batch layer of the commerce system over a past of its own, and what must come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{Azenha, DAYS, Database, Finished, ShopPast, Star, repository};

/// Words of a file, each with what stands in its place.
pub type Words<'a> = &'a [(&'a str, &'a str)];

const ORDERS: u32 = 3_000;
const INTERACTIONS: u32 = 4_000;

/// Everything that a fact says, as a line of text.
pub const FACTS: &str =
    "SELECT f.order_id || '|' || f.line || '|' || c.customer || '|' || c.city || '|' || c.state || '|' ||
    p.product_id || '|' || f.date_key || '|' || s.seller || '|' || f.status || '|' || f.quantity || '|' || f.total_cents
    FROM fact_order_line AS f JOIN dim_customer AS c ON c.customer_key = f.customer_key
    JOIN dim_product AS p ON p.product_key = f.product_key JOIN dim_store AS s ON s.store_key = f.store_key
    JOIN dim_date AS d ON d.date_key = f.date_key";
/// How many versions each customer has.
pub const VERSIONS: &str = "SELECT customer || '|' || COUNT(*) FROM dim_customer GROUP BY customer";
/// Whom the shop should write to.
pub const CONTACTS: &str = "SELECT customer || '|' || product_id FROM mart_contacts";
/// Rows that are only counted.
pub const COUNTED: &str = "SELECT 'interactions|' || COUNT(*) FROM interactions_now
    UNION ALL SELECT 'repeated|' || COUNT(*) FROM repeated_records
    UNION ALL SELECT 'dead letters|' || COUNT(*) FROM warehouse_dead_letters";

/// Every table that people read.
const TABLES: [&str; 16] = [
    "stg_order_states",
    "stg_order_lines",
    "stg_order_items",
    "stg_interactions",
    "orders_now",
    "interactions_now",
    "repeated_records",
    "dim_date",
    "dim_store",
    "dim_product",
    "dim_customer",
    "fact_order_line",
    "mart_contacts",
    "mart_campaigns",
    "warehouse_objects",
    "warehouse_dead_letters",
];

/// A directory with a shop's past, and the warehouse that is made of it.
pub struct Scene {
    /// Where everything is.
    pub azenha: Azenha,
    /// The shop's past.
    pub past: ShopPast,
    /// Further arguments of each command.
    pub more: Vec<String>,
}

impl Scene {
    /// A past of its own, laid into the folders of days.
    pub fn new(seed: u64) -> Result<Self> {
        let azenha = Azenha::new()?;
        let past = ShopPast::make(&azenha, ORDERS, INTERACTIONS, seed)?;
        Self::of(azenha, past)
    }

    /// The same with records that nobody expects: repeated, incomplete, and changes that take items away.
    pub fn unusual(seed: u64) -> Result<Self> {
        let azenha = Azenha::new()?;
        let mut past = ShopPast::make(&azenha, ORDERS, INTERACTIONS, seed)?;
        past.add_unusual()?;
        Self::of(azenha, past)
    }

    fn of(azenha: Azenha, past: ShopPast) -> Result<Self> {
        let scene = Self { azenha, past, more: Vec::new() };
        scene.past.lay(&scene.raw(), DAYS.len())?;
        Ok(scene)
    }

    /// The folder of the objects.
    pub fn raw(&self) -> PathBuf {
        self.azenha.data().join("raw")
    }

    /// The arguments of `azenha backfill`.
    pub fn arguments(&self, pipeline: &Path, more: &[&str]) -> Vec<String> {
        let (pipeline, data) = (pipeline.display().to_string(), self.azenha.data().display().to_string());
        let mut arguments = vec!["backfill".to_owned(), pipeline, "--data".to_owned(), data];
        arguments.extend(self.more.iter().cloned().chain(more.iter().map(|argument| (*argument).to_owned())));
        arguments
    }

    /// Runs our batch; must succeed.
    pub fn backfill(&self, more: &[&str]) -> Result<Finished> {
        self.azenha.succeed(self.arguments(&ours(), more))
    }

    /// A pipeline like ours but for some words; the file has each of them.
    pub fn changed(&self, name: &str, words: Words<'_>) -> Result<PathBuf> {
        let mut text = fs::read_to_string(ours().join("pipeline.yaml"))?;
        for (from, to) in words {
            ensure!(text.contains(from), "the file does not say {from}");
            text = text.replacen(from, to, 1);
        }
        self.azenha.write(&format!("{name}/pipeline.yaml"), &text)
    }

    /// The warehouse, if it is SQLite's.
    pub async fn database(&self) -> Result<Database> {
        Database::open(&self.azenha.data().join("warehouse.db")).await
    }

    /// The lines of a query there.
    pub async fn rows(&self, sql: &str) -> Result<Vec<String>> {
        let rows: Vec<(String,)> = self.database().await?.rows(sql).await?;
        Ok(rows.into_iter().map(|(row,)| row).collect())
    }

    /// Fails with the first rows that are others than they must be.
    pub async fn must_be(&self, expected: &BTreeMap<&'static str, Vec<String>>, when: &str) -> Result<()> {
        for (table, rows) in self.dump().await? {
            let wanted = &expected[table];
            let differs = rows.iter().zip(wanted).find(|(row, wanted)| row != wanted);
            ensure!(differs.is_none(), "{when}: table {table}: {differs:?}");
            ensure!(rows.len() == wanted.len(), "{when}: table {table}: {} rows, not {}", rows.len(), wanted.len());
        }
        Ok(())
    }

    /// Everything that people read, and nothing that runs are called by.
    pub async fn dump(&self) -> Result<BTreeMap<&'static str, Vec<String>>> {
        let mut dump = BTreeMap::new();
        for table in TABLES {
            let columns = self.rows(&format!("SELECT name FROM pragma_table_info('{table}') ORDER BY name")).await?;
            ensure!(!columns.is_empty(), "there is no table {table}");
            let columns: Vec<String> = columns.iter().map(|name| format!("COALESCE(\"{name}\", '-')")).collect();
            let rows = format!("SELECT {} AS line FROM {table} ORDER BY line", columns.join(" || '|' || "));
            dump.insert(table, self.rows(&rows).await?);
        }
        Ok(dump)
    }
}

/// Our batch.
pub fn ours() -> PathBuf {
    repository().join("pipelines/warehouse")
}

/// What four queries gave.
pub fn star(facts: Vec<String>, versions: Vec<String>, contacts: Vec<String>, counted: &[String]) -> Result<Star> {
    let number = |name: &str| -> Result<usize> {
        let found = counted.iter().find_map(|line| line.strip_prefix(name)).context("it is not counted")?;
        Ok(found.trim_start_matches('|').parse()?)
    };
    let version = |line: &String| Some((line.split_once('|')?.0.to_owned(), line.split_once('|')?.1.parse().ok()?));
    Ok(Star {
        facts: facts.into_iter().collect(),
        versions: versions.iter().filter_map(version).collect(),
        contacts: contacts.into_iter().collect(),
        interactions: number("interactions")?,
        repeated: number("repeated")?,
        dead_letters: number("dead letters")?,
    })
}

/// Compares, and makes sure that there is something to compare.
pub fn check(found: &Star, expected: &Star) {
    assert!(expected.facts.len() > 2_000 && expected.dead_letters > 50, "{} facts", expected.facts.len());
    assert!(expected.versions.values().any(|versions| *versions > 1), "nobody moved");
    assert!(!expected.contacts.is_empty());
    let differ = |name: &str, found: &BTreeSet<String>, expected: &BTreeSet<String>| {
        let wrong: Vec<&String> = found.symmetric_difference(expected).take(5).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    };
    differ("facts", &found.facts, &expected.facts);
    differ("contacts", &found.contacts, &expected.contacts);
    let numbers = |star: &Star| (star.interactions, star.repeated, star.dead_letters);
    assert_eq!(numbers(found), numbers(expected));
    assert!(found.versions == expected.versions, "versions of customers differ");
}

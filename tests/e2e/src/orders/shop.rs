//! The shop's database: where the changes are made, and the documents are recomputed from.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::changes::Transaction;
use super::documents::Views;
use super::tables::{Tables, csv};
use crate::repository;

/// How long a connector may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rows that are inserted by one statement.
const ROWS_AT_ONCE: usize = 1_000;

enum Client {
    Postgres(PgConnection),
    MariaDb(MySqlConnection),
}

/// A database with the shop's tables.
pub struct Shop {
    client: Client,
    url: String,
}

impl Shop {
    /// Makes the tables in the PostgreSQL database of a URL.
    pub async fn in_postgres(url: &str) -> Result<Self> {
        let client = Client::Postgres(PgConnection::connect(url).await?);
        Self { client, url: url.to_owned() }.with_tables("postgres").await
    }

    /// Makes the tables in a new database of the MariaDB server of a URL.
    pub async fn in_mariadb(server: &str, database: &str) -> Result<Self> {
        let (base, _) = server.rsplit_once('/').context("the URL names no database")?;
        let client = Client::MariaDb(MySqlConnection::connect(server).await?);
        let mut shop = Self { client, url: format!("{base}/{database}") };
        shop.execute(format!("CREATE DATABASE {database}; USE {database}")).await?;
        shop.with_tables("mariadb").await
    }

    async fn with_tables(mut self, dialect: &str) -> Result<Self> {
        let schema = repository().join(format!("pipelines/orders/schema.{dialect}.sql"));
        self.execute(fs::read_to_string(schema)?).await?;
        Ok(self)
    }

    /// Inserts the rows of the real data that have these keys.
    pub async fn load(&mut self, tables: &Tables) -> Result<()> {
        let lines: Vec<i64> = tables.lines.iter().map(|line| line.id).collect();
        for (table, ids) in [("produtos", &tables.products), ("pedidos", &tables.orders), ("itens_pedido", &lines)] {
            let text = csv(table)?;
            let wanted: BTreeSet<&i64> = ids.iter().collect();
            let has_key = |line: &&str| {
                let id = line.split(',').next().and_then(|id| id.parse().ok());
                id.is_some_and(|id: i64| wanted.contains(&id))
            };
            let rows: Vec<String> = text.lines().filter(has_key).map(row).collect();
            for rows in rows.chunks(ROWS_AT_ONCE) {
                self.execute(format!("INSERT INTO {table} VALUES {}", rows.join(", "))).await?;
            }
        }
        Ok(())
    }

    /// Makes changes.
    pub async fn apply(&mut self, transaction: &Transaction) -> Result<()> {
        let statements = transaction.statements.join("; ");
        self.execute(format!("START TRANSACTION; {statements}; COMMIT")).await.context(statements)
    }

    /// Makes a change, and waits until the connector has kept a position behind it. A connector that is killed before would
    /// take its snapshot again, which does not tell of rows that have gone since the first, unless a topic has one
    /// partition.
    pub async fn await_reader(&mut self, change: &Transaction) -> Result<()> {
        let Client::Postgres(client) = &mut self.client else { bail!("only PostgreSQL is told what was read") };
        let before: String = sqlx::query_scalar("SELECT pg_current_wal_lsn()::text").fetch_one(client).await?;
        self.apply(change).await?;
        let behind = format!("confirmed_flush_lsn > '{before}'");
        self.await_slot(&behind, "count(*)").await
    }

    /// Has the database forget how far its connector has read, which is away.
    pub async fn forget_reader(&mut self) -> Result<()> {
        // The server notices late that a reader was killed.
        self.await_slot("NOT active", "count(pg_drop_replication_slot(slot_name))").await
    }

    /// Waits for a replication slot that is in a state, and has the database do something with it.
    async fn await_slot(&mut self, state: &str, done: &str) -> Result<()> {
        let Client::Postgres(client) = &mut self.client else { bail!("only PostgreSQL has replication slots") };
        let (sql, begun) = (format!("SELECT {done} FROM pg_replication_slots WHERE {state}"), Instant::now());
        while sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql.clone())).fetch_one(&mut *client).await? == 0 {
            ensure!(begun.elapsed() < PATIENCE, "no replication slot is in the state `{state}`");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// The documents that the tables make, recomputed by the database itself.
    pub async fn views(&mut self) -> Result<Views> {
        let rows: Vec<(i64, String, String)> = match &mut self.client {
            Client::Postgres(client) => sqlx::query_as(include_str!("views.postgres.sql")).fetch_all(client).await?,
            Client::MariaDb(client) => sqlx::query_as(include_str!("views.mariadb.sql")).fetch_all(client).await?,
        };
        Views::of_rows(&rows)
    }

    /// The rows of a query that gives a JSON text for each.
    pub async fn rows(&mut self, query: &str) -> Result<Vec<Value>> {
        let query = AssertSqlSafe(query.to_owned());
        let rows: Vec<String> = match &mut self.client {
            Client::Postgres(client) => sqlx::query_scalar(query).fetch_all(client).await?,
            Client::MariaDb(client) => sqlx::query_scalar(query).fetch_all(client).await?,
        };
        rows.iter().map(|row| Ok(serde_json::from_str(row)?)).collect()
    }

    /// The file of the connector that follows the tables.
    pub fn connector(&self) -> PathBuf {
        let name = match self.client {
            Client::Postgres(_) => "postgres",
            Client::MariaDb(_) => "mariadb",
        };
        repository().join(format!("pipelines/orders/connectors/{name}.json"))
    }

    /// What the connector's file finds in its environment, if `brokers` are those of Kafka.
    pub fn environment(&self, brokers: &str) -> Result<Vec<(&'static str, String)>> {
        let not_understood = || format!("not USER@HOST:PORT/DATABASE: {}", self.url);
        let (_, rest) = self.url.split_once("://").with_context(not_understood)?;
        let (user, rest) = rest.split_once('@').with_context(not_understood)?;
        let (address, database) = rest.split_once('/').with_context(not_understood)?;
        let (host, port) = address.split_once(':').with_context(not_understood)?;
        let of_source = [
            ("SOURCE_HOST", host),
            ("SOURCE_PORT", port),
            ("SOURCE_USER", user),
            ("SOURCE_PASSWORD", ""),
            ("SOURCE_DATABASE", database),
            ("KAFKA", brokers),
        ];
        Ok(of_source.map(|(name, value)| (name, value.to_owned())).to_vec())
    }

    async fn execute(&mut self, sql: String) -> Result<()> {
        let statements = sqlx::raw_sql(AssertSqlSafe(sql));
        match &mut self.client {
            Client::Postgres(client) => statements.execute(client).await.map(|_| ())?,
            Client::MariaDb(client) => statements.execute(client).await.map(|_| ())?,
        }
        Ok(())
    }
}

/// A line of CSV as SQL writes a row. Databases take numbers and times as text, too; no field holds a comma.
fn row(line: &str) -> String {
    let value = |field: &str| match field {
        "" => "NULL".to_owned(),
        field => format!("'{}'", field.replace('\'', "''")),
    };
    format!("({})", line.split(',').map(value).collect::<Vec<_>>().join(", "))
}

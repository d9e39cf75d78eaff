//! Looking into a PostgreSQL.

use anyhow::{Context, Result};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Decode, Postgres as PgDatabase, Row, Type};

/// A database of PostgreSQL as a test sees it.
#[derive(Debug, Clone)]
pub struct Postgres {
    url: String,
}

impl Postgres {
    /// The database of a URL.
    pub fn at(url: &str) -> Self {
        Self { url: url.to_owned() }
    }

    /// Makes a database of its own on the server of a URL.
    pub async fn create(server: &str, name: &str) -> Result<Self> {
        let (base, _) = server.rsplit_once('/').context("the URL names no database")?;
        Self::at(server).execute(&format!("CREATE DATABASE {name}")).await?;
        Ok(Self { url: format!("{base}/{name}") })
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    async fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.url).await?)
    }

    /// Runs statements.
    pub async fn execute(&self, sql: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.connect().await?).await?;
        Ok(())
    }

    /// One integer; none if there is none, or no such table yet.
    pub async fn number(&self, sql: &str) -> Option<i64> {
        let mut connection = self.connect().await.ok()?;
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.ok()
    }

    /// Rows of a query.
    pub async fn query(&self, sql: &str) -> Result<Vec<PgRow>> {
        Ok(sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.connect().await?).await?)
    }

    /// Rows of a name, what the name counts in, and a count.
    pub async fn rows<Part>(&self, sql: &str) -> Result<Vec<((String, Part), i64)>>
    where
        Part: for<'r> Decode<'r, PgDatabase> + Type<PgDatabase>,
    {
        let rows = self.query(sql).await?;
        rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?))).collect()
    }
}

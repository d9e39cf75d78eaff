//! Looking at tables, and recounting in plain SQL.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, FromRow, Row};

/// Clicks per campaign and start of the window, as the tables and recounts give them.
pub type Counts = BTreeMap<(String, String), i64>;

/// A SQLite database.
pub struct Database(SqliteConnection);

impl Database {
    /// Opens a database file, or makes it.
    pub async fn open(path: &Path) -> Result<Self> {
        Ok(Self(SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await?))
    }

    /// Runs statements.
    pub async fn execute(&mut self, sql: &str) -> Result<()> {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut self.0).await?;
        Ok(())
    }

    /// Rows of (text, text, integer), by the first two; a pair that stands twice is an error.
    pub async fn counts(&mut self, sql: &str) -> Result<Counts> {
        let mut counts = Counts::new();
        for row in sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.0).await? {
            let key = (row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?);
            anyhow::ensure!(counts.insert(key.clone(), row.try_get(2)?).is_none(), "{key:?} stands twice");
        }
        Ok(counts)
    }

    /// Rows of a query.
    pub async fn rows<R>(&mut self, sql: &str) -> Result<Vec<R>>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.0).await?)
    }

    /// One integer; none if there is no row, or no such table yet.
    pub async fn number(&mut self, sql: &str) -> Option<i64> {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_optional(&mut self.0).await.ok().flatten()
    }

    /// Rows of one integer.
    pub async fn numbers(&mut self, sql: &str) -> Result<Vec<i64>> {
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.0).await?)
    }

    /// Loads a file of NDJSON into a table `lines(line)`.
    pub async fn load(&mut self, lines: impl Iterator<Item = &str>) -> Result<()> {
        self.execute("CREATE TABLE lines (line TEXT NOT NULL); BEGIN").await?;
        let lines: Vec<&str> = lines.collect();
        for chunk in lines.chunks(500) {
            let places = vec!["(?)"; chunk.len()].join(",");
            let sql = format!("INSERT INTO lines VALUES {places}");
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
            for line in chunk {
                query = query.bind(*line);
            }
            query.execute(&mut self.0).await?;
        }
        self.execute("COMMIT").await
    }
}

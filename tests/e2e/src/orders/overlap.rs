//! A transaction that overlaps the snapshot of PostgreSQL's connector.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

/// How long a connector may take to get to its snapshot.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes a change before the point of the log at which the snapshot of a connector stands that is about to be started,
/// and commits it behind that point.
///
/// A server that makes a replication slot waits for everybody who is under way, then once more for everybody who has
/// begun meanwhile. Who begins after that is neither waited for nor in the snapshot, but in the stream
/// (`SnapBuildFindSnapshot` of PostgreSQL).
pub async fn change_across_snapshot(url: &str, change: &str) -> Result<()> {
    let mut eyes = PgConnection::connect(url).await?;
    let first = Transaction::begin(url).await?;
    first.is_waited_for(&mut eyes).await?;
    let second = Transaction::begin(url).await?;
    first.commit().await?;
    second.is_waited_for(&mut eyes).await?;

    let mut third = Transaction::begin(url).await?;
    third.execute(change).await?;
    let written: String = sqlx::query_scalar("SELECT pg_current_wal_insert_lsn()::text").fetch_one(&mut eyes).await?;
    second.commit().await?;
    until(&mut eyes, &format!("SELECT count(*) FROM pg_replication_slots WHERE confirmed_flush_lsn > '{written}'"))
        .await?;
    third.commit().await
}

struct Transaction {
    client: PgConnection,
    number: String,
}

impl Transaction {
    async fn begin(url: &str) -> Result<Self> {
        let mut client = PgConnection::connect(url).await?;
        sqlx::raw_sql("BEGIN").execute(&mut client).await?;
        let number = sqlx::query_scalar("SELECT pg_current_xact_id()::text").fetch_one(&mut client).await?;
        Ok(Self { client, number })
    }

    async fn is_waited_for(&self, eyes: &mut PgConnection) -> Result<()> {
        let waits =
            "SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted AND transactionid = ";
        until(eyes, &format!("{waits}'{}'", self.number)).await
    }

    async fn execute(&mut self, sql: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.client).await.map(|_| ()).context(sql.to_owned())
    }

    async fn commit(mut self) -> Result<()> {
        self.execute("COMMIT").await
    }
}

/// Waits until a query counts something.
async fn until(eyes: &mut PgConnection, query: &str) -> Result<()> {
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(AssertSqlSafe(query.to_owned())).fetch_one(&mut *eyes).await? == 0 {
        ensure!(begun.elapsed() < PATIENCE, "never: {query}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

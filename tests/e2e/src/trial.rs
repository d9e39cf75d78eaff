//! Numbered records through a group of hosts, and what must come out whatever happened on the way.

use anyhow::{Result, ensure};
use sqlx::Row;

use crate::kafka::Kafka;
use crate::numbered::{COPIES, COPY_PIPELINE, COUNT_PIPELINE, COUNTS, Load, NUMBERED, PARTITIONS, Produced};
use crate::{Azenha, Group, Postgres};

/// The pipelines over numbered records.
const PIPELINES: [&str; 2] = ["copying", "counting"];
/// Hosts at the start.
const HOSTS: usize = 3;

/// Hosts that copy and count numbered records, and where these go.
pub struct Trial {
    /// The hosts.
    pub group: Group,
    /// The cluster.
    pub kafka: Kafka,
    /// The database, reached directly.
    pub postgres: Postgres,
    /// Holds the pipelines.
    _directory: Azenha,
}

impl Trial {
    /// Starts three hosts that reach their database by `warehouse`, and waits until they have shared the work.
    pub async fn start(brokers: &str, postgres: Postgres, warehouse: &str) -> Result<Self> {
        let kafka = Kafka::at(brokers);
        kafka.create_topic(NUMBERED, PARTITIONS).await?;
        let directory = Azenha::new()?;
        let copying = directory.write("copying/pipeline.yaml", COPY_PIPELINE)?;
        let counting = directory.write("counting/pipeline.yaml", COUNT_PIPELINE)?;
        let config = format!(
            "log: {{ kafka: {{ brokers: '{brokers}', session_timeout_ms: 6000, heartbeat_interval_ms: 1000, \
             transaction_timeout_ms: 10000 }} }}\n\
             connections: {{ warehouse: {{ url: '{warehouse}' }} }}\n"
        );
        let group = Group::new(&[&copying, &counting], &config);
        let mut trial = Self { group, kafka, postgres, _directory: directory };
        let started = trial.share().await;
        trial.group.judge("start", started)?;
        Ok(trial)
    }

    async fn share(&mut self) -> Result<()> {
        for _ in 0..HOSTS {
            self.group.add()?;
        }
        for pipeline in PIPELINES {
            self.group.wait_until_shared(pipeline).await?;
        }
        Ok(())
    }

    /// Rows in the table of copies.
    pub async fn copied(&self) -> i64 {
        self.postgres.number("SELECT count(*) FROM copies").await.unwrap_or_default()
    }

    async fn counted(&self) -> i64 {
        self.postgres.number("SELECT sum(click_count)::bigint FROM window_counts").await.unwrap_or_default()
    }

    /// Ends the load, waits until all of it has arrived, stops the hosts, and compares.
    pub async fn finish(&mut self, load: Load) -> Result<()> {
        let produced = load.stop()?;
        println!("{} records were sent", produced.total());
        let arrived = self.arrived(produced.total()).await;
        if let Err(error) = &arrived {
            println!("{error:#}: {} copied, {} counted", self.copied().await, self.counted().await);
        }
        // Also when something is missing: what exactly is the interesting part.
        let checked = self.group.stop_all().and(self.check(&produced).await);
        arrived.and(checked)
    }

    async fn arrived(&mut self, total: i64) -> Result<()> {
        let postgres = self.postgres.clone();
        let sql = format!(
            "SELECT ((SELECT count(*) FROM copies) >= {total} \
             AND (SELECT sum(click_count) FROM window_counts) >= {total})::int::bigint"
        );
        self.group
            .wait_until("everything arrives", async |group| {
                for pipeline in PIPELINES {
                    let lanes = group.lanes(pipeline);
                    let failed = lanes.iter().find(|(_, states)| states.iter().any(|state| state == "failed"));
                    ensure!(failed.is_none(), "{pipeline}: a lane has failed: {failed:?}");
                }
                Ok(postgres.number(&sql).await == Some(1))
            })
            .await
    }

    /// Only what readers see: the tables, and what is committed in the topics.
    async fn check(&self, produced: &Produced) -> Result<()> {
        let rows = self.postgres.query("SELECT device, sequence FROM copies").await?;
        let pairs = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<Vec<_>>>()?;
        let windows = "SELECT device, (extract(epoch FROM start_time) * 1000)::bigint, click_count FROM window_counts";
        let checks = [
            produced.check_each("the table of copies", pairs),
            produced.check_copies(&self.kafka.read(COPIES)?),
            produced.check_windows("the table of counts", &self.postgres.rows(windows).await?.into_iter().collect()),
            produced.check_counts(&self.kafka.read(COUNTS)?),
        ];
        let failures: Vec<String> =
            checks.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
        ensure!(failures.is_empty(), "{}", failures.join("\n"));
        Ok(())
    }
}

//! Where partitions end, for answers that are given without it if the log does not say.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use azenha_engine::log::{Bounds, Log};
use azenha_engine::status::TaskStatus;
use futures::{StreamExt, stream};
use tokio::time::timeout;

/// How long the log may take to tell the bounds of all partitions.
const PATIENCE: Duration = Duration::from_secs(3);

/// Partitions that are asked for at the same time: brokers answer each for itself.
const TOGETHER: usize = 32;

/// The bounds of partitions, for one answer.
#[derive(Default)]
pub struct Ends(HashMap<(String, u32), Bounds>);

impl Ends {
    /// Asks a log for the bounds of what tasks read. Where it does not answer in time, they are not known.
    pub async fn of(log: &dyn Log, tasks: impl IntoIterator<Item = &TaskStatus>) -> Self {
        let partitions = |task: &TaskStatus| -> Vec<(String, u32)> {
            task.lanes.iter().map(|lane| (task.input.clone(), lane.partition)).collect()
        };
        let all: HashSet<(String, u32)> = tasks.into_iter().flat_map(partitions).collect();
        let ask = |(topic, partition): (String, u32)| async move {
            match log.bounds(&topic, partition).await {
                Ok(bounds) => Some(((topic, partition), bounds)),
                Err(error) => {
                    tracing::warn!(topic, partition, %error, "where a partition ends is not known");
                    None
                }
            }
        };
        let mut answers = Box::pin(stream::iter(all).map(ask).buffer_unordered(TOGETHER));
        let mut ends = Self::default();
        let asked = timeout(PATIENCE, async {
            while let Some(answer) = answers.next().await {
                ends.0.extend(answer);
            }
        });
        if asked.await.is_err() {
            tracing::warn!("the log does not say in time where partitions end");
        }
        ends
    }

    /// The bounds of a partition; none if the log did not tell them.
    pub fn bounds(&self, topic: &str, partition: u32) -> Option<Bounds> {
        self.0.get(&(topic.to_owned(), partition)).copied()
    }
}

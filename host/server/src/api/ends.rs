//! Where partitions end, for answers that are given without it if the log does not say.

use std::time::Duration;

use azenha_engine::log::{Bounds, Log};
use tokio::time::timeout;

/// How long the log may take to tell the bounds of a partition.
const PATIENCE: Duration = Duration::from_secs(3);

/// The bounds of partitions, for one answer.
pub struct Ends<'a> {
    log: &'a dyn Log,
    /// The log does not answer now: it is not asked again, or each lane would wait as long.
    is_silent: bool,
}

impl<'a> Ends<'a> {
    /// Asks this log.
    pub fn of(log: &'a dyn Log) -> Self {
        Self { log, is_silent: false }
    }

    /// The bounds of a partition; none if the log fails.
    pub async fn bounds(&mut self, topic: &str, partition: u32) -> Option<Bounds> {
        if self.is_silent {
            return None;
        }
        match timeout(PATIENCE, self.log.bounds(topic, partition)).await {
            Ok(Ok(bounds)) => return Some(bounds),
            Ok(Err(error)) => {
                self.is_silent = error.is_passing();
                tracing::warn!(topic, partition, %error, "where a partition ends is not known");
            }
            Err(_) => {
                self.is_silent = true;
                tracing::warn!(topic, partition, "the log does not say in time where a partition ends");
            }
        }
        None
    }
}

//! How far lanes are behind the ends of their partitions, for answers that are given without it if the log does not say.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use azenha_engine::log::{Bounds, Log};
use azenha_engine::status::{LaneStatus, TaskStatus};
use azenha_model::Offset;
use futures::{StreamExt, stream};
use tokio::time::timeout;

/// How long the log may take to tell the bounds of all partitions.
const PATIENCE: Duration = Duration::from_secs(3);

/// Partitions that are asked for at the same time: brokers answer each for itself.
const TOGETHER: usize = 32;

/// What lanes had committed, and then where partitions ended, for one answer: in this order nobody seems to be done whose
/// input has grown by what others did meanwhile.
#[derive(Default)]
pub struct Ends {
    bounds: HashMap<(String, u32), Bounds>,
    /// By the address of the lane's status.
    positions: HashMap<usize, Offset>,
}

impl Ends {
    /// Asks a log for the bounds of what tasks read. Where it does not answer in time, they are not known.
    pub async fn of(log: &dyn Log, tasks: impl IntoIterator<Item = &TaskStatus>) -> Self {
        let tasks: Vec<&TaskStatus> = tasks.into_iter().collect();
        let lanes = tasks.iter().flat_map(|task| &task.lanes);
        let positions = lanes.filter_map(|lane| Some((address(lane), lane.committed()?))).collect();
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
        let mut ends = Self { bounds: HashMap::new(), positions };
        let asked = timeout(PATIENCE, async {
            while let Some(answer) = answers.next().await {
                ends.bounds.extend(answer);
            }
        });
        if asked.await.is_err() {
            tracing::warn!("the log does not say in time where partitions end");
        }
        ends
    }

    /// The bounds of a partition; none if the log did not tell them.
    pub fn bounds(&self, topic: &str, partition: u32) -> Option<Bounds> {
        self.bounds.get(&(topic.to_owned(), partition)).copied()
    }

    /// What a lane had committed; none before it is restored, and if it is on another host.
    pub fn committed(&self, lane: &LaneStatus) -> Option<Offset> {
        self.positions.get(&address(lane)).copied()
    }

    /// How many offsets a lane has yet to commit; none if that is not known.
    pub fn lag(&self, topic: &str, lane: &LaneStatus) -> Option<u64> {
        let end = self.bounds(topic, lane.partition)?.end;
        Some(end.saturating_sub(self.committed(lane)?))
    }
}

fn address(lane: &LaneStatus) -> usize {
    std::ptr::from_ref(lane).addr()
}

//! How far the lanes of a pipeline have come, in a few numbers.

use std::sync::atomic::Ordering::Relaxed;

use azenha_engine::status::{LaneStatus, NO_TIME, TaskStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ends::Ends;
use crate::ingest::now;

/// How far the lanes of a pipeline have come on this host.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Records that its lanes have yet to commit, in all; none if that is not known of any lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// Seconds between the lowest watermark and now; none without event time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_delay: Option<f64>,
    /// Dead letters written since the host started.
    pub dead_letters: u64,
}

impl Progress {
    /// That of all tasks together.
    pub fn of(tasks: &[TaskStatus], ends: &Ends) -> Self {
        let mut progress = Self::default();
        for task in tasks {
            for lane in &task.lanes {
                progress.add(&task.input, lane, ends);
            }
        }
        progress
    }

    fn add(&mut self, topic: &str, lane: &LaneStatus, ends: &Ends) {
        self.dead_letters += lane.counters.dead_letters.load(Relaxed);
        // Otherwise another host reads the partition, or nobody does yet.
        if ends.committed(lane).is_none() {
            return;
        }
        if let Some(lag) = ends.lag(topic, lane) {
            *self.lag.get_or_insert(0) += lag;
        }
        self.watermark_delay = self.watermark_delay.into_iter().chain(watermark_delay(lane)).reduce(f64::max);
    }
}

/// Seconds between a lane's watermark and now; none without event time.
pub fn watermark_delay(lane: &LaneStatus) -> Option<f64> {
    let watermark = lane.watermark.load(Relaxed);
    (watermark != NO_TIME).then(|| (now() - watermark) as f64 / 1e6)
}

//! Versions of a pipeline: what is known of the one that runs, and from where on each lane runs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::BinaryArray;
use azenha_model::plan::{TopicKind, TopicSpec, versions_topic};
use azenha_model::{Offset, Records};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};

use crate::error::EngineError;
use crate::log::{Append, Log, read_settled};

/// Counts the versions of a pipeline that the log defines; 0 is that of a file, of which nothing is kept.
pub type Version = u64;

/// What is known of the version that a program is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edition {
    /// Its number.
    pub version: Version,
    /// When a lane must not go on with it; none: whatever it does, it goes on.
    pub guard: Option<Guard>,
    /// Steps whose state was given up, with the version at which that was said.
    pub resets: BTreeMap<String, Version>,
    /// Steps of which every group gives its result anew, with the version at which that was said.
    pub recomputes: BTreeMap<String, Version>,
    /// Steps that went on from the state before some versions, with those, in their order.
    pub undone: BTreeMap<String, Vec<Undone>>,
}

impl Edition {
    /// Why what a version did for a step does not count any more; none if it does.
    pub fn undone(&self, step: &str, version: Version) -> Option<Undone> {
        self.undone.get(step)?.iter().copied().find(|undone| (undone.from..undone.by).contains(&version))
    }
}

/// What versions did for a step does not count any more: it goes on from the state before them, and reads again what they
/// read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// The first of them.
    pub from: Version,
    /// The version that said so: the first one behind them.
    pub by: Version,
}

/// New code is trusted once a lane has read some records with it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// Records of each lane.
    pub records: u64,
    /// The share of them that plugins may refuse or fail on: 0 to 1.
    pub share: f64,
}

/// A lane gave up a version before it had committed what made it do so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distrust {
    /// The version that the code began with in the lane: later ones may have left it as it is.
    pub version: Version,
    /// The lane and what it saw, for people.
    pub reason: String,
}

/// From where on a lane runs a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The task.
    pub task: String,
    /// The partition of its input.
    pub partition: u32,
    /// What it runs from there on.
    pub version: Version,
    /// The first offset that it reads with it.
    pub from: Offset,
    /// What it runs; none where a host did not say it.
    #[serde(default)]
    pub code: Option<Code>,
}

/// What a lane runs: later versions of its pipeline may leave that as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// What it is known by.
    pub digest: String,
    /// The version with which it began in the lane.
    pub version: Version,
    /// The first offset that the lane read with it.
    pub from: Offset,
}

impl Begun {
    /// What the lane runs there.
    pub fn code(&self) -> Code {
        let unknown = || Code { digest: String::new(), version: self.version, from: self.from };
        self.code.clone().unwrap_or_else(unknown)
    }

    /// The record that says so. Its key differs between versions: all of them are kept.
    pub fn append(&self, pipeline: &str, timestamp: i64) -> Append {
        let key = format!("{}/{}/{}", self.task, self.partition, self.version);
        // Text and numbers always become JSON.
        let value = serde_json::to_vec(self).unwrap_or_default();
        let records = Records {
            timestamps: vec![timestamp],
            keys: BinaryArray::from_iter_values([key]),
            values: BinaryArray::from_iter_values([value]),
        };
        Append { topic: versions_topic(pipeline), partition: 0, records }
    }
}

/// What the log says of the versions that the lanes of a pipeline ran.
#[derive(Debug)]
pub struct Versions {
    log: Arc<dyn Log>,
    topic: String,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    next: Offset,
    begun: Vec<Begun>,
}

impl Versions {
    /// Makes the topic if it is missing.
    pub async fn open(log: &Arc<dyn Log>, pipeline: &str) -> Result<Self, EngineError> {
        let topic = versions_topic(pipeline);
        log.ensure_topic(&TopicSpec { name: topic.clone(), partitions: 1, kind: TopicKind::Compacted }).await?;
        Ok(Self { log: Arc::clone(log), topic, read: Mutex::default() })
    }

    /// What a lane began last.
    pub async fn last(&self, task: &str, partition: u32) -> Result<Option<Begun>, EngineError> {
        let read = self.catch_up().await?;
        Ok(read.begun.iter().rfind(|begun| begun.task == task && begun.partition == partition).cloned())
    }

    /// What all lanes began, in the order in which they did.
    pub async fn all(&self) -> Result<Vec<Begun>, EngineError> {
        Ok(self.catch_up().await?.begun.clone())
    }

    async fn catch_up(&self) -> Result<MutexGuard<'_, Read>, EngineError> {
        let mut read = self.read.lock().await;
        let Read { next, begun } = &mut *read;
        read_settled(self.log.as_ref(), &self.topic, 0, next, |fetched| {
            for value in fetched.records.values.iter().flatten() {
                match serde_json::from_slice(value) {
                    Ok(lane) => begun.push(lane),
                    Err(error) => tracing::error!(topic = self.topic, %error, "a record is passed over"),
                }
            }
            Ok::<_, EngineError>(())
        })
        .await?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_undone_until_the_one_that_said_so() {
        let undone = vec![Undone { from: 2, by: 4 }, Undone { from: 5, by: 6 }];
        let edition = Edition { undone: BTreeMap::from([("counts".to_owned(), undone)]), ..Edition::default() };
        let counted: Vec<bool> = (1..8).map(|version| edition.undone("counts", version).is_none()).collect();
        assert_eq!(counted, [true, false, false, true, false, true, true]);
        assert_eq!(edition.undone("another", 2), None);
    }
}

//! The state of an aggregation before a version whose accumulators the code before cannot read: what there is to go back to.
//!
//! A lane that takes such a version over keeps all its groups in `azenha.PIPELINE.TASK.snapshots`, in the commit that begins
//! the version. What then still arrives from lanes that have not gone over is kept, too: it is a part of what was done
//! before (the state of a channel in Chandy and Lamport, "Distributed Snapshots", 1985). Each snapshot takes the place of
//! the one before.

use std::str::from_utf8;
use std::sync::Arc;

use arrow_array::BinaryArray;
use azenha_model::plan::{Plan, TopicKind, TopicSpec, snapshots_topic};
use azenha_model::{Offset, Records};
use serde::{Deserialize, Serialize};

use crate::edition::Version;
use crate::error::EngineError;
use crate::log::{Append, Log, read_whole};
use crate::state::{Restored, StateHeader, restore, whole};
use crate::task::TaskContext;
use crate::wire::Malformed;

/// Between which versions a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Between {
    /// The last one that wrote the state.
    pub of: Version,
    /// The one that began then.
    pub by: Version,
}

/// What the key of a record says of its value.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    /// A block of the state.
    State(Between),
    /// A message of the exchange, by its offset there.
    Late(Offset),
}

/// The last snapshot of a lane.
#[derive(Debug)]
pub struct Snapshot {
    /// When it was taken.
    pub between: Between,
    /// What the lane had reached then.
    pub restored: Restored,
    /// Messages of the exchange that belong to it, with their offsets there.
    pub late: Vec<(Offset, Vec<u8>)>,
}

impl Snapshot {
    /// What is known of the lane beside its groups.
    pub fn header(&self) -> Result<&StateHeader, EngineError> {
        let missing = || Malformed("a snapshot has no blocks".to_owned());
        self.restored.header.as_ref().ok_or_else(missing).map_err(malformed)
    }
}

/// A snapshot that goes out with a lane's next commit.
#[derive(Debug)]
pub struct Taken {
    /// The records.
    pub append: Append,
    /// What stands before this offset is not needed afterwards.
    pub before: Offset,
}

/// Makes the topics of a plan's snapshots.
pub async fn prepare(log: &dyn Log, plan: &Plan) -> Result<(), EngineError> {
    for task in plan.tasks.iter().filter(|task| task.end.aggregation().is_some()) {
        let input = plan.topics.iter().find(|topic| topic.name == task.input.topic());
        let name = snapshots_topic(&plan.pipeline, &task.name);
        let partitions = input.map_or(1, |topic| topic.partitions);
        log.ensure_topic(&TopicSpec { name, partitions, kind: TopicKind::Changelog }).await?;
    }
    Ok(())
}

/// The snapshot that must be kept of a lane's state before what the context runs takes it over from the version `of`; none
/// if the code before will be able to go on with what is written from now on.
pub async fn take(
    context: &TaskContext,
    partition: u32,
    of: Version,
    restored: &Restored,
) -> Result<Option<Taken>, EngineError> {
    let (Some(aggregation), Some(header)) = (context.task().end.aggregation(), &restored.header) else {
        return Ok(None);
    };
    if context.versions.is_none() || header.state_version == aggregation.plan.state_version {
        return Ok(None);
    }
    let topic = snapshots_topic(&context.program.plan.pipeline, &context.task().name);
    let blocks = whole(header, &restored.table).map_err(malformed)?;
    let part = Part::State(Between { of, by: context.program.edition.version });
    let append = append(&topic, partition, header.timestamp, blocks.into_iter().map(|block| (&part, block)));
    let log = Arc::clone(&context.log);
    let bounds = context.io(async move { log.bounds(&topic, partition).await }).await??;
    Ok(Some(Taken { append, before: bounds.end }))
}

/// Messages that belong to the last snapshot, with their offsets in the exchange; none if there are none.
pub fn late(topic: &str, partition: u32, timestamp: i64, messages: Vec<(Offset, Vec<u8>)>) -> Option<Append> {
    let parts: Vec<Part> = messages.iter().map(|(offset, _)| Part::Late(*offset)).collect();
    let records = parts.iter().zip(messages.into_iter().map(|(_, message)| message));
    (!parts.is_empty()).then(|| append(topic, partition, timestamp, records))
}

fn append<'a>(
    topic: &str,
    partition: u32,
    timestamp: i64,
    records: impl Iterator<Item = (&'a Part, Vec<u8>)>,
) -> Append {
    // Numbers always become JSON.
    let (keys, values): (Vec<_>, Vec<_>) =
        records.map(|(part, value)| (serde_json::to_vec(part).unwrap_or_default(), value)).unzip();
    let records = Records {
        timestamps: vec![timestamp; values.len()],
        keys: BinaryArray::from_iter_values(keys),
        values: BinaryArray::from_iter_values(values),
    };
    Append { topic: topic.to_owned(), partition, records }
}

/// The last snapshot of a lane; none if none was ever needed.
pub async fn last(log: &dyn Log, topic: &str, partition: u32) -> Result<Option<Snapshot>, EngineError> {
    read_whole(log, topic, partition, |last, fetched| {
        for ((key, value), offset) in fetched.records.keys.iter().zip(&fetched.records.values).zip(&fetched.offsets) {
            let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
            let part = serde_json::from_slice(key);
            let part = part.map_err(|error| Malformed(format!("the key at offset {offset}, {}: {error}", shown(key))));
            add(last, part.map_err(malformed)?, value).map_err(malformed)?;
        }
        Ok(())
    })
    .await
}

fn add(last: &mut Option<Snapshot>, part: Part, value: &[u8]) -> Result<(), Malformed> {
    match part {
        Part::State(between) => {
            let of_it = last.take().filter(|snapshot| snapshot.between == between);
            let new = || Snapshot { between, restored: Restored::default(), late: Vec::new() };
            restore(&mut last.insert(of_it.unwrap_or_else(new)).restored, [value].into_iter())
        }
        Part::Late(offset) => {
            // Where a snapshot was purged, what belonged to it is on its way out, too.
            if let Some(snapshot) = last {
                snapshot.late.push((offset, value.to_vec()));
            }
            Ok(())
        }
    }
}

fn shown(key: &[u8]) -> &str {
    from_utf8(key).unwrap_or("which is no text")
}

fn malformed(source: Malformed) -> EngineError {
    EngineError::Malformed { what: "a snapshot of before a swap".to_owned(), source }
}

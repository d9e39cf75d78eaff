//! Whose an index is. Versions are offsets of one topic: those of another would hide each other's rows, without a word.

use azenha_engine::store::StoreLaneId;
use reqwest::Method;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::http::{Api, Call};
use super::mapping::describe;
use super::positions::{self, Stored};
use crate::store::Failure;

/// Who writes an index.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    pipeline: String,
    sink: String,
    topic: String,
    /// What tells the index from one of the same name that was there before.
    index_uuid: String,
}

#[derive(Debug, Deserialize)]
struct Counted {
    count: u64,
}

/// Makes sure that the index is the sink's own, of which nobody else's documents are.
pub(super) async fn claim(api: &Api, index: &str, lane: &StoreLaneId) -> Result<(), Failure> {
    let Some(described) = describe(api, index).await? else {
        return Err(Failure::Definition(format!("index `{index}` is gone: start the pipeline again to make it")));
    };
    let StoreLaneId { pipeline, sink, topic, .. } = lane.clone();
    let mine = Owner { pipeline, sink, topic, index_uuid: described.uuid().to_owned() };
    let id = json!(["index", index]).to_string();
    loop {
        let stored: Option<Stored<Owner>> = positions::read(api, &id).await?;
        match stored.as_ref().map(|stored| &stored.document) {
            Some(owner) if *owner == mine => return Ok(()),
            Some(owner) if owner.index_uuid == mine.index_uuid => return Err(taken(index, owner)),
            Some(_) => {}
            None => check_empty(api, index).await?,
        }
        // If somebody else was faster, it may well be another lane of this sink.
        if positions::write(api, &id, &mine, stored.as_ref()).await? {
            return Ok(());
        }
    }
}

fn taken(index: &str, Owner { pipeline, sink, topic, .. }: &Owner) -> Failure {
    Failure::Definition(format!(
        "index `{index}` is written by sink `{sink}` of pipeline `{pipeline}`, which reads topic `{topic}`: the versions of \
         its documents are offsets there; write to another index, or delete this one"
    ))
}

/// Waits until every shard of an index can be read.
const STARTED: [(&str, &str); 2] = [("wait_for_status", "yellow"), ("timeout", "30s")];

/// Documents of somebody else have versions that could be higher.
async fn check_empty(api: &Api, index: &str) -> Result<(), Failure> {
    // An index that was just made answers nothing until its shards have started.
    let started = ["_cluster", "health", index];
    let _: IgnoredAny = api.call(Call::new(Method::GET, &started).with(&STARTED)).await?;
    let counted: Counted = api.call(Call::new(Method::GET, &[index, "_count"])).await?;
    if counted.count == 0 {
        return Ok(());
    }
    let found = counted.count;
    Err(Failure::Definition(format!(
        "index `{index}` has {found} documents that no sink wrote: write to an index of the sink's own"
    )))
}

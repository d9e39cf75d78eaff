//! The index that holds how far each lane of each sink came.
//!
//! A search engine has no transactions. It changes a document only if nobody changed it since it was read, which is
//! enough: a lane's document is read before the rows of a commit are written, and moved after them.

use azenha_engine::store::StoreLaneId;
use azenha_model::Offset;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::http::{Api, Call, Refusal, Trouble};
use crate::store::{Failure, Step, Taken};

pub(super) const INDEX: &str = "azenha_positions";

/// How often a lane is taken whose document others change at the same time.
const ATTEMPTS: u32 = 20;

/// A lane's document.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Position {
    pipeline: String,
    sink: String,
    topic: String,
    partition: u32,
    topic_id: String,
    generation: i64,
    epoch: i64,
    next_offset: Option<i64>,
}

/// A document as it stood when it was read.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Stored<T> {
    #[serde(rename = "_seq_no")]
    number: u64,
    #[serde(rename = "_primary_term")]
    term: u64,
    #[serde(rename = "_source")]
    pub document: T,
}

/// A lane whose position can be moved as long as nobody else changes it.
#[derive(Debug)]
pub(super) struct Held(Stored<Position>);

impl Position {
    fn new(lane: &StoreLaneId, epoch: i64, next_offset: Option<i64>) -> Self {
        let StoreLaneId { pipeline, sink, topic, topic_id, partition, generation } = lane.clone();
        let generation = i64::from(generation);
        Self { pipeline, sink, topic, partition, topic_id, generation, epoch, next_offset }
    }

    fn taken(&self, lane: &StoreLaneId) -> Taken {
        let same_topic = self.topic_id == lane.topic_id;
        Taken { epoch: self.epoch, next_offset: self.next_offset, same_topic }
    }
}

fn id(lane: &StoreLaneId) -> String {
    json!([lane.pipeline, lane.sink, lane.topic, lane.partition]).to_string()
}

/// Makes the index, unless it is there.
pub(super) async fn prepare(api: &Api) -> Result<(), Failure> {
    let properties = json!({ "topic": { "type": "keyword" } });
    let body = json!({ "mappings": { "dynamic": false, "properties": properties } });
    match api.call::<Value>(Call::new(Method::PUT, &[INDEX]).json(&body)).await {
        Err(Trouble::Refused(Refusal { kind, .. })) if kind == super::mapping::EXISTS => Ok(()),
        made => Ok(made.map(drop)?),
    }
}

/// Raises the lane's epoch; none if a newer generation owns it. A new generation starts without a position.
pub(super) async fn take(api: &Api, lane: &StoreLaneId) -> Result<Option<Taken>, Failure> {
    let generation = i64::from(lane.generation);
    for _ in 0..ATTEMPTS {
        let stored: Option<Stored<Position>> = read(api, &id(lane)).await?;
        let found = stored.as_ref().map(|stored| &stored.document);
        let mine = match found {
            None => Position::new(lane, 1, None),
            Some(found) if found.generation > generation => return Ok(None),
            Some(found) if found.generation < generation => Position::new(lane, found.epoch + 1, None),
            Some(found) if found.topic_id != lane.topic_id => return Ok(Some(found.taken(lane))),
            Some(found) => Position::new(lane, found.epoch + 1, found.next_offset),
        };
        if write(api, &id(lane), &mine, stored.as_ref()).await? {
            return Ok(Some(mine.taken(lane)));
        }
    }
    Err(contended())
}

/// Where the lane stands, whoever owns it.
pub(super) async fn find(api: &Api, lane: &StoreLaneId) -> Result<Option<Taken>, Failure> {
    let stored: Option<Stored<Position>> = read(api, &id(lane)).await?;
    Ok(stored.map(|stored| stored.document.taken(lane)))
}

/// Sets the position of the lane's generation; false if a newer generation owns it.
pub(super) async fn set(api: &Api, lane: &StoreLaneId, next: Offset) -> Result<bool, Failure> {
    for _ in 0..ATTEMPTS {
        let stored: Option<Stored<Position>> = read(api, &id(lane)).await?;
        let found = stored.as_ref().map(|stored| &stored.document);
        if found.is_some_and(|found| found.generation > i64::from(lane.generation)) {
            return Ok(false);
        }
        let moved = Position::new(lane, found.map_or(0, |found| found.epoch) + 1, Some(next as i64));
        if write(api, &id(lane), &moved, stored.as_ref()).await? {
            return Ok(true);
        }
    }
    Err(contended())
}

/// The lane, if it still is as it was taken.
pub(super) async fn hold(api: &Api, step: Step<'_>) -> Result<Option<Held>, Failure> {
    let Step { lane, taken, .. } = step;
    let stored: Option<Stored<Position>> = read(api, &id(lane)).await?;
    let is_mine = |stored: &Stored<Position>| {
        let found = &stored.document;
        let place = (found.generation, found.epoch, found.next_offset);
        place == (i64::from(lane.generation), taken.epoch, taken.next_offset)
    };
    Ok(stored.filter(is_mine).map(Held))
}

/// Moves the position of a lane, unless somebody changed it since.
pub(super) async fn advance(api: &Api, step: Step<'_>, held: &Held) -> Result<bool, Failure> {
    let moved = Position { next_offset: Some(step.next as i64), ..held.0.document.clone() };
    write(api, &id(step.lane), &moved, Some(&held.0)).await
}

/// A document of the index.
pub(super) async fn read<T: serde::de::DeserializeOwned>(api: &Api, id: &str) -> Result<Option<Stored<T>>, Failure> {
    Ok(api.find(Call::new(Method::GET, &[INDEX, "_doc", id])).await?)
}

/// Writes a document in the place of another, or of none; false if something else stands there.
pub(super) async fn write<T: Serialize, U>(
    api: &Api,
    id: &str,
    document: &T,
    over: Option<&Stored<U>>,
) -> Result<bool, Failure> {
    let body = serde_json::to_value(document).map_err(|error| Failure::Definition(error.to_string()))?;
    let path = [INDEX, "_doc", id];
    let call = Call::new(Method::PUT, &path).json(&body);
    let written: Result<Value, Trouble> = match over {
        None => api.call(call.with(&[("op_type", "create")])).await,
        Some(Stored { number, term, .. }) => {
            let (number, term) = (number.to_string(), term.to_string());
            api.call(call.with(&[("if_seq_no", &number), ("if_primary_term", &term)])).await
        }
    };
    match written {
        Err(Trouble::Refused(Refusal { status: StatusCode::CONFLICT, .. })) => Ok(false),
        written => Ok(written.map(|_| true)?),
    }
}

fn contended() -> Failure {
    Failure::Unavailable("others change the lane's position all the time".into())
}

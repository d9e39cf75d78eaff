//! The collection that holds, beside the documents, how far each lane of each sink came.

use azenha_engine::store::StoreLaneId;
use azenha_model::Offset;
use mongodb::Collection;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;

use super::MongoSession;
use super::failure::{Trouble, failure, is_duplicate};
use crate::store::{Failure, Step, Taken};

pub(super) const COLLECTION: &str = "azenha_positions";

fn positions(session: &MongoSession) -> Collection<Document> {
    session.database.collection(COLLECTION)
}

fn id(lane: &StoreLaneId) -> Document {
    let StoreLaneId { pipeline, sink, topic, partition, .. } = lane;
    doc! { "pipeline": pipeline, "sink": sink, "topic": topic, "partition": i64::from(*partition) }
}

/// Makes the lane's document, as nobody's yet, if it is missing.
async fn ensure(positions: &Collection<Document>, lane: &StoreLaneId) -> Result<(), Failure> {
    let made = doc! { "$setOnInsert": {
        "topic_id": &lane.topic_id,
        "generation": i64::from(lane.generation),
        "epoch": 0_i64,
        "next_offset": Bson::Null,
    } };
    match positions.update_one(doc! { "_id": id(lane) }, made).upsert(true).await {
        // Somebody else made it at the same time.
        Err(error) if !is_duplicate(&error) => Err(failure(error)),
        _ => Ok(()),
    }
}

/// Raises the lane's epoch; none if a newer generation owns it. A new generation starts without a position.
pub(super) async fn take(session: &mut MongoSession, lane: &StoreLaneId) -> Result<Option<Taken>, Failure> {
    let positions = positions(session);
    ensure(&positions, lane).await?;
    end_transaction_of_owner(session, lane).await?;
    let generation = i64::from(lane.generation);
    let mine = doc! { "_id": id(lane), "$or": [
        { "generation": { "$lt": generation } },
        { "generation": generation, "topic_id": &lane.topic_id },
    ] };
    let is_same = doc! { "$eq": ["$generation", generation] };
    let taken = vec![doc! { "$set": {
        "epoch": { "$add": ["$epoch", 1_i64] },
        "generation": generation,
        "topic_id": { "$literal": &lane.topic_id },
        "next_offset": { "$cond": [is_same, "$next_offset", Bson::Null] },
        "session": { "$literal": session.session.id().clone() },
    } }];
    let update = positions.find_one_and_update(mine, taken).return_document(ReturnDocument::After);
    if let Some(taken) = update.await.map_err(failure)? {
        return read(&taken, lane).map(Some);
    }
    let stored = stored(&positions, lane).await?;
    let of_another_topic = stored.filter(|stored| stored.get_i64("generation").ok() == Some(generation));
    of_another_topic.map(|stored| read(&stored, lane)).transpose()
}

/// The server keeps the transaction of a host that has vanished for a minute, and the lane's document locked with it:
/// it is ended by name. A server that does not allow that ends it in its own time.
async fn end_transaction_of_owner(session: &MongoSession, lane: &StoreLaneId) -> Result<(), Failure> {
    let stored = stored(&positions(session), lane).await?;
    let owner = stored.and_then(|stored| stored.get_document("session").ok().cloned());
    if let Some(owner) = owner.filter(|owner| owner != session.session.id()) {
        let ended = session.database.run_command(doc! { "killSessions": [owner] }).await;
        if let Err(error) = ended {
            tracing::debug!(error = %error.kind, "the session of a lane's last owner cannot be ended");
        }
    }
    Ok(())
}

/// Where the lane stands, whoever owns it.
pub(super) async fn find(session: &MongoSession, lane: &StoreLaneId) -> Result<Option<Taken>, Failure> {
    let stored = stored(&positions(session), lane).await?;
    stored.map(|stored| read(&stored, lane)).transpose()
}

/// Sets the position of the lane's generation; false if a newer generation owns it.
pub(super) async fn set(session: &MongoSession, lane: &StoreLaneId, next: Offset) -> Result<bool, Failure> {
    let positions = positions(session);
    ensure(&positions, lane).await?;
    let generation = i64::from(lane.generation);
    let mine = doc! { "_id": id(lane), "generation": { "$lte": generation } };
    let moved = doc! {
        "$inc": { "epoch": 1_i64 },
        "$set": { "generation": generation, "topic_id": &lane.topic_id, "next_offset": next as i64 },
    };
    Ok(positions.update_one(mine, moved).await.map_err(failure)?.matched_count == 1)
}

/// Moves the position as part of a transaction, if nobody took the lane over or moved it meanwhile.
pub(super) async fn advance(session: &mut MongoSession, step: Step<'_>) -> Result<bool, Trouble> {
    let Step { lane, taken, next } = step;
    let mine = doc! {
        "_id": id(lane),
        "generation": i64::from(lane.generation),
        "epoch": taken.epoch,
        "next_offset": taken.next_offset,
    };
    let moved = doc! { "$set": { "next_offset": next as i64 } };
    let update = positions(session).update_one(mine, moved).session(&mut session.session).await?;
    Ok(update.matched_count == 1)
}

async fn stored(positions: &Collection<Document>, lane: &StoreLaneId) -> Result<Option<Document>, Failure> {
    positions.find_one(doc! { "_id": id(lane) }).await.map_err(failure)
}

fn read(stored: &Document, lane: &StoreLaneId) -> Result<Taken, Failure> {
    let unreadable = |error| Failure::Definition(format!("the collection `{COLLECTION}` is not ours: {error}"));
    Ok(Taken {
        epoch: stored.get_i64("epoch").map_err(unreadable)?,
        next_offset: stored.get_i64("next_offset").ok(),
        same_topic: stored.get_str("topic_id").ok() == Some(lane.topic_id.as_str()),
    })
}

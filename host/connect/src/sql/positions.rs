//! The table that holds, beside the rows, how far each lane of each sink came.

use azenha_engine::store::StoreLaneId;
use azenha_model::plan::WriteMode;
use azenha_model::{DataType, Field, Offset};

use super::session::{Argument, Failure, Session};
use super::table::{self, Target};
use crate::store::Taken;

const TABLE: &str = "azenha_positions";

/// A lane that nobody has taken yet, unless it is there.
const ADD: &str = "INSERT INTO azenha_positions (pipeline, sink, topic, \"partition\", generation, topic_id, epoch)
    VALUES ($1, $2, $3, $4, $5, $6, 0)";

/// A new generation starts without a position; an older one than the stored one changes no row. The generation comes
/// last because MySQL sees what was set before.
const TAKE: &str = "UPDATE azenha_positions SET
        epoch = epoch + 1,
        topic_id = CASE generation WHEN $5 THEN topic_id ELSE $6 END,
        next_offset = CASE generation WHEN $5 THEN next_offset END,
        generation = $5
    WHERE pipeline = $1 AND sink = $2 AND topic = $3 AND \"partition\" = $4 AND generation <= $5";

/// Where a lane stands, and whether in the topic that is read: the last column is zero if not.
const FIND: &str = "SELECT epoch, next_offset, CASE topic_id WHEN $5 THEN epoch ELSE 0 END FROM azenha_positions
    WHERE pipeline = $1 AND sink = $2 AND topic = $3 AND \"partition\" = $4";

/// All at once: a lane that was given a new generation but no position would start over.
const SET: &str = "UPDATE azenha_positions SET
        epoch = epoch + 1,
        topic_id = $6,
        next_offset = $7,
        generation = $5
    WHERE pipeline = $1 AND sink = $2 AND topic = $3 AND \"partition\" = $4 AND generation <= $5";

/// No position is expected as -1, because nulls are not equal.
const ADVANCE: &str = "UPDATE azenha_positions SET next_offset = $8
    WHERE pipeline = $1 AND sink = $2 AND topic = $3 AND \"partition\" = $4
        AND generation = $5 AND epoch = $6 AND COALESCE(next_offset, -1) = $7";

/// Makes the table if it is missing: to say so with `IF NOT EXISTS` needs the right to make tables even if it exists.
pub(super) async fn prepare(session: &mut dyn Session) -> Result<(), Failure> {
    match session.find_table(TABLE).await? {
        Some(_) => Ok(()),
        None => session.run(&table::create_statement(session.dialect(), &target())).await,
    }
}

/// Forgets where the lanes of a pipeline stand.
pub(super) async fn forget(session: &mut dyn Session, pipeline: &str) -> Result<(), Failure> {
    if session.find_table(TABLE).await?.is_some() {
        session.change(&format!("DELETE FROM {TABLE} WHERE pipeline = $1"), &[Argument::Text(pipeline)]).await?;
    }
    Ok(())
}

fn target() -> Target {
    let text = |name| Field::new(name, DataType::Text, false);
    let integer = |name| Field::new(name, DataType::Int64, false);
    let fields = vec![
        text("pipeline"),
        text("sink"),
        text("topic"),
        text("topic_id"),
        integer("partition"),
        integer("generation"),
        integer("epoch"),
        Field::new("next_offset", DataType::Int64, true),
    ];
    Target { table: TABLE.to_owned(), fields, key: vec![0, 1, 2, 4], mode: WriteMode::Upsert, fulltext: Vec::new() }
}

fn identity(lane: &StoreLaneId) -> [Argument<'_>; 5] {
    [
        Argument::Text(&lane.pipeline),
        Argument::Text(&lane.sink),
        Argument::Text(&lane.topic),
        Argument::Integer(i64::from(lane.partition)),
        Argument::Integer(i64::from(lane.generation)),
    ]
}

/// Raises the lane's epoch, in a transaction; none if a newer generation owns it.
pub(super) async fn take(session: &mut dyn Session, lane: &StoreLaneId) -> Result<Option<Taken>, Failure> {
    if change(session, TAKE, lane, &[]).await? { find(session, lane).await } else { Ok(None) }
}

/// Where the lane stands, whoever owns it.
pub(super) async fn find(session: &mut dyn Session, lane: &StoreLaneId) -> Result<Option<Taken>, Failure> {
    let [pipeline, sink, topic, partition, _] = identity(lane);
    let arguments = [pipeline, sink, topic, partition, Argument::Text(&lane.topic_id)];
    let Some(row) = session.integers(FIND, &arguments).await? else { return Ok(None) };
    let [Some(epoch), next_offset, same_topic] = row[..] else { return Ok(None) };
    Ok(Some(Taken { epoch, next_offset, same_topic: same_topic != Some(0) }))
}

/// Sets the position of the lane's generation; false if a newer generation owns it.
pub(super) async fn set(session: &mut dyn Session, lane: &StoreLaneId, next: Offset) -> Result<bool, Failure> {
    session.begin().await?;
    let is_set = change(session, SET, lane, &[Argument::Integer(next as i64)]).await?;
    session.commit().await?;
    Ok(is_set)
}

/// Adds the lane if it is missing and changes it; false if a newer generation owns it.
async fn change(
    session: &mut dyn Session,
    sql: &str,
    lane: &StoreLaneId,
    more: &[Argument<'_>],
) -> Result<bool, Failure> {
    let mut arguments = identity(lane).to_vec();
    arguments.push(Argument::Text(&lane.topic_id));
    session.change(&format!("{ADD}{}", session.dialect().unless_there()), &arguments).await?;
    arguments.extend(more);
    Ok(session.change(sql, &arguments).await? > 0)
}

/// Moves the position, if nobody took the lane over or moved it meanwhile.
pub(super) async fn advance(
    session: &mut dyn Session,
    lane: &StoreLaneId,
    taken: Taken,
    next: Offset,
) -> Result<bool, Failure> {
    let mut arguments = identity(lane).to_vec();
    let expected = taken.next_offset.unwrap_or(-1);
    arguments.extend([taken.epoch, expected, next as i64].map(Argument::Integer));
    Ok(session.change(ADVANCE, &arguments).await? > 0)
}

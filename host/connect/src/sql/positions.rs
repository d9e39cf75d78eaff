//! The table that holds, beside the rows, how far each lane of each sink came.

use azenha_engine::store::StoreLaneId;
use azenha_model::Offset;

use super::session::{Argument, Failure, Session};

const TABLE: &str = "azenha_positions";

const CREATE: &str = "CREATE TABLE azenha_positions (
    pipeline TEXT NOT NULL,
    sink TEXT NOT NULL,
    topic TEXT NOT NULL,
    topic_id TEXT NOT NULL,
    partition BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    next_offset BIGINT,
    PRIMARY KEY (pipeline, sink, topic, partition)
)";

/// A new generation starts without a position; an older one than the stored one matches no row.
const TAKE: &str = "INSERT INTO azenha_positions (pipeline, sink, topic, partition, generation, topic_id, epoch)
    VALUES ($1, $2, $3, $4, $5, $6, 1)
    ON CONFLICT (pipeline, sink, topic, partition) DO UPDATE SET
        epoch = azenha_positions.epoch + 1,
        generation = excluded.generation,
        topic_id = CASE azenha_positions.generation
            WHEN excluded.generation THEN azenha_positions.topic_id ELSE excluded.topic_id END,
        next_offset = CASE azenha_positions.generation WHEN excluded.generation THEN azenha_positions.next_offset END
    WHERE azenha_positions.generation <= excluded.generation
    RETURNING epoch, next_offset, CAST(CASE topic_id WHEN $6 THEN 1 ELSE 0 END AS BIGINT)";

/// Where a lane stands, and whether in the topic that is read.
const FIND: &str = "SELECT next_offset, CAST(CASE topic_id WHEN $5 THEN 1 ELSE 0 END AS BIGINT) FROM azenha_positions
    WHERE pipeline = $1 AND sink = $2 AND topic = $3 AND partition = $4";

/// All at once: a lane that was given a new generation but no position would start over.
const SET: &str =
    "INSERT INTO azenha_positions (pipeline, sink, topic, partition, generation, topic_id, epoch, next_offset)
    VALUES ($1, $2, $3, $4, $5, $6, 1, $7)
    ON CONFLICT (pipeline, sink, topic, partition) DO UPDATE SET
        epoch = azenha_positions.epoch + 1,
        generation = excluded.generation,
        topic_id = excluded.topic_id,
        next_offset = excluded.next_offset
    WHERE azenha_positions.generation <= excluded.generation
    RETURNING epoch";

const ADVANCE: &str = "UPDATE azenha_positions SET next_offset = $8
    WHERE pipeline = $1 AND sink = $2 AND topic = $3 AND partition = $4
        AND generation = $5 AND epoch = $6 AND next_offset IS NOT DISTINCT FROM $7
    RETURNING next_offset";

/// A lane as its owner took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub epoch: i64,
    pub next_offset: Option<i64>,
    /// The position is one in the topic that is read, not in another of its name.
    pub same_topic: bool,
}

/// Makes the table if it is missing: to say so with `IF NOT EXISTS` needs the right to make tables even if it exists.
pub(super) async fn prepare(session: &mut dyn Session) -> Result<(), Failure> {
    match session.find_table(TABLE).await? {
        Some(_) => Ok(()),
        None => session.run(CREATE).await,
    }
}

/// A lane as anybody sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub next_offset: Option<i64>,
    /// As in [`Taken`].
    pub same_topic: bool,
}

fn identity(lane: &StoreLaneId) -> [Argument<'_>; 5] {
    [
        Argument::Text(&lane.pipeline),
        Argument::Text(&lane.sink),
        Argument::Text(&lane.topic),
        Argument::Integer(Some(i64::from(lane.partition))),
        Argument::Integer(Some(i64::from(lane.generation))),
    ]
}

/// Raises the lane's epoch; none if a newer generation owns it.
pub(super) async fn take(session: &mut dyn Session, lane: &StoreLaneId) -> Result<Option<Taken>, Failure> {
    let mut arguments = identity(lane).to_vec();
    arguments.push(Argument::Text(&lane.topic_id));
    let Some(row) = session.integers(TAKE, &arguments).await? else { return Ok(None) };
    let [Some(epoch), next_offset, same_topic] = row[..] else { return Ok(None) };
    Ok(Some(Taken { epoch, next_offset, same_topic: same_topic == Some(1) }))
}

/// Where the lane stands, whoever owns it.
pub(super) async fn find(session: &mut dyn Session, lane: &StoreLaneId) -> Result<Option<Found>, Failure> {
    let [pipeline, sink, topic, partition, _] = identity(lane);
    let arguments = [pipeline, sink, topic, partition, Argument::Text(&lane.topic_id)];
    let Some(row) = session.integers(FIND, &arguments).await? else { return Ok(None) };
    let [next_offset, same_topic] = row[..] else { return Ok(None) };
    Ok(Some(Found { next_offset, same_topic: same_topic == Some(1) }))
}

/// Sets the position of the lane's generation; false if a newer generation owns it.
pub(super) async fn set(session: &mut dyn Session, lane: &StoreLaneId, next: Offset) -> Result<bool, Failure> {
    let mut arguments = identity(lane).to_vec();
    arguments.extend([Argument::Text(&lane.topic_id), Argument::Integer(Some(next as i64))]);
    Ok(session.integers(SET, &arguments).await?.is_some())
}

/// Moves the position, if nobody took the lane over or moved it meanwhile.
pub(super) async fn advance(
    session: &mut dyn Session,
    lane: &StoreLaneId,
    taken: Taken,
    next: Offset,
) -> Result<bool, Failure> {
    let mut arguments = identity(lane).to_vec();
    arguments.extend([Some(taken.epoch), taken.next_offset, Some(next as i64)].map(Argument::Integer));
    Ok(session.integers(ADVANCE, &arguments).await?.is_some())
}

//! The table that holds, beside the rows, how far each lane of each sink came.

use azenha_engine::store::StoreLaneId;
use azenha_model::Offset;

use super::session::{Argument, Failure, Session};

pub(super) const CREATE: &str = "CREATE TABLE IF NOT EXISTS azenha_positions (
    pipeline TEXT NOT NULL,
    sink TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    next_offset BIGINT,
    PRIMARY KEY (pipeline, sink, topic, partition)
)";

/// A new generation starts without a position; an older one than the stored one matches no row.
const TAKE: &str = "INSERT INTO azenha_positions (pipeline, sink, topic, partition, generation, epoch)
    VALUES ($1, $2, $3, $4, $5, 1)
    ON CONFLICT (pipeline, sink, topic, partition) DO UPDATE SET
        epoch = azenha_positions.epoch + 1,
        generation = excluded.generation,
        next_offset = CASE azenha_positions.generation WHEN excluded.generation THEN azenha_positions.next_offset END
    WHERE azenha_positions.generation <= excluded.generation
    RETURNING epoch, next_offset";

const ADVANCE: &str = "UPDATE azenha_positions SET next_offset = $8
    WHERE pipeline = $1 AND sink = $2 AND topic = $3 AND partition = $4
        AND generation = $5 AND epoch = $6 AND next_offset IS NOT DISTINCT FROM $7
    RETURNING next_offset";

/// A lane as its owner took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub epoch: i64,
    pub next_offset: Option<i64>,
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
    let row = session.integers(TAKE, &identity(lane)).await?;
    Ok(row.and_then(|row| Some(Taken { epoch: (*row.first()?)?, next_offset: *row.get(1)? })))
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

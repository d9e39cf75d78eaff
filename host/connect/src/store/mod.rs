//! Stores that keep the next offset of each lane beside its rows, and commit both in one transaction; an epoch beside
//! it fences earlier owners. Databases differ in how, which is the [`Backend`]'s part.

use std::sync::Arc;

use async_trait::async_trait;
use azenha_engine::store::{RefusedRow, Store, StoreError, StoreLane, StoreLaneId, StoreRows};
use azenha_model::Offset;
use azenha_model::plan::StoreOutput;

pub(crate) use self::changes::Operation;
pub(crate) use self::failure::{Failure, Fault};
pub(crate) use self::worker::Worker;

pub(crate) mod cells;
pub(crate) mod changes;
mod failure;
mod worker;

/// Rows that are refused in one answer. Each costs some statements: more are found when the rest is tried again.
pub(crate) const MOST_REFUSED: usize = 500;

/// A lane as it stands; its owner keeps what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub epoch: i64,
    pub next_offset: Option<i64>,
    /// The position is one in the topic that is read, not in another of its name.
    pub same_topic: bool,
}

/// The step that a lane's position takes.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    pub lane: &'a StoreLaneId,
    pub taken: Taken,
    pub next: Offset,
}

/// How a commit ended, if the store answered.
pub(crate) enum Outcome {
    Committed,
    Fenced,
    Refused(Vec<RefusedRow>),
}

impl Outcome {
    /// As many refusals as a caller is told at once.
    pub fn refused(mut rows: Vec<RefusedRow>) -> Self {
        rows.sort_unstable_by_key(|row| (row.batch, row.row));
        rows.truncate(MOST_REFUSED);
        Self::Refused(rows)
    }
}

/// One database.
#[async_trait]
pub(crate) trait Backend: std::fmt::Debug + Send + Sync + 'static {
    /// What a lane holds.
    type Session: Send + 'static;
    /// What a sink writes.
    type Target: Send + Sync + 'static;

    fn target(&self, output: &StoreOutput) -> Result<Self::Target, Failure>;

    async fn connect(&self) -> Result<Self::Session, Failure>;

    /// Makes what the target and the positions need, or checks it.
    async fn prepare(&self, session: &mut Self::Session, target: &Self::Target) -> Result<(), Failure>;

    /// Raises the lane's epoch; none if a newer generation owns it. Where the position is one in another topic, the
    /// rightful owner keeps the lane.
    async fn take(&self, session: &mut Self::Session, lane: &StoreLaneId) -> Result<Option<Taken>, Failure>;

    /// Where the lane stands, whoever owns it.
    async fn find(&self, session: &mut Self::Session, lane: &StoreLaneId) -> Result<Option<Taken>, Failure>;

    /// Sets the position of the lane's generation; false if a newer generation owns it.
    async fn set(&self, session: &mut Self::Session, lane: &StoreLaneId, next: Offset) -> Result<bool, Failure>;

    /// Writes position and rows in one transaction.
    async fn commit(
        &self,
        session: &mut Self::Session,
        target: &Self::Target,
        step: Step<'_>,
        rows: &[StoreRows],
    ) -> Result<Outcome, Failure>;

    /// Ends what sessions share, once there is none.
    async fn close(&self);
}

/// The store of a backend.
#[derive(Debug)]
pub(crate) struct PositionedStore<B> {
    name: String,
    backend: Arc<B>,
    pub worker: Worker,
}

impl<B: Backend> PositionedStore<B> {
    /// Its work is done on the runtime of the caller.
    pub fn new(name: &str, backend: B) -> Self {
        Self { name: name.to_owned(), backend: Arc::new(backend), worker: Worker::here() }
    }

    fn of_lane(&self, doing: &str, lane: &StoreLaneId) -> String {
        format!("{doing} partition {} of sink `{}` in `{}`", lane.partition, lane.sink, self.name)
    }
}

#[async_trait]
impl<B: Backend> Store for PositionedStore<B> {
    async fn prepare(&self, output: &StoreOutput) -> Result<(), StoreError> {
        let what = format!("preparing `{}` of `{}` for sink `{}`", output.name, self.name, output.sink);
        let target = self.backend.target(output).map_err(|failure| failure.into_error(&what))?;
        let backend = Arc::clone(&self.backend);
        let work = async move { backend.prepare(&mut backend.connect().await?, &target).await };
        self.worker.run(work).await.map_err(|failure| failure.into_error(&what))
    }

    async fn open(&self, output: &StoreOutput, lane: &StoreLaneId) -> Result<Box<dyn StoreLane>, StoreError> {
        let what = self.of_lane("taking", lane);
        let target = self.backend.target(output).map_err(|failure| failure.into_error(&what))?;
        let (backend, id) = (Arc::clone(&self.backend), lane.clone());
        let work = async move {
            let mut session = backend.connect().await?;
            let taken = backend.take(&mut session, &id).await?;
            Ok((session, taken))
        };
        let (session, taken) = self.worker.run(work).await.map_err(|failure| failure.into_error(&what))?;
        let taken = taken.ok_or_else(|| fenced(lane))?;
        if !taken.same_topic {
            return Err(another_topic(lane, taken.next_offset));
        }
        Ok(Box::new(PositionedLane {
            what: format!("writing to `{}` of `{}`", output.name, self.name),
            worker: self.worker.clone(),
            backend: Arc::clone(&self.backend),
            session: Some(session),
            target: Arc::new(target),
            lane: Arc::new(lane.clone()),
            taken,
        }))
    }

    async fn position(&self, lane: &StoreLaneId) -> Result<Option<Offset>, StoreError> {
        let (backend, id) = (Arc::clone(&self.backend), lane.clone());
        let work = async move { backend.find(&mut backend.connect().await?, &id).await };
        let found = self.worker.run(work).await;
        match found.map_err(|failure| failure.into_error(&self.of_lane("looking at", lane)))? {
            Some(found) if !found.same_topic => Err(another_topic(lane, found.next_offset)),
            found => Ok(found.and_then(|found| found.next_offset).map(|offset| offset as Offset)),
        }
    }

    async fn set_position(&self, lane: &StoreLaneId, position: Offset) -> Result<(), StoreError> {
        let (backend, id) = (Arc::clone(&self.backend), lane.clone());
        let work = async move { backend.set(&mut backend.connect().await?, &id, position).await };
        let is_set = self.worker.run(work).await;
        let is_set = is_set.map_err(|failure| failure.into_error(&self.of_lane("moving", lane)))?;
        if is_set { Ok(()) } else { Err(fenced(lane)) }
    }

    async fn close(&self) {
        let backend = Arc::clone(&self.backend);
        let work = async move {
            backend.close().await;
            Ok(())
        };
        let closed = self.worker.run(work).await;
        if let Err(failure) = closed {
            let error = failure.into_error(&format!("closing `{}`", self.name));
            tracing::warn!(%error, "a store did not close as it should");
        }
    }
}

fn fenced(lane: &StoreLaneId) -> StoreError {
    StoreError::Fenced { sink: lane.sink.clone(), partition: lane.partition }
}

fn another_topic(lane: &StoreLaneId, position: Option<i64>) -> StoreError {
    let StoreLaneId { sink, topic, partition, .. } = lane;
    StoreError::Definition(format!(
        "sink `{sink}` stands at offset {} in partition {partition} of another topic that was called `{topic}`: the log \
         was made anew, or two logs write to one store; bring that log back, or give the sink another name, with which it \
         starts over",
        position.unwrap_or(0)
    ))
}

struct PositionedLane<B: Backend> {
    /// For messages.
    what: String,
    worker: Worker,
    backend: Arc<B>,
    /// None after a failure that leaves open what happened: then the lane must be opened again.
    session: Option<B::Session>,
    target: Arc<B::Target>,
    lane: Arc<StoreLaneId>,
    taken: Taken,
}

#[async_trait]
impl<B: Backend> StoreLane for PositionedLane<B> {
    fn position(&self) -> Option<Offset> {
        self.taken.next_offset.map(|offset| offset as Offset)
    }

    async fn commit(&mut self, rows: &[StoreRows], next: Offset) -> Result<(), StoreError> {
        let unavailable = |source: String| StoreError::Unavailable { what: self.what.clone(), source: source.into() };
        if let Some(problem) = misplaced(rows, self.position(), next) {
            return Err(unavailable(problem));
        }
        let Some(mut session) = self.session.take() else {
            return Err(unavailable("the connection was lost; the lane must be opened again".to_owned()));
        };
        let (backend, target, lane) = (Arc::clone(&self.backend), Arc::clone(&self.target), Arc::clone(&self.lane));
        let (taken, rows) = (self.taken, rows.to_vec());
        let work = async move {
            let step = Step { lane: &lane, taken, next };
            let outcome = backend.commit(&mut session, &target, step, &rows).await?;
            Ok((session, outcome))
        };
        let ended = self.worker.run(work).await;
        let (session, outcome) = ended.map_err(|failure| failure.into_error(&self.what))?;
        self.session = Some(session);
        match outcome {
            Outcome::Committed => {
                self.taken.next_offset = Some(next as i64);
                Ok(())
            }
            Outcome::Fenced => Err(fenced(&self.lane)),
            Outcome::Refused(rows) => Err(StoreError::Refused(rows)),
        }
    }
}

/// Why these rows cannot follow the position: the caller and the store disagree about what was written.
fn misplaced(rows: &[StoreRows], position: Option<Offset>, next: Offset) -> Option<String> {
    let from = position.unwrap_or(0);
    let mut offsets = rows.iter().flat_map(|rows| &rows.offsets);
    if next < from {
        return Some(format!("the position cannot go back from {from} to {next}"));
    }
    let outside = offsets.find(|offset| !(from..next).contains(offset))?;
    Some(format!("a row of offset {outside} was offered, but the commit covers {from}..{next}"))
}

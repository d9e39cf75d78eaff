//! A lane's commits: one is on its way while the next is prepared.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use azenha_model::Offset;
use azenha_model::plan::snapshots_topic;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Lane;
use super::deliver::{Batch, Committed, Delivery, StoredCut};
use crate::end::{Cut, Moment, State};
use crate::error::EngineError;
use crate::failpoint;
use crate::status::NO_TIME;
use crate::task::TaskContext;

/// A position that a store keeps is told to the group so often.
const NOTE_INTERVAL: Duration = Duration::from_secs(2);

/// So long a lane that ends waits for purges.
const PURGE_TIME: Duration = Duration::from_millis(500);

/// Internal topics are purged behind a lane once so many offsets can go.
const PURGE_OFFSETS: Offset = 256;

/// A commit on its way.
pub struct InFlight {
    /// Ends with the right to commit again, and what became of the commit.
    pub outcome: JoinHandle<(Delivery, Result<Committed, EngineError>)>,
    /// What the lane had reached when it began.
    moment: Moment,
    started: Duration,
    results: u64,
    late: u64,
    purge_changelog: Option<Offset>,
    /// Snapshots before this offset are not needed any more.
    purge_snapshots: Option<Offset>,
    answers: Vec<oneshot::Sender<()>>,
}

/// What the task of a commit ends with.
pub type CommitOutcome = Result<(Delivery, Result<Committed, EngineError>), tokio::task::JoinError>;

impl Lane {
    /// Hands everything that waits over to be committed.
    pub async fn begin_commit(&mut self) -> Result<(), EngineError> {
        let Some(delivery) = self.delivery.take() else { return Ok(()) };
        self.tell_cycle_start().await?;
        let moment = self.moment();
        let mut outgoing = self.intake.end().commit(&moment, &mut self.dead)?;
        self.count_usage();
        self.judge()?;
        let pipeline = &self.context.program.plan.pipeline;
        outgoing.appends.extend(self.begun.take().map(|begun| begun.append(pipeline, moment.timestamp)));
        let (snapshot, purge_snapshots) = self.snapshot.take().map(|taken| (taken.append, taken.before)).unzip();
        // In front of what belongs to it.
        outgoing.appends.splice(0..0, snapshot);
        let late = self.dead.take_late();
        let batch = Batch {
            position: moment.position,
            appends: outgoing.appends,
            rows: outgoing.rows,
            cut: self.with_store(outgoing.cut)?,
            dead: self.dead.split(moment.position.saturating_sub(1)),
            dead_topic: self.context.program.plan.dead_letters.clone(),
            step: self.context.task().end_step().into(),
        };
        let log = Arc::clone(&self.context.log);
        let mut delivery = delivery;
        let outcome = self.context.io.spawn(async move {
            let outcome = delivery.commit(&log, batch).await;
            (delivery, outcome)
        });
        self.in_flight = Some(InFlight {
            outcome,
            moment,
            started: self.context.clock.elapsed(),
            results: outgoing.results,
            late,
            purge_changelog: outgoing.purge_changelog,
            purge_snapshots,
            answers: std::mem::take(&mut self.answers),
        });
        self.uncommitted = self.position;
        self.steps.begin();
        self.waiting = None;
        self.last_commit = Some(self.context.clock.elapsed());
        Ok(())
    }

    /// Commits in the middle of what was read: what it makes is more than may wait.
    pub async fn commit_between(&mut self) -> Result<(), EngineError> {
        if self.in_flight.is_some() {
            let outcome = landed(&mut self.in_flight).await;
            self.settle(outcome)?;
        }
        self.begin_commit().await
    }

    /// How many of the next records stand before the offset at which a commit was promised.
    pub fn before_promise(&mut self, offsets: &[Offset]) -> usize {
        match self.intake.end().promised() {
            Some(promised) => offsets.partition_point(|offset| *offset < promised),
            None => offsets.len(),
        }
    }

    /// Makes the commit that an earlier owner of the lane promised, at the offset at which it was promised.
    pub async fn keep_promise(&mut self) -> Result<(), EngineError> {
        self.position = self.intake.end().promised().unwrap_or(self.position);
        self.wait_for_commit();
        self.commit_between().await
    }

    /// A cut with the store that its objects go to.
    fn with_store(&self, cut: Option<Cut>) -> Result<Option<StoredCut>, EngineError> {
        let with_store = |cut: Cut| {
            let store = Arc::clone(self.context.program.objects(&cut.connection)?);
            Ok(StoredCut { cut, store })
        };
        cut.map(with_store).transpose()
    }

    async fn tell_cycle_start(&mut self) -> Result<(), EngineError> {
        let partition = self.partition;
        let Some(State { keeper, .. }) = self.intake.end().state() else { return Ok(()) };
        if !keeper.needs_cycle_start() {
            return Ok(());
        }
        let (log, topic) = (Arc::clone(&self.context.log), keeper.changelog().to_owned());
        let bounds = self.context.io(async move { log.bounds(&topic, partition).await }).await??;
        if let Some(State { keeper, .. }) = self.intake.end().state() {
            keeper.begin_cycle(bounds.end);
        }
        Ok(())
    }

    /// What the lane has reached.
    pub fn moment(&mut self) -> Moment {
        let (event_time, watermark) =
            self.intake.watermark().map_or((NO_TIME, NO_TIME), |watermark| (watermark.highest(), watermark.value()));
        Moment {
            from: self.uncommitted,
            position: self.position,
            event_time,
            watermark,
            idle: self.idle,
            timestamp: self.timestamp,
        }
    }

    /// Takes the outcome of a commit in.
    pub fn settle(&mut self, outcome: CommitOutcome) -> Result<(), EngineError> {
        let Some(commit) = self.in_flight.take() else { return Ok(()) };
        let ended = |error| EngineError::Setup(format!("a commit was cut off: {error}"));
        let (delivery, outcome) = outcome.map_err(ended)?;
        let committed = outcome?;
        self.delivery = Some(delivery);
        let counters = &self.status.counters;
        counters.commit(self.context.clock.elapsed().saturating_sub(commit.started).as_nanos() as u64);
        counters.rows_out.fetch_add(commit.results - committed.refused, Relaxed);
        counters.dead_letters.fetch_add(committed.dead, Relaxed);
        counters.late.fetch_add(commit.late, Relaxed);
        let moment = commit.moment;
        self.status.event_time.store(moment.event_time, Relaxed);
        let closes = self.intake.end().state().map_or(NO_TIME, |state| state.watermark);
        self.status.watermark.store(closes.max(moment.watermark), Relaxed);
        if !self.intake.end().has_more() {
            self.status.set_committed(moment.position);
        }
        self.note_position(moment.position);
        self.purge(&commit);
        for answer in commit.answers {
            // Whoever asked may have gone.
            let _ = answer.send(());
        }
        Ok(())
    }

    /// Tells the group of a position that a store keeps, now and then.
    fn note_position(&mut self, position: Offset) {
        let now = self.context.clock.elapsed();
        if matches!(self.delivery, Some(Delivery::Store(_))) && now >= self.note_at {
            self.note_at = now + NOTE_INTERVAL;
            let (membership, partition) = (Arc::clone(&self.membership), self.partition);
            self.behind.spawn_on(async move { membership.note(partition, position).await }, &self.context.io);
        }
    }

    /// Deletes what is not needed after a commit. It may fail and be done again: nothing depends on it.
    fn purge(&mut self, commit: &InFlight) {
        let partition = self.partition;
        if let (Some(before), Some(State { keeper, .. })) = (commit.purge_changelog, self.intake.end().state()) {
            let (context, topic) = (Arc::clone(&self.context), keeper.changelog().to_owned());
            self.behind.spawn_on(async move { purge(&context, &topic, partition, before).await }, &self.context.io);
        }
        if let Some(before) = commit.purge_snapshots {
            let context = Arc::clone(&self.context);
            let topic = snapshots_topic(&context.program.plan.pipeline, &context.task().name);
            self.behind.spawn_on(async move { purge(&context, &topic, partition, before).await }, &self.context.io);
        }
        if self.context.reads_internal() && commit.moment.position >= self.purged + PURGE_OFFSETS {
            self.purged = commit.moment.position;
            let context = Arc::clone(&self.context);
            self.behind.spawn_on(async move { purge_input(&context, partition).await }, &self.context.io);
        }
        while self.behind.try_join_next().is_some() {}
    }

    /// Commits what was processed, and lets purges under way end, if they soon do: a new owner copes with others.
    pub async fn finish(&mut self) -> Result<(), EngineError> {
        if self.in_flight.is_some() {
            let outcome = landed(&mut self.in_flight).await;
            self.settle(outcome)?;
        }
        // Objects are not ended before their time: whoever reads on makes them of the same records.
        if self.waiting.is_some() && self.context.roll_interval().is_none() {
            self.begin_commit().await?;
            let outcome = landed(&mut self.in_flight).await;
            self.settle(outcome)?;
        }
        let mut behind = std::mem::take(&mut self.behind);
        let ended = async move { while behind.join_next().await.is_some() {} };
        // Whether they end in time or not, nothing depends on it.
        let _ = self.context.io(async move { timeout(PURGE_TIME, ended).await }).await;
        Ok(())
    }
}

/// Waits for the commit that is on its way; for ever if there is none.
pub async fn landed(in_flight: &mut Option<InFlight>) -> CommitOutcome {
    match in_flight {
        Some(commit) => (&mut commit.outcome).await,
        None => std::future::pending().await,
    }
}

/// Deletes what every reader of the lane's input has passed.
async fn purge_input(context: &TaskContext, partition: u32) {
    let mut read_by_all = Offset::MAX;
    for (lane, here) in context.readers(partition) {
        let position = match here {
            Some(position) => Some(position),
            // Another host's reader; if its position cannot be had, the next purge tries again.
            None => context.log.position(&lane).await.unwrap_or_default(),
        };
        read_by_all = read_by_all.min(position.unwrap_or(0));
    }
    purge(context, context.task().input.topic(), partition, read_by_all).await;
}

async fn purge(context: &TaskContext, topic: &str, partition: u32, before: Offset) {
    failpoint::reach("purge.begun");
    if let Err(error) = context.log.purge(topic, partition, before).await {
        tracing::warn!(%topic, partition, %error, "old records were not deleted");
    }
    failpoint::reach("purge.done");
}

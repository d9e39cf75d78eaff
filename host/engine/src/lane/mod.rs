//! A lane: one task's reader of one partition. It reads, processes and commits, and starts again from its
//! last commit when something outside fails.

mod announced;
mod commit;
mod deliver;
mod ends;
mod intake;
mod open;
mod pace;
mod probation;
mod run;
mod steps;
mod switch;
mod upstream;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arrow_array::BinaryArray;
use azenha_model::plan::Input;
use azenha_model::{Fetched, Offset, Records};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::dead_letter::DeadLetters;
use crate::edition::Begun;
use crate::end::State;
use crate::error::EngineError;
use crate::group::Contexts;
use crate::log::{LogError, Membership, ReadLimit, Reader};
use crate::rows::Source;
use crate::snapshot;
use crate::status::LaneStatus;
use crate::task::TaskContext;
use commit::{CommitOutcome, InFlight, landed};
use deliver::Delivery;
use intake::Intake;
use open::{Opened, open};
use probation::Probation;
pub use run::run;
use steps::Steps;
use switch::Taken;
use upstream::await_table;

/// A lane that waits for records looks up so often, to notice that its partition is idle.
const READ_WAIT: Duration = Duration::from_millis(500);

/// Records asked for at once; more than a batch, because asking has a price.
const READ_RECORDS: usize = 8_192;

/// Bytes asked for at once.
const READ_BYTES: usize = 8 << 20;

/// Messages of an exchange that are taken in at once.
const MESSAGES: usize = 16;

/// Asks a lane to close the windows that end by a time, in microseconds; answered once that is committed.
#[derive(Debug)]
pub struct CloseWindows {
    /// The time.
    pub until: i64,
    /// Dropped if the lane ends before.
    pub answer: oneshot::Sender<()>,
}

/// What a lane is told.
#[derive(Debug)]
pub struct Orders {
    /// What to run: changes when the pipeline has another version.
    pub context: Contexts,
    /// To commit what was processed, and to end.
    pub stop: watch::Receiver<bool>,
    /// To close windows.
    pub windows: mpsc::UnboundedReceiver<CloseWindows>,
    /// The offset of each partition before which everything is waited for: objects end there, however small. None: nobody
    /// waits.
    pub awaited: watch::Receiver<Arc<[Offset]>>,
}

/// Waits for the word to stop, or until nobody is left to say it.
pub async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What a lane woke up for.
enum Event {
    Stop,
    Switch,
    Windows(CloseWindows),
    Committed(CommitOutcome),
    Due,
    Read(ReadOutcome),
}

/// A read that runs where I/O runs: it ends with the reader, and with what was read.
type Reading = JoinHandle<(Box<dyn Reader>, Result<Fetched, LogError>)>;

/// What the task of a read ends with.
type ReadOutcome = Result<(Box<dyn Reader>, Result<Fetched, LogError>), tokio::task::JoinError>;

/// Why a lane does not work any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It was told to stop.
    Stopped,
    /// It has to be opened again, for another version of its pipeline.
    Anew,
}

struct Lane {
    context: Arc<TaskContext>,
    membership: Arc<dyn Membership>,
    partition: u32,
    status: Arc<LaneStatus>,
    topic: Arc<str>,
    intake: Intake,
    dead: DeadLetters,
    /// The next offset to read: behind the last record that was processed, and behind what the log has there that is
    /// no record.
    position: Offset,
    /// The first offset that is not in a commit yet.
    uncommitted: Offset,
    /// Since when something waits for a commit.
    waiting: Option<Duration>,
    /// When the last commit began: the next one follows after the interval.
    last_commit: Option<Duration>,
    reading: Reading,
    /// Here while no commit is on its way.
    delivery: Option<Delivery>,
    in_flight: Option<InFlight>,
    /// Whoever waits for the next commit.
    answers: Vec<oneshot::Sender<()>>,
    /// When the group is told of a store's position again.
    note_at: Duration,
    /// The position at which the input was last purged.
    purged: Offset,
    /// Work behind commits that nothing waits for but the lane's end.
    behind: JoinSet<()>,
    last_record: Duration,
    /// That of the last record, in microseconds; 0 before the first one.
    timestamp: i64,
    idle: bool,
    steps: Steps,
    awaited: watch::Receiver<Arc<[Offset]>>,
    /// That another version begins: it goes out with the next commit.
    begun: Option<Begun>,
    /// What the state was before that: it goes out with it.
    snapshot: Option<snapshot::Taken>,
    /// Set while new code is not trusted.
    probation: Option<Probation>,
    /// Records read since the last commit began.
    records: u64,
    /// Rows and groups that plugins were to take since then.
    tried: u64,
}

impl Lane {
    async fn open(
        context: &Arc<TaskContext>,
        membership: &Arc<dyn Membership>,
        status: &Arc<LaneStatus>,
        awaited: watch::Receiver<Arc<[Offset]>>,
    ) -> Result<Self, EngineError> {
        let partition = status.partition;
        let opened = open(context, membership, partition).await?;
        let Opened { delivery, position, timestamp, mut intake, reader, begun, snapshot, late } = opened;
        if let Some(watermark) = intake.watermark() {
            status.event_time.store(watermark.highest(), Relaxed);
        }
        if !intake.end().has_more() {
            status.set_committed(position);
        }
        let program = &context.program;
        let pipeline = program.plan.pipeline.as_str().into();
        let topic: Arc<str> = context.task().input.topic().into();
        let mut lane = Self {
            reading: read(context, reader, Duration::ZERO),
            dead: DeadLetters::new(pipeline, program.generation, context.keeps_records()),
            last_record: context.clock.elapsed(),
            context: Arc::clone(context),
            membership: Arc::clone(membership),
            partition,
            status: Arc::clone(status),
            topic,
            intake,
            position,
            uncommitted: position,
            waiting: None,
            last_commit: None,
            delivery: Some(delivery),
            in_flight: None,
            answers: Vec::new(),
            note_at: Duration::ZERO,
            purged: position,
            behind: JoinSet::new(),
            timestamp,
            idle: false,
            steps: Steps::of(&context.task().end),
            awaited,
            begun: None,
            snapshot,
            probation: None,
            records: 0,
            tried: 0,
        };
        for (offset, message) in late {
            let records = Records::unkeyed(BinaryArray::from_iter_values([message]), timestamp);
            lane.process(Fetched { offsets: vec![offset], records, next: position })?;
        }
        let code = begun.as_ref().and_then(|begun| context.code_since(begun));
        match begun.filter(|begun| begun.version == program.edition.version).zip(code.as_ref()) {
            Some((begun, code)) => {
                lane.probation = Probation::of(&program.edition, code, position);
                lane.dead.set_version(begun.version);
                status.version.store(begun.version, Relaxed);
            }
            None => lane.begin(code),
        }
        Ok(lane)
    }

    /// Reads, processes and commits until it is told to stop.
    async fn work(&mut self, orders: &mut Orders) -> Result<Ended, EngineError> {
        while self.intake.end().has_more() && !*orders.stop.borrow() {
            self.commit_between().await?;
        }
        let mut is_superseded = false;
        loop {
            match self.next_event(orders).await {
                Event::Stop => return self.end(Ended::Stopped).await,
                Event::Switch => is_superseded = true,
                Event::Windows(CloseWindows { until, answer }) => self.close_windows(until, answer),
                Event::Committed(outcome) => self.settle(outcome)?,
                Event::Due => {}
                Event::Read(read) => {
                    if self.are_first(&read) && !await_table(&self.context, &mut orders.stop).await? {
                        return self.end(Ended::Stopped).await;
                    }
                    self.take(read).await?;
                }
            }
            if self.in_flight.is_none() && std::mem::take(&mut is_superseded) {
                let next = Arc::clone(&orders.context.borrow_and_update());
                if self.switch(next).await? == Taken::Anew {
                    return self.end(Ended::Anew).await;
                }
            }
            if self.in_flight.is_none() && self.is_due() {
                self.begin_commit().await?;
            }
        }
    }

    async fn end(&mut self, why: Ended) -> Result<Ended, EngineError> {
        self.finish().await.map(|()| why)
    }

    async fn next_event(&mut self, orders: &mut Orders) -> Event {
        let due_in = self.may_commit().then(|| self.due_in());
        let idle = self.in_flight.is_none();
        // While a commit is on its way, so much more may be prepared and no more.
        let has_room = idle || !self.is_full();
        tokio::select! {
            biased;
            () = told(&mut orders.stop) => Event::Stop,
            Ok(()) = orders.context.changed() => Event::Switch,
            Some(windows) = orders.windows.recv() => Event::Windows(windows),
            outcome = landed(&mut self.in_flight) => Event::Committed(outcome),
            () = sleep(due_in.unwrap_or_default()), if idle && due_in.is_some() => Event::Due,
            read = &mut self.reading, if has_room => Event::Read(read),
        }
    }

    /// Whether these are the first records that anybody takes in here.
    fn are_first(&self, read: &ReadOutcome) -> bool {
        self.timestamp == 0 && matches!(read, Ok((_, Ok(fetched))) if !fetched.offsets.is_empty())
    }

    /// Takes what was read, asks for more, and processes it meanwhile.
    async fn take(&mut self, read: ReadOutcome) -> Result<(), EngineError> {
        let ended = |error| EngineError::Setup(format!("the runtime of the log has ended: {error}"));
        let (reader, fetched) = read.map_err(ended)?;
        let fetched = fetched?;
        self.reading = self::read(&self.context, reader, READ_WAIT);
        let next = fetched.next;
        if fetched.offsets.is_empty() {
            self.position = self.position.max(next);
            return self.notice_quiet().await;
        }
        self.last_record = self.context.clock.elapsed();
        self.idle = false;
        if self.status.counters.records.load(Relaxed) == 0 {
            tracing::debug!(lane = %self.context.lane_id(self.partition), "the lane reads its first records");
        }
        self.intake.learn(&self.context, &fetched.records).await?;
        let rows = match self.context.task().input {
            Input::Stream(_) => self.context.options.batch_rows.max(1),
            // Each is a batch itself, and may change very many joined rows.
            Input::Exchange { .. } => MESSAGES,
        };
        let sizes = if self.steps.are_kept() { self.intake.sizes(&fetched.records) } else { Vec::new() };
        let mut from = 0;
        while from < fetched.offsets.len() {
            let length = rows.min(self.before_promise(&fetched.offsets[from..]));
            if length == 0 {
                self.keep_promise().await?;
                continue;
            }
            let sizes = sizes.get(from..from + length).unwrap_or_default();
            let length = if self.steps.are_kept() { self.steps.length(sizes) } else { length };
            let length = self.intake.fetch(&self.context, &fetched.records.slice(from, length)).await?;
            let offsets = fetched.offsets[from..from + length].to_vec();
            let behind = offsets.last().map_or(self.position, |last| last + 1);
            self.process(Fetched { offsets, records: fetched.records.slice(from, length), next: behind })?;
            self.wait_for_commit();
            let step_ends = self.steps.pass(sizes.get(..length).unwrap_or_default());
            if step_ends && self.is_full() {
                self.commit_between().await?;
            }
            from += length;
            // Other lanes share the thread.
            tokio::task::yield_now().await;
        }
        if self.intake.end().promised().is_some_and(|promised| promised <= next) {
            self.keep_promise().await?;
        }
        self.position = next;
        Ok(())
    }

    fn process(&mut self, fetched: Fetched) -> Result<(), EngineError> {
        let counters = &self.status.counters;
        counters.records.fetch_add(fetched.offsets.len() as u64, Relaxed);
        counters.bytes.fetch_add(fetched.records.bytes() as u64, Relaxed);
        counters.batches.fetch_add(1, Relaxed);
        self.records += fetched.offsets.len() as u64;
        let next = fetched.next;
        self.timestamp = fetched.records.timestamps.iter().copied().max().unwrap_or_default().max(self.timestamp);
        let source = Source::new(Arc::clone(&self.topic), self.partition, fetched);
        self.intake.take(source, &mut self.dead)?;
        self.position = next;
        self.count_usage();
        self.check_state()
    }

    /// Counts what plugins did since this was last called.
    fn count_usage(&mut self) {
        let (usage, counters) = (self.intake.take_usage(), &self.status.counters);
        counters.failures.fetch_add(usage.failures, Relaxed);
        counters.plugin_nanos.fetch_add(usage.nanos, Relaxed);
        self.tried += usage.rows;
    }

    fn check_state(&mut self) -> Result<(), EngineError> {
        let limit = self.context.options.state_limit;
        let Some(State { step, table, .. }) = self.intake.end().state() else { return Ok(()) };
        let (groups, bytes) = (table.len(), table.bytes());
        self.status.counters.state_groups.store(groups as u64, Relaxed);
        self.status.counters.state_bytes.store(bytes as u64, Relaxed);
        if bytes <= limit {
            return Ok(());
        }
        Err(EngineError::State(format!(
            "step `{step}` holds {groups} groups in {bytes} bytes, above its limit of {limit}: raise `limits.state`, \
             or give it fewer keys or shorter windows"
        )))
    }

    /// Nothing came for a moment.
    async fn notice_quiet(&mut self) -> Result<(), EngineError> {
        let quiet = self.context.clock.elapsed().saturating_sub(self.last_record);
        if quiet >= READ_WAIT && self.position > self.uncommitted {
            // Behind the last record the log has something that is none: were it never passed, the position would be
            // gone one day although nothing was lost.
            self.wait_for_commit();
        }
        if !self.idle && self.may_be_idle(quiet) && self.is_at_end().await? {
            self.idle = true;
            self.wait_for_commit();
        }
        Ok(())
    }

    /// A partition at its end without records for a while holds no window open. That goes for one that never
    /// had a record too: its first may be on the way, and must not find its windows closed.
    fn may_be_idle(&mut self, quiet: Duration) -> bool {
        let Input::Stream(stream) = &self.context.task().input else { return false };
        let (Some(event_time), Some(_)) = (stream.event_time, self.intake.watermark()) else { return false };
        quiet.as_micros() as i64 >= event_time.idle_after
    }

    /// Whether nothing came because nothing is there, and not because the log cannot be reached.
    async fn is_at_end(&self) -> Result<bool, EngineError> {
        let (log, topic, partition) = (Arc::clone(&self.context.log), Arc::clone(&self.topic), self.partition);
        let bounds = self.context.io(async move { log.bounds(&topic, partition).await }).await?;
        Ok(bounds.is_ok_and(|bounds| self.position >= bounds.end))
    }

    fn close_windows(&mut self, until: i64, answer: oneshot::Sender<()>) {
        if let Some(watermark) = self.intake.watermark() {
            watermark.advance_to(until);
        }
        // The receivers must hear the time, not that nothing comes.
        self.idle = false;
        self.wait_for_commit();
        self.answers.push(answer);
    }
}

fn read(context: &Arc<TaskContext>, mut reader: Box<dyn Reader>, wait: Duration) -> Reading {
    let limit = ReadLimit { records: READ_RECORDS, bytes: READ_BYTES, wait };
    context.io.spawn(async move {
        let fetched = reader.read(limit).await;
        (reader, fetched)
    })
}

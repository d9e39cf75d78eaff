//! A candidate for a step's code at work beside the live one: it gets some of the same calls, on a thread of its own, and
//! what it makes of them is compared and thrown away. Whatever it does, lanes do not notice.

mod answers;
mod assemblies;
mod candidate;
mod compare;
mod groups;
mod ledger;
mod results;
mod rows;
mod tally;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use arrow_array::{BinaryArray, RecordBatch};
use azenha_model::plugin::Rejection;
use azenha_sandbox::{Failure, Finished, TransformOutput};

pub use candidate::{Candidate, Unfit};
pub use ledger::{Asked, Kind, ShadowOptions, Spent};
pub use tally::{Answer, ColumnCounts, Place, Refused, RowCounts, Sample, Tally};

use crate::clock::Clock;
use crate::error::EngineError;
use crate::relation::Gathered;
use crate::rows::{Rows, Source};
use crate::worker::STACK_BYTES;
use candidate::{Examiner, Stopwatch};
use ledger::{Ledger, LiveCall, Reservation};

/// So many calls wait for the candidate; while it is at work on others, it gets no more.
const WAITING: usize = 2;

/// What the live plugin was asked, and what it answered.
#[derive(Debug)]
pub enum Call {
    /// A transform.
    Process {
        /// The rows, as they are before the plugin.
        input: Rows,
        /// Where they come from.
        source: Arc<Source>,
        /// The answer.
        live: Result<TransformOutput, Failure>,
    },
    /// An aggregate that folds rows.
    Fold {
        /// The keys of the groups.
        keys: BinaryArray,
        /// The columns that the live plugin reads.
        rows: RecordBatch,
        /// The group of each row.
        groups: Vec<u32>,
        /// The accumulators before.
        before: BinaryArray,
        /// The accumulators after, and what was refused.
        live: Result<(BinaryArray, Vec<Rejection>), Failure>,
    },
    /// An aggregate that merges accumulators pairwise.
    Merge {
        /// The keys of the groups.
        keys: BinaryArray,
        /// One side.
        left: BinaryArray,
        /// The other one.
        right: BinaryArray,
        /// The accumulators after.
        live: Result<BinaryArray, Failure>,
    },
    /// An aggregate that makes results.
    Finish {
        /// The key columns of the groups.
        keys: RecordBatch,
        /// Their accumulators.
        accumulators: BinaryArray,
        /// The results.
        live: Result<Finished, Failure>,
    },
    /// An assemble.
    Assemble {
        /// The groups, and the columns of their rows that the live plugin reads.
        input: Gathered,
        /// What it made of them.
        live: Result<Finished, Failure>,
    },
}

/// A call that waits for the candidate.
struct Offer {
    reservation: Reservation,
    call: Call,
    /// Bytes of memory that the live plugin held.
    memory: usize,
}

/// Where a candidate works beside a step. While there is none, it costs one load a call.
#[derive(Debug, Clone, Default)]
pub struct Slot(Arc<Taken>);

#[derive(Debug, Default)]
struct Taken {
    is_taken: AtomicBool,
    shadow: Mutex<Option<Arc<Shadow>>>,
}

impl Slot {
    fn shadow(&self) -> Option<Arc<Shadow>> {
        if !self.0.is_taken.load(Relaxed) {
            return None;
        }
        lock(&self.0.shadow).clone()
    }

    fn set(&self, shadow: Option<Shadow>) {
        self.0.is_taken.store(shadow.is_some(), Relaxed);
        *lock(&self.0.shadow) = shadow.map(Arc::new);
    }

    /// Begins to watch one call of the live plugin.
    pub fn watch(&self) -> Watch {
        Watch(self.shadow().map(|shadow| {
            let begun = shadow.clock.busy();
            (shadow, begun)
        }))
    }
}

/// One call of the live plugin, if there is a candidate beside it.
pub struct Watch(Option<(Arc<Shadow>, Duration)>);

impl Watch {
    /// The live plugin has answered: now the candidate may be asked the same. A call that failed can be compared if it was
    /// about one row, or group, alone: of others the rows are asked for again.
    pub fn end(self, (kind, rows): (Kind, usize), memory: usize, went_through: bool, call: impl FnOnce() -> Call) {
        let Some((shadow, begun)) = self.0 else { return };
        let ended = shadow.clock.busy();
        let nanos = nanos(ended.saturating_sub(begun));
        let is_comparable = went_through || rows == 1;
        let answered = LiveCall { kind, rows: rows as u64, nanos, is_comparable };
        let admitted = lock(&shadow.ledger).admit(answered);
        let refused = admitted.and_then(|reservation| {
            let offered = shadow.offers.try_send(Offer { reservation, call: call(), memory });
            offered.is_err().then_some(reservation)
        });
        let mut ledger = lock(&shadow.ledger);
        if let Some(reservation) = refused {
            ledger.release(reservation);
        }
        // Also of calls that the candidate does not get: asking whether it does is a part of its cost.
        ledger.spend(self::nanos(shadow.clock.busy().saturating_sub(ended)));
    }
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A candidate beside a step. It ends when this is dropped.
#[derive(Debug)]
struct Shadow {
    plugin: String,
    digest: String,
    offers: SyncSender<Offer>,
    ledger: Arc<Mutex<Ledger>>,
    tally: Arc<Mutex<Tally>>,
    clock: Arc<dyn Clock>,
}

impl Shadow {
    fn start(candidate: Candidate, options: ShadowOptions, clock: &Arc<dyn Clock>) -> Result<Self, EngineError> {
        let (offers, offered) = sync_channel(WAITING);
        let shadow = Self {
            plugin: candidate.plugin_name().to_owned(),
            digest: candidate.digest().to_owned(),
            offers,
            ledger: Arc::new(Mutex::new(Ledger::new(options))),
            tally: Arc::default(),
            clock: Arc::clone(clock),
        };
        let work = Work {
            ledger: Arc::clone(&shadow.ledger),
            tally: Arc::clone(&shadow.tally),
            watch: Stopwatch::new(Arc::clone(clock)),
        };
        let named = thread::Builder::new().name("shadow".to_owned()).stack_size(STACK_BYTES);
        let failed = |error| EngineError::Setup(format!("cannot start a thread for the candidate: {error}"));
        named.spawn(move || work.run(candidate, &offered)).map_err(failed)?;
        Ok(shadow)
    }

    fn report(&self) -> Report {
        // Lanes wait for the ledger: it is not held while answers are counted.
        let found = lock(&self.tally).clone();
        let ledger = lock(&self.ledger);
        Report {
            plugin: self.plugin.clone(),
            digest: self.digest.clone(),
            options: ledger.options(),
            suspended: ledger.suspended().map(str::to_owned),
            asked: ledger.asked(),
            spent: ledger.spent(),
            found,
        }
    }
}

/// How a candidate does.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its plugin, as the definition calls it.
    pub plugin: String,
    /// The plugin's digest.
    pub digest: String,
    /// How much it is asked.
    pub options: ShadowOptions,
    /// Why it is asked no more, if so.
    pub suspended: Option<String>,
    /// What was asked, by kind of call.
    pub asked: Vec<(Kind, Asked)>,
    /// What it cost.
    pub spent: Spent,
    /// How its answers compare.
    pub found: Tally,
}

/// The candidate's thread.
struct Work {
    ledger: Arc<Mutex<Ledger>>,
    tally: Arc<Mutex<Tally>>,
    watch: Stopwatch,
}

impl Work {
    fn run(mut self, candidate: Candidate, offered: &Receiver<Offer>) {
        let opened = Examiner::open(candidate);
        let cost = self.watch.reset().1;
        lock(&self.ledger).spend(cost);
        let mut examiner = match opened {
            Ok(examiner) => examiner,
            Err(error) => return lock(&self.ledger).suspend(error.to_string()),
        };
        for Offer { reservation, call, memory } in offered {
            let examined = examiner.examine(call, &mut self.watch, &self.tally);
            lock(&self.tally).note_memory(memory, examiner.memory());
            let (candidate, all) = self.watch.reset();
            let mut ledger = lock(&self.ledger);
            ledger.settle(reservation, candidate, all);
            match examined {
                Ok(judged) => ledger.judge(judged.err().as_deref()),
                Err(error) => ledger.suspend(format!("its answers cannot be compared: {error}")),
            }
        }
    }
}

/// Where candidates work beside the steps of a pipeline.
#[derive(Debug)]
pub struct Shadows {
    slots: BTreeMap<String, Slot>,
    clock: Arc<dyn Clock>,
}

impl Shadows {
    /// For these steps: places of the version that runs are kept, because its lanes look there.
    pub(crate) fn over<'a>(
        steps: impl Iterator<Item = &'a String>,
        running: Option<&Self>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let known = |step: &String| running.and_then(|running| running.slot(step)).unwrap_or_default();
        Self { slots: steps.map(|step| (step.clone(), known(step))).collect(), clock }
    }

    pub(crate) fn slot(&self, step: &str) -> Option<Slot> {
        self.slots.get(step).cloned()
    }

    pub(crate) fn end_all(&self) {
        self.slots.values().for_each(|slot| slot.set(None));
    }

    /// Lets a candidate work beside its step from now on; one that was there before is gone.
    pub fn start(&self, candidate: Candidate, options: ShadowOptions) -> Result<(), EngineError> {
        let step = candidate.step().to_owned();
        let missing = || EngineError::Setup(format!("there is no step `{step}`"));
        let slot = self.slots.get(&step).ok_or_else(missing)?;
        slot.set(Some(Shadow::start(candidate, options, &self.clock)?));
        Ok(())
    }

    /// How the candidate beside a step does, if there is one.
    pub fn report(&self, step: &str) -> Option<Report> {
        self.slots.get(step)?.shadow().map(|shadow| shadow.report())
    }

    /// How all candidates do, by step.
    pub fn reports(&self) -> Vec<(&str, Report)> {
        let known = self.slots.iter().filter_map(|(step, slot)| Some((step, slot.shadow()?)));
        known.map(|(step, shadow)| (step.as_str(), shadow.report())).collect()
    }

    /// Ends the candidate beside a step; says whether there was one.
    pub fn end(&self, step: &str) -> bool {
        let slot = self.slots.get(step);
        let was_there = slot.is_some_and(|slot| slot.shadow().is_some());
        slot.into_iter().for_each(|slot| slot.set(None));
        was_there
    }
}

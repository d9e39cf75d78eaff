//! Test load: records from a generator or a file, as fast as a topic takes them or at a rate.

mod cdp;
mod clicks;
mod commerce;
mod keys;
mod meter;
mod random;
mod schedule;
mod source;
mod target;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use arrow_array::BinaryArray;
use azenha_model::Records;
use indicatif::ProgressBar;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub use cdp::CustomerEvents;
pub use clicks::Clicks;
pub use commerce::{Interactions, Orders};
pub use keys::Sequences;
pub use meter::{Meter, Sent};
pub use schedule::Schedule;
pub use source::Source;
pub use target::{LogTarget, ServerTarget, Target};

/// Records that are made together: each batch is a function of the seed and its number, so that it does not matter which
/// thread makes it.
pub const BATCH: u64 = 1_000;

/// Makes records.
pub trait Generator: Send + Sync {
    /// The names of the fields that a record may be keyed by.
    fn fields(&self) -> &'static [&'static str];

    /// The records with the numbers `batch * BATCH..(batch + 1) * BATCH`.
    fn batch(&self, batch: u64) -> BinaryArray;
}

/// When a load ends, if not because its source does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// After so many records.
    pub records: Option<u64>,
    /// After so long.
    pub duration: Option<Duration>,
}

/// How it goes: at which rate, and what each record is given.
#[derive(Debug)]
pub struct Manner {
    /// When records are due; none: as fast as they go.
    pub schedule: Option<Schedule>,
    /// Numbers the records of each key.
    pub sequences: Option<Sequences>,
    /// Portions that are on their way at once; one, if the order of records matters.
    pub in_flight: usize,
}

/// Where it is seen how far a load is.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Counts the records that are durable, for people.
    pub progress: ProgressBar,
    /// Counts what is sent, for Prometheus.
    pub meter: Arc<Meter>,
}

/// What was done.
#[derive(Debug, Clone, Copy)]
pub struct Loaded {
    /// Records that are durable in the topic.
    pub records: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// Sends the records of `source` to `target` until a limit is reached, the source ends or `stop` says so.
///
/// # Errors
/// If the source cannot be read, or the target did not take a portion.
pub async fn load(
    mut source: Source,
    target: Target,
    mut manner: Manner,
    limits: Limits,
    watched: &Watched,
    stop: &CancellationToken,
) -> Result<Loaded> {
    let began = Instant::now();
    let mut sending = Sending { target: Arc::new(target), portions: JoinSet::new(), taken: 0, watched };
    let mut outcome = send_all(&mut source, &mut sending, &mut manner, limits, stop).await;
    // After a failure too: whoever reads the number of records wants all that arrived.
    while !sending.portions.is_empty() {
        outcome = sending.arrived().await.and(outcome);
    }
    outcome.map(|()| Loaded { records: watched.progress.position(), elapsed: began.elapsed() })
}

async fn send_all(
    source: &mut Source,
    sending: &mut Sending<'_>,
    manner: &mut Manner,
    limits: Limits,
    stop: &CancellationToken,
) -> Result<()> {
    let began = Instant::now();
    while !stop.is_cancelled() {
        let most = match next(manner.schedule, limits, sending.taken, began.elapsed()) {
            Next::Records(most) => most,
            Next::Wait(pause) => {
                tokio::select! {
                    () = sleep(pause) => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            Next::Enough => break,
        };
        let Some(mut portion) = source.take(most).await? else { break };
        if let Some(sequences) = &mut manner.sequences {
            portion.iter_mut().for_each(|records| sequences.stamp(records));
        }
        while sending.portions.len() >= manner.in_flight {
            sending.arrived().await?;
        }
        sending.send(portion);
    }
    Ok(())
}

/// Portions on their way.
struct Sending<'a> {
    target: Arc<Target>,
    /// Each gives its number of records.
    portions: JoinSet<Result<u64>>,
    /// Records that were sent, durable or not.
    taken: u64,
    watched: &'a Watched,
}

impl Sending<'_> {
    fn send(&mut self, portion: Vec<Records>) {
        let (target, meter, first) = (self.target.clone(), self.watched.meter.clone(), self.taken);
        let records = portion.iter().map(|records| records.len() as u64).sum::<u64>();
        self.taken += records;
        self.portions.spawn(async move {
            let (began, bytes) = (Instant::now(), portion.iter().map(|records| records.bytes() as u64).sum());
            let sent = target.send(&portion, first).await;
            meter.count(Sent { records, bytes, took: began.elapsed(), is_durable: sent.is_ok() });
            sent.map(|()| records)
        });
    }

    /// Waits for one portion.
    async fn arrived(&mut self) -> Result<()> {
        if let Some(arrived) = self.portions.join_next().await {
            self.watched.progress.inc(arrived??);
        }
        Ok(())
    }
}

/// What a load does next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// It sends up to so many records.
    Records(u64),
    /// It waits until some are due, or its time is over.
    Wait(Duration),
    /// It ends.
    Enough,
}

fn next(schedule: Option<Schedule>, limits: Limits, sent: u64, elapsed: Duration) -> Next {
    let left = limits.records.map_or(u64::MAX, |most| most.saturating_sub(sent));
    let time_left = limits.duration.map_or(Duration::MAX, |most| most.saturating_sub(elapsed));
    if left == 0 || time_left.is_zero() {
        return Next::Enough;
    }
    match schedule.map_or(Ok(left), |schedule| schedule.due(sent, left, elapsed)) {
        Ok(due) => Next::Records(due),
        Err(pause) => Next::Wait(pause.min(time_left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_load_ends_at_the_first_of_its_limits() {
        let limits = Limits { records: Some(100), duration: Some(SECOND) };
        assert_eq!(next(None, limits, 40, SECOND / 2), Next::Records(60));
        assert_eq!(next(None, limits, 100, SECOND / 2), Next::Enough);
        assert_eq!(next(None, limits, 40, SECOND), Next::Enough);
        assert_eq!(next(None, Limits::default(), 40, 1_000 * SECOND), Next::Records(u64::MAX));
    }

    #[test]
    fn a_load_at_a_rate_sends_what_is_due_and_does_not_wait_beyond_its_time() {
        let (schedule, limits) = (Some(Schedule::new(1)), Limits { records: None, duration: Some(3 * SECOND / 2) });
        assert_eq!(next(schedule, limits, 0, SECOND), Next::Records(1));
        assert_eq!(next(schedule, limits, 1, SECOND), Next::Wait(SECOND / 2));
    }
}

//! Batches that a host runs: when their schedule says so, or when somebody does.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use azenha_engine::log::{Change, Log, LogError, Membership};
use azenha_model::config::HostConfig;
use azenha_model::plan::{Batch, Plan};
use tokio::sync::{Mutex as Turn, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::history::Dates;
use super::progress::Progress;
use super::report::{Report, RunOutcome};
use super::state::RunFolder;
use super::{Run, warehouse};
use crate::ingest::now;
use crate::program::Loaded;
use crate::usage::Usage;

/// Clocks may be set: the time of the next run is looked at again after so long.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How long the host waits before it tries again what failed.
const PAUSE: Duration = Duration::from_secs(30);

/// A batch of a host that runs. Of the hosts of a group, the one that the log chooses keeps the schedule.
pub struct Scheduled {
    config: Arc<HostConfig>,
    loaded: Loaded,
    /// One run at a time.
    turn: Turn<()>,
    is_running: AtomicBool,
    ended: Mutex<Ended>,
    stop: CancellationToken,
    keeping: Mutex<Option<JoinHandle<()>>>,
}

/// How runs of a batch ended, as far as this host knows.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    /// How the last one did.
    pub last: Option<RunOutcome>,
    /// Why it put nothing in place, if it did not.
    pub problem: Option<String>,
    /// When the last that was put in place ended: microseconds since 1970.
    pub published: Option<i64>,
}

impl Ended {
    /// What reports tell, the latest of which comes first.
    fn of(reports: &[Report]) -> Self {
        let published = reports.iter().find(|report| report.outcome == RunOutcome::Published);
        let last = reports.first();
        Self {
            last: last.map(|report| report.outcome),
            problem: last.and_then(Report::problem),
            published: published.map(Report::ended),
        }
    }

    /// Takes note of a run that ended here.
    fn note(&mut self, done: &Result<Report>) {
        match done {
            Ok(report) => {
                let published = (report.outcome == RunOutcome::Published).then(now);
                let published = published.or(self.published);
                *self = Self { last: Some(report.outcome), problem: report.problem(), published };
            }
            Err(error) => {
                let problem = format!("the last run failed, and the tables of before stay: {error:#}");
                (self.last, self.problem) = (Some(RunOutcome::Failed), Some(problem));
            }
        }
    }
}

impl Scheduled {
    /// What each of its runs does.
    pub fn plan(&self) -> &Plan {
        &self.loaded.plan
    }

    /// Keeps the schedule of a batch from now on, if it has one, and goes on with a run over some days that a stop of this host
    /// interrupted.
    pub fn start(config: Arc<HostConfig>, loaded: &Loaded, log: Arc<dyn Log>) -> Arc<Self> {
        let scheduled = Arc::new(Self {
            config,
            loaded: loaded.clone(),
            turn: Turn::default(),
            is_running: AtomicBool::new(false),
            ended: Mutex::default(),
            stop: CancellationToken::new(),
            keeping: Mutex::default(),
        });
        let keeper = Arc::clone(&scheduled);
        let keeping = tokio::spawn(async move {
            keeper.stop.run_until_cancelled(keeper.keep(&*log)).await;
        });
        *scheduled.keeping.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeping);
        scheduled
    }

    fn batch(&self) -> Option<&Batch> {
        self.loaded.plan.batch.as_ref()
    }

    fn name(&self) -> &str {
        &self.loaded.plan.pipeline
    }

    /// When it runs next, in microseconds since 1970, if it has a schedule.
    pub fn next(&self) -> Option<i64> {
        self.batch()?.schedule.as_ref()?.next_after(now())
    }

    /// Whether this host runs it now.
    pub fn is_running(&self) -> bool {
        self.is_running.load(Relaxed)
    }

    /// How its runs ended: what reports told when this host began to run it, and what it ran since.
    pub fn ended(&self) -> Ended {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses days where they cannot be read alone.
    ///
    /// # Errors
    /// That says why, and what would be right.
    pub fn check_days(&self) -> Result<()> {
        Run::new(&self.config, &self.loaded)?.check_days()
    }

    /// Begins a run, and waits until it cannot be forgotten any more, but not for its end.
    ///
    /// # Errors
    /// If it does not begin.
    pub async fn begin(self: &Arc<Self>, dates: Option<Dates>) -> Result<()> {
        let (told, heard) = oneshot::channel();
        let batch = Arc::clone(self);
        tokio::spawn(async move {
            let mut told = Some(told);
            let begun = || drop(told.take().map(|told| told.send(Ok(()))));
            if let Err(error) = batch.run_telling(dates, begun).await {
                tracing::error!(pipeline = batch.name(), "the run that was asked for failed: {error:#}");
                drop(told.map(|told| told.send(Err(error))));
            }
        });
        heard.await.context("the run ended before it began")?
    }

    /// Runs it now, after a run that is under way.
    ///
    /// # Errors
    /// If something fails. The next call goes on from there.
    pub async fn run(&self, dates: Option<Dates>) -> Result<Report> {
        self.run_telling(dates, || ()).await
    }

    /// Runs it, and tells when that has begun.
    async fn run_telling(&self, dates: Option<Dates>, begun: impl FnOnce() + Send) -> Result<Report> {
        let _turn = self.turn.lock().await;
        let _running = Busy::begin(&self.is_running);
        let told = |progress: Progress| {
            tracing::debug!(pipeline = self.name(), done = progress.done, total = progress.total, "a batch reads");
        };
        let run = async {
            let run = Run::new(&self.config, &self.loaded)?;
            let state = run.begin(dates).await?;
            begun();
            run.finish(state, told, &self.stop).await
        };
        let done = run.await;
        let is_about_batch = |error: &anyhow::Error| !self.stop.is_cancelled() && !error.is::<Usage>();
        if done.as_ref().err().is_none_or(is_about_batch) {
            self.ended.lock().unwrap_or_else(PoisonError::into_inner).note(&done);
        }
        if let Ok(report) = &done {
            let failed: Vec<&str> = report.failed().map(|check| check.name.as_str()).collect();
            tracing::info!(pipeline = self.name(), run = report.run, ?failed, outcome = ?report.outcome, "a batch ended");
        }
        done
    }

    /// The reports of its runs, whichever host made them, the latest first.
    ///
    /// # Errors
    /// If its database does not tell them.
    pub async fn reports(&self) -> Result<Vec<Report>> {
        let batch = self.batch().context("it is no batch")?;
        let texts = warehouse(&self.config, batch)?.reports(self.name()).await?;
        texts.iter().map(|text| Ok(serde_json::from_str(text)?)).collect()
    }

    /// The run that waits to go on here, by its days.
    fn interrupted(&self) -> Result<Option<Option<Dates>>> {
        Ok(RunFolder::of(&self.config.data, self.name()).interrupted()?.map(|state| state.dates))
    }

    /// Goes on with a run over some days that was interrupted: nobody else would, because no schedule asks for it. One that
    /// fails now waits for whoever asks for it again.
    async fn go_on_with_days(&self) -> Result<()> {
        if let Some(Some(dates)) = self.interrupted()? {
            tracing::info!(pipeline = self.name(), %dates, "an interrupted run over some days goes on");
            self.run(Some(dates)).await?;
        }
        Ok(())
    }

    /// Begins no more runs, and interrupts the one that reads; what it did is kept for the next.
    pub async fn stop(&self) {
        self.stop.cancel();
        let keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeping) = keeping
            && let Err(error) = keeping.await
        {
            tracing::error!(%error, "a schedule did not end as it should");
        }
        let _turn = self.turn.lock().await;
    }

    async fn keep(&self, log: &dyn Log) {
        match self.reports().await {
            Ok(reports) => {
                let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
                // A run may have been asked for, and have ended, meanwhile.
                if ended.last.is_none() {
                    *ended = Ended::of(&reports);
                }
            }
            Err(error) => tracing::warn!(pipeline = self.name(), "how its runs ended is not known: {error:#}"),
        }
        if let Err(error) = self.go_on_with_days().await {
            tracing::error!(pipeline = self.name(), "the interrupted run over some days failed: {error:#}");
        }
        while self.batch().is_some_and(|batch| batch.schedule.is_some()) {
            let error = match self.keep_while_chosen(log).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            tracing::error!(pipeline = self.name(), "its schedule waits: {error:#}");
            sleep(PAUSE).await;
        }
    }

    /// Runs the batch whenever it is due, while the log says that this host is the one.
    async fn keep_while_chosen(&self, log: &dyn Log) -> Result<std::convert::Infallible> {
        let membership = log.join(&format!("{}.schedule", self.name()), &self.loaded.plan.dead_letters).await?;
        loop {
            if membership.owns(0) {
                tokio::select! {
                    changed = changed(&*membership) => changed?,
                    due = self.due() => {
                        due?;
                        self.run(None).await?;
                    }
                }
            } else {
                changed(&*membership).await?;
            }
        }
    }

    /// Waits until the batch is due. It is at once if a time has passed since its last run; a batch that never ran waits
    /// for its first time.
    async fn due(&self) -> Result<()> {
        let schedule = self.batch().and_then(|batch| batch.schedule.as_ref()).context("it has no schedule")?;
        // Runs over some days make up for none over everything, nor do those that failed.
        let reports = self.reports().await?;
        let is_whole = |report: &&Report| report.dates.is_none() && report.outcome != RunOutcome::Failed;
        let last = reports.iter().find(is_whole).map_or_else(now, |report| report.started);
        if self.interrupted()? == Some(None) {
            return Ok(());
        }
        loop {
            let time = now();
            if schedule.last_until(time).is_some_and(|due| due > last) {
                return Ok(());
            }
            let next = schedule.next_after(time).context("its schedule has no time in the future")?;
            sleep(Duration::from_micros((next - time).max(0) as u64).min(LOOK_AGAIN)).await;
        }
    }
}

/// Says that something runs, until it is dropped.
struct Busy<'a>(&'a AtomicBool);

impl<'a> Busy<'a> {
    fn begin(flag: &'a AtomicBool) -> Self {
        flag.store(true, Relaxed);
        Self(flag)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

/// Follows what the log says of who keeps the schedule.
async fn changed(membership: &dyn Membership) -> Result<(), LogError> {
    if let Change::Revoked(partitions) = membership.changed().await? {
        membership.release(&partitions).await;
    }
    Ok(())
}

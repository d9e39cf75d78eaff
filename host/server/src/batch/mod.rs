//! Batches and backfills. A batch is a pipeline that runs over the whole past of its sources, on a log of its own, into
//! tables that are made beside those that people read. When every check has passed, they take their place, all at once.
//!
//! A run may be interrupted anywhere. Its folder says how far it had come: what a stage does can be done again, and while
//! rows are read, log and tables hold positions as those of any pipeline.

mod checks;
mod history;
mod letters;
mod progress;
mod report;
mod schedule;
mod seed;
mod state;
mod told;
mod topics;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use azenha_connect::embedded::{EmbeddedLog, EmbeddedOptions};
use azenha_connect::sql::warehouse::{Warehouse, building};
use azenha_engine::clock::SystemClock;
use azenha_engine::edition::Edition;
use azenha_engine::log::Log;
use azenha_engine::objects::sha256;
use azenha_engine::{Engine, EngineError, EngineOptions, Pipeline};
use azenha_model::config::HostConfig;
use azenha_model::plan::{
    Batch, BuiltTable, DEAD_LETTERS_TABLE, End, Generation, Input, OBJECTS_TABLE, Plan, WriteMode,
};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use self::checks::Statements;
use self::history::Past;
pub use self::history::{Dates, announced};
pub use self::letters::letters_of;
pub use self::progress::Progress;
use self::progress::Watch;
pub use self::report::{Report, RunOutcome, SourceReport};
pub use self::schedule::{Ended, Scheduled};
pub use self::seed::{check_choice, is_half_done, seed};
use self::state::{RunFolder, RunState, Stage};
pub use self::topics::{TopicPast, standing, unknown};
use crate::host::{open_object_stores, program, spool};
use crate::ingest::now;
use crate::program::Loaded;
use crate::usage::Usage;

/// Rows of a batch need not be seen soon: larger commits cost less.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// How often progress is told.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// A pipeline that is a batch, and where it runs.
pub struct Run<'a> {
    config: &'a HostConfig,
    loaded: &'a Loaded,
    batch: &'a Batch,
    warehouse: Warehouse,
    folder: RunFolder,
    topics: Vec<TopicPast>,
}

/// A run that has begun, which no other process can meanwhile.
pub struct Begun {
    _alone: File,
    state: RunState,
}

impl<'a> Run<'a> {
    /// A run of a batch in a host's data directory.
    ///
    /// # Errors
    /// If the pipeline is no batch, or its connection cannot be read.
    pub fn new(config: &'a HostConfig, loaded: &'a Loaded) -> Result<Self> {
        let pipeline = &loaded.plan.pipeline;
        let batch = loaded.plan.batch.as_ref();
        let batch = batch.ok_or_else(|| Usage(format!("pipeline `{pipeline}` is no batch: it has no key `batch`")))?;
        let folder = RunFolder::of(&config.data, pipeline);
        Ok(Self { config, loaded, batch, warehouse: warehouse(config, batch)?, folder, topics: Vec::new() })
    }

    /// The same, but some sources read topics.
    pub fn over(self, topics: Vec<TopicPast>) -> Self {
        Self { topics, ..self }
    }

    fn plan(&self) -> &'a Plan {
        &self.loaded.plan
    }

    /// The names of its tables.
    fn tables(&self) -> Vec<String> {
        self.batch.tables.iter().map(|table| table.name.clone()).collect()
    }

    /// What the host's table of this kind is called.
    fn table_of(&self, alias: &str) -> String {
        let found = self.batch.tables.iter().find(|table| table.alias == alias);
        found.map_or_else(|| alias.to_owned(), |table| table.name.clone())
    }

    /// Runs it, or goes on with a run of the same that was interrupted.
    ///
    /// # Errors
    /// If something fails. What can be done again will be, by the next call.
    pub async fn run(&self, dates: Option<Dates>, tell: impl Fn(Progress), stop: &CancellationToken) -> Result<Report> {
        self.finish(self.begin(dates).await?, tell, stop).await
    }

    /// Begins a run, or takes up one of the same that was interrupted: from now on it is not forgotten.
    ///
    /// # Errors
    /// If days cannot be read alone, another process runs it, or it cannot be kept.
    pub async fn begin(&self, dates: Option<Dates>) -> Result<Begun> {
        let alone = self.folder.lock()?;
        Ok(Begun { _alone: alone, state: self.resume_or_begin(dates).await? })
    }

    /// Brings a run to its end.
    ///
    /// # Errors
    /// As [`Run::run`].
    pub async fn finish(&self, begun: Begun, tell: impl Fn(Progress), stop: &CancellationToken) -> Result<Report> {
        let Begun { _alone, mut state } = begun;
        let done = self.go_on(&mut state, tell, stop).await;
        if let Err(error) = &done
            && !stop.is_cancelled()
            && !error.is::<Usage>()
        {
            self.keep_failure(&state, error).await;
        }
        done
    }

    async fn go_on(&self, state: &mut RunState, tell: impl Fn(Progress), stop: &CancellationToken) -> Result<Report> {
        let report = match &state.stage {
            Stage::Replacing(report) => (**report).clone(),
            Stage::Beginning | Stage::Reading => {
                let log = self.open_log(state).await?;
                let made = self.make(state, &log, tell, stop).await;
                log.close().await?;
                made?
            }
        };
        if report.outcome == RunOutcome::Published {
            state.stage = Stage::Replacing(Box::new(report.clone()));
            self.folder.keep(state)?;
            self.must_own(state).await?;
            // After a crash it may be that they are in place, and only the report is missing.
            if !self.warehouse.is_replaced(&self.tables()).await? {
                self.warehouse.replace(&report.pipeline, &report.run, &self.tables()).await?;
            }
        }
        self.warehouse.keep_report(&report.pipeline, &report.run, &serde_json::to_string(&report)?).await?;
        self.folder.end()?;
        Ok(report)
    }

    /// Keeps the report of a run that failed, under its name: when it goes on and ends, that report takes its place.
    async fn keep_failure(&self, state: &RunState, error: &anyhow::Error) {
        let report = Report { reason: Some(format!("{error:#}")), ..self.report(state, RunOutcome::Failed) };
        let kept = match serde_json::to_string(&report) {
            Ok(text) => self.warehouse.keep_report(&report.pipeline, &report.run, &text).await.map_err(Into::into),
            Err(error) => Err(anyhow::Error::from(error)),
        };
        if let Err(error) = kept {
            tracing::warn!(
                pipeline = report.pipeline,
                run = report.run,
                "the report of a failure is not kept: {error:#}"
            );
        }
    }

    /// A report that says when a run began and how it ended, and nothing of what it did.
    fn report(&self, state: &RunState, outcome: RunOutcome) -> Report {
        Report {
            pipeline: self.plan().pipeline.clone(),
            run: state.run.clone(),
            outcome,
            reason: None,
            started: state.started,
            seconds: (now() - state.started) as f64 / 1e6,
            dates: state.dates.map(|dates| dates.to_string()),
            sources: BTreeMap::new(),
            dead_letters: 0,
            tables: BTreeMap::new(),
            checks: Vec::new(),
        }
    }

    /// The run that was interrupted, if it was the same and its tables are still its own; else a new one.
    async fn resume_or_begin(&self, dates: Option<Dates>) -> Result<RunState> {
        let (digest, pipeline) = (self.digest(), &self.plan().pipeline);
        if dates.is_some() {
            self.check_days()?;
        }
        if let Some(state) = self.folder.interrupted()?
            && (&state.digest, state.dates) == (&digest, dates)
            && self.can_go_on(&state).await?
        {
            tracing::info!(pipeline, run = state.run, "an interrupted run goes on");
            return Ok(state);
        }
        self.folder.begin(now(), dates, digest)
    }

    /// Fails if another run of the pipeline has begun since, here or elsewhere: the new tables are that one's.
    async fn must_own(&self, state: &RunState) -> Result<()> {
        let (pipeline, run) = (&self.plan().pipeline, &state.run);
        if !self.warehouse.belongs_to(pipeline, run).await? {
            bail!("another run of `{pipeline}` has begun since run {run}; let that one end");
        }
        Ok(())
    }

    /// Whether the tables that rows are read into are there: without them nothing can go on.
    async fn can_go_on(&self, state: &RunState) -> Result<bool> {
        let written = self.plan().tasks.iter().filter_map(|task| match &task.end {
            End::Store(output) => Some(output.name.clone()),
            _ => None,
        });
        Ok(match state.stage {
            Stage::Beginning => true,
            Stage::Reading => {
                self.warehouse.belongs_to(&self.plan().pipeline, &state.run).await?
                    && self.warehouse.are_made(&written.collect::<Vec<_>>()).await?
            }
            Stage::Replacing(_) => self.warehouse.belongs_to(&self.plan().pipeline, &state.run).await?,
        })
    }

    /// Refuses days where rows of one day have to do with those of others, or nothing tells a row that is there from the
    /// same one read again.
    pub fn check_days(&self) -> Result<()> {
        if let Some(TopicPast { source, topic, .. }) = self.topics.first() {
            let problem = format!("days are folders, and source `{source}` reads topic `{topic}`; run without dates");
            return Err(Usage(problem).into());
        }
        for task in &self.plan().tasks {
            let problem = match &task.end {
                End::Store(output) if output.mode == WriteMode::Append => {
                    "has no `key`, so its rows would be there twice"
                }
                End::Store(_) if matches!(task.input, Input::Stream(_)) => continue,
                _ => "keeps a state, which is that of the whole past",
            };
            let name = &task.name;
            return Err(Usage(format!("days cannot be read alone: `{name}` {problem}; run without dates")).into());
        }
        Ok(())
    }

    /// Identifies what is run.
    fn digest(&self) -> String {
        let plugins: BTreeMap<&str, &str> =
            self.loaded.plugins.iter().map(|(name, plugin)| (name.as_str(), plugin.digest())).collect();
        sha256(format!("{:?} {plugins:?} {:?}", self.plan(), self.topics).as_bytes())
    }

    async fn open_log(&self, state: &RunState) -> Result<Arc<dyn Log>> {
        let directory = self.folder.log();
        if state.stage == Stage::Beginning
            && let Err(error) = fs::remove_dir_all(&directory)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error).with_context(|| directory.display().to_string());
        }
        Ok(Arc::new(EmbeddedLog::open(&directory, EmbeddedOptions::default()).await?))
    }

    /// Makes the new tables, and checks them.
    async fn make(
        &self,
        state: &mut RunState,
        log: &Arc<dyn Log>,
        tell: impl Fn(Progress),
        stop: &CancellationToken,
    ) -> Result<Report> {
        if state.stage == Stage::Beginning {
            self.lay_down(state, log, &tell).await?;
            state.stage = Stage::Reading;
            self.folder.keep(state)?;
        }
        let mut past = history::announced(&**log, self.plan()).await?;
        past.extend(state.copied.iter().cloned());
        let pipeline = self.start(state, log).await?;
        let read = read(pipeline.drain(), &pipeline, &past, tell, stop).await;
        pipeline.stop().await;
        read?;
        self.build(state, &**log, &past).await
    }

    /// Clears what an earlier run left, and lays down what is to be read. A run over some days begins with the rows that
    /// are there.
    async fn lay_down(&self, state: &mut RunState, log: &Arc<dyn Log>, tell: impl Fn(Progress)) -> Result<()> {
        state.copied = topics::copy(&self.topics, self.config, log, self.plan(), tell).await?;
        self.warehouse.begin(&self.plan().pipeline, &state.run, &self.tables()).await?;
        if state.dates.is_some() {
            for task in &self.plan().tasks {
                if let End::Store(output) = &task.end {
                    self.warehouse.copy(output).await?;
                }
            }
        }
        let stores = open_object_stores(self.config, self.plan())?;
        let found = history::find(&**log, self.plan(), &stores, state.dates).await?;
        history::announce(&**log, &found, state.started).await
    }

    /// Starts the pipeline, into the new tables of its sinks.
    async fn start(&self, state: &RunState, log: &Arc<dyn Log>) -> Result<Pipeline> {
        let mut plan = self.plan().clone();
        for task in &mut plan.tasks {
            if let End::Store(output) = &mut task.end {
                output.name = building(&output.name);
            }
        }
        let limits = &self.config.limits;
        let options = EngineOptions {
            workers: available_parallelism().map_or(1, usize::from),
            commit_interval: COMMIT_INTERVAL,
            batch_rows: limits.batch_rows as usize,
            state_limit: limits.state as usize,
            spool: spool(self.config)?,
        };
        let engine = Engine::start(Arc::clone(log), Arc::new(SystemClock::start()), options)?;
        // A host that still works on a run of before finds itself fenced.
        let generation = (state.started / 1_000_000) as Generation;
        Ok(engine.run(program(self.config, plan, &self.loaded.plugins, (generation, Edition::default()))?).await?)
    }

    /// Makes the tables that statements make, and checks everything.
    async fn build(&self, state: &RunState, log: &dyn Log, past: &[Past]) -> Result<Report> {
        let objects = told::objects(self.table_of(OBJECTS_TABLE), past)?;
        let mut refused =
            told::Refused::of(self.table_of(DEAD_LETTERS_TABLE), log, &self.plan().dead_letters, past).await?;
        let paths: Vec<String> = past.iter().map(|past| past.name.clone()).collect();
        let anew = state.dates.map(|_| ("object", paths.as_slice()));
        letters::keep(&self.config.data, self.plan(), log).await?;
        self.must_own(state).await?;
        self.warehouse.put(&objects, anew).await?;
        self.warehouse.put(&refused.empty()?, anew).await?;
        let mut dead_letters = 0;
        while let Some(letters) = refused.next().await? {
            dead_letters += letters.rows.num_rows() as u64;
            self.warehouse.add(&letters).await?;
        }
        let statements =
            Statements { batch: self.batch, warehouse: &self.warehouse, quoted: self.warehouse.quotes().await? };
        for table in &self.batch.built {
            self.must_own(state).await?;
            self.warehouse.build(&table.name, &statements.sql(&table.sql)).await?;
        }
        let mut tables = BTreeMap::new();
        for table in self.tables() {
            let select = format!("SELECT 1 AS one FROM {}", statements.quoted_new(&table));
            tables.insert(table.clone(), self.warehouse.count(&format!("counting `{table}`"), &select).await?);
        }
        let checks = statements.checks().await?;
        let passed = checks.iter().all(|check| check.passed);
        if passed {
            for BuiltTable { name, key, .. } in &self.batch.built {
                self.must_own(state).await?;
                self.warehouse.index(name, key, state.started).await?;
            }
        }
        let outcome = if passed { RunOutcome::Published } else { RunOutcome::Refused };
        let sources = by_source(past);
        Ok(Report { sources, dead_letters, tables, checks, ..self.report(state, outcome) })
    }
}

/// Waits until a pipeline has read everything that is waited for, and tells how far it is.
pub async fn read<T>(
    reading: impl Future<Output = Result<T, EngineError>>,
    pipeline: &Pipeline,
    past: &[Past],
    tell: impl Fn(Progress),
    stop: &CancellationToken,
) -> Result<()> {
    let (mut watch, mut ticks) = (Watch::new(past), interval(TELL_INTERVAL));
    tokio::pin!(reading);
    loop {
        tokio::select! {
            drained = &mut reading => return drained.map(drop).context("reading the past"),
            _ = ticks.tick() => tell(watch.look(pipeline.tasks())),
            () = stop.cancelled() => bail!("the run was interrupted; the next goes on from here"),
        }
    }
}

fn by_source(past: &[Past]) -> BTreeMap<String, SourceReport> {
    let mut sources: BTreeMap<String, SourceReport> = BTreeMap::new();
    for past in past {
        let source = sources.entry(past.source.clone()).or_default();
        source.objects += 1;
        source.records += past.records;
    }
    sources
}

/// The database of a batch.
pub fn warehouse(config: &HostConfig, batch: &Batch) -> Result<Warehouse> {
    let name = &batch.connection;
    let url = config.connection(name).with_context(|| config.connection_help(name))?;
    Ok(Warehouse::new(name, url.reveal())?)
}

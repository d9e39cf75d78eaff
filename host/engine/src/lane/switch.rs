//! Other code for a lane that runs: it goes over between two batches, in a commit that says so.

use std::mem::discriminant;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use azenha_model::plan::{End as EndPlan, Input, Task};

use super::Lane;
use super::ends::{check_fits, open_exchange, open_stream};
use super::intake::Intake;
use super::probation::Probation;
use crate::edition::{Begun, Code, Distrust};
use crate::error::EngineError;
use crate::snapshot;
use crate::state::Restored;
use crate::status::Switched;
use crate::task::TaskContext;

/// What a lane does about another version of its pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It goes on.
    Over,
    /// It has to be opened again from its last commit.
    Anew,
}

impl Lane {
    /// Takes another version over. No commit is on its way when this is called. What was processed is handed over to be
    /// committed by the code that did it; from the next record on the other code is at work.
    pub async fn switch(&mut self, next: Arc<TaskContext>) -> Result<Taken, EngineError> {
        if self.context.runs_like(&next) {
            self.context = next;
            return Ok(Taken::Over);
        }
        let ran = self.context.program.edition.version;
        let is_undone = next.program.edition.undone(next.task().end_step(), ran).is_some();
        if is_undone || !can_go_over(self.context.task(), next.task()) {
            return Ok(Taken::Anew);
        }
        let started = self.context.clock.elapsed();
        if self.waiting.is_some() {
            self.begin_commit().await?;
        }
        let moment = self.moment();
        let Some(restored) = self.intake.end().hand_over(&moment) else { return Ok(Taken::Anew) };
        self.context = next;
        self.snapshot = snapshot::take(&self.context, self.partition, ran, &restored).await?;
        // What the code did before it is nobody's fault any more.
        self.probation = None;
        self.intake = self.trusted(reopen(&self.context, self.partition, restored, ran))?;
        self.begin(None);
        self.status.set_switched(Switched {
            version: self.context.program.edition.version,
            from: self.position,
            pause: self.context.clock.elapsed().saturating_sub(started),
        });
        Ok(Taken::Over)
    }

    /// Notes that this version begins here: the next commit says so. `code` is what the lane ran before, if it goes on with
    /// that.
    pub fn begin(&mut self, code: Option<Code>) {
        let edition = &self.context.program.edition;
        self.status.version.store(edition.version, Relaxed);
        self.dead.set_version(edition.version);
        if self.context.versions.is_none() {
            return;
        }
        let (version, from) = (edition.version, self.position);
        let code = code.unwrap_or_else(|| Code { digest: self.context.code_digest(), version, from });
        self.probation = Probation::of(edition, &code, self.position);
        let task = self.context.task().name.clone();
        self.begun = Some(Begun { task, partition: self.partition, version, from, code: Some(code) });
        self.wait_for_commit();
    }

    /// A failure of code that is on probation is a reason not to trust it.
    pub fn trusted<T>(&self, outcome: Result<T, EngineError>) -> Result<T, EngineError> {
        let edition = &self.context.program.edition;
        outcome.map_err(|error| match error {
            EngineError::Distrusted(_) => error,
            error if error.is_passing() || (edition.guard.is_none() && self.probation.is_none()) => error,
            error => self.distrust(error.to_string()),
        })
    }

    /// Counts what the next commit would make durable, while the code is not trusted.
    pub fn judge(&mut self) -> Result<(), EngineError> {
        let (records, tried) = (std::mem::take(&mut self.records), std::mem::take(&mut self.tried));
        let blamed = self.dead.take_blamed();
        let Some(probation) = &mut self.probation else { return Ok(()) };
        if let Err(reason) = probation.count(records, tried, blamed) {
            return Err(self.distrust(reason));
        }
        if probation.is_over() {
            self.probation = None;
        }
        Ok(())
    }

    fn distrust(&self, reason: String) -> EngineError {
        let lane = self.context.lane_id(self.partition);
        EngineError::Distrusted(Distrust {
            version: self.probation.as_ref().map_or(self.context.program.edition.version, Probation::version),
            reason: format!("{lane}, at offset {}: {reason}", self.position),
        })
    }
}

/// Whether the lanes of a task can go over to another task of its name without reading anything back.
fn can_go_over(before: &Task, after: &Task) -> bool {
    let reads_alike = match (&before.input, &after.input) {
        (Input::Stream(before), Input::Stream(after)) => before.objects.is_none() && after.objects.is_none(),
        (Input::Exchange { .. }, Input::Exchange { .. }) => true,
        _ => false,
    };
    let ends_alike = match (&before.end, &after.end) {
        // The store was opened for certain columns.
        (EndPlan::Store(before), EndPlan::Store(after)) => before == after,
        (before, after) => discriminant(before) == discriminant(after),
    };
    reads_alike && ends_alike
}

/// What a lane does with what it reads from now on.
fn reopen(context: &Arc<TaskContext>, partition: u32, mut restored: Restored, ran: u64) -> Result<Intake, EngineError> {
    prepare(context, ran, &mut restored);
    if let Some(header) = &restored.header {
        check_fits(context, header)?;
    }
    match &context.task().input {
        Input::Stream(stream) => open_stream(context, partition, stream, restored),
        Input::Exchange { .. } => open_exchange(context, partition, restored),
    }
}

/// Does to a state what was asked for since the version that the lane ran last.
pub fn prepare(context: &TaskContext, ran: u64, restored: &mut Restored) {
    let (step, edition) = (context.task().end_step(), &context.program.edition);
    let EndPlan::Aggregate { aggregation, .. } = &context.task().end else { return };
    if edition.resets.get(step).is_some_and(|version| *version > ran) {
        restored.give_up(aggregation.plan.state_version);
    }
    restored.gives_all |= edition.recomputes.get(step).is_some_and(|version| *version > ran);
}

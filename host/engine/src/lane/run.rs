//! Lanes that start again when something outside fails.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::sleep;

use super::{Ended, Lane, Orders, told};
use crate::edition::Distrust;
use crate::error::EngineError;
use crate::log::Membership;
use crate::status::{LaneState, LaneStatus};
use crate::task::TaskContext;

/// First pause before a lane is started again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Longest pause before a lane is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Runs a lane until it is told to stop, or cannot go on.
pub async fn run(membership: Arc<dyn Membership>, status: Arc<LaneStatus>, mut orders: Orders) {
    let _watched = PanicWatch(Arc::clone(&status));
    let (mut pause, mut failures) = (FIRST_PAUSE, 0);
    loop {
        let context = Arc::clone(&orders.context.borrow_and_update());
        let lane = context.lane_id(status.partition);
        status.set_state(LaneState::Restoring);
        let commits = status.counters.commits.load(Relaxed);
        let error = match attempt(&context, &membership, &status, &mut orders).await {
            Ok(Ended::Stopped) => return status.set_state(LaneState::Stopped),
            Ok(Ended::Anew) => continue,
            Err(error) => error,
        };
        if !error.is_passing() {
            give_up(&context, &status, error);
            tokio::select! {
                // Another version may do better.
                Ok(()) = orders.context.changed() => continue,
                () = told(&mut orders.stop) => return,
            }
        }
        if *orders.stop.borrow() {
            tracing::warn!(%lane, %error, "the last rows were not committed; whoever reads on begins before them");
            return status.set_state(LaneState::Stopped);
        }
        if status.counters.commits.load(Relaxed) > commits {
            (pause, failures) = (FIRST_PAUSE, 0);
        }
        failures += 1;
        tracing::warn!(%lane, %error, "the lane starts again from its last commit in {pause:?}");
        status.counters.retries.fetch_add(1, Relaxed);
        status.set_state(LaneState::Retrying { error: error.to_string(), failures });
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            Ok(()) = orders.context.changed() => {}
            () = told(&mut orders.stop) => return status.set_state(LaneState::Stopped),
        }
    }
}

/// Says that a lane cannot go on with what it runs.
fn give_up(context: &TaskContext, status: &LaneStatus, error: EngineError) {
    let lane = context.lane_id(status.partition);
    tracing::error!(%lane, %error, "the lane cannot go on");
    match error {
        // The host goes back.
        EngineError::Distrusted(Distrust { reason, .. }) => {
            status.set_state(LaneState::Retrying { error: reason, failures: 0 });
        }
        error => status.set_state(LaneState::Failed { error: error.to_string() }),
    }
}

/// Takes the lane over and runs it, until it is told to stop or something fails.
async fn attempt(
    context: &Arc<TaskContext>,
    membership: &Arc<dyn Membership>,
    status: &Arc<LaneStatus>,
    orders: &mut Orders,
) -> Result<Ended, EngineError> {
    let opened = tokio::select! {
        biased;
        // What it has done so far is to read.
        () = told(&mut orders.stop) => return Ok(Ended::Stopped),
        opened = Lane::open(context, membership, status, orders.awaited.clone()) => opened,
    };
    let mut lane = match opened {
        Ok(lane) => lane,
        Err(error) => return Err(tell_distrust(context, error)),
    };
    status.set_state(LaneState::Running);
    let outcome = lane.work(orders).await;
    lane.reading.abort();
    let outcome = if lane.probation.is_some() { lane.trusted(outcome) } else { outcome };
    if outcome.is_err() && !Arc::ptr_eq(&lane.context, &orders.context.borrow()) {
        // It has heard of another version, and failed before it went over.
        orders.context.mark_changed();
    }
    outcome.map_err(|error| tell_distrust(&lane.context, error))
}

/// Tells whoever started a version that a lane does not go on with it.
fn tell_distrust(context: &TaskContext, error: EngineError) -> EngineError {
    if let EngineError::Distrusted(distrust) = &error {
        context.distrust.send_replace(Some(distrust.clone()));
    }
    error
}

/// Says that a lane has failed if it panics: nobody waits for its task.
struct PanicWatch(Arc<LaneStatus>);

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let error = "the host itself has a fault in this lane; its log says where".to_owned();
            self.0.set_state(LaneState::Failed { error });
        }
    }
}

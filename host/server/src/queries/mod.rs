//! Queries that pipelines declare: what answers them, what a page's cursor is, how long answers take.

mod cursor;
mod encode;
mod routes;
mod timings;

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use azenha_connect::query::{Answer, Answers, QueryError, Question, open_answers};
use azenha_engine::status::{LaneState, LaneStatus, NO_TIME, TaskStatus};
use azenha_model::config::HostConfig;
use azenha_model::plan::Plan;
use azenha_model::query::{Asked, Query};
use futures::future::join_all;
use tokio::time::timeout;

pub use encode::{Freshness, Page, body};
pub use routes::{Claim, Routes};
pub use timings::{Ended, Timings};

/// How long connections may take to end.
const CLOSING: Duration = Duration::from_secs(1);

/// The queries of a pipeline that runs.
#[derive(Debug)]
pub struct Queries {
    /// Each of them, in the order of the file.
    pub served: Vec<Served>,
    /// Keeps others from answering at the same paths.
    _claim: Claim,
}

/// A query and what answers it.
#[derive(Debug)]
pub struct Served {
    /// The query.
    pub query: Query,
    /// How long answers took.
    pub timings: Timings,
    answers: Arc<dyn Answers>,
    said: Said,
}

/// What was said of failures in the host's log.
#[derive(Debug, Default)]
struct Said {
    last: Mutex<Option<Instant>>,
}

/// How long nothing more is said of failures.
const SILENCE: Duration = Duration::from_secs(10);

impl Said {
    /// Whether something may be said now, of which more is not said for a while.
    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.duration_since(last) >= SILENCE);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The cursor is none of this query, with these parameters.
    #[error("`cursor` is none that this query gave for these parameters")]
    Cursor,
    /// The database gave no answer.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl Queries {
    /// What answers the queries of a plan. Nothing is connected yet.
    ///
    /// # Errors
    /// If another pipeline answers at one of the paths, or a connection answers no queries.
    pub fn open(plan: &Plan, config: &HostConfig, routes: &Routes) -> Result<Self> {
        let claim = routes.claim(&plan.pipeline, &plan.queries)?;
        let mut opened: HashMap<&str, Arc<dyn Answers>> = HashMap::new();
        let mut served = Vec::new();
        for query in &plan.queries {
            let name = query.connection.as_str();
            let answers = match opened.get(name) {
                Some(answers) => Arc::clone(answers),
                None => {
                    let url = config.connection(name).with_context(|| config.connection_help(name))?;
                    let answers = open_answers(name, url.reveal())?;
                    opened.insert(name, Arc::clone(&answers));
                    answers
                }
            };
            served.push(Served { query: query.clone(), timings: Timings::default(), answers, said: Said::default() });
        }
        Ok(Self { served, _claim: claim })
    }

    /// The query that answers at a path, and the values of the path's parameters, as they stand there.
    pub fn find<'a>(&self, path: &'a str) -> Option<(&Served, Vec<&'a str>)> {
        self.served.iter().find_map(|served| Some((served, served.query.path.matches(path)?)))
    }

    /// Ends the connections.
    pub async fn close(&self) {
        let closing = join_all(self.served.iter().map(|served| served.answers.close()));
        // What is still being answered ends with the process.
        let _ = timeout(CLOSING, closing).await;
    }
}

impl Served {
    /// Says in the host's log that there was no answer, if that is the database's fault; of one query not more often than
    /// every ten seconds, because whoever got no answer asks again.
    pub fn warn(&self, unanswered: &Unanswered) {
        let Unanswered::Query(error) = unanswered else { return };
        let is_its_fault =
            matches!(error, QueryError::Busy(_) | QueryError::Definition { .. } | QueryError::Unavailable { .. });
        if is_its_fault && self.said.is_due(Instant::now()) {
            tracing::warn!(query = self.query.name, %error, "a query was not answered");
        }
    }

    /// Answers a question; `given` is what the request says, by which its cursors are known.
    ///
    /// # Errors
    /// If the cursor is wrong, or the database does not answer.
    pub async fn answer(&self, asked: &Asked, given: &[String]) -> Result<Page<'_>, Unanswered> {
        let after = match &asked.cursor {
            Some(text) => Some(cursor::read(text, &self.query, given).ok_or(Unanswered::Cursor)?),
            None => None,
        };
        let question = Question { arguments: &asked.arguments, after: after.as_deref(), rows: asked.limit };
        let Answer { rows, more } = self.answers.answer(&self.query, question).await?;
        let last = rows.last().filter(|_| more && !self.query.order.is_empty());
        let next = last.map(|row| cursor::write(row, &self.query, given)).transpose();
        let next = next.map_err(|column| QueryError::Definition {
            query: self.query.name.clone(),
            connection: self.query.connection.clone(),
            reason: format!("column `{column}`, by which pages go, has no value in a row"),
        })?;
        Ok(Page { columns: &self.query.columns, rows, more, next })
    }
}

/// How fresh what a sink wrote is, by the lanes of its task on this host; none of it is known of lanes elsewhere.
pub fn freshness(task: &TaskStatus) -> Freshness {
    let here: Vec<&Arc<LaneStatus>> = task.lanes.iter().filter(|lane| lane.state() != LaneState::Elsewhere).collect();
    let known = |time: i64| (time != NO_TIME).then_some(time);
    let newest = here.iter().filter_map(|lane| known(lane.event_time.load(Relaxed))).max();
    let watermark = here.iter().filter_map(|lane| known(lane.watermark.load(Relaxed))).min();
    Freshness { newest, watermark: watermark.filter(|_| here.len() == task.lanes.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_said_once_in_a_while() {
        let (said, now) = (Said::default(), Instant::now());
        let after = |seconds| said.is_due(now + Duration::from_secs(seconds));
        assert_eq!([0, 1, 9, 10, 11, 25].map(after), [true, false, false, true, false, true]);
    }
}

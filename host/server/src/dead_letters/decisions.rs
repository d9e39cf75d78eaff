//! What was decided on dead letters: each is put back, or discarded, at most once. A decision and the record that is put
//! back are one transaction of the log, by the one owner of a lane: of two hosts that decide at a time, one is fenced.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, BinaryArray};
use azenha_engine::failpoint;
use azenha_engine::log::{Append, Commit, LaneId, Log, LogError};
use azenha_model::plan::{TopicKind, TopicSpec};
use azenha_model::{Fetched, Offset, Records};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::name::{Name, record_of};
use super::tail::{Kept, Tail};
use crate::ingest::now;

/// The topic of all decisions: one record for each letter, under its id, and one for each record that was put back, under
/// its place, because other letters may be about it.
const TOPIC: &str = "azenha.letters";

/// Whoever decides has this lane.
const GROUP: &str = "letters";

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The record was put back at the end of its source.
    Retried,
    /// Nobody wants to see it again.
    Discarded,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Retried => "retried",
            Self::Discarded => "discarded",
        })
    }
}

/// A decision on a letter.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// What was decided.
    pub verdict: Verdict,
    /// The name of the token with which it was.
    pub by: Option<String>,
    /// When: microseconds since 1970-01-01T00:00:00Z.
    pub at: i64,
}

/// Decisions by letter, and by record.
#[derive(Debug, Default)]
pub struct Decided(HashMap<Name, Decision>);

impl Kept for Decided {
    fn take(&mut self, fetched: &Fetched) {
        let (keys, values) = (&fetched.records.keys, &fetched.records.values);
        for row in 0..fetched.records.len() {
            let value = if values.is_valid(row) { values.value(row) } else { b"" };
            match serde_json::from_slice(value) {
                Ok(decision) => {
                    let name = Name::of_letter(&String::from_utf8_lossy(keys.value(row)));
                    // The first one counts: there is no second but by a mistake.
                    self.0.entry(name).or_insert(decision);
                }
                Err(_) => tracing::error!(offset = fetched.offsets[row], "a record of `{TOPIC}` is passed over"),
            }
        }
    }
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// It was decided before.
    #[error("it was {} already", .0.verdict)]
    Decided(Decision),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// All decisions.
pub struct Decisions {
    log: Arc<dyn Log>,
    tail: Tail<Decided>,
}

impl Decisions {
    /// None is read yet.
    pub fn new(log: &Arc<dyn Log>) -> Self {
        Self { log: Arc::clone(log), tail: Tail::new(log, TOPIC.to_owned()) }
    }

    /// Reads what was decided up to now.
    pub async fn catch_up(&mut self) -> Result<(), LogError> {
        self.tail.catch_up(Offset::MAX).await
    }

    /// What was decided on a letter, or by putting back the record that it is about, as far as that was read.
    pub fn on(&self, letter: Name, record: Option<Name>) -> Option<&Decision> {
        let decided = &self.tail.kept.0;
        decided.get(&letter).or_else(|| decided.get(&record?))
    }

    /// Decides on a letter: discards it, or puts the record back that it is about. Durable when this returns. After an
    /// error of the log it may or may not have happened: asking again tells.
    pub async fn decide(
        &mut self,
        id: &str,
        put_back: Option<Append>,
        by: Option<String>,
    ) -> Result<Decision, DecideError> {
        let topic = TopicSpec { name: TOPIC.to_owned(), partitions: 1, kind: TopicKind::Compacted };
        self.log.ensure_topic(&topic).await?;
        let lane = LaneId { group: GROUP.to_owned(), input: TOPIC.to_owned(), partition: 0 };
        let mut owner = self.log.take_lane(&lane).await?;
        // What an earlier owner had begun has happened or failed by then.
        let end = self.log.settled_end(TOPIC, 0).await?;
        self.tail.read_to(end).await?;
        let record = put_back.as_ref().and_then(|_| record_of(id));
        if let Some(decision) = self.on(Name::of_letter(id), record.map(Name::of_letter)) {
            return Err(DecideError::Decided(decision.clone()));
        }
        let verdict = if put_back.is_some() { Verdict::Retried } else { Verdict::Discarded };
        let decision = Decision { verdict, by, at: now() };
        let keys: Vec<&str> = [id].into_iter().chain(record).collect();
        // Texts and numbers always become JSON.
        let value = serde_json::to_vec(&decision).unwrap_or_default();
        let records = Records {
            timestamps: vec![decision.at; keys.len()],
            values: BinaryArray::from_iter_values(keys.iter().map(|_| &value)),
            keys: BinaryArray::from_iter_values(keys),
        };
        let mut appends = vec![Append { topic: TOPIC.to_owned(), partition: 0, records }];
        appends.extend(put_back);
        failpoint::reach("letter.taken");
        owner.commit(Commit { position: self.tail.position(), appends }).await?;
        failpoint::reach("letter.decided");
        Ok(decision)
    }
}

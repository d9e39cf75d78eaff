//! A commit: documents and position in one transaction, and, if that fails, the rows that are to blame.

use std::time::Duration;

use azenha_engine::failpoint;
use azenha_engine::store::{RefusedRow, StoreLaneId, StoreRows};
use azenha_model::plan::StoreOutput;
use mongodb::error::UNKNOWN_TRANSACTION_COMMIT_RESULT;

use super::command::{self, Write};
use super::failure::{Refusal, Trouble, failure};
use super::{Collection, MongoSession, positions};
use crate::documents::{Documents, Encoder};
use crate::store::changes::{Change, Checked};
use crate::store::{Failure, MOST_REFUSED, Operation, Outcome, Step};

/// How often a transaction that met another one is tried, and how often a commit is sent whose answer was lost.
const ATTEMPTS: u32 = 5;
/// How long the first of them waits for the next; each waits twice as long.
const PAUSE: Duration = Duration::from_millis(20);
/// How many rows in one answer are refused for a value that another document has. Each costs a transaction.
const MOST_DUPLICATES: usize = 10;

/// The writes of a commit.
struct Writes<'a> {
    changes: &'a [Change],
    buffer: Vec<u8>,
    writes: Vec<Encoded>,
}

/// A write, and where its document is in the buffer.
struct Encoded {
    change: usize,
    row: usize,
    start: usize,
    end: usize,
    id_bytes: usize,
}

impl<'a> Writes<'a> {
    /// Encodes every row, or says which cannot be documents.
    fn encode(documents: &Documents, changes: &'a [Change]) -> Result<Checked<Self>, Failure> {
        let mut encoded = Self { changes, buffer: Vec::new(), writes: Vec::new() };
        let mut refused = Vec::new();
        for (index, change) in changes.iter().enumerate() {
            let encoder = Encoder::new(documents, change)?;
            // From the last key to the first: to learn that a key is not there, the server walks to the next one that
            // the transaction sees, over all that other lanes have added meanwhile. So that is the one written before.
            for row in (0..change.rows.num_rows()).rev() {
                let start = encoded.buffer.len();
                match encoder.push(&mut encoded.buffer, row) {
                    Ok(id_bytes) => {
                        let end = encoded.buffer.len();
                        encoded.writes.push(Encoded { change: index, row, start, end, id_bytes });
                    }
                    Err(Failure::Rows(fault)) => refused.push(change.refused(row, fault.reason)),
                    Err(other) => return Err(other),
                }
            }
        }
        Ok(if refused.is_empty() { Ok(encoded) } else { Err(refused) })
    }

    fn all(&self) -> Vec<Write<'_>> {
        (0..self.writes.len()).map(|index| self.write(index)).collect()
    }

    fn write(&self, index: usize) -> Write<'_> {
        let Encoded { change, start, end, id_bytes, .. } = self.writes[index];
        Write { operation: self.changes[change].operation, document: &self.buffer[start..end], id_bytes }
    }

    fn refused(&self, index: usize, refusal: Refusal) -> RefusedRow {
        let Encoded { change, row, .. } = self.writes[index];
        self.changes[change].refused(row, refusal.fault.reason)
    }
}

/// The rows that cannot be documents, whatever stands in the collection.
pub(crate) fn refused_unasked(
    output: &StoreOutput,
    lane: &StoreLaneId,
    rows: &[StoreRows],
) -> Result<Checked<()>, Failure> {
    let documents = Documents::new(output)?;
    Ok(match documents.changes(lane, rows)? {
        Ok(changes) => Writes::encode(&documents, &changes)?.map(drop),
        Err(refused) => Err(refused),
    })
}

/// Writes position and documents in one transaction.
pub(super) async fn commit(
    session: &mut MongoSession,
    collection: &Collection,
    step: Step<'_>,
    rows: &[StoreRows],
) -> Result<Outcome, Failure> {
    let changes = match collection.documents.changes(step.lane, rows)? {
        Ok(changes) => changes,
        Err(refused) => return Ok(Outcome::refused(refused)),
    };
    let writes = match Writes::encode(&collection.documents, &changes)? {
        Ok(writes) => writes,
        Err(refused) => return Ok(Outcome::refused(refused)),
    };
    let mut transaction = Transaction { session, collection: &collection.name, step };
    match transaction.run(&writes.all(), true).await? {
        Ended::Committed => Ok(Outcome::Committed),
        Ended::Fenced => Ok(Outcome::Fenced),
        Ended::Refused(first) => carefully(&mut transaction, &writes, first).await,
    }
}

/// Finds the rows to blame: what stands behind one that is refused is tried without those before it. It may well
/// succeed: documents in another order need not hurt each other.
async fn carefully(transaction: &mut Transaction<'_>, writes: &Writes<'_>, first: Refusal) -> Result<Outcome, Failure> {
    let all = writes.all();
    let mut suspects = vec![(first.index, first)];
    while suspects.len() < MOST_REFUSED {
        let from = suspects.last().map_or(0, |(guilty, _)| guilty + 1);
        match transaction.run(&all[from..], false).await? {
            Ended::Refused(refusal) => suspects.push((from + refusal.index, refusal)),
            Ended::Fenced => return Ok(Outcome::Fenced),
            Ended::Committed => break,
        }
    }
    let (duplicates, guilty): (Vec<_>, Vec<_>) = suspects.into_iter().partition(|(_, refusal)| refusal.is_duplicate);
    if guilty.is_empty() {
        let duplicates = duplicates.into_iter().map(|(index, _)| index).collect();
        return exonerate(transaction, writes, duplicates).await;
    }
    // Whether the others are guilty will show when the rest is tried again.
    let refused = guilty.into_iter().map(|(index, refusal)| writes.refused(index, refusal)).collect();
    Ok(Outcome::refused(refused))
}

/// A value that is unique may be given up by another document of the commit: what seemed to be duplicates is deleted
/// first and put last, when every old value is gone.
async fn exonerate(
    transaction: &mut Transaction<'_>,
    writes: &Writes<'_>,
    suspects: Vec<usize>,
) -> Result<Outcome, Failure> {
    let others = (0..writes.writes.len()).filter(|index| !suspects.contains(index));
    let mut order: Vec<usize> = others.chain(suspects.iter().copied()).collect();
    let delete = |index: &usize| Write { operation: Operation::Delete, ..writes.write(*index) };
    let deletes: Vec<Write<'_>> = suspects.iter().map(delete).collect();
    let mut refused = Vec::new();
    while refused.len() < MOST_DUPLICATES {
        let puts = order.iter().map(|index| writes.write(*index));
        let sequence: Vec<Write<'_>> = deletes.iter().copied().chain(puts).collect();
        match transaction.run(&sequence, refused.is_empty()).await? {
            Ended::Committed if refused.is_empty() => return Ok(Outcome::Committed),
            Ended::Committed => break,
            Ended::Fenced => return Ok(Outcome::Fenced),
            Ended::Refused(refusal) => {
                let Some(place) = refusal.index.checked_sub(deletes.len()) else {
                    return Err(Failure::Unavailable(refusal.fault.reason.into()));
                };
                refused.push(writes.refused(order.remove(place), refusal));
            }
        }
    }
    Ok(Outcome::refused(refused))
}

/// How a transaction ended.
enum Ended {
    /// Or, where nothing was to be kept, aborted after every write has passed.
    Committed,
    Fenced,
    Refused(Refusal),
}

struct Transaction<'a> {
    session: &'a mut MongoSession,
    collection: &'a str,
    step: Step<'a>,
}

impl Transaction<'_> {
    /// Moves the position and does the writes, and keeps that or not.
    async fn run(&mut self, writes: &[Write<'_>], keep: bool) -> Result<Ended, Failure> {
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS {
            match self.attempt(writes, keep).await {
                Err(Trouble::Conflict(error)) => {
                    tracing::debug!(error = %error.kind, "a transaction is tried again");
                    self.abort().await;
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                ended => return self.end(ended).await,
            }
        }
        let ended = self.attempt(writes, keep).await;
        self.end(ended).await
    }

    async fn end(&mut self, ended: Result<bool, Trouble>) -> Result<Ended, Failure> {
        match ended {
            Ok(true) => Ok(Ended::Committed),
            Ok(false) => Ok(Ended::Fenced),
            Err(trouble) => {
                self.abort().await;
                match trouble {
                    Trouble::Write(refusal) => Ok(Ended::Refused(refusal)),
                    Trouble::Conflict(error) => Err(failure(error)),
                    Trouble::Failed(failure) => Err(failure),
                }
            }
        }
    }

    /// False if the lane has another owner.
    async fn attempt(&mut self, writes: &[Write<'_>], keep: bool) -> Result<bool, Trouble> {
        self.session.session.start_transaction().await?;
        failpoint::reach("mongodb.begun");
        if !positions::advance(self.session, self.step).await? {
            self.abort().await;
            return Ok(false);
        }
        failpoint::reach("mongodb.position_written");
        command::write(self.session, self.collection, writes).await?;
        failpoint::reach("mongodb.documents_written");
        if keep {
            self.keep().await?;
            failpoint::reach("mongodb.committed");
        } else {
            self.abort().await;
        }
        Ok(true)
    }

    /// Commits. To ask again is no second commit.
    async fn keep(&mut self) -> Result<(), Trouble> {
        for _ in 1..ATTEMPTS {
            match self.session.session.commit_transaction().await {
                Err(error) if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) => {
                    tracing::debug!(error = %error.kind, "a commit is asked for again");
                    tokio::time::sleep(PAUSE).await;
                }
                ended => return Ok(ended?),
            }
        }
        Ok(self.session.session.commit_transaction().await?)
    }

    /// What the server has ended already cannot be aborted, and what cannot be reached ends by itself.
    async fn abort(&mut self) {
        if let Err(error) = self.session.session.abort_transaction().await {
            tracing::debug!(error = %error.kind, "a transaction could not be aborted");
        }
    }
}

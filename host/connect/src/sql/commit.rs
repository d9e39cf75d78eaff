//! A commit: rows and position in one transaction, and, if that fails, the rows that are to blame.

use arrow_array::{RecordBatch, new_null_array};
use azenha_engine::failpoint;

use super::positions;
use super::session::{Failure, Fault, Session};
use super::table::Target;
use crate::store::changes::Change;
use crate::store::{MOST_REFUSED, Outcome, Step};

/// A row that failed alone.
struct Suspect<'a> {
    change: &'a Change,
    row: usize,
    fault: Fault,
}

impl Suspect<'_> {
    fn rows(&self) -> RecordBatch {
        self.change.rows.slice(self.row, 1)
    }
}

/// Writes position and rows in one transaction.
pub(super) async fn commit(
    session: &mut dyn Session,
    target: &Target,
    step: Step<'_>,
    changes: &[Change],
) -> Result<Outcome, Failure> {
    match quickly(session, target, step, changes).await {
        Err(Failure::Rows(_)) => {
            session.roll_back().await?;
            carefully(session, target, step, changes).await
        }
        outcome => outcome,
    }
}

/// Why one of the rows is refused, if one is. Nothing of them stays.
pub(super) async fn rehearse(
    session: &mut dyn Session,
    target: &Target,
    changes: &[Change],
) -> Result<Option<String>, Failure> {
    session.begin().await?;
    if let Some(statement) = session.dialect().check_at_once() {
        session.run(statement).await?;
    }
    let mut suspects = Vec::new();
    for change in changes {
        halve(session, target, change, &mut suspects).await?;
    }
    let refused = match suspects.first() {
        Some(suspect) => Some(reason(session, target, suspect).await?),
        None => None,
    };
    session.roll_back().await?;
    Ok(refused)
}

/// As if no row were bad.
async fn quickly(
    session: &mut dyn Session,
    target: &Target,
    step: Step<'_>,
    changes: &[Change],
) -> Result<Outcome, Failure> {
    if !begin(session, step).await? {
        return Ok(Outcome::Fenced);
    }
    for change in changes {
        session.write(target, change.operation, &change.rows).await?;
    }
    finish(session).await
}

/// Begins a transaction that advances the position; false, and nothing is begun, if the lane has another owner.
async fn begin(session: &mut dyn Session, step: Step<'_>) -> Result<bool, Failure> {
    session.begin().await?;
    failpoint::reach("sql.begun");
    if !positions::advance(session, step.lane, step.taken, step.next).await? {
        session.roll_back().await?;
        return Ok(false);
    }
    failpoint::reach("sql.position_written");
    Ok(true)
}

/// Commits what was written.
async fn finish(session: &mut dyn Session) -> Result<Outcome, Failure> {
    failpoint::reach("sql.rows_written");
    session.commit().await?;
    failpoint::reach("sql.committed");
    Ok(Outcome::Committed)
}

/// Piece by piece. It may well succeed: rows in another order need not hurt each other.
async fn carefully(
    session: &mut dyn Session,
    target: &Target,
    step: Step<'_>,
    changes: &[Change],
) -> Result<Outcome, Failure> {
    if !begin(session, step).await? {
        return Ok(Outcome::Fenced);
    }
    if let Some(statement) = session.dialect().check_at_once() {
        session.run(statement).await?;
    }
    let mut suspects = Vec::new();
    for change in changes {
        halve(session, target, change, &mut suspects).await?;
    }
    exonerate(session, target, &mut suspects).await?;
    if suspects.is_empty() {
        return finish(session).await;
    }
    let mut refused = Vec::with_capacity(suspects.len());
    for suspect in &suspects {
        refused.push(suspect.change.refused(suspect.row, reason(session, target, suspect).await?));
    }
    session.roll_back().await?;
    Ok(Outcome::refused(refused))
}

/// Writes rows; where some are refused, halves them until the guilty ones are alone.
async fn halve<'a>(
    session: &mut dyn Session,
    target: &Target,
    change: &'a Change,
    suspects: &mut Vec<Suspect<'a>>,
) -> Result<(), Failure> {
    let mut pieces = vec![(0, change.rows.num_rows())];
    while suspects.len() < MOST_REFUSED
        && let Some((from, length)) = pieces.pop()
    {
        let Some(fault) = attempt(session, target, change, &change.rows.slice(from, length)).await? else { continue };
        if length > 1 {
            let half = length / 2;
            pieces.extend([(from + half, length - half), (from, half)]);
            continue;
        }
        suspects.push(Suspect { change, row: from, fault });
    }
    Ok(())
}

/// Tries suspects again, as long as some of them pass now: a row may have needed one that came later, which refers
/// to it or gives up a value that it wants.
async fn exonerate(session: &mut dyn Session, target: &Target, suspects: &mut Vec<Suspect<'_>>) -> Result<(), Failure> {
    // Behind the limit are rows that were not tried.
    let mut again = suspects.len() < MOST_REFUSED;
    while again {
        let before = suspects.len();
        for mut suspect in std::mem::take(suspects) {
            if let Some(fault) = attempt(session, target, suspect.change, &suspect.rows()).await? {
                suspect.fault = fault;
                suspects.push(suspect);
            }
        }
        again = suspects.len() < before;
    }
    Ok(())
}

/// Writes rows, or says why not; then nothing of them is left.
async fn attempt(
    session: &mut dyn Session,
    target: &Target,
    change: &Change,
    rows: &RecordBatch,
) -> Result<Option<Fault>, Failure> {
    session.run("SAVEPOINT piece").await?;
    match session.write(target, change.operation, rows).await {
        Ok(()) => session.run("RELEASE SAVEPOINT piece").await.map(|()| None),
        Err(Failure::Rows(fault)) => {
            session.run("ROLLBACK TO SAVEPOINT piece; RELEASE SAVEPOINT piece").await?;
            Ok(Some(fault))
        }
        Err(other) => Err(other),
    }
}

/// Why a row is refused. Where the database does not say which column is to blame, it is the one without whose
/// value the row passes, or fails of something else.
async fn reason(session: &mut dyn Session, target: &Target, suspect: &Suspect<'_>) -> Result<String, Failure> {
    let reason = &suspect.fault.reason;
    if suspect.fault.names_column {
        return Ok(reason.clone());
    }
    for (index, field) in target.fields_of(suspect.change.operation).into_iter().enumerate() {
        let whole = suspect.rows();
        let mut columns = whole.columns().to_vec();
        columns[index] = new_null_array(columns[index].data_type(), 1);
        let Ok(without) = RecordBatch::try_new(whole.schema(), columns) else { continue };
        let fault = attempt(session, target, suspect.change, &without).await?;
        if fault.is_none_or(|fault| fault.reason != *reason) {
            return Ok(format!("column `{}`: {reason}", field.name));
        }
    }
    Ok(reason.clone())
}

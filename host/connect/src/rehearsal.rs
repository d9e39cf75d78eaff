//! Rows apart from any pipeline: whether a store would take them.

use azenha_engine::store::{StoreError, StoreLaneId, StoreRows};
use azenha_model::connection::StoreKind;
use azenha_model::plan::StoreOutput;

use crate::{elasticsearch, mongodb, sql};

/// Why a row is refused before a store of some kind is asked; none: the store itself decides. Nothing is connected.
///
/// # Errors
/// `Definition` if such a store cannot have what the sink writes.
pub fn refused_unasked(kind: StoreKind, output: &StoreOutput, row: &StoreRows) -> Result<Option<String>, StoreError> {
    let (lane, rows) = (nowhere(output), std::slice::from_ref(row));
    let checked = match kind {
        StoreKind::Sqlite | StoreKind::Postgres | StoreKind::MySql => sql::refused_unasked(kind, output, &lane, rows),
        StoreKind::MongoDb => mongodb::refused_unasked(output, &lane, rows),
        StoreKind::Elasticsearch => elasticsearch::refused_unasked(output, &lane, rows),
        _ => return Err(StoreError::Definition("rows are not written there".to_owned())),
    };
    let what = format!("looking at a row for `{}`", output.name);
    let refused = checked.map_err(|failure| failure.into_error(&what))?.err();
    Ok(refused.into_iter().flatten().next().map(|row| row.reason))
}

/// Why the database of a URL refuses a row; none: it takes it. Nothing of it stays there.
///
/// # Errors
/// If the database is no SQL database, cannot be reached, or has no such table.
pub async fn rehearse(url: &str, output: &StoreOutput, row: &StoreRows) -> Result<Option<String>, StoreError> {
    sql::rehearse(url, output, &nowhere(output), std::slice::from_ref(row)).await
}

/// A lane that was never taken.
fn nowhere(output: &StoreOutput) -> StoreLaneId {
    StoreLaneId {
        pipeline: String::new(),
        sink: output.sink.clone(),
        topic: String::new(),
        topic_id: String::new(),
        partition: 0,
        generation: 0,
    }
}

//! What becomes of a row on its way into a store: the host decides as it did, and the store itself only if it is asked.

use anyhow::{Result, bail};
use arrow_array::BooleanArray;
use azenha_connect::rehearsal::{refused_unasked, rehearse};
use azenha_engine::replay::{Refusal, batch};
use azenha_engine::store::StoreRows;
use azenha_model::Field;
use azenha_model::dead_letter::{Basis, StoreRow};

use super::ReplayError;
use crate::dead_letters::bundle::Bundle;

/// The row for a store that a bundle is about.
pub fn row_of(bundle: &Bundle) -> Option<&StoreRow> {
    match &bundle.basis {
        Basis::Store(row) => Some(row),
        _ => None,
    }
}

/// Why the host refuses a row before it asks the store.
pub fn of_row(bundle: &Bundle, row: &StoreRow) -> Result<Option<Refusal>, ReplayError> {
    let rows = rows(bundle, row)?;
    let unasked = |kind| refused_unasked(kind, &row.output, &rows).map_err(anyhow::Error::from);
    match bundle.manifest.store.map(unasked).transpose()?.flatten() {
        Some(reason) => Ok(Some(refusal(reason))),
        None => Err(ReplayError::ByStore(row.output.name.clone())),
    }
}

/// Why the SQL database of a URL refuses a row. Nothing of the row stays there.
///
/// # Errors
/// If it cannot be asked.
pub async fn ask(url: &str, bundle: &Bundle, row: &StoreRow) -> Result<Option<Refusal>> {
    Ok(rehearse(url, &row.output, &rows(bundle, row)?).await?.map(refusal))
}

fn refusal(reason: String) -> Refusal {
    Refusal { reason, part: None }
}

fn rows(bundle: &Bundle, row: &StoreRow) -> Result<StoreRows> {
    let StoreRow { output, row: values, is_delete } = row;
    let columns = output.columns.len();
    if output.key.iter().any(|index| *index >= columns) {
        bail!("the key of the sink is not among its {columns} columns");
    }
    // Of a row that is deleted only the key is there.
    let fields = output.columns.iter().map(|column| Field { nullable: true, ..column.field.clone() });
    let fields: Vec<Field> = fields.collect();
    Ok(StoreRows {
        batch: batch(&fields, &[values], &bundle.manifest.masked)?,
        deletes: is_delete.then(|| BooleanArray::from(vec![true])),
        offsets: vec![0],
    })
}

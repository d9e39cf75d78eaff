//! Live rows for people: what a step gives, as JSON, while somebody listens.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray};
use azenha_formats::json::row_json;
use azenha_model::Field;
use tokio::sync::broadcast;

/// A listener that is so many rows behind loses the oldest.
const BACKLOG: usize = 1024;

/// So many rows of a batch are shown at most: a tap is a look, not a copy.
const ROWS_A_BATCH: usize = 100;

/// One step's tap. Without a listener it costs one load of a counter a batch.
#[derive(Debug, Clone)]
pub struct Tap(broadcast::Sender<Arc<str>>);

impl Default for Tap {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl Tap {
    /// Rows from now on, each a JSON object; `pii` columns are masked.
    pub fn listen(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.subscribe()
    }

    /// Whether somebody listens.
    pub fn is_open(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Shows rows, if somebody listens. Deletes are left out.
    pub fn send(&self, fields: &[Field], columns: &[ArrayRef], deletes: Option<&BooleanArray>) {
        if !self.is_open() {
            return;
        }
        let rows = columns.first().map_or(0, |column| column.len());
        let kept = (0..rows).filter(|row| deletes.is_none_or(|deletes| !deletes.value(*row)));
        for row in kept.take(ROWS_A_BATCH) {
            // An error says that the last listener has gone.
            let _ = self.0.send(row_json(fields, columns, row, true).into());
        }
    }
}

/// The taps of a pipeline, by step.
pub type Taps = BTreeMap<String, Tap>;

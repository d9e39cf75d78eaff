//! What came of a replay, for people and for programs.

use std::collections::BTreeSet;

use azenha_engine::replay::Refusal;
use azenha_model::dead_letter::{Basis, Function};
use azenha_model::plugin::Rejection;
use azenha_sandbox::Failure;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::call::{Gave, Outcome};
use crate::dead_letters::bundle::{About, Bundle};

/// Of what a plugin gives so many rows, or refusals, are told, ...
const MOST_TOLD: usize = 100;

/// ... and of rows so many bytes.
const MOST_BYTES: usize = 1 << 20;

/// What came of a replay.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replayed {
    /// What the letter says: its id, cause, failure, reason and part.
    #[schema(value_type = Object)]
    pub letter: About,
    /// Whether the same was seen again.
    pub reproduced: bool,
    /// What was seen now.
    pub outcome: Made,
    /// The plugin that was called, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<Called>,
    /// Columns of personal data: something else stands for their values, and the outcome may differ.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub masked: BTreeSet<String>,
    /// Variables of the step's configuration that have no value here, each with what is wrong: their names stand for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// What another plugin makes of it, if one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with: Option<Tried>,
}

/// A plugin that was called.
#[derive(Debug, Serialize, ToSchema)]
pub struct Called {
    /// What the pipeline calls it.
    pub plugin: String,
    /// Its SHA-256 in hex.
    pub digest: String,
    /// The contract that it was compiled against.
    pub contract: String,
    /// `process`, `fold`, `merge`, `finish` or `assemble`.
    #[schema(value_type = String)]
    pub function: Function,
}

/// What another plugin made of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tried {
    /// What it is called.
    pub plugin: String,
    /// Its SHA-256 in hex.
    pub digest: String,
    /// Whether what the letter is about neither fails nor is refused.
    pub goes_through: bool,
    /// What it made.
    pub outcome: Made,
}

/// A failure, or refusals and rows.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Made {
    /// How the plugin failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failed>,
    /// What was refused; the first 100.
    pub refused: Vec<Refused>,
    /// How many refusals there were.
    pub refusals: usize,
    /// The rows that were made, personal data masked: the first 100, of 1 MiB in all.
    pub rows: Vec<Row>,
    /// How many rows there were.
    pub row_count: usize,
    /// Bytes of the group's accumulator, if one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accumulator: Option<usize>,
}

/// How a plugin failed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Failed {
    /// `error`, `trap`, `timeout`, `memory` or `contract`.
    pub kind: String,
    /// What happened.
    pub message: String,
    /// The functions that it happened in, innermost first.
    pub stack: Vec<String>,
}

/// What was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct Refused {
    /// Why.
    pub reason: String,
    /// The part that was refused; none: all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

/// A row that a plugin gives.
#[derive(Debug, Serialize, ToSchema)]
pub struct Row {
    /// The output that it goes to.
    pub output: String,
    /// Its columns.
    #[schema(value_type = Object)]
    pub row: Box<RawValue>,
}

impl Replayed {
    /// Of a bundle whose decision was something else.
    pub fn of(bundle: &Bundle, outcome: Made) -> Self {
        Self {
            letter: bundle.manifest.letter.clone(),
            reproduced: false,
            outcome,
            call: Called::of(bundle),
            masked: bundle.manifest.masked.clone(),
            missing: Vec::new(),
            with: None,
        }
    }

    /// Whether what was to be seen was seen: the failure, and with another plugin none.
    pub fn is_as_wished(&self) -> bool {
        self.reproduced && self.with.as_ref().is_none_or(|with| with.goes_through)
    }
}

impl Called {
    /// The plugin of a bundle's call.
    pub fn of(bundle: &Bundle) -> Option<Self> {
        let Basis::Call(call) = &bundle.basis else { return None };
        let [plugin, digest, contract] = [&call.plugin, &call.digest, &call.contract].map(|text| text.to_string());
        Some(Self { plugin, digest, contract, function: call.function })
    }
}

impl Made {
    /// What came of a call.
    pub fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Failed(Failure { kind, message, stack }) => {
                Self { failure: Some(Failed { kind: kind.name().to_owned(), message, stack }), ..Self::default() }
            }
            Outcome::Gave(Gave { rows, rejected, accumulator }) => Self {
                failure: None,
                refusals: rejected.len(),
                refused: rejected.into_iter().take(MOST_TOLD).map(Refused::from).collect(),
                row_count: rows.len(),
                rows: told(rows),
                accumulator,
            },
        }
    }

    /// A refusal, or nothing.
    pub fn refused(refusal: Option<Refusal>) -> Self {
        let refused: Vec<Refused> =
            refusal.into_iter().map(|Refusal { reason, part }| Refused { reason, part }).collect();
        Self { refusals: refused.len(), refused, ..Self::default() }
    }
}

fn told(rows: Vec<(String, String)>) -> Vec<Row> {
    let mut bytes = 0;
    let fits = |(_, row): &(String, String)| {
        bytes += row.len();
        bytes <= MOST_BYTES
    };
    let row = |(output, row)| Some(Row { output, row: RawValue::from_string(row).ok()? });
    rows.into_iter().take(MOST_TOLD).take_while(fits).filter_map(row).collect()
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        let Rejection { reason, part, .. } = rejection;
        Self { reason, part }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(number: usize, bytes: usize) -> Made {
        let row = ("main".to_owned(), format!("\"{}\"", "x".repeat(bytes)));
        Made::of(Outcome::Gave(Gave { rows: vec![row; number], ..Gave::default() }))
    }

    #[test]
    fn an_answer_is_bounded_and_says_how_much_there_was() {
        assert_eq!((rows(3, 10).rows.len(), rows(3, 10).row_count), (3, 3));
        assert_eq!((rows(1_000, 10).rows.len(), rows(1_000, 10).row_count), (MOST_TOLD, 1_000));
        let large = rows(10, MOST_BYTES / 4);
        assert_eq!((large.rows.len(), large.row_count), (3, 10));
    }
}

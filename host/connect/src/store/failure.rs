//! Why a store did not do something.

use azenha_engine::store::StoreError;

/// What is wrong with a row.
#[derive(Debug)]
pub(crate) struct Fault {
    /// For people; values of the row are left out, for they may be personal.
    pub reason: String,
    /// Whether it says which column or constraint.
    pub names_column: bool,
}

/// Why a statement failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// One of the rows breaks a constraint or does not fit its column; nothing of the statement happened.
    Rows(Fault),
    /// The table, the rights or the URL are wrong.
    Definition(String),
    /// The connection or the store failed; what was under way may or may not have happened.
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
}

impl Failure {
    /// As the engine is told, where no row can be blamed; `what` was being done.
    pub fn into_error(self, what: &str) -> StoreError {
        match self {
            Self::Rows(Fault { reason, .. }) | Self::Definition(reason) => {
                StoreError::Definition(format!("{what}: {reason}"))
            }
            Self::Unavailable(source) => StoreError::Unavailable { what: what.to_owned(), source },
        }
    }
}

//! The error of whoever uses a command otherwise than it is meant to be used.

/// The command was not used as it is meant to be: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

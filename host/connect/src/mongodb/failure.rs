//! What the errors of the driver and of the server mean.

use mongodb::bson::{Bson, Document};
use mongodb::error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, WriteFailure};

use crate::store::{Failure, Fault};

/// The server's codes (<https://www.mongodb.com/docs/manual/reference/error-codes/>) for what only a person can change:
/// rights, passwords, transactions that a server alone does not know, names, indexes that exist with other options,
/// views, time series, Atlas's own refusals.
const DEFINITION: [i32; 15] = [13, 18, 20, 26, 33, 67, 72, 73, 85, 86, 115, 166, 263, 8000, 51_091];
/// A value that an index holds already.
const DUPLICATE_KEY: i32 = 11_000;
const VALIDATION: i32 = 121;

/// Sorts an error by what can be done about it. What the server answered is left out: it may repeat values.
pub(super) fn failure(error: Error) -> Failure {
    match &*error.kind {
        ErrorKind::Authentication { .. }
        | ErrorKind::InvalidArgument { .. }
        | ErrorKind::InvalidTlsConfig { .. }
        | ErrorKind::IncompatibleServer { .. } => Failure::Definition(error.kind.to_string()),
        _ if code(&error).is_some_and(|code| DEFINITION.contains(&code)) => Failure::Definition(error.kind.to_string()),
        _ => Failure::Unavailable(error.kind.to_string().into()),
    }
}

fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(error) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => Some(error.code),
        _ => None,
    }
}

pub(super) fn is_code(error: &Error, wanted: i32) -> bool {
    code(error) == Some(wanted)
}

pub(super) fn is_duplicate(error: &Error) -> bool {
    is_code(error, DUPLICATE_KEY)
}

/// Why a transaction did not come to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nothing happened; it may pass if it is tried again.
    Conflict(Error),
    /// The server refuses one of the writes; nothing of the transaction is left.
    Write(Refusal),
    Failed(Failure),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        if error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
            Self::Conflict(error)
        } else {
            Self::Failed(failure(error))
        }
    }
}

/// A write that the server refuses.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Its index among the writes of the command.
    pub index: usize,
    pub fault: Fault,
    /// Whether it may pass once another document is changed.
    pub is_duplicate: bool,
}

impl Refusal {
    /// The first refusal in the answer to a write command.
    pub fn of(reply: &Document) -> Option<Self> {
        let error = reply.get_array("writeErrors").ok()?.first()?.as_document()?;
        let code = integer(error.get("code")?)?;
        let index = usize::try_from(integer(error.get("index")?)?).ok()?;
        let reason = reason(code, error);
        Some(Self {
            index,
            fault: Fault { reason, names_column: true },
            is_duplicate: code == i64::from(DUPLICATE_KEY),
        })
    }
}

fn integer(value: &Bson) -> Option<i64> {
    value.as_i64().or_else(|| value.as_i32().map(i64::from))
}

/// For people, without values: the server's own message goes on with them behind a brace or a quotation mark.
fn reason(code: i64, error: &Document) -> String {
    let message = error.get_str("errmsg").unwrap_or("no reason was given");
    if code == i64::from(DUPLICATE_KEY) {
        let fields: Vec<&str> = error
            .get_document("keyPattern")
            .map_or_else(|_| Vec::new(), |keys| keys.keys().map(String::as_str).collect());
        return format!(
            "the collection has a unique index, which holds this value already (fields: {})",
            fields.join(", ")
        );
    }
    if code == i64::from(VALIDATION) {
        return "the validator of the collection refuses it".to_owned();
    }
    let said = message.split(['{', '"']).next().unwrap_or_default().trim().trim_end_matches(':');
    format!("MongoDB refuses it with error {code}: {said}")
}

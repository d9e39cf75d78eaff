//! Dead letters: what could not be processed, why, and what that was decided on. The engine writes them, the host shows
//! them, and `azenha replay` makes their decisions once more.

mod basis;
mod call;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::Offset;
use crate::plan::Generation;
pub use basis::{
    Announced, Basis, ClosedWindow, Decoding, Found, GroupRows, Identifiers, IncompleteChange, ObjectRow, RecordSize,
    RowTime, StateVersions, StoreRow,
};
pub use call::{Arguments, CONTRACT, Function, Opened, PluginCall};

/// Why something is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The record is not what the schema says.
    Decode,
    /// The plugin refused the row, or a part of it.
    Rejected,
    /// The plugin trapped, ran out of time or memory, or broke the contract, on this row alone.
    Failed,
    /// The row came after its windows had closed.
    Late,
    /// Rows that were folded elsewhere came after their window had closed here.
    WindowClosed,
    /// The row has no event time, but belongs in a window.
    NoEventTime,
    /// Nothing says whom the row is of.
    NoIdentifier,
    /// The store refused the row, or the log cannot hold its record.
    Refused,
}

impl Cause {
    /// As letters have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Late => "late",
            Self::WindowClosed => "window_closed",
            Self::NoEventTime => "no_event_time",
            Self::NoIdentifier => "no_identifier",
            Self::Refused => "refused",
        }
    }
}

/// A dead letter as its topic holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeadLetter {
    /// What tells it from all others: generation, pipeline, step, topic, partition, offset, ordinal.
    pub id: String,
    /// The version of what offsets mean.
    pub generation: Generation,
    /// The pipeline.
    pub pipeline: String,
    /// The version of the pipeline that made it; 0 if a file defines that.
    #[serde(default)]
    pub version: u64,
    /// The step or sink that it is of.
    pub step: String,
    /// The topic that was read.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// The record's offset; of a group of rows, the one that its lane had reached.
    pub offset: Offset,
    /// Its place among the letters of one step and offset.
    pub ordinal: u32,
    /// The announced object that holds the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Its line there, or row of a file, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Whether it is about a group of rows, and not about a record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub group: bool,
    /// Why it is one.
    pub cause: Cause,
    /// How the plugin failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// In words.
    pub reason: String,
    /// The part that was refused; none: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// What was decided on, as far as the letter carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// Left out where the source has personal data (the offset tells where the record stands), and where an earlier
    /// letter of the same step, offset and line has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Original>,
}

/// A record as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Original {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
    /// Its key, if it has one.
    pub key: Option<Bytes>,
    /// Its value; none: it is a tombstone.
    pub value: Option<Bytes>,
}

/// Bytes as JSON: text if they are UTF-8, else base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bytes {
    /// They are UTF-8.
    Text(String),
    /// They are not.
    Base64(String),
}

impl Bytes {
    /// As JSON can have them.
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(BASE64.encode(bytes)),
        }
    }

    /// The bytes themselves; none if what should be base64 is not.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.clone().into_bytes()),
            Self::Base64(text) => BASE64.decode(text).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_what_they_were_whether_or_not_they_are_text() {
        for bytes in [&b"text"[..], b"", &[0, 159, 146, 150]] {
            assert_eq!(Bytes::of(bytes).bytes().as_deref(), Some(bytes));
        }
        assert_eq!(Bytes::Base64("no base64!".to_owned()).bytes(), None);
    }

    #[test]
    fn a_cause_is_called_as_letters_have_it() {
        for cause in [Cause::Decode, Cause::WindowClosed, Cause::NoEventTime, Cause::NoIdentifier] {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.name());
        }
    }
}

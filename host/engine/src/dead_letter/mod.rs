//! Dead letters: what could not be processed, with everything that is needed to see why and to try again.

mod call;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, BinaryArray};
use azenha_model::plan::Generation;
use azenha_model::plugin::Rejection;
use azenha_model::{Offset, Records};
use azenha_sandbox::{Failure, FailureKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use crate::rows::{ObjectLine, Source};
pub use call::{Arguments, Callee, Function, Opening, PluginCall, encode_accumulator};

/// What a dead letter is about.
enum Subject<'a> {
    /// A row of a record.
    Record {
        /// The record, if it may be shown.
        original: Option<Original>,
        /// Where it stands in an object.
        within: Option<&'a ObjectLine>,
    },
    /// A group of rows.
    Group,
}

/// Why something is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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

/// What happened, without where.
#[derive(Debug, Clone)]
pub struct Complaint {
    /// The kind of failure.
    pub cause: Cause,
    /// How the plugin failed, if it did.
    pub failure: Option<FailureKind>,
    /// For people.
    pub reason: String,
    /// The part of the row that was refused; none: all of it.
    pub part: Option<String>,
    /// The plugin that was at work, if one was.
    pub call: Option<PluginCall>,
}

impl Complaint {
    /// A complaint about a whole row, without a plugin.
    pub fn new(cause: Cause, reason: impl Into<String>) -> Self {
        Self { cause, failure: None, reason: reason.into(), part: None, call: None }
    }

    /// What a plugin says of a row that it refuses.
    pub fn rejected(rejection: Rejection) -> Self {
        Self { part: rejection.part, ..Self::new(Cause::Rejected, rejection.reason) }
    }

    /// What is said of a row, or group, on which a plugin fails even when it is alone.
    pub fn failed(failure: Failure) -> Self {
        Self { failure: Some(failure.kind), ..Self::new(Cause::Failed, failure.message) }
    }
}

/// A letter that would be larger goes without the record and what a plugin saw of it. So do those of further lines once
/// the letters of an object's lines have so many bytes.
const LETTER_BYTES: usize = 4 << 20;

/// Bytes as JSON: text if they are UTF-8, else base64.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Bytes {
    Text(String),
    Base64(String),
}

impl Bytes {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(BASE64.encode(bytes)),
        }
    }

    fn at(column: &BinaryArray, row: usize) -> Option<Self> {
        column.is_valid(row).then(|| Self::of(column.value(row)))
    }
}

#[derive(Debug, Serialize)]
struct Original {
    timestamp: i64,
    key: Option<Bytes>,
    value: Option<Bytes>,
}

#[derive(Debug, Serialize)]
struct DeadLetter<'a> {
    id: &'a str,
    generation: Generation,
    pipeline: &'a str,
    step: &'a str,
    topic: &'a str,
    partition: u32,
    offset: Offset,
    ordinal: u32,
    /// The announced object that holds the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'a str>,
    /// Its line there, or row of a file, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// Whether it is about a group of rows, at the offset that its lane had reached, and not about a record.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    group: bool,
    cause: Cause,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'static str>,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<PluginCall>,
    /// Left out where the source has personal data (the offset tells where the record stands), and where an earlier
    /// letter of the same step, offset and line has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Original>,
}

/// Where in the log something happened.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The topic that was read.
    pub topic: &'a str,
    /// Its partition.
    pub partition: u32,
    /// The record's offset.
    pub offset: Offset,
    /// The record's timestamp, in microseconds.
    pub timestamp: i64,
}

/// The letters of a step and an offset.
#[derive(Debug, Default)]
struct Told {
    /// How many there are: what tells several of one record apart.
    letters: u32,
    /// The line of the object at that offset that the last one is about; 0 before the first one.
    line: u64,
    /// Bytes of those that may carry what they are about.
    bytes: usize,
    /// The ordinal of the last one that carries what a plugin was given, and the fingerprint of that.
    given: Option<(u32, u64)>,
}

impl Told {
    /// Notes one more letter; says whether it may carry its record. One large record that is refused in many parts
    /// must not become many large letters, and neither must the lines of an object.
    fn note(&mut self, line: Option<u64>) -> bool {
        let is_first = self.letters == 0 || line.is_some_and(|line| line != self.line);
        self.letters += 1;
        self.line = line.unwrap_or(0);
        is_first && self.has_room()
    }

    fn has_room(&self) -> bool {
        self.bytes < LETTER_BYTES
    }

    /// A call as the letter that was noted last carries it: what a letter before it says is not said again. The key of a
    /// group is, without which nobody knows which one it is.
    fn call(&mut self, call: &PluginCall, group: bool) -> PluginCall {
        let fingerprint = call.given.fingerprint();
        let columns = call.given.columns.clone().filter(|_| group);
        match self.given {
            Some((ordinal, known)) if known == fingerprint => call.with_only(columns, Some(ordinal)),
            _ if !self.has_room() => call.with_only(columns, None),
            _ => {
                self.given = Some((self.letters - 1, fingerprint));
                call.clone()
            }
        }
    }
}

/// Collects a lane's dead letters until its next commit.
#[derive(Debug)]
pub struct DeadLetters {
    pipeline: Arc<str>,
    generation: Generation,
    /// Whether original records may be kept: not if their schema marks personal data.
    keeps_records: bool,
    keys: Vec<Vec<u8>>,
    values: Vec<Vec<u8>>,
    timestamps: Vec<i64>,
    /// By step and offset.
    told: HashMap<(Arc<str>, Offset), Told>,
    late: u64,
    blamed: u64,
    bytes: usize,
}

impl DeadLetters {
    /// An empty collection for one lane.
    pub fn new(pipeline: Arc<str>, generation: Generation, keeps_records: bool) -> Self {
        Self {
            pipeline,
            generation,
            keeps_records,
            keys: Vec::new(),
            values: Vec::new(),
            timestamps: Vec::new(),
            told: HashMap::new(),
            late: 0,
            blamed: 0,
            bytes: 0,
        }
    }

    /// The dead letters collected.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Bytes of keys and values collected.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Adds one for the record with this index in the source.
    pub fn push(&mut self, step: &Arc<str>, source: &Source, record: u32, complaint: &Complaint) {
        let (index, records) = (record as usize, &source.fetched.records);
        let within = source.places.get(index);
        // A row of a file is no record.
        let is_record = within.is_none() || records.values.is_valid(index);
        let original = (self.keeps_records && is_record).then(|| Original {
            timestamp: records.timestamps[index] / 1_000,
            key: Bytes::at(&records.keys, index),
            value: Bytes::at(&records.values, index),
        });
        let place = Place {
            topic: &source.topic,
            partition: source.partition,
            offset: source.fetched.offsets[index],
            timestamp: records.timestamps[index],
        };
        self.push_at(step, place, Subject::Record { original, within }, complaint);
    }

    /// Adds one that no single record caused: a group's, at the place that its lane had reached.
    pub fn push_group(&mut self, step: &Arc<str>, place: Place<'_>, complaint: &Complaint) {
        self.push_at(step, place, Subject::Group, complaint);
    }

    fn push_at(&mut self, step: &Arc<str>, place: Place<'_>, subject: Subject<'_>, complaint: &Complaint) {
        let Place { topic, partition, offset, timestamp } = place;
        let told = self.told.entry((Arc::clone(step), offset)).or_default();
        let ordinal = told.letters;
        let (record, within, group) = match subject {
            Subject::Record { original, within } => {
                let shows = told.note(within.map(|line| line.number));
                (original.filter(|_| shows), within, false)
            }
            Subject::Group => {
                told.note(None);
                (None, None, true)
            }
        };
        let call = complaint.call.as_ref().map(|call| told.call(call, group));
        let carries = record.is_some() || call.as_ref().is_some_and(|call| call.opened.is_some());
        let id = format!("{}/{}/{step}/{topic}/{partition}/{offset}/{ordinal}", self.generation, self.pipeline);
        let mut letter = DeadLetter {
            id: &id,
            generation: self.generation,
            pipeline: &self.pipeline,
            step,
            topic,
            partition,
            offset,
            ordinal,
            object: within.map(|line| &*line.path),
            line: within.map(|line| line.number),
            group,
            cause: complaint.cause,
            failure: complaint.failure.map(FailureKind::name),
            reason: &complaint.reason,
            part: complaint.part.as_deref(),
            call,
            record,
        };
        self.late += u64::from(complaint.cause == Cause::Late);
        self.blamed += u64::from(matches!(complaint.cause, Cause::Rejected | Cause::Failed));
        // Text and numbers always become JSON.
        let mut value = serde_json::to_vec(&letter).unwrap_or_default();
        if value.len() > LETTER_BYTES {
            // The log would not hold it either. The offset tells where the record stands.
            (letter.record, letter.call, told.given) = (None, None, None);
            value = serde_json::to_vec(&letter).unwrap_or_default();
        }
        if carries {
            told.bytes += value.len();
        }
        self.bytes += id.len() + value.len();
        self.values.push(value);
        self.keys.push(id.into_bytes());
        self.timestamps.push(timestamp);
    }

    /// How many of them came too late, since this was last asked.
    pub fn take_late(&mut self) -> u64 {
        std::mem::take(&mut self.late)
    }

    /// How many of them plugins are to blame for, since this was last asked.
    pub fn take_blamed(&mut self) -> u64 {
        std::mem::take(&mut self.blamed)
    }

    /// Takes them out, to be committed while the lane collects more. Groups of a later commit may stand at the
    /// last offset of this one, so numbering goes on there.
    pub fn split(&mut self, last: Offset) -> Self {
        let mut fresh = Self::new(Arc::clone(&self.pipeline), self.generation, self.keeps_records);
        fresh.told.extend(self.told.extract_if(|(_, offset), _| *offset >= last));
        std::mem::replace(self, fresh)
    }

    /// Takes them as records for the pipeline's topic; their keys are their ids.
    pub fn take(&mut self) -> Records {
        Records {
            timestamps: std::mem::take(&mut self.timestamps),
            keys: BinaryArray::from_iter_values(std::mem::take(&mut self.keys)),
            values: BinaryArray::from_iter_values(std::mem::take(&mut self.values)),
        }
    }
}

//! Dead letters: what could not be processed, with everything that is needed to see why and to try again.

mod callee;
pub mod reasons;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, BinaryArray};
use azenha_model::dead_letter::{Basis, Bytes, Cause, DeadLetter, Original, PluginCall};
use azenha_model::plan::Generation;
use azenha_model::plugin::Rejection;
use azenha_model::{Offset, Records};
use azenha_sandbox::{Failure, FailureKind};

use crate::edition::Version;
use crate::rows::{ObjectLine, Source};
use callee::fingerprint;
pub use callee::{Callee, encode_accumulator};

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
    /// What it was decided on.
    pub basis: Option<Basis>,
}

impl Complaint {
    /// A complaint about a whole row.
    pub fn new(cause: Cause, reason: impl Into<String>) -> Self {
        Self { cause, failure: None, reason: reason.into(), part: None, basis: None }
    }

    /// With what it was decided on.
    pub fn on(self, basis: Basis) -> Self {
        Self { basis: Some(basis), ..self }
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

/// A letter that would be larger goes without the record, and if that does not help without what was decided on. So do
/// those of further lines once the letters of an object's lines have so many bytes.
const LETTER_BYTES: usize = 4 << 20;

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

    /// What the letter that was noted last carries of what was decided on; none if there is no room for it.
    fn basis(&mut self, basis: &Basis, group: bool) -> Option<Basis> {
        match basis {
            Basis::Call(call) => Some(Basis::Call(self.call(call, group))),
            other => self.has_room().then(|| other.clone()),
        }
    }

    /// A call as the letter that was noted last carries it: what a letter before it says is not said again. The key of a
    /// group is, without which nobody knows which one it is.
    fn call(&mut self, call: &PluginCall, group: bool) -> PluginCall {
        let fingerprint = fingerprint(&call.given);
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

/// Whether it says more than that a letter before it says the same.
fn carries(basis: &Basis) -> bool {
    !matches!(basis, Basis::Call(PluginCall { opened: None, .. }))
}

/// Text and numbers always become JSON.
fn json(letter: &DeadLetter) -> Vec<u8> {
    serde_json::to_vec(letter).unwrap_or_default()
}

fn bytes_at(column: &BinaryArray, row: usize) -> Option<Bytes> {
    column.is_valid(row).then(|| Bytes::of(column.value(row)))
}

/// Collects a lane's dead letters until its next commit.
#[derive(Debug)]
pub struct DeadLetters {
    pipeline: Arc<str>,
    generation: Generation,
    version: Version,
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
            version: 0,
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

    /// Says which version of the pipeline those are of that come from now on; 0, which it is at first, is that of a file.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
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
            key: bytes_at(&records.keys, index),
            value: bytes_at(&records.values, index),
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
        let basis = complaint.basis.as_ref().and_then(|basis| told.basis(basis, group));
        let carries = record.is_some() || basis.as_ref().is_some_and(carries);
        let id = format!("{}/{}/{step}/{topic}/{partition}/{offset}/{ordinal}", self.generation, self.pipeline);
        let mut letter = DeadLetter {
            id,
            generation: self.generation,
            version: self.version,
            pipeline: self.pipeline.to_string(),
            step: step.to_string(),
            topic: topic.to_owned(),
            partition,
            offset,
            ordinal,
            object: within.map(|line| line.path.to_string()),
            line: within.map(|line| line.number),
            group,
            cause: complaint.cause,
            failure: complaint.failure.map(|kind| kind.name().to_owned()),
            reason: complaint.reason.clone(),
            part: complaint.part.clone(),
            basis,
            record,
        };
        self.late += u64::from(complaint.cause == Cause::Late);
        // What is given up with a state is nobody's fault.
        let has_failed = complaint.cause == Cause::Failed && complaint.failure.is_some();
        self.blamed += u64::from(has_failed || complaint.cause == Cause::Rejected);
        let mut value = json(&letter);
        if value.len() > LETTER_BYTES {
            // The log would not hold it either. The offset tells where the record stands.
            letter.record = None;
            value = json(&letter);
        }
        if value.len() > LETTER_BYTES {
            (letter.basis, told.given) = (None, None);
            value = json(&letter);
        }
        if carries {
            told.bytes += value.len();
        }
        self.bytes += letter.id.len() + value.len();
        self.values.push(value);
        self.keys.push(letter.id.into_bytes());
        self.timestamps.push(timestamp);
    }

    /// How many of them came too late, since this was last asked.
    pub fn take_late(&mut self) -> u64 {
        std::mem::take(&mut self.late)
    }

    /// How many of them plugins are to blame for, since they were last taken.
    pub fn blamed(&self) -> u64 {
        self.blamed
    }

    /// How many of them plugins are to blame for, since this was last asked.
    pub fn take_blamed(&mut self) -> u64 {
        std::mem::take(&mut self.blamed)
    }

    /// Takes them out, to be committed while the lane collects more. Groups of a later commit may stand at the
    /// last offset of this one, so numbering goes on there.
    pub fn split(&mut self, last: Offset) -> Self {
        let mut fresh = Self::new(Arc::clone(&self.pipeline), self.generation, self.keeps_records);
        fresh.version = self.version;
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

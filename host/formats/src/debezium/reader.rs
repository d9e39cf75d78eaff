//! Change events as text to rows, and the keys of records to the rows that they delete.

use super::meaning::Meaning;
use super::position::{MEMBERS, Member, position};
use super::rows::{Places, Rows, Wants};
use crate::decoded::{ChangeKind, ChangePosition, Refusal};
use crate::json::{Kind, Locator, of_fault};

/// What an event says beside its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub kind: ChangeKind,
    pub position: Option<ChangePosition>,
}

impl Change {
    pub const TOMBSTONE: Self = Self { kind: ChangeKind::Tombstone, position: None };
}

/// What an event came to.
pub(super) enum Outcome {
    /// Its row was appended.
    Row(Change),
    /// It deletes the row that the record's key names.
    OfKey(Change),
}

/// What is read of an event beside its row and its position.
pub(super) const HEAD: [&[&str]; 3] = [&["op"], &["source", "connector"], &["source", "snapshot"]];

/// Reads the text of change events.
pub(super) struct EventReader {
    locator: Locator,
    op: usize,
    before: usize,
    after: usize,
    connector: usize,
    snapshot: usize,
    /// The slots of what positions are made of.
    position: [usize; MEMBERS.len()],
    row_before: Places,
    row_after: Places,
    has_key: bool,
}

impl EventReader {
    pub fn new(wants: &Wants<'_>) -> Self {
        let mut locator = Locator::new();
        let source = ["source".to_owned()];
        Self {
            op: locator.want(&[], "op"),
            before: locator.want(&[], "before"),
            after: locator.want(&[], "after"),
            connector: locator.want(&source, "connector"),
            snapshot: locator.want(&source, "snapshot"),
            position: MEMBERS.map(|member| locator.want(&source, member)),
            // Without a key each event is a row, and of a deleted one everything counts that is known.
            row_before: match wants.key {
                [] => Places::of_row(wants, &mut locator, &["before"]),
                _ => Places::of_key(wants, &mut locator, &["before"]),
            },
            row_after: Places::of_row(wants, &mut locator, &["after"]),
            has_key: !wants.key.is_empty(),
            locator,
        }
    }

    /// Looks where everything stands in an event.
    #[inline]
    pub fn locate(&mut self, event: &str) -> Result<(), Refusal> {
        self.locator
            .locate(event)
            .map_err(|(fault, at)| of_fault(fault, at, event, |slot| self.locator.path(slot).to_owned()))
    }

    /// Appends the row of the event that was located. If it is refused, some columns may have grown.
    #[inline]
    pub fn read(&self, event: &str, meanings: &[Meaning], rows: &mut Rows<'_>) -> Result<Outcome, Refusal> {
        let kind = match self.text(self.op, event) {
            Some("c" | "u") => ChangeKind::Upsert,
            Some("r") => self.snapshot(event),
            Some("d") => ChangeKind::Delete,
            Some("t") => ChangeKind::Truncate,
            other => return Err(self.no_change(other, event)),
        };
        let change = Change { kind, position: self.position(event) };
        match kind {
            ChangeKind::Delete | ChangeKind::Tombstone => {
                if self.locator.found(self.before, event).0 != Kind::Object {
                    if !self.has_key {
                        let reason = "`op` is `d`, but `before`, the deleted row, is missing";
                        return Err((Some("before".to_owned()), reason.to_owned()));
                    }
                    return Ok(Outcome::OfKey(change));
                }
                rows.append(&self.row_before, meanings, &self.locator, event)?;
                rows.fill();
            }
            ChangeKind::Truncate if !self.has_key => {
                let reason = "says that the table was truncated, which is no row: give the source a `key`";
                return Err((Some("op".to_owned()), reason.to_owned()));
            }
            ChangeKind::Truncate => rows.fill(),
            ChangeKind::Snapshot { .. } | ChangeKind::Upsert => {
                self.expect_row(event)?;
                rows.append(&self.row_after, meanings, &self.locator, event)?;
            }
        }
        Ok(Outcome::Row(change))
    }

    fn expect_row(&self, event: &str) -> Result<(), Refusal> {
        match self.locator.found(self.after, event).0 {
            Kind::Object => Ok(()),
            _ => {
                let op = self.text(self.op, event).unwrap_or_default();
                Err((Some("after".to_owned()), format!("`op` is `{op}`, but `after`, the row, is missing")))
            }
        }
    }

    fn snapshot(&self, event: &str) -> ChangeKind {
        let mark = self.text(self.snapshot, event);
        ChangeKind::Snapshot {
            first: matches!(mark, Some("first" | "first_in_data_collection")),
            last: matches!(mark, Some("last" | "last_in_data_collection")),
        }
    }

    fn position(&self, event: &str) -> Option<ChangePosition> {
        let slot = |member: Member| self.position[member as usize];
        position(self.text(self.connector, event)?, |member| self.text(slot(member), event))
    }

    /// A number, or a string without escapes.
    #[inline]
    fn text<'a>(&self, slot: usize, event: &'a str) -> Option<&'a str> {
        match self.locator.found(slot, event) {
            (Kind::Integer, raw) => Some(raw),
            (Kind::Text, raw) => raw.get(1..raw.len() - 1),
            _ => None,
        }
    }

    #[cold]
    fn no_change(&self, op: Option<&str>, event: &str) -> Refusal {
        let found = self.locator.found(self.op, event).0;
        let reason = match (found, op) {
            (Kind::Missing, _) => {
                "is no change event of Debezium: it has no `op`. If a transform such as ExtractNewRecordState unwraps \
                 events, take it out of the connector"
            }
            (_, Some("m")) => {
                "is a message that a program put into the database's log (`op` is `m`), not a change of a row"
            }
            _ => "has another `op` than \"c\", \"u\", \"d\", \"r\" or \"t\"",
        };
        let field = (found != Kind::Missing).then(|| "op".to_owned());
        (field, format!("record {reason}"))
    }
}

/// Reads the text of records' keys.
pub(super) struct KeyReader {
    locator: Locator,
    places: Places,
    has_key: bool,
}

impl KeyReader {
    pub fn new(wants: &Wants<'_>) -> Self {
        let mut locator = Locator::new();
        let places = Places::of_key(wants, &mut locator, &[]);
        Self { locator, places, has_key: !wants.key.is_empty() }
    }

    /// Appends the row that a key deletes.
    pub fn read(&mut self, key: &str, meanings: &[Meaning], rows: &mut Rows<'_>) -> Result<(), Refusal> {
        let Self { locator, places, .. } = self;
        if let Err((fault, at)) = locator.locate(key) {
            return Err(in_key(of_fault(fault, at, key, |slot| locator.path(slot).to_owned())));
        }
        rows.append(places, meanings, locator, key).map_err(in_key)?;
        rows.fill();
        Ok(())
    }

    /// The bytes of a key that has to be there.
    pub fn expect<'a>(&self, key: Option<&'a [u8]>) -> Result<&'a [u8], Refusal> {
        if !self.has_key {
            return Err((None, "record has no value".to_owned()));
        }
        key.ok_or_else(|| (None, "record says neither in its value nor in its key which row it deletes".to_owned()))
    }
}

pub(super) fn in_key((field, reason): Refusal) -> Refusal {
    (field, format!("in the record's key: {reason}"))
}

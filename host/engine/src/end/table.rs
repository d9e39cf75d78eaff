//! The rows of a table, kept, and what changes told to whoever reads it.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray};
use azenha_formats::json::row_json;
use azenha_formats::{ChangeKind, ChangePosition, Changes};
use azenha_model::dead_letter::{Basis, Cause, IncompleteChange};
use azenha_model::plan::TopicOutput;
use azenha_model::relation::{Feed, Table};
use azenha_model::types::meta;
use azenha_model::{Field, Offset};
use serde_json::value::RawValue;

use super::definition::Definition;
use super::keeper::malformed;
use super::{End, Keeper, Moment, Outgoing, RowEnd, State, TopicWriter};
use crate::dead_letter::{Complaint, DeadLetters, Place};
use crate::error::EngineError;
use crate::exchange::Sender;
use crate::plugin::Usage;
use crate::relation::{Arrival, KeyedTable, Router, RowChange, Telling, Trouble};
use crate::rows::{Rows, Source};
use crate::state::StateHeader;
use crate::status::NO_TIME;
use crate::watermark::Progress;

/// Keeps a table and sends its changes on.
pub struct TableEnd {
    step: Arc<str>,
    table: KeyedTable,
    router: Router,
    writers: Vec<TopicWriter>,
    keeper: Keeper,
    definition: Definition,
    /// What readers that are new have still to be told.
    telling: Option<Telling>,
    place: (String, u32),
    order: Order,
    results: u64,
}

/// So many bytes of rows, about, are told to new readers in one commit; few in tests, so that they meet several parts.
const TOLD_BYTES: usize = if cfg!(test) { 64 } else { 1 << 20 };

impl TableEnd {
    /// `definition` is what the state is kept under, `input` the topic that is read and its partition.
    pub fn new(
        table: KeyedTable,
        router: Router,
        writers: Vec<TopicWriter>,
        definition: Definition,
        changelog: String,
        input: (String, u32),
        order: Order,
    ) -> Self {
        let step = table.table().name.as_str().into();
        let keeper = Keeper::new(changelog, input.1);
        let telling = match definition.new_readers() {
            [] => None,
            readers => Some(table.telling(readers)),
        };
        Self { step, table, router, writers, keeper, definition, telling, place: input, order, results: 0 }
    }

    /// Writes changes to the topics that are picked.
    fn write(
        &mut self,
        changes: &[RowChange],
        picks: impl Fn(&str) -> bool,
        dead: &mut DeadLetters,
        place: Place<'_>,
    ) -> Result<(), EngineError> {
        self.results += changes.len() as u64;
        let mut writers: Vec<&mut TopicWriter> =
            self.writers.iter_mut().filter(|writer| picks(&writer.output().topic)).collect();
        if writers.is_empty() || changes.is_empty() {
            return Ok(());
        }
        // Of a deleted row only the key is written.
        let rows = changes.iter().filter_map(|change| change.new.as_deref().or(change.old.as_deref()));
        let columns = self.table.columns_of(rows)?;
        let deletes: BooleanArray = changes.iter().map(|change| Some(change.new.is_none())).collect();
        let deletes = (deletes.true_count() > 0).then_some(deletes);
        for writer in &mut writers {
            let timestamps = vec![place.timestamp; changes.len()];
            for (_, complaint) in writer.write_results(&columns, deletes.as_ref(), timestamps)? {
                dead.push_group(&self.step, place, &complaint);
            }
        }
        Ok(())
    }

    /// Tells new readers some of the rows that stood here before them.
    fn tell(&mut self, moment: &Moment, dead: &mut DeadLetters) -> Result<(), EngineError> {
        let Some(telling) = &mut self.telling else { return Ok(()) };
        let told = self.table.tell_next(telling, TOLD_BYTES, self.order.before(moment.position));
        match told.map_err(|error| malformed(self.keeper.changelog(), error))? {
            Some(changes) => {
                let readers = self.definition.new_readers().to_vec();
                let is_new = |reader: &str| readers.iter().any(|new| new == reader);
                self.router.route_to(&changes, is_new)?;
                let (topic, partition) = self.place.clone();
                let offset = moment.position.saturating_sub(1);
                let place = Place { topic: &topic, partition, offset, timestamp: moment.timestamp };
                self.write(&changes, is_new, dead, place)
            }
            None => {
                self.telling = None;
                self.definition.all_told();
                Ok(())
            }
        }
    }

    /// What it was decided on that a change cannot be completed.
    fn incomplete(&self, arrival: &Arrival<'_>, row: String) -> Result<Basis, EngineError> {
        let deleted_at = self.table.deleted_at(arrival.key);
        let deleted_at = deleted_at.map_err(|error| malformed(self.keeper.changelog(), error))?;
        Ok(Basis::Change(IncompleteChange {
            table: Arc::new(self.table.table().clone()),
            row: RawValue::from_string(row).unwrap_or_default(),
            unavailable: arrival.unavailable.to_vec(),
            is_snapshot: matches!(arrival.kind, ChangeKind::Snapshot { .. }),
            position: arrival.position.map(|position| position.0),
            deleted_at: deleted_at.map(|position| position.0),
        }))
    }

    fn stopped(&self, reason: &str, source: &Source, record: u32) -> EngineError {
        let offset = source.fetched.offsets[record as usize];
        EngineError::State(format!("topic `{}`, partition {}, offset {offset}: {reason}", self.place.0, self.place.1))
    }
}

impl RowEnd for TableEnd {
    fn rows(&mut self, rows: &Rows, source: &Arc<Source>, dead: &mut DeadLetters) -> Result<(), EngineError> {
        let columns: Vec<ArrayRef> = rows.columns.iter().flatten().map(Arc::clone).collect();
        let (keys, bytes) = self.table.bytes_of(&columns)?;
        let deleting = self.table.table().operation.map(|column| columns[column].as_string::<i32>());
        let mut changes = Vec::with_capacity(rows.len());
        let mut unavailable = Vec::new();
        for (row, record) in rows.origin.values().iter().copied().enumerate() {
            let (mut kind, position) = said(rows, row, &mut unavailable);
            if deleting.is_some_and(|operations| operations.is_valid(row) && operations.value(row) == meta::OP_DELETE) {
                kind = ChangeKind::Delete;
            }
            let arrival = Arrival {
                kind,
                position,
                offset: self.order.of(source.fetched.offsets[record as usize]),
                key: keys.row(row).data(),
                row: bytes.row(row).data(),
                unavailable: &unavailable,
            };
            match self.table.take(&arrival, &mut changes) {
                Ok(()) => {}
                Err(Trouble::Refused(reason)) => {
                    let change =
                        self.incomplete(&arrival, row_json(&self.table.table().fields, &columns, row, true))?;
                    dead.push(&self.step, source, record, &Complaint::new(Cause::Decode, reason).on(change));
                }
                Err(Trouble::Stopped(reason)) => return Err(self.stopped(&reason, source, record)),
                Err(Trouble::Malformed(error)) => return Err(malformed(self.keeper.changelog(), error)),
                Err(Trouble::Arrow(error)) => return Err(error.into()),
            }
        }
        self.router.route(&changes)?;
        let timestamp = source.fetched.records.timestamps.iter().copied().max().unwrap_or_default();
        let offset = source.fetched.offsets.last().copied().unwrap_or_default();
        let place = Place { topic: &source.topic, partition: source.partition, offset, timestamp };
        self.write(&changes, |_| true, dead, place)
    }
}

/// What orders the changes of a row.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// The offset of its record.
    Offsets,
    /// The offset of its record and its place among the rows of that record: an object holds many.
    Places {
        /// The record that was read last.
        offset: Offset,
        /// How many of its rows.
        rows: u64,
    },
}

/// So many bits of a row's place tell it from the others of its record: what an object may hold.
const PLACE_BITS: u32 = 24;

impl Order {
    /// For rows of which one record may hold many.
    pub fn of_places() -> Self {
        Self::Places { offset: Offset::MAX, rows: 0 }
    }

    /// The place behind all rows of the records before an offset.
    fn before(&self, next: Offset) -> Offset {
        let next = if matches!(self, Self::Offsets) { next } else { next << PLACE_BITS };
        next.saturating_sub(1)
    }

    /// The place of the next row, of the record at an offset.
    fn of(&mut self, record: Offset) -> Offset {
        let Self::Places { offset, rows } = self else { return record };
        *rows = if *offset == record { *rows + 1 } else { 0 };
        *offset = record;
        record << PLACE_BITS | (*rows).min((1 << PLACE_BITS) - 1)
    }
}

/// What a row's record says beside its columns; `unavailable` gets the columns that it leaves out.
fn said(rows: &Rows, row: usize, unavailable: &mut Vec<usize>) -> (ChangeKind, Option<ChangePosition>) {
    unavailable.clear();
    let Some(Changes { kinds, positions, unavailable: left_out }) = rows.changes.as_deref() else {
        let is_deleted = rows.deletes.as_ref().is_some_and(|deletes| deletes.value(row));
        return (if is_deleted { ChangeKind::Delete } else { ChangeKind::Upsert }, None);
    };
    unavailable.extend(left_out.iter().filter(|(_, marks)| marks.value(row)).map(|(column, _)| *column));
    (kinds[row], positions[row])
}

impl End for TableEnd {
    fn commit(&mut self, moment: &Moment, dead: &mut DeadLetters) -> Result<Outgoing, EngineError> {
        self.tell(moment, dead)?;
        self.table.settle();
        let sender =
            Sender { partition: self.place.1, progress: Progress::Idle, from: moment.from, through: moment.position };
        let sealed = self.router.take(sender, moment.timestamp);
        let mut appends = sealed.map_err(|error| malformed(&self.place.0, error))?;
        for writer in &mut self.writers {
            appends.extend(writer.take()?);
        }
        let header = header(moment, &self.definition.text());
        let (state, purge_changelog) = self.keeper.blocks(&header, self.table.entries())?;
        appends.push(state);
        let results = std::mem::take(&mut self.results);
        Ok(Outgoing { appends, results, purge_changelog, ..Outgoing::default() })
    }

    fn has_more(&self) -> bool {
        self.telling.is_some()
    }

    fn pending_bytes(&self) -> usize {
        self.router.bytes() + self.writers.iter().map(TopicWriter::bytes).sum::<usize>()
    }

    fn state(&mut self) -> Option<State<'_>> {
        let Self { step, table, keeper, .. } = self;
        Some(State { step, table: table.held(), keeper, watermark: NO_TIME })
    }

    fn take_usage(&mut self) -> Usage {
        Usage::default()
    }
}

/// What must be the same for the rows of a state to be read back, and who reads them.
pub fn definition(table: &Table, feeds: &[Feed], outputs: &[TopicOutput]) -> Definition {
    let key: Vec<&str> = table.key.iter().map(|column| table.fields[*column].name.as_str()).collect();
    Definition::new(format!("rows of ({}) by {}", named(&table.fields), key.join(", ")), readers(feeds, outputs))
}

/// Who follows a state: each by a name of its own.
pub fn readers(feeds: &[Feed], outputs: &[TopicOutput]) -> Vec<String> {
    feeds.iter().map(Feed::reader).chain(outputs.iter().map(|output| output.topic.clone())).collect()
}

/// Columns with their types, for people and for comparing.
pub fn named(fields: &[Field]) -> String {
    let named = |field: &Field| format!("{}: {}", field.name, field.data_type);
    fields.iter().map(named).collect::<Vec<_>>().join(", ")
}

/// The header of a state without time.
pub fn header(moment: &Moment, definition: &str) -> StateHeader {
    StateHeader {
        position: moment.position,
        definition: definition.to_owned(),
        state_version: 0,
        timestamp: moment.timestamp,
        event_time: NO_TIME,
        watermark: NO_TIME,
        senders: Vec::new(),
    }
}

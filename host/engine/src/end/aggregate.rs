//! An aggregation that keeps its state and gives results: over rows, or over what crossed an exchange.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, new_null_array};
use arrow_select::concat::concat;
use azenha_formats::json::row_json;
use azenha_model::dead_letter::{Basis, Cause, ClosedWindow};
use azenha_model::plan::Emit;
use azenha_model::{Field, Offset};

use super::keeper::malformed;
use super::{End, Keeper, MessageEnd, Moment, Outgoing, RowEnd, State, TopicWriter};
use crate::aggregation::{Aggregator, Complaints, Results, Understood, complain};
use crate::dead_letter::{Complaint, DeadLetters, Place, reasons};
use crate::edition::Edition;
use crate::error::EngineError;
use crate::exchange::{Cargo, Message, Parcel, open};
use crate::plugin::Usage;
use crate::rows::{Rows, Source};
use crate::snapshot::late;
use crate::state::{Restored, Slot, StateHeader};
use crate::status::NO_TIME;
use crate::tap::Tap;
use crate::watermark::ReceiverWatermark;

/// Keeps groups, closes their windows, and writes results to topics.
pub struct AggregateEnd {
    step: Arc<str>,
    aggregator: Aggregator,
    keeper: Keeper,
    /// By when windows are closed.
    watermark: i64,
    /// Behind an exchange: what its senders said. Else the lane's own watermark decides.
    senders: Option<ReceiverWatermark>,
    /// Windows by their ends. Entries of sessions that were absorbed stay until their end and are ignored.
    closing: BTreeSet<(i64, Slot)>,
    writers: Vec<TopicWriter>,
    fields: Vec<Field>,
    tap: Tap,
    place: (String, u32),
    /// The version of the pipeline that runs here.
    edition: Edition,
    /// Where snapshots of the state are kept.
    snapshots: String,
    /// Messages that belong to the last of them, with their offsets, until they are committed.
    late: Vec<(Offset, Vec<u8>)>,
    /// Keys of groups that stand in the output and are none any more.
    gone: Vec<Box<[u8]>>,
}

/// Rows for the output: deletes first, then the groups' current rows.
struct Emission {
    columns: Vec<ArrayRef>,
    deletes: Option<BooleanArray>,
    rows: usize,
}

impl AggregateEnd {
    /// `senders`: the number of partitions of the source, if the input is an exchange. `input` is the topic
    /// that is read and its partition. What the changelog said last stands beside its name.
    pub fn new(
        aggregator: Aggregator,
        senders: Option<u32>,
        writers: Vec<TopicWriter>,
        (changelog, recovered): (String, Option<&StateHeader>),
        input: (String, u32),
        tap: Tap,
        (edition, snapshots): (Edition, String),
    ) -> Self {
        let reached = recovered.map_or(NO_TIME, |header| header.watermark);
        let known = recovered.map_or(&[][..], |header| &header.senders);
        let senders = senders.map(|count| ReceiverWatermark::resumed(count, known, reached));
        let fields = aggregator.spec().output().fields;
        let mut end = Self {
            step: aggregator.spec().plugin.step.as_str().into(),
            keeper: Keeper::new(changelog, input.1),
            watermark: reached,
            aggregator,
            senders,
            closing: BTreeSet::new(),
            writers,
            fields,
            tap,
            place: input,
            edition,
            snapshots,
            late: Vec::new(),
            gone: Vec::new(),
        };
        let all: Vec<Slot> = end.aggregator.table.iter().map(|(slot, _)| slot).collect();
        end.watch(&all);
        end
    }

    /// Has rows deleted in the output whose groups are none any more.
    pub fn retract(&mut self, gone: Vec<Box<[u8]>>) {
        self.gone = gone;
    }

    /// Whether the work that a message brings is undone. What lanes send that have not gone over yet, though this one has,
    /// is kept beside the state that it belongs to.
    fn is_undone(&mut self, offset: Offset, sealed: &[u8], cargo: Cargo) -> bool {
        let Cargo::Partials(Some(writing)) = cargo else { return false };
        if self.edition.undone(&self.step, writing.edition).is_some() {
            return true;
        }
        let is_late = writing.state_version != self.aggregator.spec().plan.state_version;
        if is_late && self.edition.version > writing.edition {
            self.late.push((offset, sealed.to_vec()));
        }
        false
    }

    /// Notes when the windows of groups end.
    fn watch(&mut self, slots: &[Slot]) {
        let aggregator = &self.aggregator;
        for slot in slots {
            let group = aggregator.table.get(*slot);
            if let Some(span) = group.and_then(|group| aggregator.keys().span(&group.key)) {
                self.closing.insert((span.end, *slot));
            }
        }
    }

    fn describe(&self, key: &[u8]) -> Result<String, EngineError> {
        let aggregator = &self.aggregator;
        let columns = aggregator.keys().columns(std::iter::once(key))?;
        Ok(row_json(&aggregator.spec().key_fields(), &columns, 0, true))
    }

    /// The groups whose windows end at or before the watermark.
    fn take_closed(&mut self, watermark: i64) -> Vec<Slot> {
        let mut closed = Vec::new();
        while let Some((end, slot)) = self.closing.first().copied()
            && end <= watermark
        {
            self.closing.pop_first();
            let aggregator = &self.aggregator;
            let group = aggregator.table.get(slot);
            if group.and_then(|group| aggregator.keys().span(&group.key)).is_some_and(|span| span.end == end) {
                closed.push(slot);
            }
        }
        closed
    }

    /// Results of groups, and deletes for rows in the output that have none any more.
    fn emission(&mut self, slots: &[Slot], dead: &mut DeadLetters, place: Place<'_>) -> Result<Emission, EngineError> {
        let mut gone = self.aggregator.take_absorbed();
        gone.append(&mut self.gone);
        let Results { with_row, columns, without_row, complaints } = self.aggregator.finish(slots)?;
        self.complain_of_groups(complaints, dead, place);
        let aggregator = &mut self.aggregator;
        let group = |slot: &Slot| aggregator.table.get(*slot);
        let deleted: Vec<Slot> =
            without_row.into_iter().filter(|slot| group(slot).is_some_and(|group| group.emitted)).collect();
        let keys = gone
            .iter()
            .map(|key| &**key)
            .chain(deleted.iter().chain(&with_row).filter_map(group).map(|group| &*group.key));
        let mut all = aggregator.keys().columns(keys)?;
        let deletes = gone.len() + deleted.len();
        for column in columns {
            let none = new_null_array(column.data_type(), deletes);
            all.push(if deletes == 0 { column } else { concat(&[none.as_ref(), column.as_ref()])? });
        }
        let rows = deletes + with_row.len();
        let flags = (deletes > 0).then(|| (0..rows).map(|row| Some(row < deletes)).collect());
        if aggregator.spec().emit == Emit::Changes {
            for slot in &deleted {
                aggregator.table.set_emitted(*slot, false);
            }
            for slot in &with_row {
                aggregator.table.set_emitted(*slot, true);
            }
        }
        Ok(Emission { columns: all, deletes: flags, rows })
    }

    fn complain_of_groups(&self, complaints: Complaints, dead: &mut DeadLetters, place: Place<'_>) {
        for (_, complaint) in complaints {
            dead.push_group(&self.step, place, &complaint);
        }
    }

    fn write(&mut self, emission: &Emission, dead: &mut DeadLetters, place: Place<'_>) -> Result<(), EngineError> {
        if emission.rows == 0 {
            return Ok(());
        }
        self.tap.send(&self.fields, &emission.columns, emission.deletes.as_ref());
        let mut complaints = Complaints::new();
        for writer in &mut self.writers {
            let timestamps = vec![place.timestamp; emission.rows];
            complaints.extend(writer.write_results(&emission.columns, emission.deletes.as_ref(), timestamps)?);
        }
        self.complain_of_groups(complaints, dead, place);
        Ok(())
    }

    fn header(&self, moment: &Moment) -> StateHeader {
        StateHeader {
            position: moment.position,
            definition: self.aggregator.definition().to_owned(),
            state_version: self.aggregator.spec().plan.state_version,
            timestamp: moment.timestamp,
            event_time: moment.event_time,
            watermark: self.watermark,
            senders: self.senders.iter().flat_map(ReceiverWatermark::senders).collect(),
        }
    }
}

impl MessageEnd for AggregateEnd {
    fn message(&mut self, source: &Source, record: u32, dead: &mut DeadLetters) -> Result<(), EngineError> {
        let sealed = source.fetched.records.values.value(record as usize);
        let Message { sender, cargo, parcels } = open(sealed).map_err(|error| malformed(&source.topic, error))?;
        if self.is_undone(source.fetched.offsets[record as usize], sealed, cargo) {
            return Ok(());
        }
        let closed_at = self.senders.as_ref().map_or(NO_TIME, ReceiverWatermark::value);
        let aggregator = &self.aggregator;
        let is_open = |parcel: &Parcel| aggregator.keys().span(&parcel.key).is_none_or(|span| span.is_open(closed_at));
        let (open, closed): (Vec<Parcel>, Vec<Parcel>) = parcels.into_iter().partition(is_open);
        for parcel in closed {
            let window = ClosedWindow {
                key: self.describe(&parcel.key)?,
                rows: parcel.rows,
                partition: sender.partition,
                from: sender.from,
                through: sender.through,
                end: self.aggregator.keys().span(&parcel.key).map_or(NO_TIME, |span| span.end),
                watermark: closed_at,
            };
            let complaint = Complaint::new(Cause::WindowClosed, reasons::closed(&window));
            dead.push(&self.step, source, record, &complaint.on(Basis::Window(window)));
        }
        let understood = match cargo {
            Cargo::Partials(writing) => self.aggregator.understand(writing, self.edition.version, open)?,
            Cargo::Rows | Cargo::Changes => Understood { parcels: open, complaints: Complaints::new() },
        };
        let complaints = self.aggregator.receive(cargo, understood.parcels)?;
        for (_, complaint) in understood.complaints.into_iter().chain(complaints) {
            dead.push(&self.step, source, record, &complaint);
        }
        if let Some(senders) = &mut self.senders {
            senders.report(sender.partition, sender.progress);
        }
        Ok(())
    }
}

impl RowEnd for AggregateEnd {
    fn rows(&mut self, rows: &Rows, source: &Arc<Source>, dead: &mut DeadLetters) -> Result<(), EngineError> {
        let complaints = self.aggregator.fold(rows, source)?;
        complain(&self.step, complaints, rows, source, dead);
        Ok(())
    }
}

impl End for AggregateEnd {
    fn commit(&mut self, moment: &Moment, dead: &mut DeadLetters) -> Result<Outgoing, EngineError> {
        let changed = self.aggregator.changed();
        self.watch(&changed);
        self.watermark = self.senders.as_ref().map_or(moment.watermark, ReceiverWatermark::value);
        let closed = self.take_closed(self.watermark);

        let (topic, partition) = self.place.clone();
        let offset: Offset = moment.position.saturating_sub(1);
        let place = Place { topic: &topic, partition, offset, timestamp: moment.timestamp };
        let given = if self.aggregator.spec().emit == Emit::Final { &closed } else { &changed };
        let emission = self.emission(given, dead, place)?;
        self.write(&emission, dead, place)?;
        for slot in closed {
            self.aggregator.remove(slot);
        }

        let header = self.header(moment);
        let (state, purge_changelog) = self.keeper.blocks(&header, &mut self.aggregator.table)?;
        let mut appends = vec![state];
        appends.extend(late(&self.snapshots, partition, moment.timestamp, std::mem::take(&mut self.late)));
        for writer in &mut self.writers {
            appends.extend(writer.take()?);
        }
        Ok(Outgoing { appends, results: emission.rows as u64, purge_changelog, ..Outgoing::default() })
    }

    fn pending_bytes(&self) -> usize {
        self.writers.iter().map(TopicWriter::bytes).sum()
    }

    fn hand_over(&mut self, moment: &Moment) -> Option<Restored> {
        let header = Some(self.header(moment));
        Some(Restored { header, table: std::mem::take(&mut self.aggregator.table), ..Restored::default() })
    }

    fn state(&mut self) -> Option<State<'_>> {
        let Self { step, aggregator, keeper, watermark, .. } = self;
        Some(State { step, table: &aggregator.table, keeper, watermark: *watermark })
    }

    fn take_usage(&mut self) -> Usage {
        self.aggregator.take_usage()
    }
}

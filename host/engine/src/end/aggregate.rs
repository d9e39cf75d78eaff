//! An aggregation that keeps its state and gives results: over rows, or over what crossed an exchange.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, new_null_array};
use arrow_select::concat::concat;
use azenha_formats::json::row_json;
use azenha_model::plan::Emit;
use azenha_model::{Field, Offset};

use super::keeper::malformed;
use super::{End, Keeper, Moment, Outgoing, RowEnd, TopicWriter};
use crate::aggregation::{Aggregator, Complaints, Results};
use crate::dead_letter::{Cause, Complaint, DeadLetters, Place};
use crate::error::EngineError;
use crate::exchange::{Message, Parcel, open};
use crate::rows::{Rows, Source};
use crate::state::{Slot, StateHeader};
use crate::status::NO_TIME;
use crate::tap::Tap;
use crate::watermark::ReceiverWatermark;

/// Keeps groups, closes their windows, and writes results to topics.
pub struct AggregateEnd {
    keeper: Keeper,
    /// Behind an exchange: what its senders said. Else the lane's own watermark decides.
    senders: Option<ReceiverWatermark>,
    /// Windows by their ends. Entries of sessions that were absorbed stay until their end and are ignored.
    closing: BTreeSet<(i64, Slot)>,
    writers: Vec<TopicWriter>,
    fields: Vec<Field>,
    tap: Tap,
    place: (String, u32),
}

/// Rows for the output: deletes first, then the groups' current rows.
struct Emission {
    columns: Vec<ArrayRef>,
    deletes: Option<BooleanArray>,
    rows: usize,
}

impl AggregateEnd {
    /// `senders`: the number of partitions of the source, if the input is an exchange. `input` is the topic
    /// that is read and its partition.
    pub fn new(
        aggregator: Aggregator,
        senders: Option<u32>,
        writers: Vec<TopicWriter>,
        changelog: String,
        input: (String, u32),
        tap: Tap,
        recovered: Option<&StateHeader>,
    ) -> Self {
        let reached = recovered.map_or(NO_TIME, |header| header.watermark);
        let senders = senders.map(|count| {
            let mut watermark = ReceiverWatermark::new(count);
            for (sender, progress) in recovered.iter().flat_map(|header| &header.senders) {
                watermark.report(*sender, *progress);
            }
            watermark.restore(reached);
            watermark
        });
        let fields = aggregator.spec().output().fields;
        let keeper = Keeper::new(aggregator, changelog, input.1, reached);
        let mut end = Self { keeper, senders, closing: BTreeSet::new(), writers, fields, tap, place: input };
        let all: Vec<Slot> = end.keeper.aggregator.table.iter().map(|(slot, _)| slot).collect();
        end.watch(&all);
        end
    }

    /// Notes when the windows of groups end.
    fn watch(&mut self, slots: &[Slot]) {
        let aggregator = &self.keeper.aggregator;
        for slot in slots {
            let group = aggregator.table.get(*slot);
            if let Some(span) = group.and_then(|group| aggregator.keys().span(&group.key)) {
                self.closing.insert((span.end, *slot));
            }
        }
    }

    /// Takes a message of an exchange in: the record with this index.
    pub fn message(&mut self, source: &Source, record: u32, dead: &mut DeadLetters) -> Result<(), EngineError> {
        let sealed = source.fetched.records.values.value(record as usize);
        let Message { sender, cargo, parcels } = open(sealed).map_err(|error| malformed(&source.topic, error))?;
        let closed_at = self.senders.as_ref().map_or(NO_TIME, ReceiverWatermark::value);
        let aggregator = &self.keeper.aggregator;
        let is_open = |parcel: &Parcel| aggregator.keys().span(&parcel.key).is_none_or(|span| span.end > closed_at);
        let (open, closed): (Vec<Parcel>, Vec<Parcel>) = parcels.into_iter().partition(is_open);
        for parcel in closed {
            let key = self.describe(&parcel.key)?;
            let reason = format!(
                "{} row(s) of {key} from offsets {}..{} of source partition {} came after their window had closed: \
                 the watermark is at {closed_at} µs",
                parcel.rows, sender.from, sender.through, sender.partition
            );
            dead.push(&self.keeper.step, source, record, &Complaint::new(Cause::WindowClosed, reason));
        }
        for (_, complaint) in self.keeper.aggregator.receive(cargo, open)? {
            dead.push(&self.keeper.step, source, record, &complaint);
        }
        if let Some(senders) = &mut self.senders {
            senders.report(sender.partition, sender.progress);
        }
        Ok(())
    }

    fn describe(&self, key: &[u8]) -> Result<String, EngineError> {
        let aggregator = &self.keeper.aggregator;
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
            let aggregator = &self.keeper.aggregator;
            let group = aggregator.table.get(slot);
            if group.and_then(|group| aggregator.keys().span(&group.key)).is_some_and(|span| span.end == end) {
                closed.push(slot);
            }
        }
        closed
    }

    /// Results of groups, and deletes for rows in the output that have none any more.
    fn emission(&mut self, slots: &[Slot], dead: &mut DeadLetters, place: Place<'_>) -> Result<Emission, EngineError> {
        let gone = self.keeper.aggregator.take_absorbed();
        let Results { with_row, columns, without_row, complaints } = self.keeper.aggregator.finish(slots)?;
        self.complain(complaints, dead, place);
        let Keeper { aggregator, .. } = &mut self.keeper;
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

    fn complain(&self, complaints: Complaints, dead: &mut DeadLetters, place: Place<'_>) {
        for (_, complaint) in complaints {
            dead.push_group(&self.keeper.step, place, &complaint);
        }
    }

    fn write(&mut self, emission: &Emission, timestamp: i64) -> Result<(), EngineError> {
        if emission.rows == 0 {
            return Ok(());
        }
        self.tap.send(&self.fields, &emission.columns, emission.deletes.as_ref());
        for writer in &mut self.writers {
            let columns: Vec<ArrayRef> =
                writer.output().columns.iter().map(|column| Arc::clone(&emission.columns[column.input])).collect();
            writer.write(&columns, emission.deletes.as_ref(), vec![timestamp; emission.rows])?;
        }
        Ok(())
    }

    fn header(&self, moment: &Moment) -> StateHeader {
        StateHeader {
            position: moment.position,
            definition: self.keeper.aggregator.definition().to_owned(),
            state_version: self.keeper.aggregator.spec().plan.state_version,
            timestamp: moment.timestamp,
            event_time: moment.event_time,
            watermark: self.keeper.watermark,
            senders: self.senders.iter().flat_map(ReceiverWatermark::senders).collect(),
        }
    }
}

impl RowEnd for AggregateEnd {
    fn rows(&mut self, rows: &Rows, source: &Arc<Source>, dead: &mut DeadLetters) -> Result<(), EngineError> {
        let complaints = self.keeper.aggregator.fold(rows, source)?;
        self.keeper.complain(complaints, rows, source, dead);
        Ok(())
    }
}

impl End for AggregateEnd {
    fn commit(&mut self, moment: &Moment, dead: &mut DeadLetters) -> Result<Outgoing, EngineError> {
        let changed: Vec<Slot> = self.keeper.aggregator.table.dirty().collect();
        self.watch(&changed);
        self.keeper.watermark = self.senders.as_ref().map_or(moment.watermark, ReceiverWatermark::value);
        let closed = self.take_closed(self.keeper.watermark);

        let (topic, partition) = self.place.clone();
        let offset: Offset = moment.position.saturating_sub(1);
        let place = Place { topic: &topic, partition, offset, timestamp: moment.timestamp };
        let given = if self.keeper.aggregator.spec().emit == Emit::Final { &closed } else { &changed };
        let emission = self.emission(given, dead, place)?;
        self.write(&emission, moment.timestamp)?;
        for slot in closed {
            self.keeper.aggregator.remove(slot);
        }

        let (state, purge_changelog) = self.keeper.blocks(&self.header(moment))?;
        let mut appends = vec![state];
        for writer in &mut self.writers {
            appends.extend(writer.take()?);
        }
        Ok(Outgoing { appends, results: emission.rows as u64, purge_changelog, ..Outgoing::default() })
    }

    fn pending_bytes(&self) -> usize {
        self.writers.iter().map(TopicWriter::bytes).sum()
    }

    fn keeper(&mut self) -> Option<&mut Keeper> {
        Some(&mut self.keeper)
    }
}

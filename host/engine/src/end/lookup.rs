//! The second half of a lookup: a table's rows, kept up to date, and what each row of the stream finds among them.

use std::sync::Arc;

use arrow_array::{ArrayRef, TimestampMicrosecondArray};
use arrow_row::RowConverter;
use azenha_model::Field;
use azenha_model::relation::Lookup;

use super::keeper::malformed;
use super::table::named;
use super::{End, Keeper, MessageEnd, Moment, Outgoing, State, TopicWriter};
use crate::aggregation::Complaints;
use crate::dead_letter::DeadLetters;
use crate::error::EngineError;
use crate::exchange::{Cargo, Message, Parcel, open};
use crate::plugin::Usage;
use crate::relation::{Finder, Related, Sent, StreamRow, row_codec};
use crate::rows::Source;
use crate::state::StateHeader;
use crate::status::NO_TIME;
use crate::tap::Tap;
use crate::watermark::ReceiverWatermark;
use crate::wire::Malformed;

/// Keeps the rows of a table and puts them beside rows of a stream, in the order of the topic that both come through.
pub struct LookupEnd {
    step: Arc<str>,
    is_timed: bool,
    table: Related,
    finder: Finder,
    /// Rows as they come out, but for their times.
    rows: RowConverter,
    fields: Vec<Field>,
    /// What the lanes of the stream said of their time.
    senders: ReceiverWatermark,
    writers: Vec<TopicWriter>,
    keeper: Keeper,
    definition: String,
    tap: Tap,
    found: u64,
}

/// The times of rows: see [`Lookup::TIMES`].
#[derive(Default)]
struct Times {
    event_times: Vec<Option<i64>>,
    watermarks: Vec<Option<i64>>,
    reached: Vec<Option<i64>>,
}

impl LookupEnd {
    /// `definition` is what the state is kept under, `partition` that of the topic that is read.
    pub fn new(
        lookup: &Lookup,
        table: Related,
        senders: ReceiverWatermark,
        writers: Vec<TopicWriter>,
        definition: String,
        (changelog, partition): (String, u32),
        tap: Tap,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            step: lookup.step.as_str().into(),
            is_timed: lookup.is_timed,
            table,
            finder: Finder::new(lookup)?,
            rows: row_codec(lookup.stream.iter().chain(&lookup.table.fields))?,
            fields: lookup.output(),
            senders,
            writers,
            keeper: Keeper::new(changelog, partition),
            definition,
            tap,
            found: 0,
        })
    }

    fn change(&mut self, parcel: &Parcel) -> Result<(), Malformed> {
        let sent = Sent::read(&parcel.payload)?;
        if let Some(applied) = self.table.apply(&parcel.key, &sent)? {
            self.table.release(applied.group);
        }
        Ok(())
    }

    fn look_up(&mut self, parcels: &[Parcel], source: &Source) -> Result<Complaints, EngineError> {
        let (mut rows, mut timestamps, mut times) = (Vec::new(), Vec::new(), Times::default());
        for parcel in parcels {
            let arrived = StreamRow::read(&parcel.payload).map_err(|error| malformed(&source.topic, error))?;
            if let Some(joined) = self.finder.joined(&self.table, &parcel.key, arrived.row) {
                rows.push(joined);
                timestamps.push(arrived.timestamp);
                times.push(&arrived, self.senders.value());
            }
        }
        if rows.is_empty() {
            return Ok(Complaints::new());
        }
        let parser = self.rows.parser();
        let mut columns = self.rows.convert_rows(rows.iter().map(|row| parser.parse(row)))?;
        if self.is_timed {
            columns.extend(times.columns());
        }
        self.found += rows.len() as u64;
        self.tap.send(&self.fields, &columns, None);
        let mut complaints = Complaints::new();
        for writer in &mut self.writers {
            complaints.extend(writer.write_results(&columns, None, timestamps.clone())?);
        }
        Ok(complaints)
    }
}

impl Times {
    fn push(&mut self, row: &StreamRow<'_>, reached: i64) {
        let known = |time: i64| (time != NO_TIME).then_some(time);
        self.event_times.push(known(row.event_time));
        self.watermarks.push(known(row.watermark));
        self.reached.push(known(reached));
    }

    fn columns(self) -> [ArrayRef; 3] {
        [self.event_times, self.watermarks, self.reached]
            .map(|times| Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")) as ArrayRef)
    }
}

/// What must be the same for rows of a lookup to be read back, those that wait in front of it among them.
pub fn definition(lookup: &Lookup) -> String {
    let Lookup { stream, by, table, .. } = lookup;
    let by: Vec<&str> = by.iter().map(|column| stream[*column].name.as_str()).collect();
    format!(
        "({}) by {} looked up in {} by ({}) in version(s) of {} ({})",
        named(stream),
        by.join(", "),
        table.origin,
        table.by.join(", "),
        table.versions,
        named(&table.fields)
    )
}

impl MessageEnd for LookupEnd {
    fn message(&mut self, source: &Source, record: u32, dead: &mut DeadLetters) -> Result<(), EngineError> {
        let what = |error| malformed(&source.topic, error);
        let sealed = source.fetched.records.values.value(record as usize);
        let Message { sender, cargo, parcels } = open(sealed).map_err(what)?;
        match cargo {
            Cargo::Changes => parcels.iter().try_for_each(|parcel| self.change(parcel)).map_err(what),
            Cargo::Rows => {
                for (_, complaint) in self.look_up(&parcels, source)? {
                    dead.push(&self.step, source, record, &complaint);
                }
                self.senders.report(sender.partition, sender.progress);
                Ok(())
            }
            Cargo::Partials(_) => {
                Err(what(Malformed("a lookup takes rows and changes of rows, not accumulators".to_owned())))
            }
        }
    }
}

impl End for LookupEnd {
    fn commit(&mut self, moment: &Moment, _: &mut DeadLetters) -> Result<Outgoing, EngineError> {
        let mut appends = Vec::new();
        for writer in &mut self.writers {
            appends.extend(writer.take()?);
        }
        let header = StateHeader {
            position: moment.position,
            definition: self.definition.clone(),
            state_version: 0,
            timestamp: moment.timestamp,
            event_time: NO_TIME,
            watermark: self.senders.value(),
            senders: self.senders.senders().collect(),
        };
        let (state, purge_changelog) = self.keeper.blocks(&header, self.table.entries())?;
        appends.push(state);
        let results = std::mem::take(&mut self.found);
        Ok(Outgoing { appends, results, purge_changelog, ..Outgoing::default() })
    }

    fn pending_bytes(&self) -> usize {
        self.writers.iter().map(TopicWriter::bytes).sum()
    }

    fn state(&mut self) -> Option<State<'_>> {
        let Self { step, table, keeper, senders, .. } = self;
        Some(State { step, table: table.table(), keeper, watermark: senders.value() })
    }

    fn take_usage(&mut self) -> Usage {
        Usage::default()
    }
}

#[cfg(test)]
mod tests;

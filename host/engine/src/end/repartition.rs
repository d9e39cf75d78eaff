//! The first half of a lookup: each row of the stream goes to the lane that owns the table's row it names.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_row::RowConverter;
use azenha_model::Field;
use azenha_model::relation::Lookup;

use super::outbox::Outbox;
use super::{End, Keeper, Moment, Outgoing, RowEnd, State};
use crate::dead_letter::DeadLetters;
use crate::error::EngineError;
use crate::exchange::{Cargo, Parcel};
use crate::partition::partition_of;
use crate::plugin::Usage;
use crate::relation::{StreamRow, row_codec};
use crate::rows::{Rows, Source};
use crate::state::{GroupTable, StateHeader};
use crate::status::NO_TIME;

/// Sends rows to the lanes of a lookup, with their times.
pub struct RepartitionEnd {
    step: Arc<str>,
    /// Every column that arrives, then the metadata columns.
    fields: Vec<Field>,
    /// Those that are sent.
    columns: Vec<usize>,
    rows: RowConverter,
    /// Those among the sent ones that name a row of the table.
    by: Vec<usize>,
    keys: RowConverter,
    /// Rows that wait, for each partition.
    waiting: Vec<Vec<Parcel>>,
    waiting_bytes: usize,
    outbox: Outbox,
    partition: u32,
    keeper: Keeper,
    /// Holds nothing: only how far the lane has come is kept.
    state: GroupTable,
    definition: String,
}

impl RepartitionEnd {
    /// `fields` are the columns that arrive and the metadata columns, of which `columns` are sent. `definition` is what
    /// the state is kept under, `partition` what is read.
    pub fn new(
        lookup: &Lookup,
        (fields, columns): (Vec<Field>, &[usize]),
        outbox: Outbox,
        definition: String,
        changelog: String,
        partition: u32,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            step: lookup.step.as_str().into(),
            fields,
            columns: columns.to_vec(),
            rows: row_codec(&lookup.stream)?,
            by: lookup.by.clone(),
            keys: row_codec(lookup.by.iter().map(|column| &lookup.stream[*column]))?,
            waiting: vec![Vec::new(); outbox.partitions() as usize],
            waiting_bytes: 0,
            outbox,
            partition,
            keeper: Keeper::new(changelog, partition),
            state: GroupTable::default(),
            definition,
        })
    }
}

impl RowEnd for RepartitionEnd {
    fn rows(&mut self, rows: &Rows, source: &Arc<Source>, _: &mut DeadLetters) -> Result<(), EngineError> {
        let column = |index: &usize| rows.column(*index, &self.fields, source);
        let columns: Vec<ArrayRef> = self.columns.iter().map(column).collect::<Result<_, _>>()?;
        let named: Vec<ArrayRef> = self.by.iter().map(|column| Arc::clone(&columns[*column])).collect();
        let (keys, bytes) = (self.keys.convert_columns(&named)?, self.rows.convert_columns(&columns)?);
        let timestamps = &source.fetched.records.timestamps;
        for (row, record) in rows.origin.values().iter().enumerate() {
            let (event_time, watermark) = source.time(*record);
            let timestamp = timestamps[*record as usize];
            let payload = StreamRow { timestamp, event_time, watermark, row: bytes.row(row).data() }.write();
            let key = keys.row(row).data();
            self.waiting_bytes += key.len() + payload.len();
            let partition = partition_of(key, self.outbox.partitions());
            self.waiting[partition as usize].push(Parcel { key: key.into(), payload, rows: 1 });
        }
        Ok(())
    }
}

impl End for RepartitionEnd {
    fn commit(&mut self, moment: &Moment, _: &mut DeadLetters) -> Result<Outgoing, EngineError> {
        let mut appends = self.outbox.messages(moment, Cargo::Rows, &self.waiting)?;
        self.waiting.iter_mut().for_each(Vec::clear);
        self.waiting_bytes = 0;
        let header = StateHeader {
            position: moment.position,
            definition: self.definition.clone(),
            state_version: 0,
            timestamp: moment.timestamp,
            event_time: moment.event_time,
            watermark: moment.watermark,
            senders: vec![(self.partition, Outbox::progress(moment))],
        };
        let (state, purge_changelog) = self.keeper.blocks(&header, &mut self.state)?;
        appends.push(state);
        Ok(Outgoing { appends, purge_changelog, ..Outgoing::default() })
    }

    fn pending_bytes(&self) -> usize {
        self.waiting_bytes
    }

    fn state(&mut self) -> Option<State<'_>> {
        let Self { step, state, keeper, .. } = self;
        Some(State { step, table: state, keeper, watermark: NO_TIME })
    }

    fn take_usage(&mut self) -> Usage {
        Usage::default()
    }
}

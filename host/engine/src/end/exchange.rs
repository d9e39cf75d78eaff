//! The first half of an aggregation: rows are folded where they are read (or passed on, if the plugin does
//! not merge), and at each commit the groups go to the partitions that own them.

use std::sync::Arc;

use super::outbox::Outbox;
use super::{End, Keeper, Moment, Outgoing, RowEnd, State};
use crate::aggregation::{Aggregator, complain};
use crate::dead_letter::DeadLetters;
use crate::edition::Version;
use crate::error::EngineError;
use crate::exchange::{Cargo, Parcel, Writing};
use crate::log::Append;
use crate::partition::partition_of;
use crate::plugin::Usage;
use crate::rows::{Rows, Source};
use crate::state::{Restored, StateHeader};
use crate::status::NO_TIME;

/// Sends groups to their owners.
pub struct ExchangeEnd {
    step: Arc<str>,
    aggregator: Aggregator,
    keeper: Keeper,
    outbox: Outbox,
    partition: u32,
    /// What accumulators are sent as.
    writing: Writing,
    /// Rows that wait, if the plugin does not merge; the groups are in the table otherwise.
    waiting: Vec<Parcel>,
    waiting_bytes: usize,
}

impl ExchangeEnd {
    /// The half that reads `partition` of the source, and runs a version of the pipeline.
    pub fn new(aggregator: Aggregator, outbox: Outbox, changelog: String, partition: u32, edition: Version) -> Self {
        Self {
            step: aggregator.spec().plugin.step.as_str().into(),
            writing: Writing { state_version: aggregator.spec().plan.state_version, edition },
            aggregator,
            keeper: Keeper::new(changelog, partition),
            outbox,
            partition,
            waiting: Vec::new(),
            waiting_bytes: 0,
        }
    }

    fn merges(&self) -> bool {
        self.aggregator.spec().plan.merges
    }

    /// The messages of one commit.
    fn messages(&mut self, moment: &Moment) -> Result<Vec<Append>, EngineError> {
        let (cargo, parcels) = if self.merges() {
            (Cargo::Partials(Some(self.writing)), self.aggregator.drain())
        } else {
            self.waiting_bytes = 0;
            (Cargo::Rows, std::mem::take(&mut self.waiting))
        };
        let partitions = self.outbox.partitions();
        let mut shares: Vec<Vec<Parcel>> = vec![Vec::new(); partitions as usize];
        for parcel in parcels {
            let group = self.aggregator.keys().group(&parcel.key);
            shares[partition_of(group, partitions) as usize].push(parcel);
        }
        self.outbox.messages(moment, cargo, &shares)
    }

    fn header(&self, moment: &Moment) -> StateHeader {
        StateHeader {
            position: moment.position,
            definition: self.aggregator.definition().to_owned(),
            state_version: self.aggregator.spec().plan.state_version,
            timestamp: moment.timestamp,
            event_time: moment.event_time,
            watermark: moment.watermark,
            senders: vec![(self.partition, Outbox::progress(moment))],
        }
    }
}

impl RowEnd for ExchangeEnd {
    fn rows(&mut self, rows: &Rows, source: &Arc<Source>, dead: &mut DeadLetters) -> Result<(), EngineError> {
        let complaints = if self.merges() {
            self.aggregator.fold(rows, source)?
        } else {
            let (parcels, complaints) = self.aggregator.parcels(rows, source)?;
            self.waiting_bytes += parcels.iter().map(|parcel| parcel.key.len() + parcel.payload.len()).sum::<usize>();
            self.waiting.extend(parcels);
            complaints
        };
        complain(&self.step, complaints, rows, source, dead);
        Ok(())
    }
}

impl End for ExchangeEnd {
    fn commit(&mut self, moment: &Moment, _: &mut DeadLetters) -> Result<Outgoing, EngineError> {
        let mut appends = self.messages(moment)?;
        let header = self.header(moment);
        let (state, purge_changelog) = self.keeper.blocks(&header, &mut self.aggregator.table)?;
        appends.push(state);
        Ok(Outgoing { appends, purge_changelog, ..Outgoing::default() })
    }

    fn pending_bytes(&self) -> usize {
        self.waiting_bytes + self.aggregator.table.bytes()
    }

    fn hand_over(&mut self, moment: &Moment) -> Option<Restored> {
        // Everything is on its way to the receivers.
        Some(Restored { header: Some(self.header(moment)), ..Restored::default() })
    }

    fn state(&mut self) -> Option<State<'_>> {
        let Self { step, aggregator, keeper, .. } = self;
        Some(State { step, table: &aggregator.table, keeper, watermark: NO_TIME })
    }

    fn take_usage(&mut self) -> Usage {
        self.aggregator.take_usage()
    }
}

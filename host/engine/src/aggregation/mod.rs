//! Keyed, windowed aggregation over a table of groups: rows are folded in, partial accumulators merged in.
//! Both halves of an aggregation use it: the one at the source for what it has not sent yet, the one behind
//! the exchange (or the only one) for its state.

mod call;
mod identities;
mod keys;
mod merging;
mod sessions;
mod versions;

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_row::{RowConverter, SortField};
use arrow_select::take::take_record_batch;
use azenha_model::Field;
use azenha_model::dead_letter::{Basis, Cause, Identifiers, RowTime};
use azenha_model::plan::Aggregation;
use azenha_sandbox::Plugin;

pub use call::{Complaints, Results};
pub use identities::lists as identifiers;
pub use keys::KeyCodec;
pub use versions::Understood;

use crate::clock::Clock;
use crate::dead_letter::{Complaint, DeadLetters, reasons};
use crate::error::EngineError;
use crate::exchange::{Cargo, Parcel};
use crate::plugin::Usage;
use crate::rows::{Rows, Source, batch_of};
use crate::shadow;
use crate::state::{GroupTable, Slot};
use crate::status::NO_TIME;
use crate::window::{Assign, Span};
use crate::wire::Malformed;
use call::AggregateCall;
use merging::{Growth, merge};

/// Rows assigned to windows: row `rows[i]` of the batch belongs to window `spans[i]`. A row may stand several times.
struct Assigned {
    rows: Vec<u32>,
    spans: Vec<Option<Span>>,
}

/// An aggregation at work on one table.
pub struct Aggregator {
    spec: Aggregation,
    keys: KeyCodec,
    call: AggregateCall,
    /// The groups, and what tells which of them are one.
    pub table: GroupTable,
    growth: Growth,
    /// Rows that the plugin reads, as bytes, for a plugin that does not merge.
    row_codec: RowConverter,
    reads: Vec<Field>,
    definition: String,
    key: Vec<u8>,
}

impl Aggregator {
    /// An aggregation over groups that were restored, or none.
    pub fn open(
        spec: &Aggregation,
        (plugin, shadow): (&Plugin, shadow::Slot),
        table: GroupTable,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EngineError> {
        let keys = KeyCodec::new(spec)?;
        let reads: Vec<Field> = spec.plan.reads.iter().map(|index| spec.plugin.input[*index].clone()).collect();
        let sorted = reads.iter().map(|field| SortField::new(field.data_type.arrow())).collect();
        Ok(Self {
            call: AggregateCall::open(spec, plugin, shadow, clock)?,
            row_codec: RowConverter::new(sorted)?,
            growth: Growth::over(spec, &table, &keys),
            spec: spec.clone(),
            keys,
            table,
            reads,
            definition: definition(spec),
            key: Vec::new(),
        })
    }

    /// The aggregation as the plan has it.
    pub fn spec(&self) -> &Aggregation {
        &self.spec
    }

    /// What groups are groups of, for people and for comparing.
    pub fn definition(&self) -> &str {
        &self.definition
    }

    /// How keys are written.
    pub fn keys(&self) -> &KeyCodec {
        &self.keys
    }

    /// What calls cost since this was last asked.
    pub fn take_usage(&mut self) -> Usage {
        self.call.take_usage()
    }

    /// Folds rows of a stream into their groups. Complaints are by row.
    pub fn fold(&mut self, rows: &Rows, source: &Source) -> Result<Complaints, EngineError> {
        let (assigned, groups, mut complaints) = self.assign(rows, source)?;
        let reads = rows.batch(&self.spec.plan.reads, &self.spec.plugin.input, source)?;
        let refused = if matches!(self.growth, Growth::Sessions(_)) {
            self.fold_sessions(&assigned, &groups, &reads)?
        } else {
            let slots: Vec<Slot> = (0..assigned.rows.len())
                .map(|index| {
                    self.keys.write(groups.get(assigned.rows[index] as usize), assigned.spans[index], &mut self.key);
                    self.table.slot_of(&self.key).0
                })
                .collect();
            self.fold_into_groups(&pick(&reads, &assigned.rows)?, &slots)?
        };
        complaints.extend(refused.into_iter().map(|(index, complaint)| (assigned.rows[index] as usize, complaint)));
        Ok(complaints)
    }

    fn fold_into_groups(&mut self, rows: &RecordBatch, slots: &[Slot]) -> Result<Complaints, EngineError> {
        let complaints = self.call.fold(&mut self.table, rows, slots)?;
        for (index, _) in &complaints {
            // A group that no row came into was made for nothing.
            if self.table.get(slots[*index]).is_some_and(|group| group.accumulator.is_empty()) {
                self.table.remove(slots[*index]);
            }
        }
        Ok(complaints)
    }

    /// What crosses an exchange when the plugin does not merge: each row with its key.
    pub fn parcels(&mut self, rows: &Rows, source: &Source) -> Result<(Vec<Parcel>, Complaints), EngineError> {
        let (assigned, groups, complaints) = self.assign(rows, source)?;
        let reads = rows.batch(&self.spec.plan.reads, &self.spec.plugin.input, source)?;
        let payloads = match reads.num_columns() {
            0 => None,
            _ => Some(self.row_codec.convert_columns(reads.columns())?),
        };
        let mut parcels = Vec::with_capacity(assigned.rows.len());
        for (row, span) in assigned.rows.iter().zip(&assigned.spans) {
            self.keys.write(groups.get(*row as usize), *span, &mut self.key);
            let payload = payloads.as_ref().map_or(Vec::new(), |rows| rows.row(*row as usize).data().to_vec());
            parcels.push(Parcel { key: self.key.as_slice().into(), payload, rows: 1 });
        }
        Ok((parcels, complaints))
    }

    /// Which open windows each row belongs to; rows without one are complained of.
    fn assign(&self, rows: &Rows, source: &Source) -> Result<(Assigned, keys::Groups, Complaints), EngineError> {
        let fields = &self.spec.plugin.input;
        let columns: Vec<ArrayRef> =
            self.spec.by.iter().map(|index| rows.column(*index, fields, source)).collect::<Result<_, _>>()?;
        let groups = self.keys.groups(&columns)?;
        let mut assigned = Assigned { rows: Vec::with_capacity(rows.len()), spans: Vec::with_capacity(rows.len()) };
        let mut complaints = Complaints::new();
        for (row, record) in rows.origin.values().iter().enumerate() {
            if self.spec.identity.is_some() && groups.get(row).is_empty() {
                complaints.push((row, self.names_nobody(&columns, row)));
                continue;
            }
            let Some(window) = self.spec.window else {
                assigned.rows.push(row as u32);
                assigned.spans.push(None);
                continue;
            };
            let (time, watermark) = source.time(*record);
            let known = |time: i64| (time != NO_TIME).then_some(time);
            let of_row =
                RowTime { event_time: known(time), watermark: known(watermark), lateness: self.spec.lateness, window };
            if time == NO_TIME {
                let complaint = Complaint::new(Cause::NoEventTime, reasons::NO_EVENT_TIME);
                complaints.push((row, complaint.on(Basis::Time(of_row))));
                continue;
            }
            let open = window.assign(time, watermark, |span| {
                assigned.rows.push(row as u32);
                assigned.spans.push(Some(span));
            });
            if !open {
                let complaint = Complaint::new(Cause::Late, reasons::late(&of_row));
                complaints.push((row, complaint.on(Basis::Time(of_row))));
            }
        }
        Ok((assigned, groups, complaints))
    }

    /// What is said of a row whose identifiers are all null or empty.
    fn names_nobody(&self, columns: &[ArrayRef], row: usize) -> Complaint {
        let value = |column: &ArrayRef| column.is_valid(row).then(|| column.as_string::<i32>().value(row).to_owned());
        let fields = self.spec.group_fields().into_iter();
        let values = fields.zip(columns).map(|(field, column)| (field.name, value(column))).collect();
        Complaint::new(Cause::NoIdentifier, reasons::NO_IDENTIFIER).on(Basis::Identifiers(Identifiers { values }))
    }

    /// Folds rows into sessions of their own first, and merges those into the sessions that there are.
    fn fold_sessions(
        &mut self,
        assigned: &Assigned,
        groups: &keys::Groups,
        reads: &RecordBatch,
    ) -> Result<Complaints, EngineError> {
        let mut order: Vec<usize> = (0..assigned.rows.len()).collect();
        order.sort_by_key(|index| (groups.get(assigned.rows[*index] as usize), assigned.spans[*index]));
        let mut runs: Vec<(usize, Span)> = Vec::new();
        let mut run_of = Vec::with_capacity(order.len());
        for index in &order {
            let Some(span) = assigned.spans[*index] else { continue };
            let group = groups.get(assigned.rows[*index] as usize);
            match runs.last_mut() {
                Some((first, run)) if groups.get(*first) == group && span.start < run.end => {
                    run.end = run.end.max(span.end);
                }
                _ => runs.push((assigned.rows[*index] as usize, span)),
            }
            run_of.push(runs.len() - 1);
        }
        let mut fresh = GroupTable::default();
        let slot_of_run: Vec<Slot> = runs
            .iter()
            .map(|(first, span)| {
                self.keys.write(groups.get(*first), Some(*span), &mut self.key);
                fresh.slot_of(&self.key).0
            })
            .collect();
        let slots: Vec<Slot> = run_of.iter().map(|run| slot_of_run[*run]).collect();
        let rows: Vec<u32> = order.iter().map(|index| assigned.rows[*index]).collect();
        let refused = self.call.fold(&mut fresh, &pick(reads, &rows)?, &slots)?;
        let mut complaints: Complaints =
            refused.into_iter().map(|(index, complaint)| (order[index], complaint)).collect();

        let filled = |run: &usize| fresh.get(slot_of_run[*run]).is_some_and(|group| !group.accumulator.is_empty());
        let runs_sent: Vec<usize> = (0..runs.len()).filter(filled).collect();
        for (parcel, complaint) in self.merge(drain(&mut fresh))? {
            // Every row of a session that can't be merged is lost with it.
            let lost = run_of.iter().enumerate().filter(|(_, run)| **run == runs_sent[parcel]);
            complaints.extend(lost.map(|(index, _)| (order[index], complaint.clone())));
        }
        Ok(complaints)
    }

    /// Takes in what crossed an exchange. Complaints are by parcel.
    pub fn receive(&mut self, cargo: Cargo, parcels: Vec<Parcel>) -> Result<Complaints, EngineError> {
        match cargo {
            Cargo::Partials(_) => self.merge(parcels),
            Cargo::Changes => Err(EngineError::Malformed {
                what: format!("step `{}`", self.spec.plugin.step),
                source: Malformed("an aggregation takes accumulators or rows, not changes of tables".to_owned()),
            }),
            Cargo::Rows => {
                let slots: Vec<Slot> = parcels.iter().map(|parcel| self.table.slot_of(&parcel.key).0).collect();
                let parser = self.row_codec.parser();
                let columns =
                    self.row_codec.convert_rows(parcels.iter().map(|parcel| parser.parse(&parcel.payload)))?;
                let schema = arrow_schema::Schema::new(self.reads.iter().map(Field::arrow).collect::<Vec<_>>());
                let batch = batch_of(schema.into(), columns, parcels.len())?;
                self.fold_into_groups(&batch, &slots)
            }
        }
    }

    /// Merges accumulators into their groups, or into those that become one with theirs.
    fn merge(&mut self, parcels: Vec<Parcel>) -> Result<Complaints, EngineError> {
        merge(parcels, &mut self.growth, &mut self.table, &self.keys, &mut self.call)
    }

    /// Makes the results of groups.
    pub fn finish(&mut self, slots: &[Slot]) -> Result<Results, EngineError> {
        self.call.finish(&self.table, &self.keys, slots)
    }

    /// The groups that changed since the changes were last forgotten.
    pub fn changed(&self) -> Vec<Slot> {
        self.growth.changed(&self.table)
    }

    /// Removes a group whose window closed.
    pub fn remove(&mut self, slot: Slot) {
        if let (Growth::Sessions(sessions), Some(group)) = (&mut self.growth, self.table.get(slot)) {
            sessions.forget(&self.keys, &group.key);
        }
        self.table.remove(slot);
    }

    /// Keys of groups that stand in the output and were absorbed by another one since this was last asked.
    pub fn take_absorbed(&mut self) -> Vec<Box<[u8]>> {
        self.growth.take_absorbed()
    }

    /// Takes all groups out, to send them.
    pub fn drain(&mut self) -> Vec<Parcel> {
        self.growth.forget_all();
        drain(&mut self.table)
    }
}

/// Makes dead letters of complaints about rows.
pub fn complain(step: &Arc<str>, complaints: Complaints, rows: &Rows, source: &Source, dead: &mut DeadLetters) {
    for (row, complaint) in complaints {
        dead.push(step, source, rows.origin.value(row), &complaint);
    }
}

/// What must be the same for a state to be read back: how rows are grouped, and when results are given.
pub fn definition(spec: &Aggregation) -> String {
    let named = |field: &Field| format!("{}: {}", field.name, field.data_type);
    let keys: Vec<String> = spec.group_fields().iter().map(named).collect();
    let window = spec.window.map_or("no window".to_owned(), |window| format!("{window:?}"));
    let identity = spec.identity.as_ref().map_or(String::new(), |name| format!("; identified as {name}"));
    format!("by {}; {window}; {:?}{identity}", keys.join(", "), spec.emit)
}

/// The groups of a table that hold something, as parcels; the table is empty afterwards.
fn drain(table: &mut GroupTable) -> Vec<Parcel> {
    let filled = std::mem::take(table).into_groups().filter(|group| !group.accumulator.is_empty());
    filled.map(|group| Parcel { key: group.key, payload: group.accumulator, rows: group.rows }).collect()
}

/// Rows of a batch, in another order, some perhaps several times.
fn pick(batch: &RecordBatch, rows: &[u32]) -> Result<RecordBatch, EngineError> {
    let all = rows.len() == batch.num_rows() && rows.iter().enumerate().all(|(index, row)| index as u32 == *row);
    if all {
        return Ok(batch.clone());
    }
    if batch.num_columns() == 0 {
        return Ok(batch_of(batch.schema(), Vec::new(), rows.len())?);
    }
    Ok(take_record_batch(batch, &UInt32Array::from(rows.to_vec()))?)
}

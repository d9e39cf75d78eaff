//! Results of groups: what a plugin makes of their rows, or the one row that a group is.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_row::RowConverter;
use arrow_schema::{ArrowError, Schema as ArrowSchema};
use arrow_select::concat::concat;
use azenha_formats::json::row_json;
use azenha_model::Field;
use azenha_model::dead_letter::{Arguments, Basis, Cause, Function, GroupRows, Opened};
use azenha_model::plugin::AssemblePlan;
use azenha_model::relation::{Assembling, RelatedTable, Relation};
use azenha_sandbox::{Assemble, Finished, Plugin};
use serde_json::value::RawValue;
use twox_hash::XxHash3_64;

use super::gathered::{Gathered, GroupedRows};
use super::related::{GroupId, Related};
use super::row_codec;
use crate::clock::Clock;
use crate::dead_letter::{Callee, Complaint, reasons};
use crate::error::EngineError;
use crate::plugin::{Guard, Part, Usage, in_parts};
use crate::rows::batch_of;
use crate::shadow::{Call, Kind, Slot};

/// So many rows, or few more, are handed to a plugin at once.
const CALL_ROWS: usize = 16_384;

/// Dead letters carry so many bytes of groups' rows at a time: a plugin may refuse every group.
const TOLD_BYTES: usize = 4 << 20;

/// The results of some groups.
#[derive(Debug, Default)]
pub struct Assembly {
    /// The groups that have a row, and the row's columns, those of the group first.
    pub with_row: Vec<GroupId>,
    /// One value for each of them.
    pub columns: Vec<ArrayRef>,
    /// The groups that have none.
    pub without_row: Vec<GroupId>,
    /// What went wrong.
    pub complaints: Vec<Complaint>,
    /// Bytes of rows that the complaints carry.
    pub told: usize,
}

/// A plugin of the world `assemble`, opened for one lane.
pub struct Assembler {
    step: String,
    plugin: Assemble,
    callee: Callee,
    plan: AssemblePlan,
    keys: RowConverter,
    key_fields: Vec<Field>,
    tables: Vec<TableCodec>,
    /// How many rows a group may have.
    most_rows: usize,
    guard: Guard,
    shadow: Slot,
    code: u32,
}

/// Reads the rows of one table back.
struct TableCodec {
    rows: RowConverter,
    reads: Vec<usize>,
    /// Those that are read.
    fields: Vec<Field>,
    schema: Arc<ArrowSchema>,
}

impl Assembler {
    /// Opens the plugin as the plan has it.
    pub fn open(
        relation: &Relation,
        by: &Assembling,
        (plugin, shadow): (&Plugin, Slot),
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EngineError> {
        let Assembling { plugin: name, config, config_by_name, plan, max_group_rows: most_rows } = by;
        let (step, tables) = (relation.step.clone(), relation.table_fields());
        let opened = plugin
            .open_assemble(config, &tables, &relation.keys)
            .map_err(|source| EngineError::Open { step: step.clone(), source })?;
        if opened.plan() != plan {
            return Err(EngineError::Setup(format!("step `{step}`: the plugin's plan is not the validated one")));
        }
        let table = |(table, reads): (&RelatedTable, &Vec<usize>)| {
            let fields: Vec<Field> = reads.iter().map(|column| table.fields[*column].clone()).collect();
            let schema = Arc::new(ArrowSchema::new(fields.iter().map(Field::arrow).collect::<Vec<_>>()));
            Ok::<_, ArrowError>(TableCodec { rows: row_codec(&table.fields)?, reads: reads.clone(), fields, schema })
        };
        let opened_with = Opened::with(config_by_name).tables(&tables).keys(&relation.keys);
        Ok(Self {
            plugin: opened,
            callee: Callee::new(name, plugin.digest(), opened_with),
            keys: row_codec(&relation.keys)?,
            key_fields: relation.keys.clone(),
            tables: relation.tables.iter().zip(&plan.reads).map(table).collect::<Result<_, _>>()?,
            plan: plan.clone(),
            most_rows: *most_rows,
            guard: Guard::new(clock),
            shadow,
            code: XxHash3_64::oneshot(format!("{} {config} {most_rows}", plugin.digest()).as_bytes()) as u32,
            step,
        })
    }

    /// What calls cost since this was last asked.
    pub fn take_usage(&mut self) -> Usage {
        self.guard.take_usage()
    }

    /// A number that is another one if the plugin or its configuration is.
    pub fn code(&self) -> u32 {
        self.code
    }

    /// Makes the results of groups.
    pub fn assemble(&mut self, related: &Related, groups: &[GroupId]) -> Result<Assembly, EngineError> {
        let mut assembly = Assembly::default();
        let mut pieces: Vec<Vec<ArrayRef>> = Vec::new();
        let mut rest = groups;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.batch_of_groups(related, rest));
            rest = later;
            let mut fitting = Vec::with_capacity(now.len());
            for group in now {
                match self.rows_of(related, *group) {
                    // Whether what was taken back left a trace must not decide whether a plugin is asked.
                    0 => assembly.without_row.push(*group),
                    rows if rows <= self.most_rows => fitting.push(*group),
                    _ => assembly.complaints.push(self.too_large(related, *group)?),
                }
            }
            self.call(related, &fitting, &mut assembly, &mut pieces)?;
        }
        let fields = self.key_fields.iter().chain(&self.plan.gives);
        assembly.columns = fields
            .enumerate()
            .map(|(column, field)| join(field, pieces.iter().map(|piece| &piece[column])))
            .collect::<Result<_, _>>()?;
        Ok(assembly)
    }

    fn rows_of(&self, related: &Related, group: GroupId) -> usize {
        let of_table = |table| related.members(group, table as u8).filter(|member| member.row.is_some()).count();
        (0..self.tables.len()).map(of_table).sum()
    }

    /// How many of the groups make one batch of bearable size; at least one.
    fn batch_of_groups(&self, related: &Related, groups: &[GroupId]) -> usize {
        let mut rows = 0;
        let fits = |group: &&GroupId| {
            rows += self.rows_of(related, **group);
            rows <= CALL_ROWS
        };
        groups.iter().take_while(fits).count().max(1)
    }

    fn too_large(&self, related: &Related, group: GroupId) -> Result<Complaint, EngineError> {
        let keys = self.key_batch(related, &[group])?;
        let rows = self.rows_of(related, group);
        let group = GroupRows { key: self.key(&keys, 0).columns.unwrap_or_default(), rows, most: self.most_rows };
        Ok(Complaint::new(Cause::Rejected, reasons::too_many_rows(&group)).on(Basis::Group(group)))
    }

    fn call(
        &mut self,
        related: &Related,
        groups: &[GroupId],
        assembly: &mut Assembly,
        pieces: &mut Vec<Vec<ArrayRef>>,
    ) -> Result<(), EngineError> {
        let input = self.gather(related, groups)?;
        for part in self.ask(&input, groups.len())? {
            match part {
                Part::Done(range, finished) => {
                    let mut has_row = vec![false; range.len()];
                    finished.groups.iter().for_each(|group| has_row[*group as usize] = true);
                    let of_range = groups[range.clone()].iter().copied().zip(has_row);
                    for (group, has_row) in of_range {
                        if has_row { assembly.with_row.push(group) } else { assembly.without_row.push(group) }
                    }
                    let picked = arrow_array::UInt32Array::from(
                        finished.groups.iter().map(|group| group + range.start as u32).collect::<Vec<_>>(),
                    );
                    let key = |column: &ArrayRef| arrow_select::take::take(column, &picked, None);
                    let mut columns = input.keys.columns().iter().map(key).collect::<Result<Vec<_>, _>>()?;
                    columns.extend(finished.columns);
                    pieces.push(columns);
                    for rejection in finished.rejected {
                        let group = range.start + rejection.row as usize;
                        self.complain(assembly, &input, group, Complaint::rejected(rejection));
                    }
                }
                Part::Guilty(group, failure) => self.complain(assembly, &input, group, Complaint::failed(failure)),
            }
        }
        Ok(())
    }

    /// Has the plugin make the rows of groups, and a candidate beside it, if there is one.
    fn ask(&mut self, input: &Gathered, groups: usize) -> Result<Vec<Part<Finished>>, EngineError> {
        let (plugin, shadow) = (&mut self.plugin, &self.shadow);
        let bytes = |finished: &Finished| finished.columns.iter().map(|column| column.get_array_memory_size()).sum();
        let parts = in_parts(groups, &mut self.guard, bytes, |range| {
            let input = input.part(&range);
            let watch = shadow.watch();
            let answer = input.hand_to(plugin);
            watch.end((Kind::Assemble, range.len()), plugin.memory(), answer.is_ok(), || Call::Assemble {
                input,
                live: answer.clone(),
            });
            answer
        });
        parts.map_err(|source| EngineError::Plugin { step: self.step.clone(), source })
    }

    fn key_batch(&self, related: &Related, groups: &[GroupId]) -> Result<RecordBatch, ArrowError> {
        let columns = group_columns(&self.keys, related, groups)?;
        let schema = ArrowSchema::new(self.key_fields.iter().map(Field::arrow).collect::<Vec<_>>());
        batch_of(Arc::new(schema), columns, groups.len())
    }

    fn gather(&self, related: &Related, groups: &[GroupId]) -> Result<Gathered, ArrowError> {
        let tables = self.tables.iter().enumerate().map(|(number, table)| table.rows(related, number as u8, groups));
        Ok(Gathered { keys: self.key_batch(related, groups)?, tables: tables.collect::<Result<_, _>>()? })
    }

    fn complain(&self, assembly: &mut Assembly, input: &Gathered, group: usize, complaint: Complaint) {
        let mut given = self.key(&input.keys, group);
        if assembly.told < TOLD_BYTES {
            let tables = self.rows_json(input, group);
            assembly.told += tables.iter().flatten().map(|row| row.get().len()).sum::<usize>();
            given.tables = Some(tables);
        }
        assembly.complaints.push(complaint.on(Basis::Call(self.callee.call(Function::Assemble, given))));
    }

    fn key(&self, keys: &RecordBatch, group: usize) -> Arguments {
        Arguments::row(row_json(&self.key_fields, keys.columns(), group, true))
    }

    /// The rows of each table.
    fn rows_json(&self, input: &Gathered, group: usize) -> Vec<Vec<Box<RawValue>>> {
        let table = |(table, given): (&TableCodec, &GroupedRows)| {
            let rows = given.of(group).map(|row| row_json(&table.fields, given.rows.columns(), row, true));
            rows.filter_map(|row| RawValue::from_string(row).ok()).collect()
        };
        self.tables.iter().zip(&input.tables).map(table).collect()
    }
}

impl TableCodec {
    /// The rows of groups in the order of their keys, so that a plugin sees the same after a restore.
    fn rows(&self, related: &Related, table: u8, groups: &[GroupId]) -> Result<GroupedRows, ArrowError> {
        let mut offsets = vec![0];
        let mut rows = Vec::new();
        for group in groups {
            let members = related.members(*group, table);
            let mut of_group: Vec<(&[u8], &[u8])> =
                members.filter_map(|member| Some((member.key, member.row?))).collect();
            of_group.sort_unstable();
            rows.extend(of_group.into_iter().map(|(_, row)| row));
            offsets.push(rows.len() as u32);
        }
        let parser = self.rows.parser();
        let count = rows.len();
        let all = self.rows.convert_rows(rows.into_iter().map(|row| parser.parse(row)))?;
        let columns = self.reads.iter().map(|column| Arc::clone(&all[*column])).collect();
        Ok(GroupedRows { rows: batch_of(Arc::clone(&self.schema), columns, count)?, offsets })
    }
}

/// The columns of groups.
pub fn group_columns(keys: &RowConverter, related: &Related, groups: &[GroupId]) -> Result<Vec<ArrayRef>, ArrowError> {
    let parser = keys.parser();
    keys.convert_rows(groups.iter().map(|group| parser.parse(related.key(*group))))
}

fn join<'a>(field: &Field, pieces: impl Iterator<Item = &'a ArrayRef>) -> Result<ArrayRef, ArrowError> {
    let pieces: Vec<&dyn Array> = pieces.map(AsRef::as_ref).collect();
    match pieces.as_slice() {
        [] => Ok(arrow_array::new_empty_array(&field.data_type.arrow())),
        pieces => concat(pieces),
    }
}

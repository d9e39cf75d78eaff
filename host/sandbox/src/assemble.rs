//! An open assemble.

use arrow_array::RecordBatch;
use azenha_model::Field;
use azenha_model::plugin::{AssemblePlan, TableFields};

use crate::bindings::assemble as world;
use crate::bindings::data::{Batch, ColumnParam};
use crate::error::{Failure, OpenError};
use crate::finished::{Finished, Returned};
use crate::instance::Instance;
use crate::lower::Lowered;
use crate::plugin::{Plugin, with_instance};
use crate::{checks, lower};

/// An assemble that was opened for one step: used by one thread at a time.
pub struct Assemble {
    plugin: Plugin,
    config: String,
    tables: Vec<TableFields>,
    keys: Vec<Field>,
    plan: AssemblePlan,
    /// The fields of the columns that the plan reads, by table.
    reads: Vec<Vec<Field>>,
    /// None after a failure: the next call starts another.
    instance: Option<Instance<world::Assemble>>,
}

/// The rows that one table has of groups.
#[derive(Debug, Clone, Copy)]
pub struct Grouped<'a> {
    /// Exactly the columns that the plan reads of the table, in its order; group after group.
    pub rows: &'a RecordBatch,
    /// One more than there are groups: the rows of group g are `offsets[g]..offsets[g + 1]`.
    pub offsets: &'a [u32],
}

impl Assemble {
    pub(crate) fn open(
        plugin: Plugin,
        config: &str,
        tables: &[TableFields],
        keys: &[Field],
    ) -> Result<Self, OpenError> {
        let (instance, plan) = start(&plugin, config, tables, keys)?;
        let of_table = |(table, reads): (&TableFields, &Vec<usize>)| {
            reads.iter().map(|index| table.fields[*index].clone()).collect()
        };
        let reads = tables.iter().zip(&plan.reads).map(of_table).collect();
        let (config, tables, keys) = (config.to_owned(), tables.to_vec(), keys.to_vec());
        Ok(Self { plugin, config, tables, keys, plan, reads, instance: Some(instance) })
    }

    /// What the plugin reads and gives.
    pub fn plan(&self) -> &AssemblePlan {
        &self.plan
    }

    /// Bytes of memory that its instance holds; none after a failure.
    pub fn memory(&self) -> usize {
        self.instance.as_ref().map_or(0, Instance::memory)
    }

    /// Makes the rows of groups. `keys` has one row for each group, and the columns that the assemble was opened
    /// with; `tables` are those that it was opened with, in the same order.
    ///
    /// # Errors
    /// Any [`Failure`] is about the whole call; the instance is gone, and the next call starts another.
    pub fn assemble(&mut self, keys: &RecordBatch, tables: &[Grouped<'_>]) -> Result<Finished, Failure> {
        let count = keys.num_rows();
        let lowered_keys = Lowered::new(keys, &self.keys)?;
        let lowered = self.lower(tables, count)?;
        let Self { plugin, config, tables: fields, keys: key_fields, plan, instance, .. } = self;
        let started = || start(plugin, config, fields, key_fields);
        with_instance(instance, plan, started, |instance| {
            let key_columns = lowered_keys.params();
            let columns: Vec<Vec<ColumnParam<'_>>> = lowered.iter().map(Lowered::params).collect();
            let batches = lowered.iter().zip(&columns).map(|(table, columns)| Batch { rows: table.rows, columns });
            let grouped: Vec<world::Grouped<'_>> =
                batches.zip(tables).map(|(rows, table)| world::Grouped { rows, offsets: table.offsets }).collect();
            let keys = Batch { rows: lowered_keys.rows, columns: &key_columns };
            let world::Assembled { groups, columns, rejected } =
                instance.call_fallible(|world, store| world.call_assemble(store, keys, &grouped))?;
            let returned = Returned { whole: "what `assemble` returned", groups, columns, rejected };
            returned.lift(&plan.gives, count, plugin.limits().rejections_for(count))
        })
    }

    /// The buffers of each table. What does not fit is the caller's mistake, and the message says so.
    fn lower(&self, tables: &[Grouped<'_>], groups: usize) -> Result<Vec<Lowered>, Failure> {
        if tables.len() != self.reads.len() {
            let (given, opened) = (tables.len(), self.reads.len());
            return Err(Failure::contract(format!("the host gave {given} tables where {opened} were opened")));
        }
        for (table, TableFields { name, .. }) in tables.iter().zip(&self.tables) {
            let ends_well = table.offsets.last().is_some_and(|end| *end as usize == table.rows.num_rows());
            if table.offsets.len() != groups + 1 || !ends_well || !table.offsets.is_sorted() {
                return Err(Failure::contract(format!("the host gave offsets of table `{name}` that do not fit")));
            }
        }
        tables.iter().zip(&self.reads).map(|(table, reads)| Lowered::new(table.rows, reads)).collect()
    }
}

type Started = (Instance<world::Assemble>, AssemblePlan);

fn start(plugin: &Plugin, config: &str, tables: &[TableFields], keys: &[Field]) -> Result<Started, OpenError> {
    let mut instance = plugin.start_assemble()?;
    let fields: Vec<_> = tables.iter().map(|table| lower::fields(&table.fields)).collect();
    let lowered: Vec<world::Table<'_>> =
        (tables.iter().zip(&fields)).map(|(table, fields)| world::Table { name: &table.name, fields }).collect();
    match instance.call(|world, store| world.call_open(store, config, &lowered, &lower::fields(keys)))? {
        Ok(plan) => Ok((instance, checks::assemble_plan(plan, tables, keys)?)),
        Err(raw) => Err(checks::problems(raw, tables.iter().map(|table| table.fields.len()).sum())),
    }
}

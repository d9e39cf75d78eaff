//! Assembles: the rows that several tables hold of a key, made into one row.

use std::ops::Range;
use std::rc::Rc;

use serde::de::DeserializeOwned;

use crate::data::{Batch, Field, Problem, Rejection};
use crate::finished::Finished;
use crate::row::{Binding, Row, RowField};

/// An assemble. Export it with [`assemble!`](crate::assemble!).
///
/// The host keeps the tables and finds the rows that belong together; whenever one of them changes, the
/// plugin gets the whole group again. There is no state, so new code works over what is there.
pub trait Assemble: Sized {
    /// The step's configuration; [`NoConfig`](crate::NoConfig) if there is none.
    type Config: DeserializeOwned;
    /// The columns of the key that are read; `()` for none.
    type Key<'a>: Row<'a>
    where
        Self: 'a;
    /// The tables and the columns of them that are read: a struct with `#[derive(Tables)]`.
    type Tables<'a>: Tables<'a>
    where
        Self: 'a;
    /// The columns that are made of a group; the host adds the keys.
    type Output<'a>: Row<'a>
    where
        Self: 'a;

    /// Makes the assemble, or says what is wrong with its configuration.
    fn open(config: Self::Config) -> Result<Self, Problem>;

    /// The group's row; none: the group has no row (any more). Or the group is refused.
    fn assemble<'a>(
        &'a self,
        key: Self::Key<'a>,
        tables: Self::Tables<'a>,
    ) -> Result<Option<Self::Output<'a>>, Rejection>;
}

/// A table that a step joins.
#[derive(Debug, Clone, PartialEq)]
pub struct TableFields {
    /// As the pipeline calls it.
    pub name: String,
    /// Its columns.
    pub fields: Vec<Field>,
}

/// What an assemble will read and give.
#[derive(Debug, Clone, PartialEq)]
pub struct AssemblePlan {
    /// For each table, the indices of the columns that are read.
    pub reads: Vec<Vec<u32>>,
    /// The columns that are made.
    pub gives: Vec<Field>,
}

/// The rows of one table, group after group.
#[derive(Debug, Clone, PartialEq)]
pub struct Grouped {
    /// The columns that the plan reads of the table.
    pub rows: Batch,
    /// The rows of group g are `offsets[g]..offsets[g + 1]`.
    pub offsets: Vec<u32>,
}

/// The rows that one table has of a group, in no particular order. `R` names the columns that are read.
pub struct Table<'a, R: Row<'a>> {
    columns: Rc<R::Columns>,
    offsets: &'a [u32],
    group: usize,
}

impl<'a, R: Row<'a>> Table<'a, R> {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows().is_empty()
    }

    /// The rows.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = R> {
        self.rows().map(|row| R::read(&self.columns, row))
    }

    /// The row of a table that has one of each group, or none.
    pub fn first(&self) -> Option<R> {
        self.iter().next()
    }

    fn rows(&self) -> Range<usize> {
        self.offsets[self.group] as usize..self.offsets[self.group + 1] as usize
    }

    /// The columns that are read, for the derive macro.
    #[doc(hidden)]
    pub fn fields() -> Vec<RowField> {
        R::fields()
    }

    /// The rows of the first group, for the derive macro.
    #[doc(hidden)]
    pub fn first_group(Found { grouped, slots }: Found<'a>) -> Result<Self, String> {
        Ok(Self { columns: Rc::new(R::columns(&grouped.rows, slots)?), offsets: &grouped.offsets, group: 0 })
    }

    /// The rows of another group, for the derive macro.
    #[doc(hidden)]
    pub fn of_group(&self, group: usize) -> Self {
        Self { columns: self.columns.clone(), offsets: self.offsets, group }
    }
}

/// The columns that are read of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableColumns {
    /// The table.
    pub name: &'static str,
    /// The columns.
    pub fields: Vec<RowField>,
}

/// A table whose rows and columns were found among those that the host gives.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// All its rows.
    pub grouped: &'a Grouped,
    /// Field i of the row struct is the column `slots[i]` of the rows.
    pub slots: &'a [Option<usize>],
}

/// What tables hold of a group, as a struct: `#[derive(Tables)]`. Its fields are of the type [`Table`], and
/// their names are those of the tables.
pub trait Tables<'a>: Sized {
    /// The tables, in the order of the fields.
    fn columns() -> Vec<TableColumns>;
    /// The rows of the first group; there is one table for each field.
    fn first_group(found: &[Found<'a>]) -> Result<Self, String>;
    /// The rows of another group.
    fn of_group(&self, group: usize) -> Self;
}

/// An [`Assemble`] over keys and tables as the host has them.
pub struct Assembler<A> {
    assemble: A,
    /// For each field of the key struct, its column among the keys.
    key: Vec<Option<usize>>,
    /// For each field of the tables' struct, where it is found.
    tables: Vec<BoundTable>,
}

impl<A: Assemble> Assembler<A> {
    /// Makes the assemble and its plan for these tables and keys.
    pub fn open(
        config: A::Config,
        tables: &[TableFields],
        keys: &[Field],
    ) -> Result<(Self, AssemblePlan), Vec<Problem>> {
        let assemble = A::open(config).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let key = bind_key(&A::Key::fields(), keys).unwrap_or_else(|found| {
            problems.extend(found);
            Vec::new()
        });
        let mut bound = Vec::new();
        let mut reads = vec![Vec::new(); tables.len()];
        for wanted in A::Tables::columns() {
            match BoundTable::new(&wanted, tables) {
                Ok(table) => {
                    reads[table.index].clone_from(&table.binding.reads);
                    bound.push(table);
                }
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let gives = A::Output::fields().into_iter().map(|made| made.field).collect();
        Ok((Self { assemble, key, tables: bound }, AssemblePlan { reads, gives }))
    }

    /// Makes the rows of groups: one for each row of `keys`.
    pub fn assemble(&self, keys: &Batch, tables: &[Grouped]) -> Result<Finished, String> {
        by_group(self, keys, tables)
    }
}

fn by_group<'a, A: Assemble>(
    assembler: &'a Assembler<A>,
    keys: &'a Batch,
    tables: &'a [Grouped],
) -> Result<Finished, String> {
    let keys_read = A::Key::columns(keys, &assembler.key)?;
    let found = assembler.tables.iter().map(|table| table.found(tables)).collect::<Result<Vec<_>, _>>()?;
    let first = A::Tables::first_group(&found)?;
    let made = (0..keys.rows as usize)
        .map(|group| assembler.assemble.assemble(A::Key::read(&keys_read, group), first.of_group(group)));
    Ok(Finished::of::<A::Output<'a>>(made))
}

/// For each field of the key struct, its column among the keys: the plugin gets all of them.
fn bind_key(fields: &[RowField], keys: &[Field]) -> Result<Vec<Option<usize>>, Vec<Problem>> {
    // Places are counted among the tables' columns, and the keys are none of them.
    let of_key = |problem: Problem| Problem::new(format!("the key: {}", problem.message));
    let Binding { reads, slots } =
        Binding::new(fields, keys).map_err(|problems| problems.into_iter().map(of_key).collect::<Vec<_>>())?;
    Ok(slots.into_iter().map(|slot| slot.map(|slot| reads[slot] as usize)).collect())
}

/// A table that was found among those of the step, and its columns.
struct BoundTable {
    index: usize,
    binding: Binding,
}

impl BoundTable {
    fn new(wanted: &TableColumns, tables: &[TableFields]) -> Result<Self, Vec<Problem>> {
        let name = wanted.name;
        let index = tables.iter().position(|table| table.name == name).ok_or_else(|| {
            let known: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
            vec![Problem::new(format!("there is no table `{name}`; there are {}", known.join(", ")))]
        })?;
        let before: usize = tables[..index].iter().map(|table| table.fields.len()).sum();
        let of_table = |problem: Problem| Problem {
            message: format!("table `{name}`: {}", problem.message),
            input: problem.input.map(|column| before as u32 + column),
            ..problem
        };
        let binding = Binding::new(&wanted.fields, &tables[index].fields)
            .map_err(|problems| problems.into_iter().map(of_table).collect::<Vec<_>>())?;
        Ok(Self { index, binding })
    }

    fn found<'a>(&'a self, tables: &'a [Grouped]) -> Result<Found<'a>, String> {
        let grouped = tables.get(self.index).ok_or_else(|| format!("there is no table {}", self.index))?;
        Ok(Found { grouped, slots: &self.binding.slots })
    }
}

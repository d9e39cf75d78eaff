//! Transforms: rows in, rows out, without state.

use serde::de::DeserializeOwned;

use crate::data::{Batch, Column, Field, Problem, RejectedRow, Rejection};
use crate::row::{Binding, Row};

/// A transform, a row at a time. Export it with [`transform!`](crate::transform!).
pub trait Transform: Sized {
    /// The step's configuration; [`NoConfig`](crate::NoConfig) if there is none.
    type Config: DeserializeOwned;
    /// The columns that are read.
    type Input<'a>: Row<'a>
    where
        Self: 'a;
    /// The columns that are made: a row; an `Option` of a row to leave rows out; a `Vec` of rows to make several, or of
    /// `Result`s to make some and refuse parts of what came in.
    type Output<'a>: Rows<'a>
    where
        Self: 'a;

    /// Makes the transform, or says what is wrong with its configuration.
    fn open(config: Self::Config) -> Result<Self, Problem>;

    /// Transforms a row, or refuses it.
    fn process<'a>(&'a self, row: Self::Input<'a>) -> Result<Self::Output<'a>, Rejection>;

    /// The name under which an input column is passed on; none: it ends here. Columns that the transform
    /// makes are not asked for. By default every column is passed on, but for the metadata (`$offset`, …).
    fn passes(&self, column: &str) -> Option<String> {
        (!column.starts_with('$')).then(|| column.to_owned())
    }
}

/// What a transform makes of one row: a row, an `Option` of a row, a `Vec` of rows, or a `Vec` of rows and refused
/// parts.
pub trait Rows<'a> {
    /// The row that is made.
    type Row: Row<'a>;
    /// Whether each row gives exactly one.
    const ONE_EACH: bool;

    /// Adds the rows to columns in the making, and says how many there were; `refuse` is told of refused parts.
    fn write(self, builders: &mut <Self::Row as Row<'a>>::Builders, refuse: &mut impl FnMut(Rejection)) -> usize;
}

impl<'a, R: Row<'a>> Rows<'a> for R {
    type Row = R;
    const ONE_EACH: bool = true;

    #[inline]
    fn write(self, builders: &mut R::Builders, _: &mut impl FnMut(Rejection)) -> usize {
        R::write(self, builders);
        1
    }
}

impl<'a, R: Row<'a>> Rows<'a> for Option<R> {
    type Row = R;
    const ONE_EACH: bool = false;

    #[inline]
    fn write(self, builders: &mut R::Builders, refuse: &mut impl FnMut(Rejection)) -> usize {
        self.map_or(0, |row| Rows::write(row, builders, refuse))
    }
}

impl<'a, R: Row<'a>> Rows<'a> for Vec<R> {
    type Row = R;
    const ONE_EACH: bool = false;

    fn write(self, builders: &mut R::Builders, refuse: &mut impl FnMut(Rejection)) -> usize {
        self.into_iter().map(|row| Rows::write(row, builders, refuse)).sum()
    }
}

impl<'a, R: Row<'a>> Rows<'a> for Vec<Result<R, Rejection>> {
    type Row = R;
    const ONE_EACH: bool = false;

    fn write(self, builders: &mut R::Builders, refuse: &mut impl FnMut(Rejection)) -> usize {
        let mut count = 0;
        for part in self {
            match part {
                Ok(row) => count += Rows::write(row, builders, refuse),
                Err(rejection) => refuse(rejection),
            }
        }
        count
    }
}

/// A transform that works on whole columns: for speed, or where the columns are not known when it is
/// written. Export it with [`column_transform!`](crate::column_transform!).
pub trait ColumnTransform: Sized {
    /// The step's configuration; [`NoConfig`](crate::NoConfig) if there is none.
    type Config: DeserializeOwned;

    /// Makes the transform and its plan for these input columns, or says everything that is wrong.
    fn open(config: Self::Config, input: &[Field]) -> Result<(Self, Plan), Vec<Problem>>;

    /// Transforms the columns that the plan reads. An error fails the whole batch.
    fn process(&mut self, batch: &Batch) -> Result<Output, String>;
}

/// What a transform will read and give.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Indices of the input columns, in the order in which `process` gets them.
    pub reads: Vec<u32>,
    /// At least one; the first is the main output.
    pub outputs: Vec<Outlet>,
}

impl Plan {
    /// A plan with one output, called `main`.
    pub fn main(reads: Vec<u32>, gives: Vec<Given>) -> Self {
        Self { reads, outputs: vec![Outlet { name: "main".to_owned(), gives }] }
    }
}

/// One of a transform's outputs and its columns, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlet {
    /// Distinct among the plan's outputs.
    pub name: String,
    /// The columns, with distinct names.
    pub gives: Vec<Given>,
}

/// A column of an output.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// An input column that the host passes on; it never enters the sandbox.
    Passed {
        /// The column's index in the input.
        input: u32,
        /// Its name in the output.
        name: String,
    },
    /// A column that the transform makes.
    Made(Field),
}

/// The input row that each output row comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every input row once, in order.
    All,
    /// These rows; one may be left out, or stand several times.
    Rows(Vec<u32>),
}

/// The rows of one output.
#[derive(Debug, Clone, PartialEq)]
pub struct Emitted {
    /// Where they come from.
    pub rows: Selection,
    /// The made columns, in the plan's order, each as long as `rows`.
    pub columns: Vec<Column>,
}

/// What a transform makes of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// One for each output of the plan, in its order.
    pub outputs: Vec<Emitted>,
    /// The rows that are refused.
    pub rejected: Vec<RejectedRow>,
}

impl Output {
    /// The rows of a plan with one output, none of them refused.
    pub fn main(rows: Selection, columns: Vec<Column>) -> Self {
        Self { outputs: vec![Emitted { rows, columns }], rejected: Vec::new() }
    }
}

/// A [`Transform`] as a [`ColumnTransform`].
pub struct ByRow<T> {
    transform: T,
    binding: Binding,
}

impl<T: Transform> ColumnTransform for ByRow<T> {
    type Config = T::Config;

    fn open(config: T::Config, input: &[Field]) -> Result<(Self, Plan), Vec<Problem>> {
        let transform = T::open(config).map_err(|problem| vec![problem])?;
        let binding = Binding::new(&T::Input::fields(), input)?;
        let made = <<T::Output<'_> as Rows<'_>>::Row as Row<'_>>::fields();
        let gives = gives(made.into_iter().map(|made| made.field).collect(), input, |name| transform.passes(name));
        let plan = Plan::main(binding.reads.clone(), gives);
        Ok((Self { transform, binding }, plan))
    }

    fn process(&mut self, batch: &Batch) -> Result<Output, String> {
        by_row(&self.transform, &self.binding, batch)
    }
}

/// The columns of the output: the input's that are passed on, in their order, then the made ones.
fn gives(made: Vec<Field>, input: &[Field], passes: impl Fn(&str) -> Option<String>) -> Vec<Given> {
    let passed = input.iter().enumerate().filter(|(_, column)| made.iter().all(|made| made.name != column.name));
    let mut gives: Vec<Given> = passed
        .filter_map(|(index, column)| Some(Given::Passed { input: index as u32, name: passes(&column.name)? }))
        .collect();
    gives.extend(made.into_iter().map(Given::Made));
    gives
}

fn by_row<'a, T: Transform>(transform: &'a T, binding: &Binding, batch: &'a Batch) -> Result<Output, String> {
    let columns = T::Input::columns(batch, &binding.slots)?;
    let mut builders = <<T::Output<'a> as Rows<'a>>::Row as Row<'a>>::Builders::default();
    let mut rejected = Vec::new();
    // Where each row gives one, the origins are only needed once a row was refused.
    let mut origins = (!T::Output::<'a>::ONE_EACH).then(Vec::new);
    for row in 0..batch.rows {
        match transform.process(T::Input::read(&columns, row as usize)) {
            Ok(rows) => {
                let count = rows.write(&mut builders, &mut |rejection| rejected.push(rejection.at_row(row)));
                if let Some(origins) = &mut origins {
                    origins.extend(std::iter::repeat_n(row, count));
                }
            }
            Err(rejection) => {
                origins.get_or_insert_with(|| (0..row).collect());
                rejected.push(rejection.at_row(row));
            }
        }
    }
    let rows = origins.map_or(Selection::All, Selection::Rows);
    let columns = <T::Output<'a> as Rows<'a>>::Row::finish(builders);
    Ok(Output { outputs: vec![Emitted { rows, columns }], rejected })
}

//! Rows of an event, or of a record's key: from the places of members to the ends of columns.

use azenha_model::plan::StreamColumn;

use super::meaning::Meaning;
use super::value::{Appended, Cell, append, wanted};
use crate::column::ColumnBuilder;
use crate::decoded::Refusal;
use crate::json::{Locator, Misfit, of_field, of_misfit};

/// The columns that are decoded.
pub(super) struct Wants<'a> {
    /// All columns of the stream.
    pub columns: &'a [StreamColumn],
    /// The indices of those that are read; the builders stand in this order.
    pub needed: &'a [usize],
    /// The indices of those that identify a row.
    pub key: &'a [usize],
}

impl<'a> Wants<'a> {
    /// The columns that are read.
    pub fn read(&self) -> impl Iterator<Item = &'a StreamColumn> {
        self.needed.iter().map(|index| &self.columns[*index])
    }

    /// Those of them that identify a row, with the indices of their builders.
    pub fn of_key(&self) -> impl Iterator<Item = (usize, &'a StreamColumn)> {
        self.read().enumerate().filter(|(builder, _)| self.key.contains(&self.needed[*builder]))
    }
}

/// What the path of a column begins with that stands beside the row, in the event itself: `$.op`, `$.source.ts_ms`.
const ENVELOPE: &str = "$";

/// Which builders get the values of which members.
pub(super) struct Places(Vec<Place>);

struct Place {
    builder: usize,
    slot: usize,
}

impl Places {
    /// Of all columns that are read, in the object at the end of `parents`.
    pub fn of_row(wants: &Wants<'_>, locator: &mut Locator, parents: &[&str]) -> Self {
        Self::new(wants.read().enumerate(), locator, parents)
    }

    /// Of the key's columns.
    pub fn of_key(wants: &Wants<'_>, locator: &mut Locator, parents: &[&str]) -> Self {
        Self::new(wants.of_key(), locator, parents)
    }

    fn new<'a>(
        columns: impl Iterator<Item = (usize, &'a StreamColumn)>,
        locator: &mut Locator,
        parents: &[&str],
    ) -> Self {
        let place = |(builder, column): (usize, &StreamColumn)| {
            let slot = match column.path.split_first() {
                Some((root, path)) if root == ENVELOPE => {
                    locator.want_column(&[], &StreamColumn { path: path.to_vec(), ..column.clone() })
                }
                _ => locator.want_column(parents, column),
            };
            Place { builder, slot }
        };
        Self(columns.map(place).collect())
    }
}

/// The columns of a batch, and the cells that the database left out.
pub(super) struct Rows<'a> {
    pub columns: &'a mut [(usize, ColumnBuilder)],
    /// How many rows stand before the one that is read.
    pub before: usize,
    /// Builder and row.
    pub unavailable: &'a mut Vec<(usize, usize)>,
}

impl Rows<'_> {
    /// Appends the values of some columns. If one is refused, some columns may have grown.
    #[inline]
    pub fn append(
        &mut self,
        places: &Places,
        meanings: &[Meaning],
        locator: &Locator,
        text: &str,
    ) -> Result<(), Refusal> {
        for Place { builder, slot } in &places.0 {
            let column = &mut self.columns[*builder].1;
            let (kind, raw) = locator.found(*slot, text);
            let cell = Cell { kind, raw };
            match append(column, meanings[*builder], cell) {
                Ok(Appended::Value) => {}
                Ok(Appended::Unavailable) => self.unavailable.push((*builder, self.before)),
                Err(misfit) => return Err(refusal(misfit, column, meanings[*builder], locator.path(*slot), cell)),
            }
        }
        Ok(())
    }

    /// Ends a row of which only some columns have been set: the others are null.
    pub fn fill(&mut self) {
        let before = self.before;
        self.columns
            .iter_mut()
            .filter(|(_, column)| column.len() == before)
            .for_each(|(_, column)| column.append_null());
    }
}

#[cold]
fn refusal(misfit: Misfit, column: &ColumnBuilder, meaning: Meaning, path: &str, cell: Cell<'_>) -> Refusal {
    if let (Misfit::Kind, Meaning::Foreign(name)) = (misfit, meaning) {
        let data_type = column.field.data_type;
        return of_field(path.to_owned(), &format!("is {name} by the record's schema, but the column is {data_type}"));
    }
    of_misfit(misfit, &wanted(column, meaning), path, cell.kind, cell.raw)
}

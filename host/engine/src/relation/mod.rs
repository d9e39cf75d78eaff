//! Tables and relations: rows by key that are kept up to date, and what is made of several tables' rows.
//!
//! A table's lane keeps its rows ([`KeyedTable`]) and tells the relations that read it what changed ([`Router`]). A
//! relation's lane owns groups ([`Related`]): it takes changes of all its tables from one internal topic, and joins
//! ([`Joiner`]) or assembles ([`Assembler`]) the rows of a group. A lookup's lane owns rows of one table in the same way, and
//! puts them beside the rows of a stream ([`Finder`]).
//!
//! Rows are `arrow-row` bytes everywhere between decoding and encoding: equal bytes are equal rows, and the bytes of two
//! rows one after the other are those of the joined row.

mod assemble;
mod change;
mod gathered;
mod join;
mod lookup;
mod related;
mod router;
mod table;

pub use assemble::{Assembler, Assembly, group_columns};
#[cfg(test)]
pub use change::Version;
pub use change::{RowChange, Sent};
pub use gathered::Gathered;
pub use join::Joiner;
pub use lookup::{Finder, StreamRow};
pub use related::{Applied, GroupId, Related};
pub use router::Router;
pub use table::{Arrival, KeyedTable, Telling, Trouble};

use arrow_row::{RowConverter, SortField};
use arrow_schema::ArrowError;
use azenha_model::Field;

/// Writes rows of such columns as bytes and reads them back.
pub fn row_codec<'a>(fields: impl IntoIterator<Item = &'a Field>) -> Result<RowConverter, ArrowError> {
    RowConverter::new(fields.into_iter().map(|field| SortField::new(field.data_type.arrow())).collect())
}

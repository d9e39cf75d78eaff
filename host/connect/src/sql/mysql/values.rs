//! Values as parameters of a statement.

use azenha_formats::civil;
use sqlx::Arguments;
use sqlx::mysql::MySqlArguments;

use crate::sql::session::Failure;
use crate::store::cells::{Cells, Values};

/// The bytes of a parameter beside those of a text: numbers, times, and the type at most.
const PARAMETER: usize = 48;

/// How long a text may be in a column; none if nothing limits it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limit {
    pub characters: Option<i64>,
    pub bytes: Option<i64>,
}

impl Limit {
    /// Whether the server would cut spaces off the end of a text, which it does in strict mode, too.
    fn cuts(self, text: &str) -> bool {
        let exceeds = |length: usize, limit: Option<i64>| limit.is_some_and(|limit| length as u64 > limit as u64);
        text.ends_with(' ')
            && (exceeds(text.len(), self.bytes)
                || exceeds(text.len(), self.characters) && exceeds(text.chars().count(), self.characters))
    }
}

/// A column of rows on their way to one of the table.
pub(super) struct Column<'a> {
    cells: Cells<'a>,
    limit: Limit,
}

impl<'a> Column<'a> {
    pub fn new(cells: Cells<'a>, limit: Limit) -> Self {
        Self { cells, limit }
    }

    /// The bytes that a value needs in a packet, at most.
    pub fn size(&self, row: usize) -> usize {
        PARAMETER
            + match self.cells.values {
                Values::Text(array) | Values::Json(array) => array.value_length(row) as usize,
                Values::Bytes(array) => array.value_length(row) as usize,
                _ => 0,
            }
    }

    /// Adds a value. What has no type of its own in the client goes as text, which the server reads exactly.
    pub fn bind(&self, arguments: &mut MySqlArguments, row: usize) -> Result<(), Failure> {
        let cells = &self.cells;
        if cells.is_null(row) {
            return Ok(arguments.add(None::<i64>).map_err(sqlx::Error::Encode)?);
        }
        let mut text = String::new();
        let added = match cells.values {
            Values::Boolean(array) => arguments.add(array.value(row)),
            Values::Int64(array) => arguments.add(array.value(row)),
            Values::Float64(array) if !array.value(row).is_finite() => {
                return Err(cells.fault("MySQL can hold neither NaN nor infinity"));
            }
            Values::Float64(array) => arguments.add(array.value(row)),
            Values::Decimal(array) => arguments.add(array.value_as_string(row)),
            Values::Text(array) | Values::Json(array) => {
                if self.limit.cuts(array.value(row)) {
                    return Err(cells.fault("it is too long, and MySQL would cut off the spaces at its end"));
                }
                arguments.add(array.value(row))
            }
            Values::Bytes(array) => arguments.add(array.value(row)),
            Values::Date(array) => {
                civil::push_date(&mut text, cells.checked_date(array.value(row))?);
                arguments.add(text.as_str())
            }
            Values::Time(array) => {
                civil::push_time(&mut text, cells.checked_time(array.value(row))?);
                arguments.add(text.as_str())
            }
            Values::Timestamp(array) => {
                arguments.add(civil::format_timestamp(cells.checked_timestamp(array.value(row))?))
            }
        };
        Ok(added.map_err(sqlx::Error::Encode)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_that_would_be_cut_off_are_noticed() {
        let five = Limit { characters: Some(5), bytes: Some(20) };
        assert!(five.cuts("abcde "));
        assert!(!five.cuts("abcd "));
        assert!(!five.cuts("äöüß "));
        assert!(!five.cuts("abcdef"), "the server refuses it itself");
        assert!(!Limit::default().cuts("any "));
        assert!(Limit { characters: Some(6), bytes: Some(6) }.cuts("äöü "), "a TEXT's limit is in bytes");
    }
}

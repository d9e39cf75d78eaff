//! Rows of a stream on their way to the rows of a table that they name, and what is found for them.

use arrow_schema::ArrowError;
use azenha_model::relation::{JoinKind, Lookup};

use super::join::nulls;
use super::related::Related;
use crate::wire::Malformed;

/// A row of a stream, and when it was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRow<'a> {
    /// The timestamp of its record, in microseconds.
    pub timestamp: i64,
    /// When it happened, in microseconds, or [`crate::status::NO_TIME`].
    pub event_time: i64,
    /// The watermark that stood before it, in microseconds, or [`crate::status::NO_TIME`].
    pub watermark: i64,
    /// Its columns.
    pub row: &'a [u8],
}

impl<'a> StreamRow<'a> {
    /// What crosses the internal topic.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(3 * size_of::<i64>() + self.row.len());
        for time in [self.timestamp, self.event_time, self.watermark] {
            bytes.extend(time.to_le_bytes());
        }
        bytes.extend(self.row);
        bytes
    }

    /// Reads what [`StreamRow::write`] wrote.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = bytes;
        let mut time = || {
            let too_short = || Malformed("a row of a stream ends too early".to_owned());
            let (time, behind) = rest.split_first_chunk::<8>().ok_or_else(too_short)?;
            rest = behind;
            Ok::<_, Malformed>(i64::from_le_bytes(*time))
        };
        let (timestamp, event_time, watermark) = (time()?, time()?, time()?);
        Ok(Self { timestamp, event_time, watermark, row: rest })
    }
}

/// Finds what stands beside rows of a stream.
pub struct Finder {
    /// What stands beside a row for which the table has none; none: the row is left out.
    nothing: Option<Box<[u8]>>,
}

impl Finder {
    /// What finds rows of the lookup's table.
    pub fn new(lookup: &Lookup) -> Result<Self, ArrowError> {
        let nothing = match lookup.kind {
            JoinKind::Left => Some(nulls(&lookup.table.fields)?),
            JoinKind::Inner => None,
        };
        Ok(Self { nothing })
    }

    /// The row of a stream with the one beside it that the table, the only one, has for this key now.
    pub fn joined(&self, table: &Related, key: &[u8], row: &[u8]) -> Option<Box<[u8]>> {
        let group = table.find(key);
        let found = group.and_then(|group| table.members(group, 0).find_map(|member| member.row));
        let beside = found.or(self.nothing.as_deref())?;
        Some([row, beside].concat().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::NO_TIME;

    #[test]
    fn a_row_of_a_stream_is_read_back_with_its_times() {
        let sent = StreamRow { timestamp: 7, event_time: -3, watermark: NO_TIME, row: b"row" };
        assert_eq!(StreamRow::read(&sent.write()).unwrap(), sent);
    }

    #[test]
    fn a_row_of_a_stream_that_was_cut_is_refused() {
        let whole = StreamRow { timestamp: 7, event_time: 1, watermark: 2, row: b"" }.write();
        for length in 0..whole.len() {
            assert!(StreamRow::read(&whole[..length]).is_err(), "{length}");
        }
    }
}

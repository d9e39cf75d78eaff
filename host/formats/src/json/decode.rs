//! Records to columns.

use arrow_array::{Array, BinaryArray};
use azenha_model::Records;
use azenha_model::plan::StreamColumn;

use super::locate::Locator;
use super::reason::{self, Wanted};
use crate::column::ColumnBuilder;
use crate::decoded::{Decoded, Refusal, Row, decode_each};

/// Decodes the records of one stream. Made once for a lane and used for all its batches, because it learns the
/// order in which records name their fields.
pub struct JsonDecoder {
    /// The columns of the stream.
    width: usize,
    /// The columns to decode, with their indices in the stream.
    columns: Vec<(usize, ColumnBuilder)>,
    value: Reader,
    tombstones: Tombstones,
}

impl JsonDecoder {
    /// A decoder of the columns with the indices `needed` among `columns`, which are all of the stream. `key` are the
    /// columns that identify a row; if there are none, a record without a value is refused. A tombstone's key is a
    /// JSON object that holds the key columns in the same places as a value does. A column with an empty path stands
    /// under its own name.
    pub fn new(columns: &[StreamColumn], needed: &[usize], key: &[usize]) -> Self {
        let wanted = || needed.iter().map(|index| (*index, &columns[*index])).enumerate();
        let value = Reader::new(wanted().map(|(builder, (_, column))| (builder, column)));
        Self {
            width: columns.len(),
            tombstones: Tombstones::new(columns, needed, key),
            columns: wanted().map(|(_, (index, column))| (index, ColumnBuilder::new(column))).collect(),
            value,
        }
    }

    /// Decodes records. Each gives a row or is refused.
    pub fn decode(&mut self, records: &Records) -> Decoded {
        let values = Texts::new(&records.values);
        let Self { width, columns, value, tombstones } = self;
        decode_each(*width, columns, records.len(), |record, rows, columns| match values.get(record) {
            Some(Ok(text)) => value.read(text, columns).map(|()| Row::Added),
            Some(Err(at)) => Err((None, reason::not_utf8(at))),
            None => tombstones.read(&records.keys, record, rows, columns).map(|()| Row::Deleted),
        })
    }
}

/// Reads the keys of records without values, which are JSON whatever the values are.
pub(crate) struct Tombstones(Option<Reader>);

impl Tombstones {
    /// For a decoder of the columns with the indices `needed`; without `key` columns there can be no tombstone.
    pub fn new(columns: &[StreamColumn], needed: &[usize], key: &[usize]) -> Self {
        let of_key = needed.iter().enumerate().filter(|(_, index)| key.contains(index));
        let of_key = of_key.map(|(builder, index)| (builder, &columns[*index]));
        Self((!key.is_empty()).then(|| Reader::new(of_key)))
    }

    /// Appends the row that a record without a value deletes; `rows` stand before it.
    pub fn read(
        &mut self,
        keys: &BinaryArray,
        record: usize,
        rows: usize,
        columns: &mut [(usize, ColumnBuilder)],
    ) -> Result<(), Refusal> {
        let Some(reader) = &mut self.0 else {
            return Err((None, "record has no value".to_owned()));
        };
        if keys.is_null(record) {
            return Err((None, "record has neither value nor key: a delete needs the key of its row".to_owned()));
        }
        let in_key = |(field, reason): Refusal| (field, format!("in the record's key: {reason}"));
        let key = str::from_utf8(keys.value(record))
            .map_err(|error| in_key((None, reason::not_utf8(error.valid_up_to()))))?;
        reader.read(key, columns).map_err(in_key)?;
        for (_, column) in columns.iter_mut().filter(|(_, column)| column.len() == rows) {
            column.append_null();
        }
        Ok(())
    }
}

/// Reads JSON objects into columns.
struct Reader {
    locator: Locator,
    /// Which builder gets the value of which slot.
    slots: Vec<(usize, usize)>,
}

impl Reader {
    /// A reader of some columns; each comes with the index of its builder.
    fn new<'a>(columns: impl Iterator<Item = (usize, &'a StreamColumn)>) -> Self {
        let mut locator = Locator::new();
        let slots = columns.map(|(builder, column)| (builder, locator.want_column(&[], column))).collect();
        Self { locator, slots }
    }

    /// Appends a row. If it is refused, some columns may have grown.
    #[inline]
    fn read(&mut self, text: &str, columns: &mut [(usize, ColumnBuilder)]) -> Result<(), Refusal> {
        if let Err((fault, at)) = self.locator.locate(text) {
            return Err(reason::of_fault(fault, at, text, |slot| self.locator.path(slot).to_owned()));
        }
        for (builder, slot) in &self.slots {
            let column = &mut columns[*builder].1;
            let (kind, raw) = self.locator.found(*slot, text);
            if let Err(misfit) = column.append(kind, raw) {
                let wanted = Wanted::of_json(&column.field, column.format);
                return Err(reason::of_misfit(misfit, &wanted, self.locator.path(*slot), kind, raw));
            }
        }
        Ok(())
    }
}

/// The values of a batch as text. They are checked to be UTF-8 all at once, which is faster than each alone.
pub(crate) struct Texts<'a> {
    array: &'a BinaryArray,
    /// All values, if together they are UTF-8.
    whole: Option<&'a str>,
    /// Where in the array's bytes the first value begins.
    start: usize,
}

impl<'a> Texts<'a> {
    pub fn new(array: &'a BinaryArray) -> Self {
        let offsets = array.value_offsets();
        let (start, end) = (offsets[0] as usize, offsets[array.len()] as usize);
        Self { array, whole: str::from_utf8(&array.value_data()[start..end]).ok(), start }
    }

    /// The text at `index`, or the place of the first byte that is not UTF-8. None if the value is null.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Result<&'a str, usize>> {
        if self.array.is_null(index) {
            return None;
        }
        let offsets = self.array.value_offsets();
        let range = offsets[index] as usize - self.start..offsets[index + 1] as usize - self.start;
        // A character that begins in one value and ends in the next is none: then `get` finds no text.
        match self.whole.and_then(|whole| whole.get(range)) {
            Some(text) => Some(Ok(text)),
            None => Some(str::from_utf8(self.array.value(index)).map_err(|error| error.valid_up_to())),
        }
    }
}

//! Records to columns.

use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray};
use azenha_model::Records;
use azenha_model::plan::StreamColumn;

use super::column::ColumnBuilder;
use super::locate::Locator;
use super::reason;

/// Decodes the records of one stream. Made once for a lane and used for all its batches, because it learns the
/// order in which records name their fields.
pub struct JsonDecoder {
    /// The columns of the stream.
    width: usize,
    /// The columns to decode, with their indices in the stream.
    columns: Vec<(usize, ColumnBuilder)>,
    value: Reader,
    /// For the keys of tombstones. None if the stream has no key.
    key: Option<Reader>,
}

/// Rows that were decoded from records.
#[derive(Debug)]
pub struct Decoded {
    /// One entry for each column of the stream; None where it is not needed. All as long as `rows`.
    pub columns: Vec<Option<ArrayRef>>,
    /// The index of the record that each row came from, ascending.
    pub rows: Vec<u32>,
    /// True for rows that a tombstone deletes: of these only the key columns are set, and the others are null even
    /// where the schema allows no nulls. None if there is no tombstone.
    pub deletes: Option<BooleanArray>,
    /// The records that gave no row, ascending.
    pub rejected: Vec<Refused>,
}

/// A record that gave no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The record's index.
    pub record: u32,
    /// The path of the field that is wrong, with points between names; None if the whole record is.
    pub field: Option<String>,
    /// What was found and what is needed. Values of personal data are masked.
    pub reason: String,
}

impl JsonDecoder {
    /// A decoder of the columns with the indices `needed` among `columns`, which are all of the stream. `key` are the
    /// columns that identify a row; if there are none, a record without a value is refused. A tombstone's key is a
    /// JSON object that holds the key columns in the same places as a value does. A column with an empty path stands
    /// under its own name.
    pub fn new(columns: &[StreamColumn], needed: &[usize], key: &[usize]) -> Self {
        let wanted = || needed.iter().map(|index| (*index, &columns[*index])).enumerate();
        let value = Reader::new(wanted().map(|(builder, (_, column))| (builder, column)));
        let of_key =
            wanted().filter(|(_, (index, _))| key.contains(index)).map(|(builder, (_, column))| (builder, column));
        Self {
            width: columns.len(),
            key: (!key.is_empty()).then(|| Reader::new(of_key)),
            columns: wanted().map(|(_, (index, column))| (index, ColumnBuilder::new(column))).collect(),
            value,
        }
    }

    /// Decodes records. Each gives a row or is refused.
    pub fn decode(&mut self, records: &Records) -> Decoded {
        let values = Texts::new(&records.values);
        let mut rows = Vec::with_capacity(records.len());
        let mut deleted = Vec::new();
        let mut rejected = Vec::new();
        self.columns.iter_mut().for_each(|(_, column)| column.reserve(records.len()));
        for record in 0..records.len() {
            let outcome = match values.get(record) {
                Some(Ok(value)) => self.value.read(value, &mut self.columns),
                Some(Err(at)) => Err((None, reason::not_utf8(at))),
                None => self.tombstone(&records.keys, record, rows.len()).inspect(|()| deleted.push(rows.len())),
            };
            match outcome {
                Ok(()) => rows.push(record as u32),
                Err((field, reason)) => {
                    self.columns.iter_mut().for_each(|(_, column)| column.truncate(rows.len()));
                    rejected.push(Refused { record: record as u32, field, reason });
                }
            }
        }
        let deletes = (!deleted.is_empty()).then(|| marked(&deleted, rows.len()));
        Decoded { columns: self.finish(), rows, deletes, rejected }
    }

    /// Appends the row that a record without a value deletes; `rows` stand before it.
    fn tombstone(&mut self, keys: &BinaryArray, record: usize, rows: usize) -> Result<(), Refusal> {
        let Some(reader) = &mut self.key else {
            return Err((None, "record has no value".to_owned()));
        };
        if keys.is_null(record) {
            return Err((None, "record has neither value nor key: a delete needs the key of its row".to_owned()));
        }
        let in_key = |(field, reason): Refusal| (field, format!("in the record's key: {reason}"));
        let key = str::from_utf8(keys.value(record))
            .map_err(|error| in_key((None, reason::not_utf8(error.valid_up_to()))))?;
        reader.read(key, &mut self.columns).map_err(in_key)?;
        for (_, column) in self.columns.iter_mut().filter(|(_, column)| column.len() == rows) {
            column.append_null();
        }
        Ok(())
    }

    fn finish(&mut self) -> Vec<Option<ArrayRef>> {
        let mut arrays = vec![None; self.width];
        for (index, column) in &mut self.columns {
            arrays[*index] = Some(column.finish());
        }
        arrays
    }
}

/// The field that is wrong, if it is one, and the reason.
type Refusal = (Option<String>, String);

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
        let slots = columns.map(|(builder, column)| {
            let slot = match column.path.split_last() {
                Some((name, parents)) => locator.want(parents, name),
                None => locator.want(&[], &column.field.name),
            };
            (builder, slot)
        });
        let slots = slots.collect();
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
            let found = self.locator.slot(*slot);
            let raw = text.get(found.start as usize..found.end as usize).unwrap_or_default();
            if let Err(misfit) = column.append(found.kind, raw) {
                let path = self.locator.path(*slot);
                return Err(reason::of_misfit(misfit, (&column.field, column.format), path, found.kind, raw));
            }
        }
        Ok(())
    }
}

/// The values of a batch as text. They are checked to be UTF-8 all at once, which is faster than each alone.
struct Texts<'a> {
    array: &'a BinaryArray,
    /// All values, if together they are UTF-8.
    whole: Option<&'a str>,
    /// Where in the array's bytes the first value begins.
    start: usize,
}

impl<'a> Texts<'a> {
    fn new(array: &'a BinaryArray) -> Self {
        let offsets = array.value_offsets();
        let (start, end) = (offsets[0] as usize, offsets[array.len()] as usize);
        Self { array, whole: str::from_utf8(&array.value_data()[start..end]).ok(), start }
    }

    /// The text at `index`, or the place of the first byte that is not UTF-8. None if the value is null.
    #[inline]
    fn get(&self, index: usize) -> Option<Result<&'a str, usize>> {
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

/// True at some of `rows`.
fn marked(places: &[usize], rows: usize) -> BooleanArray {
    let mut marks = vec![false; rows];
    for place in places {
        marks[*place] = true;
    }
    BooleanArray::from(marks)
}

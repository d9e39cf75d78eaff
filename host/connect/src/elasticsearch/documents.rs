//! Rows as the lines of a bulk request: for each an action with index, id and version, and the document that is put.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use arrow_array::BinaryArray;
use azenha_engine::store::{RefusedRow, StoreLaneId, StoreRows};
use azenha_formats::civil;
use azenha_formats::json::JsonEncoder;
use azenha_model::plan::{DatePart, Generation, OutputColumn, TimeFormat};
use azenha_model::{Field, Offset};
use serde::de::IgnoredAny;

use super::Index;
use crate::documents::{ID, MAX_BYTES, MAX_DEPTH};
use crate::store::cells::{Cells, Values};
use crate::store::changes::{Change, Checked};
use crate::store::{Failure, Fault, Operation};

/// Bytes of an `_id`, by the engine's own limit.
const MOST_ID_BYTES: usize = 512;

/// The bits of a version that are the offset; those above are the generation.
const OFFSET_BITS: u32 = 44;
/// Versions have 63 bits.
const GENERATION_BITS: u32 = 63 - OFFSET_BITS;

/// The actions of a commit.
#[derive(Debug, Default)]
pub(super) struct Actions {
    buffer: Vec<u8>,
    all: Vec<Action>,
    /// The names of the indexes that they are about.
    indexes: BTreeSet<String>,
}

/// An action of a bulk request.
#[derive(Debug)]
struct Action {
    lines: Range<usize>,
    /// The batch and the row that it writes.
    place: (usize, usize),
}

impl Actions {
    /// The actions for some rows, or those that cannot be documents.
    pub fn encode(index: &Index, lane: &StoreLaneId, rows: &[StoreRows]) -> Result<Checked<Self>, Failure> {
        let changes = match index.documents.changes(lane, rows)? {
            Ok(changes) => changes,
            Err(refused) => return Ok(Err(refused)),
        };
        let (mut actions, mut refused) = (Self::default(), Vec::new());
        for change in &changes {
            let encoder = Encoder::new(index, change)?;
            for row in 0..change.rows.num_rows() {
                let (batch, place) = change.place(row);
                let version = version(lane.generation, rows[batch].offsets[place])?;
                let start = actions.buffer.len();
                match encoder.push(&mut actions.buffer, row, version) {
                    Ok(name) => {
                        actions.note(&name);
                        let lines = start..actions.buffer.len();
                        actions.all.push(Action { lines, place: (batch, place) });
                    }
                    Err(Failure::Rows(fault)) => {
                        actions.buffer.truncate(start);
                        refused.push(change.refused(row, fault.reason));
                    }
                    Err(other) => return Err(other),
                }
            }
        }
        Ok(if refused.is_empty() { Ok(actions) } else { Err(refused) })
    }

    fn note(&mut self, index: &str) {
        if !self.indexes.contains(index) {
            self.indexes.insert(index.to_owned());
        }
    }

    /// The names of the indexes that they are about.
    pub fn indexes(&self) -> &BTreeSet<String> {
        &self.indexes
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The lines of an action.
    pub fn lines(&self, index: usize) -> &[u8] {
        &self.buffer[self.all[index].lines.clone()]
    }

    /// The refusal of an action's row.
    pub fn refused(&self, index: usize, reason: String) -> RefusedRow {
        let (batch, row) = self.all[index].place;
        RefusedRow { batch, row, reason }
    }
}

/// The version of what an offset says of a row: a later one wins, and a later generation over every earlier one.
fn version(generation: Generation, offset: Offset) -> Result<u64, Failure> {
    let generation = u64::from(generation);
    if generation >> GENERATION_BITS > 0 || offset >> OFFSET_BITS > 0 {
        let problem = format!("generation {generation} and offset {offset} do not fit a version of 63 bits");
        return Err(Failure::Definition(problem));
    }
    Ok(generation << OFFSET_BITS | offset)
}

/// Encodes the rows of a change.
struct Encoder<'a> {
    /// The name of the index, or of all of them.
    index: &'a str,
    cells: Vec<Cells<'a>>,
    /// Positions in `cells`.
    key: Vec<usize>,
    /// What says in which of several indexes a row belongs: a position in `cells`.
    date: Option<(usize, DatePart)>,
    /// A document for each row; none if they are deleted.
    sources: Option<BinaryArray>,
}

impl<'a> Encoder<'a> {
    fn new(index: &'a Index, change: &'a Change) -> Result<Self, Failure> {
        let documents = &index.documents;
        let (fields, is_put) = (documents.fields(), change.operation == Operation::Put);
        let (fields, key): (Vec<&Field>, Vec<usize>) = if is_put {
            (fields.iter().collect(), documents.key().to_vec())
        } else {
            let key = documents.key();
            (key.iter().map(|index| &fields[*index]).collect(), (0..key.len()).collect())
        };
        let columns = change.rows.columns();
        let cells = fields.iter().zip(columns).map(|(field, column)| Cells::new(field, column));
        let cells = cells.collect::<Result<Vec<_>, _>>()?;
        let sources = is_put.then(|| sources(&fields, change));
        let date = match &index.each {
            None => None,
            Some(each) => {
                let found = fields.iter().position(|field| field.name == each.column);
                let missing = || Failure::Definition(format!("rows have no `{}`", each.column));
                Some((found.ok_or_else(missing)?, each.part))
            }
        };
        Ok(Self { index: &index.name, cells, key, date, sources })
    }

    /// Returns the name of the index that the document is in.
    fn push(&self, out: &mut Vec<u8>, row: usize, version: u64) -> Result<Cow<'a, str>, Failure> {
        self.check(row)?;
        let index = self.index(row)?;
        let operation = if self.sources.is_some() { "index" } else { "delete" };
        let id = serde_json::Value::String(self.id(row)?);
        // A document that was written half by an older code is written again by a newer one at the same version.
        let action = format!(
            "{{\"{operation}\":{{\"_index\":\"{index}\",\"_id\":{id},\"version\":{version},\
             \"version_type\":\"external_gte\"}}}}\n"
        );
        out.extend_from_slice(action.as_bytes());
        let Some(sources) = &self.sources else { return Ok(index) };
        let start = out.len();
        out.extend_from_slice(sources.value(row));
        if out.len() - start > MAX_BYTES {
            let reason = format!("the document takes {} bytes, but may take {MAX_BYTES} at most", out.len() - start);
            return Err(Failure::Rows(Fault { reason, names_column: true }));
        }
        // Between the parts of what a `json` column holds there may be ends of lines; in its texts there are none.
        out[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        out.push(b'\n');
        Ok(index)
    }

    /// The index that a row belongs in.
    fn index(&self, row: usize) -> Result<Cow<'a, str>, Failure> {
        let Some((position, part)) = self.date else { return Ok(Cow::Borrowed(self.index)) };
        let cells = &self.cells[position];
        if cells.is_null(row) {
            return Err(cells.fault("is null, but says in which index the document is"));
        }
        let days = match cells.values {
            Values::Date(array) => array.value(row),
            Values::Timestamp(array) => array.value(row).div_euclid(civil::DAY) as i32,
            _ => return Err(Failure::Definition(format!("`{}` is no day", cells.field.name))),
        };
        Ok(Cow::Owned(super::dates::index_name(self.index, &part.of(days))))
    }

    /// That every value can be written as JSON, and read again.
    fn check(&self, row: usize) -> Result<(), Failure> {
        for cells in self.cells.iter().filter(|cells| !cells.is_null(row)) {
            match cells.values {
                Values::Float64(array) if !array.value(row).is_finite() => {
                    return Err(cells.fault("JSON has no number for NaN and the infinities"));
                }
                Values::Date(array) => drop(cells.checked_date(array.value(row))?),
                Values::Time(array) => drop(cells.checked_time(array.value(row))?),
                Values::Timestamp(array) => drop(cells.checked_timestamp(array.value(row))?),
                Values::Json(array) if !is_readable(array.value(row)) => {
                    return Err(cells.fault("holds no valid JSON, or is nested more than 100 levels deep"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The value of the key as text, or of a key of several columns a list of such texts.
    fn id(&self, row: usize) -> Result<String, Failure> {
        let id = match self.key[..] {
            [only] => {
                let text = key_text(&self.cells[only], row)?;
                // No id is empty: such a text stands in quotes, and so does each that could be taken for one which does.
                if text.is_empty() || text.starts_with('"') { serde_json::json!(text).to_string() } else { text }
            }
            _ => {
                let texts = self.key.iter().map(|index| key_text(&self.cells[*index], row));
                serde_json::json!(texts.collect::<Result<Vec<_>, _>>()?).to_string()
            }
        };
        if id.len() > MOST_ID_BYTES {
            let reason = format!("the key takes {} bytes, but an `_id` may take {MOST_ID_BYTES} at most", id.len());
            return Err(Failure::Rows(Fault { reason, names_column: true }));
        }
        Ok(id)
    }
}

/// A document for each row that is put.
fn sources(fields: &[&Field], change: &Change) -> BinaryArray {
    let members = fields.iter().enumerate().filter(|(_, field)| field.name != ID);
    let column = |(input, field): (usize, &&Field)| OutputColumn {
        input,
        field: Field::clone(field),
        time_format: TimeFormat::Iso,
    };
    let columns: Vec<OutputColumn> = members.map(column).collect();
    let arrays: Vec<_> = columns.iter().map(|column| change.rows.column(column.input).clone()).collect();
    JsonEncoder::new(&columns, &[]).encode(&arrays, change.rows.num_rows(), None).1
}

/// Whether a text is JSON that readers of documents can cope with.
fn is_readable(json: &str) -> bool {
    let (mut depth, mut deepest, mut in_text, mut is_escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest <= MAX_DEPTH && serde_json::from_str::<IgnoredAny>(json).is_ok()
}

/// A value that tells documents apart.
fn key_text(cells: &Cells<'_>, row: usize) -> Result<String, Failure> {
    if cells.is_null(row) {
        return Err(cells.fault("is null, but identifies the document"));
    }
    Ok(match cells.values {
        Values::Boolean(array) => array.value(row).to_string(),
        Values::Int64(array) => array.value(row).to_string(),
        Values::Float64(array) => format!("{:?}", array.value(row)),
        Values::Decimal(array) => array.value_as_string(row),
        Values::Text(array) | Values::Json(array) => array.value(row).to_owned(),
        Values::Bytes(array) => array.value(row).iter().map(|byte| format!("{byte:02x}")).collect(),
        Values::Date(array) => civil::format_date(array.value(row)),
        Values::Time(array) => civil::format_time(array.value(row)),
        Values::Timestamp(array) => {
            let mut text = String::new();
            civil::push_iso(&mut text, array.value(row));
            text
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_readable_up_to_a_depth_whatever_its_texts_hold() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(is_readable(&nested(100)) && !is_readable(&nested(101)));
        assert!(is_readable(&format!("\"{}\\\"{}\"", "[".repeat(200), "{".repeat(200))));
        assert!(is_readable("1e400") && !is_readable("{") && !is_readable(""));
    }

    #[test]
    fn a_later_offset_wins_and_a_later_generation_over_every_offset() {
        let (most_generation, most_offset) = ((1 << GENERATION_BITS) - 1, (1 << OFFSET_BITS) - 1);
        assert!(version(0, 1).unwrap() > version(0, 0).unwrap());
        assert!(version(1, 0).unwrap() > version(0, most_offset).unwrap());
        assert_eq!(version(most_generation, most_offset).unwrap(), i64::MAX as u64);
        assert!(version(most_generation + 1, 0).is_err() && version(0, most_offset + 1).is_err());
    }
}

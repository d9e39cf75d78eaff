//! Rows to BSON.

use arrow_array::RecordBatch;
use azenha_formats::civil;

use super::{Documents, ID, MAX_BYTES, bson, decimal, json};
use crate::store::cells::{Cells, Values};
use crate::store::changes::{Change, Operation};
use crate::store::{Failure, Fault};

/// Encodes the rows of a change.
pub(crate) struct Encoder<'a> {
    cells: Vec<Cells<'a>>,
    /// Positions in `cells`.
    key: Vec<usize>,
    /// Positions in `cells`: what stands behind the `_id`.
    members: Vec<usize>,
}

impl<'a> Encoder<'a> {
    pub fn new(documents: &'a Documents, change: &'a Change) -> Result<Self, Failure> {
        let rows: &RecordBatch = &change.rows;
        let (fields, key): (Vec<_>, Vec<usize>) = match change.operation {
            Operation::Put => (documents.fields.iter().collect(), documents.key.clone()),
            Operation::Delete => {
                let fields = documents.key.iter().map(|index| &documents.fields[*index]);
                (fields.collect(), (0..documents.key.len()).collect())
            }
        };
        let cells = fields.into_iter().zip(rows.columns()).map(|(field, column)| Cells::new(field, column));
        let cells = cells.collect::<Result<Vec<_>, _>>()?;
        let members = match change.operation {
            Operation::Put => (0..cells.len()).filter(|index| cells[*index].field.name != ID).collect(),
            Operation::Delete => Vec::new(),
        };
        Ok(Self { cells, key, members })
    }

    /// Appends the document of a row, of which the `_id` is the first element; of a deleted one it is the only one.
    /// Returns how many bytes the `_id` takes. What is appended when it fails means nothing.
    pub fn push(&self, out: &mut Vec<u8>, row: usize) -> Result<usize, Failure> {
        let open = bson::open(out);
        let start = out.len();
        self.push_id(out, row)?;
        let id_bytes = out.len() - start;
        for index in &self.members {
            let cells = &self.cells[*index];
            push_value(out, &cells.field.name, cells, row)?;
        }
        bson::close(out, open);
        // A command repeats the `_id`, and may not be longer than a document.
        let bytes = out.len() - start + id_bytes;
        if bytes > MAX_BYTES {
            let reason = format!("the document takes {bytes} bytes, but may take {MAX_BYTES} at most");
            return Err(Failure::Rows(Fault { reason, names_column: true }));
        }
        Ok(id_bytes)
    }

    /// For those who write documents as JSON, which has no other numbers.
    pub fn check_finite(&self, row: usize) -> Result<(), Failure> {
        for cells in &self.cells {
            if let Values::Float64(array) = cells.values
                && !cells.is_null(row)
                && !array.value(row).is_finite()
            {
                return Err(cells.fault("JSON has no number for NaN and the infinities"));
            }
        }
        Ok(())
    }

    fn push_id(&self, out: &mut Vec<u8>, row: usize) -> Result<(), Failure> {
        if let [only] = self.key[..] {
            return push_key(out, ID, &self.cells[only], row);
        }
        let open = bson::open_document(out, ID);
        for index in &self.key {
            let cells = &self.cells[*index];
            push_key(out, &cells.field.name, cells, row)?;
        }
        bson::close(out, open);
        Ok(())
    }
}

/// A value that tells documents apart, so that nothing of it may be lost.
fn push_key(out: &mut Vec<u8>, name: &str, cells: &Cells<'_>, row: usize) -> Result<(), Failure> {
    if cells.is_null(row) {
        return Err(cells.fault("is null, but identifies the document"));
    }
    match cells.values {
        Values::Timestamp(array) if array.value(row) % 1000 != 0 => {
            Err(cells.fault("identifies the document, but has microseconds, which dates of documents have not"))
        }
        _ => push_value(out, name, cells, row),
    }
}

fn push_value(out: &mut Vec<u8>, name: &str, cells: &Cells<'_>, row: usize) -> Result<(), Failure> {
    if cells.is_null(row) {
        bson::null(out, name);
        return Ok(());
    }
    match cells.values {
        Values::Boolean(array) => bson::boolean(out, name, array.value(row)),
        Values::Int64(array) => bson::int64(out, name, array.value(row)),
        Values::Float64(array) => bson::double(out, name, array.value(row)),
        Values::Decimal(array) => {
            let (value, exponent) = (array.value(row), -i32::from(array.scale()));
            let encoded = decimal::encode(value < 0, value.unsigned_abs(), exponent);
            bson::decimal128(out, name, encoded.ok_or_else(|| cells.fault(decimal::TOO_LONG))?);
        }
        Values::Text(array) => bson::string(out, name, array.value(row)),
        Values::Bytes(array) => bson::binary(out, name, array.value(row)),
        Values::Date(array) => {
            let days = cells.checked_date(array.value(row))?;
            bson::date(out, name, i64::from(days) * (civil::DAY / 1000));
        }
        Values::Time(array) => bson::string(out, name, &civil::format_time(cells.checked_time(array.value(row))?)),
        Values::Timestamp(array) => {
            bson::date(out, name, cells.checked_timestamp(array.value(row))?.div_euclid(1000));
        }
        Values::Json(array) => json::push(out, name, array.value(row)).map_err(|reason| cells.fault(reason))?,
    }
    Ok(())
}

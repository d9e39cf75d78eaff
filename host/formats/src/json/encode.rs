//! Columns to records.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use azenha_model::plan::{OutputColumn, TimeFormat};
use azenha_model::{DataType, Field};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::scan::is_json;
use super::text::push_quoted;
use crate::civil;

/// Encodes the rows of one output.
pub struct JsonEncoder {
    value: ObjectEncoder,
    /// None if records have no key.
    key: Option<ObjectEncoder>,
}

impl JsonEncoder {
    /// An encoder of `columns`, of which those at the positions `key` make the record's key.
    pub fn new(columns: &[OutputColumn], key: &[usize]) -> Self {
        let all: Vec<usize> = (0..columns.len()).collect();
        let key = (!key.is_empty()).then(|| ObjectEncoder::new(columns, key));
        Self { value: ObjectEncoder::new(columns, &all), key }
    }

    /// The keys and values of records, one a row. `arrays[i]` holds `columns[i]`. A key is a JSON object of the key's
    /// columns, or null if there are none; a row that `deletes` marks has a null for a value.
    ///
    /// # Panics
    /// If an array is not of its column's type or shorter than `rows`, or if the records take 2 GiB.
    pub fn encode(
        &mut self,
        arrays: &[ArrayRef],
        rows: usize,
        deletes: Option<&BooleanArray>,
    ) -> (BinaryArray, BinaryArray) {
        let kept = deletes.map(|deletes| BooleanBuffer::collect_bool(rows, |row| !deletes.value(row)));
        let keys = match &mut self.key {
            Some(key) => key.encode(arrays, rows, None),
            None => BinaryArray::new_null(rows),
        };
        (keys, self.value.encode(arrays, rows, kept.map(NullBuffer::new)))
    }
}

/// Encodes some columns as JSON objects: the keys of records in every format.
pub(crate) struct ObjectEncoder {
    members: Vec<Member>,
    /// The bytes of the last batch: the next one will be about as long.
    last_length: usize,
}

/// A column as a member of an object.
struct Member {
    /// The column's position.
    position: usize,
    /// What stands before the value: `{` or `,`, the quoted name, and the colon.
    prefix: String,
    data_type: DataType,
    format: TimeFormat,
}

impl ObjectEncoder {
    /// An encoder of the columns at some positions.
    pub fn new(columns: &[OutputColumn], positions: &[usize]) -> Self {
        let member = |(turn, position): (usize, &usize)| {
            let column = &columns[*position];
            let mut prefix = String::from(if turn == 0 { "{" } else { "," });
            push_quoted(&mut prefix, &column.field.name);
            prefix.push(':');
            Member { position: *position, prefix, data_type: column.field.data_type, format: column.time_format }
        };
        Self { members: positions.iter().enumerate().map(member).collect(), last_length: 0 }
    }

    /// One object for each row that is valid.
    pub fn encode(&mut self, arrays: &[ArrayRef], rows: usize, valid: Option<NullBuffer>) -> BinaryArray {
        let cells = |member: &Member| Cells::new(member.data_type, member.format, &arrays[member.position]);
        let cells: Vec<Cells> = self.members.iter().map(cells).collect();
        let mut out = String::with_capacity(self.last_length);
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        for row in 0..rows {
            if valid.as_ref().is_none_or(|valid| valid.is_valid(row)) {
                self.push_object(&mut out, &cells, row);
            }
            offsets.push(out.len() as i32);
        }
        self.last_length = out.len();
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        BinaryArray::new(offsets, Buffer::from_vec(out.into_bytes()), valid)
    }

    #[inline]
    fn push_object(&self, out: &mut String, cells: &[Cells], row: usize) {
        if cells.is_empty() {
            out.push('{');
        }
        for (member, cells) in self.members.iter().zip(cells) {
            out.push_str(&member.prefix);
            cells.push(out, row);
        }
        out.push('}');
    }
}

/// A row as a JSON object, for people: timestamps are ISO 8601 text, and with `mask_pii` each value of personal data
/// is `"***"`. `arrays[i]` holds `fields[i]`.
///
/// # Panics
/// If an array is not of its field's type, or has no such row.
pub fn row_json(fields: &[Field], arrays: &[ArrayRef], row: usize, mask_pii: bool) -> String {
    let mut out = String::from("{");
    for (field, array) in fields.iter().zip(arrays) {
        if out.len() > 1 {
            out.push(',');
        }
        push_quoted(&mut out, &field.name);
        out.push(':');
        if field.pii && mask_pii {
            out.push_str("\"***\"");
        } else {
            Cells::new(field.data_type, TimeFormat::Iso, array).push(&mut out, row);
        }
    }
    out.push('}');
    out
}

/// The values of a column.
enum Cells<'a> {
    Boolean(&'a BooleanArray),
    Int64(&'a Int64Array),
    Float64(&'a Float64Array),
    Decimal(&'a Decimal128Array, u8),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray),
    Timestamp(&'a TimestampMicrosecondArray, TimeFormat),
    Json(&'a StringArray),
}

impl<'a> Cells<'a> {
    fn new(data_type: DataType, format: TimeFormat, array: &'a dyn Array) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(array.as_boolean()),
            DataType::Int64 => Self::Int64(array.as_primitive::<Int64Type>()),
            DataType::Float64 => Self::Float64(array.as_primitive::<Float64Type>()),
            DataType::Decimal { scale } => Self::Decimal(array.as_primitive::<Decimal128Type>(), scale),
            DataType::Text => Self::Text(array.as_string()),
            DataType::Bytes => Self::Bytes(array.as_binary()),
            DataType::Date => Self::Date(array.as_primitive::<Date32Type>()),
            DataType::Time => Self::Time(array.as_primitive::<Time64MicrosecondType>()),
            DataType::Timestamp => Self::Timestamp(array.as_primitive::<TimestampMicrosecondType>(), format),
            DataType::Json => Self::Json(array.as_string()),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Boolean(array) => array.is_null(row),
            Self::Int64(array) => array.is_null(row),
            Self::Float64(array) => array.is_null(row),
            Self::Decimal(array, _) => array.is_null(row),
            Self::Text(array) | Self::Json(array) => array.is_null(row),
            Self::Bytes(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Time(array) => array.is_null(row),
            Self::Timestamp(array, _) => array.is_null(row),
        }
    }

    /// Appends the value of a row.
    #[inline]
    fn push(&self, out: &mut String, row: usize) {
        if self.is_null(row) {
            return out.push_str("null");
        }
        match self {
            Self::Text(array) => push_quoted(out, array.value(row)),
            Self::Int64(array) => push_integer(out, array.value(row)),
            Self::Timestamp(array, format) => push_timestamp(out, array.value(row), *format),
            Self::Boolean(array) => out.push_str(if array.value(row) { "true" } else { "false" }),
            Self::Float64(array) => push_float(out, array.value(row)),
            Self::Decimal(array, scale) => quoted(out, |out| push_decimal(out, array.value(row), *scale)),
            Self::Bytes(array) => quoted(out, |out| STANDARD.encode_string(array.value(row), out)),
            Self::Date(array) => quoted(out, |out| civil::push_date(out, array.value(row))),
            Self::Time(array) => quoted(out, |out| civil::push_time(out, array.value(row))),
            Self::Json(array) => push_json(out, array.value(row)),
        }
    }
}

pub(crate) fn quoted(out: &mut String, push: impl FnOnce(&mut String)) {
    out.push('"');
    push(out);
    out.push('"');
}

#[inline]
pub(crate) fn push_integer(out: &mut String, value: i64) {
    out.push_str(itoa::Buffer::new().format(value));
}

pub(crate) fn push_float(out: &mut String, value: f64) {
    if value.is_finite() {
        out.push_str(zmij::Buffer::new().format_finite(value));
    } else {
        out.push_str("null");
    }
}

pub(crate) fn push_decimal(out: &mut String, value: i128, scale: u8) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs());
    let scale = usize::from(scale);
    if value < 0 {
        out.push('-');
    }
    let padding = (scale + 1).saturating_sub(digits.len()); // a digit stands before the point
    let (zeros, point) = ("0".repeat(padding), digits.len() + padding - scale);
    let digits = zeros + digits;
    out.push_str(&digits[..point]);
    if scale > 0 {
        out.push('.');
        out.push_str(&digits[point..]);
    }
}

#[inline]
fn push_timestamp(out: &mut String, micros: i64, format: TimeFormat) {
    match format {
        TimeFormat::Seconds => push_integer(out, micros.div_euclid(civil::SECOND)),
        TimeFormat::Millis => push_integer(out, micros.div_euclid(1000)),
        TimeFormat::Micros => push_integer(out, micros),
        TimeFormat::Nanos => out.push_str(itoa::Buffer::new().format(i128::from(micros) * 1000)),
        TimeFormat::Iso => quoted(out, |out| civil::push_iso(out, micros)),
    }
}

/// A plugin that says JSON may have made something else: that is written as a string, so that a record is always
/// JSON.
fn push_json(out: &mut String, json: &str) {
    if is_json(json) { out.push_str(json) } else { push_quoted(out, json) }
}

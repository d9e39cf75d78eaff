//! A column that grows by the values of records.

use std::borrow::Cow;
use std::mem::take;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use azenha_model::plan::{StreamColumn, TimeFormat};
use azenha_model::{DataType, Field};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::number::{integer, scaled};
use super::reason::Misfit;
use super::scan::{Kind, is_number};
use super::text::unquote;
use crate::civil;

/// Builds the array of one column, a batch at a time.
pub(super) struct ColumnBuilder {
    pub field: Field,
    pub format: TimeFormat,
    values: Values,
    nulls: NullBufferBuilder,
}

/// The values so far; a null has one too, of no meaning.
enum Values {
    Boolean(BooleanBufferBuilder),
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>, u8),
    Text(Strings),
    Json(Strings),
    Bytes(Strings),
    Date(Vec<i32>),
    Time(Vec<i64>),
    Timestamp(Vec<i64>, TimeFormat),
}

impl ColumnBuilder {
    pub fn new(column: &StreamColumn) -> Self {
        let values = match column.field.data_type {
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Decimal { scale } => Values::Decimal(Vec::new(), scale),
            DataType::Text => Values::Text(Strings::default()),
            DataType::Json => Values::Json(Strings::default()),
            DataType::Bytes => Values::Bytes(Strings::default()),
            DataType::Date => Values::Date(Vec::new()),
            DataType::Time => Values::Time(Vec::new()),
            DataType::Timestamp => Values::Timestamp(Vec::new(), column.time_format),
        };
        Self { field: column.field.clone(), format: column.time_format, values, nulls: NullBufferBuilder::new(0) }
    }

    /// The rows so far.
    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Appends the value `raw` of a record; `kind` is what the scanner found it to be. After a misfit the column
    /// has to be truncated.
    #[inline]
    pub fn append(&mut self, kind: Kind, raw: &str) -> Result<(), Misfit> {
        if matches!(kind, Kind::Missing | Kind::Null) {
            if !self.field.nullable {
                return Err(Misfit::Absent);
            }
            self.append_null();
            return Ok(());
        }
        self.values.push(kind, raw)?;
        self.nulls.append_non_null();
        Ok(())
    }

    pub fn append_null(&mut self) {
        self.values.push_default();
        self.nulls.append_null();
    }

    /// Forgets all rows but the first `rows`.
    pub fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Boolean(bits) => bits.truncate(rows),
            Values::Int64(values) | Values::Time(values) | Values::Timestamp(values, _) => values.truncate(rows),
            Values::Float64(values) => values.truncate(rows),
            Values::Decimal(values, _) => values.truncate(rows),
            Values::Date(values) => values.truncate(rows),
            Values::Text(strings) | Values::Json(strings) | Values::Bytes(strings) => strings.truncate(rows),
        }
        self.nulls.truncate(rows);
    }

    /// Makes room for as many more rows.
    pub fn reserve(&mut self, rows: usize) {
        match &mut self.values {
            Values::Boolean(bits) => bits.reserve(rows),
            Values::Int64(values) | Values::Time(values) | Values::Timestamp(values, _) => values.reserve(rows),
            Values::Float64(values) => values.reserve(rows),
            Values::Decimal(values, _) => values.reserve(rows),
            Values::Date(values) => values.reserve(rows),
            Values::Text(strings) | Values::Json(strings) | Values::Bytes(strings) => strings.offsets.reserve(rows),
        }
    }

    /// The rows as an array; the builder begins anew.
    pub fn finish(&mut self) -> ArrayRef {
        // Builders share their bits with the array that they made, hence the new ones.
        let nulls = std::mem::replace(&mut self.nulls, NullBufferBuilder::new(0)).build();
        self.values.finish(nulls, self.field.data_type)
    }
}

impl Values {
    #[inline]
    fn push(&mut self, kind: Kind, raw: &str) -> Result<(), Misfit> {
        match self {
            Self::Text(strings) => strings.push(string(kind, raw)?.as_bytes()),
            Self::Json(strings) => strings.push(raw.as_bytes()),
            Self::Int64(values) => values.push(whole(kind, raw)?),
            Self::Timestamp(values, TimeFormat::Iso) => values.push(instant(&string(kind, raw)?)?),
            Self::Timestamp(values, format) => values.push(timestamp(whole(kind, raw)?, *format)?),
            Self::Float64(values) => values.push(float(kind, raw)?),
            Self::Boolean(bits) => bits.append(boolean(kind)?),
            Self::Decimal(values, scale) => values.push(decimal(kind, raw, *scale)?),
            Self::Date(values) => values.push(civil::parse_date(&string(kind, raw)?).ok_or(Misfit::Form)?),
            Self::Time(values) => values.push(civil::parse_time(&string(kind, raw)?).ok_or(Misfit::Form)?),
            Self::Bytes(strings) => {
                let text = string(kind, raw)?;
                STANDARD.decode_vec(text.as_bytes(), &mut strings.bytes).map_err(|_| Misfit::Form)?;
                strings.end();
            }
        }
        Ok(())
    }

    fn push_default(&mut self) {
        match self {
            Self::Boolean(bits) => bits.append(false),
            Self::Int64(values) | Self::Time(values) | Self::Timestamp(values, _) => values.push(0),
            Self::Float64(values) => values.push(0.0),
            Self::Decimal(values, _) => values.push(0),
            Self::Date(values) => values.push(0),
            Self::Text(strings) | Self::Json(strings) | Self::Bytes(strings) => strings.end(),
        }
    }

    fn finish(&mut self, nulls: Option<NullBuffer>, data_type: DataType) -> ArrayRef {
        match self {
            Self::Boolean(bits) => Arc::new(BooleanArray::new(bits.finish(), nulls)),
            Self::Int64(values) => Arc::new(Int64Array::new(take(values).into(), nulls)),
            Self::Float64(values) => Arc::new(Float64Array::new(take(values).into(), nulls)),
            Self::Decimal(values, _) => {
                let decimals = Decimal128Array::new(take(values).into(), nulls);
                Arc::new(decimals.with_data_type(data_type.arrow()))
            }
            Self::Text(strings) | Self::Json(strings) => {
                let (offsets, bytes) = strings.finish();
                Arc::new(StringArray::new(offsets, bytes, nulls))
            }
            Self::Bytes(strings) => {
                let (offsets, bytes) = strings.finish();
                Arc::new(BinaryArray::new(offsets, bytes, nulls))
            }
            Self::Date(values) => Arc::new(Date32Array::new(take(values).into(), nulls)),
            Self::Time(values) => Arc::new(Time64MicrosecondArray::new(take(values).into(), nulls)),
            Self::Timestamp(values, _) => {
                let timestamps = TimestampMicrosecondArray::new(take(values).into(), nulls);
                Arc::new(timestamps.with_data_type(data_type.arrow()))
            }
        }
    }
}

/// Byte strings, one after another. They come from records, whose bytes have 32-bit offsets as well, and are no
/// longer than there, so that offsets cannot overflow.
struct Strings {
    bytes: Vec<u8>,
    offsets: Vec<i32>,
}

impl Default for Strings {
    fn default() -> Self {
        Self { bytes: Vec::new(), offsets: vec![0] }
    }
}

impl Strings {
    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.end();
    }

    /// Ends a string whose bytes have been appended.
    #[inline]
    fn end(&mut self) {
        self.offsets.push(self.bytes.len() as i32);
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.bytes.truncate(self.offsets.last().map_or(0, |end| *end as usize));
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let Self { bytes, offsets } = take(self);
        self.bytes.reserve(bytes.len()); // the next batch will be about as long
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes))
    }
}

#[inline]
fn string(kind: Kind, raw: &str) -> Result<Cow<'_, str>, Misfit> {
    match kind {
        Kind::Text => Ok(unquote(raw, false)),
        Kind::EscapedText => Ok(unquote(raw, true)),
        _ => Err(Misfit::Kind),
    }
}

#[inline]
fn whole(kind: Kind, raw: &str) -> Result<i64, Misfit> {
    match kind {
        Kind::Integer => integer(raw).ok_or(Misfit::Range),
        Kind::Number => scaled(raw, 0).and_then(|value| i64::try_from(value).ok()).ok_or(Misfit::Range),
        _ => Err(Misfit::Kind),
    }
}

#[inline]
fn timestamp(value: i64, format: TimeFormat) -> Result<i64, Misfit> {
    let unit = match format {
        TimeFormat::Seconds => civil::SECOND,
        TimeFormat::Millis => 1000,
        TimeFormat::Micros | TimeFormat::Iso => 1,
    };
    value.checked_mul(unit).filter(|micros| civil::TIMESTAMPS.contains(micros)).ok_or(Misfit::Range)
}

fn instant(text: &str) -> Result<i64, Misfit> {
    civil::parse_timestamp(text).ok_or(Misfit::Form)
}

fn boolean(kind: Kind) -> Result<bool, Misfit> {
    match kind {
        Kind::True => Ok(true),
        Kind::False => Ok(false),
        _ => Err(Misfit::Kind),
    }
}

fn float(kind: Kind, raw: &str) -> Result<f64, Misfit> {
    if !matches!(kind, Kind::Integer | Kind::Number) {
        return Err(Misfit::Kind);
    }
    raw.parse().ok().filter(|value: &f64| value.is_finite()).ok_or(Misfit::Range)
}

fn decimal(kind: Kind, raw: &str, scale: u8) -> Result<i128, Misfit> {
    let text = match kind {
        Kind::Integer | Kind::Number => Cow::Borrowed(raw),
        _ => string(kind, raw)?,
    };
    if !is_number(&text) {
        return Err(Misfit::Form);
    }
    scaled(&text, scale).ok_or(Misfit::Range)
}

//! A column that grows by the values of records, whatever they are written in.

use std::mem::take;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use azenha_model::plan::{StreamColumn, TimeFormat};
use azenha_model::{DataType, Field};

/// Builds the array of one column, a batch at a time.
pub(crate) struct ColumnBuilder {
    pub field: Field,
    pub format: TimeFormat,
    pub values: Values,
    pub nulls: NullBufferBuilder,
}

/// The values so far; a null has one too, of no meaning.
pub(crate) enum Values {
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

    /// The rows as an array; the builder begins anew. None if a text is not UTF-8, which only a codec that does not
    /// check each text itself lets happen.
    pub fn finish(&mut self) -> Option<ArrayRef> {
        // Builders share their bits with the array that they made, hence the new ones.
        let nulls = std::mem::replace(&mut self.nulls, NullBufferBuilder::new(0)).build();
        self.values.finish(nulls, self.field.data_type)
    }
}

impl Values {
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

    fn finish(&mut self, nulls: Option<NullBuffer>, data_type: DataType) -> Option<ArrayRef> {
        Some(match self {
            Self::Boolean(bits) => Arc::new(BooleanArray::new(bits.finish(), nulls)),
            Self::Int64(values) => Arc::new(Int64Array::new(take(values).into(), nulls)),
            Self::Float64(values) => Arc::new(Float64Array::new(take(values).into(), nulls)),
            Self::Decimal(values, _) => {
                let decimals = Decimal128Array::new(take(values).into(), nulls);
                Arc::new(decimals.with_data_type(data_type.arrow()))
            }
            Self::Text(strings) | Self::Json(strings) => {
                let (offsets, bytes) = strings.finish();
                Arc::new(StringArray::try_new(offsets, bytes, nulls).ok()?)
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
        })
    }
}

/// Byte strings, one after another. They come from records, whose bytes have 32-bit offsets as well, and are no
/// longer than there, so that offsets cannot overflow; a codec that makes longer ones has to ask `has_room`.
pub(crate) struct Strings {
    pub bytes: Vec<u8>,
    offsets: Vec<i32>,
}

/// The length of a short string, at most.
pub(crate) const SHORT: usize = 16;

impl Default for Strings {
    fn default() -> Self {
        Self { bytes: Vec::new(), offsets: vec![0] }
    }
}

impl Strings {
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.end();
    }

    /// Appends the first `length` bytes of a chunk: for short strings, quicker than to copy no more than they have.
    #[inline]
    pub fn push_short(&mut self, chunk: &[u8; SHORT], length: usize) {
        let end = self.bytes.len() + length;
        self.bytes.extend_from_slice(chunk);
        self.bytes.truncate(end);
        self.end();
    }

    /// Ends a string whose bytes have been appended.
    #[inline]
    pub fn end(&mut self) {
        self.offsets.push(self.bytes.len() as i32);
    }

    /// Whether the offsets can tell where a string of so many bytes more would end.
    #[inline]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.bytes.len() + bytes <= i32::MAX as usize
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

//! Arrow to the contract: no copies but where an array is a slice that starts in the middle.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ByteArrayType, Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, BinaryArray, GenericByteArray, RecordBatch};
use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};
use azenha_model::{DataType, Field};

use crate::bindings::data::{self, ColumnParam, FieldParam, StringsParam, ValuesParam};
use crate::error::Failure;

/// The fields that `open` is given.
pub fn fields(fields: &[Field]) -> Vec<FieldParam<'_>> {
    let lower = |field| {
        let Field { name, data_type: kind, nullable, .. }: &Field = field;
        FieldParam { name, data_type: data_type(*kind), nullable: *nullable }
    };
    fields.iter().map(lower).collect()
}

fn data_type(kind: DataType) -> data::DataType {
    match kind {
        DataType::Boolean => data::DataType::Boolean,
        DataType::Int64 => data::DataType::Int64,
        DataType::Float64 => data::DataType::Float64,
        DataType::Decimal { scale } => data::DataType::Decimal(scale),
        DataType::Text => data::DataType::Text,
        DataType::Bytes => data::DataType::Bytes,
        DataType::Date => data::DataType::Date,
        DataType::Time => data::DataType::Time,
        DataType::Timestamp => data::DataType::Timestamp,
        DataType::Json => data::DataType::Json,
    }
}

/// The buffers of a batch, in the contract's layout.
pub struct Lowered {
    /// How many rows there are; a batch without columns has rows too.
    pub rows: u32,
    columns: Vec<Column>,
}

impl Lowered {
    /// Takes the buffers of `batch`, whose columns are those of `fields`. If they are not, that is the
    /// caller's mistake, and the message says so.
    pub fn new(batch: &RecordBatch, fields: &[Field]) -> Result<Self, Failure> {
        let rows = u32::try_from(batch.num_rows())
            .map_err(|_| Failure::contract(format!("a batch of {} rows is too long", batch.num_rows())))?;
        if batch.num_columns() != fields.len() {
            let (given, read) = (batch.num_columns(), fields.len());
            return Err(Failure::contract(format!("the host gave {given} columns where the plan reads {read}")));
        }
        let columns = batch.columns().iter().zip(fields).map(|(array, field)| Column::new(array.as_ref(), field));
        Ok(Self { rows, columns: columns.collect::<Result<_, _>>()? })
    }

    /// The columns as parameters of a call.
    pub fn params(&self) -> Vec<ColumnParam<'_>> {
        self.columns.iter().map(Column::param).collect()
    }
}

struct Column {
    values: Values,
    validity: Option<Buffer>,
}

enum Values {
    Boolean(Buffer),
    Int64(ScalarBuffer<i64>),
    Float64(ScalarBuffer<f64>),
    Decimal(ScalarBuffer<u64>),
    Text(Strings),
    Bytes(Strings),
    Date(ScalarBuffer<i32>),
    Time(ScalarBuffer<i64>),
    Timestamp(ScalarBuffer<i64>),
    Json(Strings),
}

impl Column {
    fn new(array: &dyn Array, field: &Field) -> Result<Self, Failure> {
        let values = Values::new(array, field.data_type).ok_or_else(|| {
            let (name, declared, given) = (&field.name, field.data_type, array.data_type());
            Failure::contract(format!("the host gave column `{name}` as {given}, but it is {declared}"))
        })?;
        let some_absent = array.nulls().filter(|nulls| nulls.null_count() > 0);
        Ok(Self { values, validity: some_absent.map(|nulls: &NullBuffer| nulls.inner().sliced()) })
    }

    fn param(&self) -> ColumnParam<'_> {
        let values = match &self.values {
            Values::Boolean(bits) => ValuesParam::Booleans(bits),
            Values::Int64(values) => ValuesParam::Int64s(values),
            Values::Float64(values) => ValuesParam::Float64s(values),
            Values::Decimal(words) => ValuesParam::Decimals(words),
            Values::Text(strings) => ValuesParam::Texts(strings.param()),
            Values::Bytes(strings) => ValuesParam::Binaries(strings.param()),
            Values::Date(values) => ValuesParam::Dates(values),
            Values::Time(values) => ValuesParam::Times(values),
            Values::Timestamp(values) => ValuesParam::Timestamps(values),
            Values::Json(strings) => ValuesParam::Jsons(strings.param()),
        };
        ColumnParam { values, validity: self.validity.as_deref() }
    }
}

impl Values {
    /// `None` if the array is not of this type.
    fn new(array: &dyn Array, kind: DataType) -> Option<Self> {
        Some(match kind {
            DataType::Boolean => Self::Boolean(array.as_boolean_opt()?.values().sliced()),
            DataType::Int64 => Self::Int64(array.as_primitive_opt::<Int64Type>()?.values().clone()),
            DataType::Float64 => Self::Float64(array.as_primitive_opt::<Float64Type>()?.values().clone()),
            DataType::Decimal { .. } => {
                // The same bytes, seen as pairs of words: the hosts that wasmtime runs on are little-endian.
                let values = array.as_primitive_opt::<Decimal128Type>()?.values().clone();
                let words = values.len() * 2;
                Self::Decimal(ScalarBuffer::new(values.into_inner(), 0, words))
            }
            DataType::Text => Self::Text(Strings::new(array.as_string_opt()?)),
            DataType::Bytes => Self::Bytes(Strings::new(array.as_binary_opt()?)),
            DataType::Date => Self::Date(array.as_primitive_opt::<Date32Type>()?.values().clone()),
            DataType::Time => Self::Time(array.as_primitive_opt::<Time64MicrosecondType>()?.values().clone()),
            DataType::Timestamp => {
                Self::Timestamp(array.as_primitive_opt::<TimestampMicrosecondType>()?.values().clone())
            }
            DataType::Json => Self::Json(Strings::new(array.as_string_opt()?)),
        })
    }
}

/// Variable-length values whose first offset is zero and that hold no bytes but their own.
pub struct Strings {
    offsets: ScalarBuffer<i32>,
    bytes: Buffer,
}

impl Strings {
    fn new<T: ByteArrayType<Offset = i32>>(array: &GenericByteArray<T>) -> Self {
        let offsets = array.offsets();
        let (first, last) = (offsets.first(), offsets.last());
        let bytes = array.values().slice_with_length(first as usize, (last - first) as usize);
        let offsets = match first {
            0 => offsets.inner().clone(),
            _ => offsets.iter().map(|offset| offset - first).collect(),
        };
        Self { offsets, bytes }
    }

    /// Accumulators: bytes that mean nothing to the host.
    pub fn accumulators(array: &BinaryArray) -> Self {
        Self::new(array)
    }

    /// The values as a parameter of a call.
    pub fn param(&self) -> StringsParam<'_> {
        StringsParam { offsets: &self.offsets, bytes: &self.bytes }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BooleanArray, Decimal128Array, Int64Array, StringArray};

    use super::*;

    fn lowered(array: ArrayRef, kind: DataType) -> Result<Lowered, Failure> {
        let field = Field::new("x", kind, true);
        let batch = RecordBatch::try_from_iter([("x", array)]).expect("a batch");
        Lowered::new(&batch, &[field])
    }

    #[test]
    fn a_slice_is_rebased_to_its_own_rows() {
        let text = StringArray::from(vec![Some("zero"), Some("one"), None, Some("three")]).slice(1, 3);
        let lowered = lowered(Arc::new(text), DataType::Text).expect("it lowers");
        let params = lowered.params();
        let ValuesParam::Texts(strings) = &params[0].values else { panic!("not text") };
        assert_eq!(strings.offsets, [0, 3, 3, 8]);
        assert_eq!(strings.bytes, b"onethree");
        assert_eq!(params[0].validity.map(|bits| bits[0] & 0b111), Some(0b101));
    }

    #[test]
    fn bits_of_a_slice_start_at_the_first_bit() {
        let flags = BooleanArray::from(vec![true, false, false, true, true]).slice(3, 2);
        let lowered = lowered(Arc::new(flags), DataType::Boolean).expect("it lowers");
        let params = lowered.params();
        let ValuesParam::Booleans(bits) = params[0].values else { panic!("not bits") };
        assert_eq!((bits.len(), bits[0] & 0b11), (1, 0b11));
        assert!(params[0].validity.is_none());
    }

    #[test]
    fn a_decimal_is_two_words_low_word_first() {
        let amounts = Decimal128Array::from(vec![0, -1, (7 << 64) + 5]).with_precision_and_scale(38, 2).expect("ok");
        let lowered = lowered(Arc::new(amounts.slice(1, 2)), DataType::Decimal { scale: 2 }).expect("it lowers");
        let params = lowered.params();
        let ValuesParam::Decimals(words) = params[0].values else { panic!("not decimals") };
        assert_eq!(words, [u64::MAX, u64::MAX, 5, 7]);
    }

    #[test]
    fn a_column_of_another_type_is_the_hosts_mistake() {
        let failure = lowered(Arc::new(Int64Array::from(vec![1])), DataType::Text).err().expect("it fails");
        assert_eq!(failure.message, "the host gave column `x` as Int64, but it is text");
    }
}

//! Values of columns in the form in which databases take them.

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, StringArray};
use azenha_formats::civil;
use azenha_model::{DataType, Field};

use super::session::Failure;

/// A column. Types that databases write differently are sent as text.
pub(super) enum Cells<'a> {
    Boolean(&'a BooleanArray),
    Int64(&'a PrimitiveArray<Int64Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Bytes(&'a BinaryArray),
    Text(TextCells<'a>),
}

/// A column that is sent as text.
pub(super) enum TextCells<'a> {
    Plain(&'a StringArray),
    Decimal(&'a PrimitiveArray<Decimal128Type>),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64MicrosecondType>),
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>),
}

impl<'a> Cells<'a> {
    /// The cells of a column of the field's type.
    pub fn new(field: &Field, column: &'a ArrayRef) -> Result<Self, Failure> {
        if *column.data_type() != field.data_type.arrow() {
            let found = column.data_type();
            return Err(Failure::Definition(format!("rows have `{}` as {found}, not {}", field.name, field.data_type)));
        }
        Ok(match field.data_type {
            DataType::Boolean => Self::Boolean(column.as_boolean()),
            DataType::Int64 => Self::Int64(column.as_primitive()),
            DataType::Float64 => Self::Float64(column.as_primitive()),
            DataType::Bytes => Self::Bytes(column.as_binary()),
            DataType::Text | DataType::Json => Self::Text(TextCells::Plain(column.as_string())),
            DataType::Decimal { .. } => Self::Text(TextCells::Decimal(column.as_primitive())),
            DataType::Date => Self::Text(TextCells::Date(column.as_primitive())),
            DataType::Time => Self::Text(TextCells::Time(column.as_primitive())),
            DataType::Timestamp => Self::Text(TextCells::Timestamp(column.as_primitive())),
        })
    }
}

impl TextCells<'_> {
    /// The text of a row, none for null. Dates outside of the years 1 to 9999 and times outside of a day are
    /// refused: what the databases' own functions read ends there.
    pub fn text(&self, row: usize) -> Result<Option<Cow<'_, str>>, Failure> {
        if !self.is_valid(row) {
            return Ok(None);
        }
        Ok(Some(match self {
            Self::Plain(array) => Cow::Borrowed(array.value(row)),
            Self::Decimal(array) => array.value_as_string(row).into(),
            Self::Date(array) => {
                let days = array.value(row);
                in_calendar(i64::from(days) * civil::DAY)?;
                civil::format_date(days).into()
            }
            Self::Time(array) => {
                let micros = array.value(row);
                if !(0..civil::DAY).contains(&micros) {
                    return Err(Failure::Rows(format!("{micros} µs is not within a day")));
                }
                civil::format_time(micros).into()
            }
            Self::Timestamp(array) => {
                in_calendar(array.value(row))?;
                civil::format_timestamp(array.value(row)).into()
            }
        }))
    }

    fn is_valid(&self, row: usize) -> bool {
        match self {
            Self::Plain(array) => array.is_valid(row),
            Self::Decimal(array) => array.is_valid(row),
            Self::Date(array) => array.is_valid(row),
            Self::Time(array) => array.is_valid(row),
            Self::Timestamp(array) => array.is_valid(row),
        }
    }
}

fn in_calendar(micros: i64) -> Result<(), Failure> {
    if civil::TIMESTAMPS.contains(&micros) {
        Ok(())
    } else {
        Err(Failure::Rows(format!("{} is not within the years 1 to 9999", civil::format_timestamp(micros))))
    }
}

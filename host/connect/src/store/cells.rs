//! Values of columns, typed, and checked against what databases can hold.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::NullBuffer;
use azenha_formats::civil;
use azenha_model::{DataType, Field};

use super::failure::{Failure, Fault};

/// A column of rows.
pub(crate) struct Cells<'a> {
    pub field: &'a Field,
    pub values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
}

/// The values of a column; those of rows that are null mean nothing.
pub(crate) enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int64(&'a PrimitiveArray<Int64Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal(&'a PrimitiveArray<Decimal128Type>),
    Text(&'a StringArray),
    Json(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64MicrosecondType>),
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>),
}

impl<'a> Cells<'a> {
    /// The cells of a column of the field's type.
    pub fn new(field: &'a Field, column: &'a ArrayRef) -> Result<Self, Failure> {
        if *column.data_type() != field.data_type.arrow() {
            let found = column.data_type();
            return Err(Failure::Definition(format!("rows have `{}` as {found}, not {}", field.name, field.data_type)));
        }
        let values = match field.data_type {
            DataType::Boolean => Values::Boolean(column.as_boolean()),
            DataType::Int64 => Values::Int64(column.as_primitive()),
            DataType::Float64 => Values::Float64(column.as_primitive()),
            DataType::Decimal { .. } => Values::Decimal(column.as_primitive()),
            DataType::Text => Values::Text(column.as_string()),
            DataType::Json => Values::Json(column.as_string()),
            DataType::Bytes => Values::Bytes(column.as_binary()),
            DataType::Date => Values::Date(column.as_primitive()),
            DataType::Time => Values::Time(column.as_primitive()),
            DataType::Timestamp => Values::Timestamp(column.as_primitive()),
        };
        Ok(Self { field, values, nulls: column.nulls() })
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// Says that a value is its row's fault.
    pub fn fault(&self, reason: &str) -> Failure {
        Failure::Rows(Fault { reason: format!("column `{}`: {reason}", self.field.name), names_column: true })
    }

    /// The date, if databases have it: what their own functions read ends with the years 1 and 9999.
    pub fn checked_date(&self, days: i32) -> Result<i32, Failure> {
        self.checked_timestamp(i64::from(days) * civil::DAY).map(|_| days)
    }

    /// The time, if it is one of a day.
    pub fn checked_time(&self, micros: i64) -> Result<i64, Failure> {
        if (0..civil::DAY).contains(&micros) {
            Ok(micros)
        } else {
            Err(self.fault(&format!("{micros} µs is not within a day")))
        }
    }

    /// The timestamp, if databases have it, as with dates.
    pub fn checked_timestamp(&self, micros: i64) -> Result<i64, Failure> {
        if civil::TIMESTAMPS.contains(&micros) {
            Ok(micros)
        } else {
            Err(self.fault(&format!("{} is not within the years 1 to 9999", civil::format_timestamp(micros))))
        }
    }
}

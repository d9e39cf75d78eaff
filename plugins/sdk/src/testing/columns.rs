//! Columns from JSON rows, and back.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Number, Value as Json};

use crate::data::{Batch, Column, DataType, Field, Values};
use crate::decimal::{read_decimal, write_decimal};
use crate::types::{Date, Json as JsonText, Time, Timestamp};
use crate::value::{ColumnBuilder, Value};

use super::case::JsonRow;

const MICROS_PER_MILLI: i64 = 1000;

/// The columns of these rows.
pub fn batch(fields: &[Field], rows: &[JsonRow]) -> Result<Batch, String> {
    for (index, row) in rows.iter().enumerate() {
        if let Some(unknown) = row.keys().find(|name| fields.iter().all(|field| field.name != **name)) {
            return Err(format!("row {index} has a value for `{unknown}`, which is no column of the input"));
        }
    }
    let columns = fields.iter().map(|field| column(field, rows)).collect::<Result<_, _>>()?;
    Ok(Batch { rows: rows.len() as u32, columns })
}

fn column(field: &Field, rows: &[JsonRow]) -> Result<Column, String> {
    match field.data_type {
        DataType::Boolean => build(field, rows, Json::as_bool),
        DataType::Int64 => build(field, rows, Json::as_i64),
        DataType::Float64 => build(field, rows, Json::as_f64),
        DataType::Decimal(scale) => decimals(field, rows, scale),
        DataType::Text => build(field, rows, |value| value.as_str()),
        DataType::Bytes => build(field, rows, |value| BASE64_STANDARD.decode(value.as_str()?).ok()),
        DataType::Date => build(field, rows, |value| value.as_str()?.parse::<Date>().ok()),
        DataType::Time => build(field, rows, |value| value.as_str()?.parse::<Time>().ok()),
        DataType::Timestamp => build(field, rows, timestamp),
        DataType::Json => build(field, rows, |value| Some(JsonText(value.to_string()))),
    }
}

/// The values of a column, each read from its row's JSON.
fn build<'a, T: Value<'a>>(
    field: &Field,
    rows: &'a [JsonRow],
    read: impl Fn(&'a Json) -> Option<T>,
) -> Result<Column, String> {
    let mut column = ColumnBuilder::<T>::default();
    for (index, row) in rows.iter().enumerate() {
        match row.get(&field.name).filter(|value| !value.is_null()) {
            Some(value) => column.push(read(value).ok_or_else(|| {
                format!("row {index}: {value} is no value of column `{}` ({})", field.name, field.data_type)
            })?),
            None if field.nullable => column.push_absent(),
            None => return Err(format!("row {index} has no value for column `{}`", field.name)),
        }
    }
    Ok(column.finish())
}

/// Decimals of any scale: words are the same whatever the scale.
fn decimals(field: &Field, rows: &[JsonRow], scale: u8) -> Result<Column, String> {
    build(field, rows, |value| {
        let written = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        read_decimal(&written, scale).map(crate::Decimal::<0>)
    })
}

/// Epoch milliseconds, perhaps with a fraction.
fn timestamp(value: &Json) -> Option<Timestamp> {
    match value.as_i64() {
        Some(millis) => millis.checked_mul(MICROS_PER_MILLI).map(Timestamp),
        None => value.as_f64().map(|millis| Timestamp((millis * MICROS_PER_MILLI as f64).round() as i64)),
    }
}

/// The value of a column at `row` as JSON; null if it is absent.
pub fn json_at(field: &Field, column: &Column, row: usize) -> Result<Json, String> {
    if column.validity.as_ref().is_some_and(|bits| !crate::value::bit(bits, row)) {
        return if field.nullable { Ok(Json::Null) } else { Err(format!("`{}` is absent in row {row}", field.name)) };
    }
    Ok(match field.data_type {
        DataType::Boolean => at::<bool>(field, column, row)?.into(),
        DataType::Int64 => at::<i64>(field, column, row)?.into(),
        DataType::Float64 => Number::from_f64(at(field, column, row)?).into(),
        DataType::Decimal(scale) => write_decimal(at::<crate::Decimal<0>>(field, column, row)?.0, scale).into(),
        DataType::Text => at::<&str>(field, column, row)?.into(),
        DataType::Bytes => BASE64_STANDARD.encode(at::<&[u8]>(field, column, row)?).into(),
        DataType::Date => at::<Date>(field, column, row)?.to_string().into(),
        DataType::Time => at::<Time>(field, column, row)?.to_string().into(),
        DataType::Timestamp => match at::<Timestamp>(field, column, row)?.0 {
            micros if micros % MICROS_PER_MILLI == 0 => (micros / MICROS_PER_MILLI).into(),
            micros => Number::from_f64(micros as f64 / MICROS_PER_MILLI as f64).into(),
        },
        DataType::Json => {
            let text = at::<JsonText<&str>>(field, column, row)?.0;
            serde_json::from_str(text).map_err(|error| format!("`{}` in row {row} is not JSON: {error}", field.name))?
        }
    })
}

fn at<'a, T: Value<'a>>(field: &Field, column: &'a Column, row: usize) -> Result<T, String> {
    let values = T::values(column)
        .ok_or_else(|| format!("`{}` was made as something else than {}", field.name, field.data_type))?;
    Ok(T::at(values, row))
}

/// Whether a column has this many rows.
pub fn has_rows(column: &Column, expected: usize) -> bool {
    let validity = column.validity.as_ref().is_none_or(|bits| bits.len() == expected.div_ceil(8));
    validity
        && match &column.values {
            Values::Booleans(bits) => bits.len() == expected.div_ceil(8),
            Values::Int64s(values) | Values::Times(values) | Values::Timestamps(values) => values.len() == expected,
            Values::Float64s(values) => values.len() == expected,
            Values::Decimals(words) => words.len() == 2 * expected,
            Values::Dates(days) => days.len() == expected,
            Values::Texts(strings) | Values::Binaries(strings) | Values::Jsons(strings) => {
                strings.offsets.len() == expected + 1
            }
        }
}

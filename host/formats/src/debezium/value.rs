//! How the values of change events are appended to columns.

use azenha_model::DataType;
use azenha_model::plan::TimeFormat;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::meaning::Meaning;
use super::unavailable::is_unavailable;
use crate::civil;
use crate::column::{ColumnBuilder, Values};
use crate::decimal::{rescaled, unscaled};
use crate::json::{Kind, Misfit, Wanted, float, instant, is_json, is_number, scaled, schema, string, timestamp, whole};

/// A value as it stands in an event.
#[derive(Clone, Copy)]
pub(super) struct Cell<'a> {
    pub kind: Kind,
    pub raw: &'a str,
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Appended {
    Value,
    /// A null, for a value that is not known here.
    Unavailable,
}

/// Appends a value. After a misfit the column has to be truncated.
#[inline]
pub(super) fn append(column: &mut ColumnBuilder, meaning: Meaning, cell: Cell<'_>) -> Result<Appended, Misfit> {
    if matches!(cell.kind, Kind::Missing | Kind::Null) {
        if !column.field.nullable {
            return Err(Misfit::Absent);
        }
        column.append_null();
        return Ok(Appended::Value);
    }
    if is_unavailable(cell, matches!(column.values, Values::Text(_))) {
        column.append_null();
        return Ok(Appended::Unavailable);
    }
    push(&mut column.values, meaning, cell)?;
    column.nulls.append_non_null();
    Ok(Appended::Value)
}

#[inline]
fn push(values: &mut Values, meaning: Meaning, cell: Cell<'_>) -> Result<(), Misfit> {
    let Cell { kind, raw } = cell;
    match (values, meaning) {
        (_, Meaning::Foreign(_)) => return Err(Misfit::Kind),
        (Values::Text(strings), _) => strings.push(string(kind, raw)?.as_bytes()),
        (Values::Json(strings), _) => match string(kind, raw) {
            Ok(text) if is_json(&text) => strings.push(text.as_bytes()),
            Ok(_) => return Err(Misfit::Form),
            Err(_) => strings.push(raw.as_bytes()),
        },
        (Values::Int64(values), Meaning::Unscaled(scale)) => {
            let value = decimal(cell, Meaning::Unscaled(scale), 0)?;
            values.push(i64::try_from(value).map_err(|_| Misfit::Range)?);
        }
        (Values::Int64(values), _) => values.push(whole(kind, raw)?),
        (Values::Float64(values), _) => values.push(special_float(cell).map_or_else(|| float(kind, raw), Ok)?),
        (Values::Boolean(bits), _) => bits.append(boolean(cell)?),
        (Values::Decimal(values, scale), _) => values.push(decimal(cell, meaning, *scale)?),
        (Values::Date(values), _) => values.push(date(cell)?),
        (Values::Time(values), _) => values.push(time(cell, meaning)?),
        (Values::Timestamp(values, _), Meaning::Count(unit)) if is_numeric(kind) => {
            values.push(timestamp(whole(kind, raw)?, unit)?);
        }
        (Values::Timestamp(values, _), _) => values.push(instant(&string(kind, raw)?)?),
        (Values::Bytes(strings), _) => {
            let text = string(kind, raw)?;
            STANDARD.decode_vec(text.as_bytes(), &mut strings.bytes).map_err(|_| Misfit::Form)?;
            strings.end();
        }
    }
    Ok(())
}

fn is_numeric(kind: Kind) -> bool {
    matches!(kind, Kind::Integer | Kind::Number)
}

/// Connect writes the numbers that JSON does not have as strings.
fn special_float(cell: Cell<'_>) -> Option<f64> {
    match cell.raw {
        r#""NaN""# => Some(f64::NAN),
        r#""Infinity""# => Some(f64::INFINITY),
        r#""-Infinity""# => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// MySQL's booleans are numbers.
fn boolean(cell: Cell<'_>) -> Result<bool, Misfit> {
    match (cell.kind, cell.raw) {
        (Kind::True, _) | (Kind::Integer, "1") => Ok(true),
        (Kind::False, _) | (Kind::Integer, "0") => Ok(false),
        (Kind::Integer, _) => Err(Misfit::Form),
        _ => Err(Misfit::Kind),
    }
}

fn decimal(cell: Cell<'_>, meaning: Meaning, scale: u8) -> Result<i128, Misfit> {
    let Cell { kind, raw } = cell;
    if is_numeric(kind) {
        return scaled(raw, scale).ok_or(Misfit::Range);
    }
    if kind == Kind::Object {
        let (text, written) = variable_scale(raw).ok_or(Misfit::Kind)?;
        return rescaled(of_base64(&text)?, written, scale).ok_or(Misfit::Range);
    }
    let text = string(kind, raw)?;
    match meaning {
        Meaning::Unscaled(written) => rescaled(of_base64(&text)?, written, scale).ok_or(Misfit::Range),
        _ if is_number(&text) => scaled(&text, scale).ok_or(Misfit::Range),
        _ => Err(Misfit::Form),
    }
}

/// The bytes of the largest decimal in base64, and more than enough zeros before them.
const LONGEST_DECIMAL: usize = 64;

fn of_base64(text: &str) -> Result<i128, Misfit> {
    let mut bytes = [0; LONGEST_DECIMAL];
    if text.len() > LONGEST_DECIMAL {
        return Err(Misfit::Form);
    }
    let length = STANDARD.decode_slice(text, &mut bytes).map_err(|_| Misfit::Form)?;
    unscaled(&bytes[..length]).ok_or(Misfit::Range)
}

/// The parts of `{"scale": 2, "value": "J0I="}`, which says of each number how many digits it has after the point.
fn variable_scale(raw: &str) -> Option<(String, i64)> {
    match serde_json::from_str(raw).ok()? {
        Value::Object(members) => {
            let text = members.get("value")?.as_str()?.to_owned();
            Some((text, members.get("scale")?.as_i64()?))
        }
        _ => None,
    }
}

fn date(cell: Cell<'_>) -> Result<i32, Misfit> {
    if is_numeric(cell.kind) {
        let days = whole(cell.kind, cell.raw)?;
        let exists = days.checked_mul(civil::DAY).is_some_and(|micros| civil::TIMESTAMPS.contains(&micros));
        return i32::try_from(days).ok().filter(|_| exists).ok_or(Misfit::Range);
    }
    let text = string(cell.kind, cell.raw)?;
    civil::parse_date(text.trim_end_matches('Z')).ok_or(Misfit::Form)
}

fn time(cell: Cell<'_>, meaning: Meaning) -> Result<i64, Misfit> {
    if let (Meaning::Count(unit), true) = (meaning, is_numeric(cell.kind)) {
        let micros = unit.micros_of(whole(cell.kind, cell.raw)?);
        return micros.filter(|micros| (0..civil::DAY).contains(micros)).ok_or(Misfit::Range);
    }
    let text = string(cell.kind, cell.raw)?;
    civil::parse_time(text.trim_end_matches('Z')).ok_or(Misfit::Form)
}

/// What a column takes, for messages.
pub(super) fn wanted(column: &ColumnBuilder, meaning: Meaning) -> Wanted<'_> {
    let data_type = column.field.data_type;
    let schema = match meaning {
        Meaning::Count(unit) => schema(data_type, unit),
        _ => schema(data_type, TimeFormat::Iso),
    };
    Wanted { field: &column.field, schema, needs: needs(data_type, meaning) }
}

fn needs(data_type: DataType, meaning: Meaning) -> &'static str {
    match (data_type, meaning) {
        (DataType::Boolean, _) => "true or false, 1 or 0",
        (DataType::Int64, _) => "a whole number",
        (DataType::Float64, _) => "a number",
        (DataType::Decimal { .. }, Meaning::Unscaled(_)) => {
            "a number, or base64 of the unscaled number (text with `decimals: string`)"
        }
        (DataType::Decimal { .. }, _) => "a number, or one in a string",
        (DataType::Text, _) => "a string",
        (DataType::Bytes, _) => "a string of base64",
        (DataType::Date, _) => "a number of days, or a string such as \"2024-01-31\"",
        (DataType::Time, Meaning::Count(_)) => "a number in that unit, within a day, or a string such as \"23:59:59\"",
        (DataType::Time, _) => "a string such as \"23:59:59\"; a number needs its unit: time(us)",
        (DataType::Timestamp, Meaning::Count(_)) => {
            "a number in that unit, or a string such as \"2024-01-31T23:59:59Z\""
        }
        (DataType::Timestamp, _) => "a string such as \"2024-01-31T23:59:59Z\"; a number needs its unit: timestamp(us)",
        (DataType::Json, _) => "any value but null; a string has to hold JSON",
    }
}

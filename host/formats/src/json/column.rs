//! How the values of JSON records are appended to columns.

use std::borrow::Cow;

use azenha_model::plan::TimeFormat;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::number::{integer, scaled};
use super::reason::Misfit;
use super::scan::{Kind, is_number};
use super::text::unquote;
use crate::civil;
use crate::column::{ColumnBuilder, Values};

impl ColumnBuilder {
    /// Appends the value `raw` of a record; `kind` is what the scanner found it to be. After a misfit the column
    /// has to be truncated.
    #[inline]
    pub(super) fn append(&mut self, kind: Kind, raw: &str) -> Result<(), Misfit> {
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
}

#[inline]
pub(crate) fn string(kind: Kind, raw: &str) -> Result<Cow<'_, str>, Misfit> {
    match kind {
        Kind::Text => Ok(unquote(raw, false)),
        Kind::EscapedText => Ok(unquote(raw, true)),
        _ => Err(Misfit::Kind),
    }
}

#[inline]
pub(crate) fn whole(kind: Kind, raw: &str) -> Result<i64, Misfit> {
    match kind {
        Kind::Integer => integer(raw).ok_or(Misfit::Range),
        Kind::Number => scaled(raw, 0).and_then(|value| i64::try_from(value).ok()).ok_or(Misfit::Range),
        _ => Err(Misfit::Kind),
    }
}

#[inline]
pub(crate) fn timestamp(value: i64, format: TimeFormat) -> Result<i64, Misfit> {
    format.micros_of(value).filter(|micros| civil::TIMESTAMPS.contains(micros)).ok_or(Misfit::Range)
}

pub(crate) fn instant(text: &str) -> Result<i64, Misfit> {
    civil::parse_timestamp(text).ok_or(Misfit::Form)
}

fn boolean(kind: Kind) -> Result<bool, Misfit> {
    match kind {
        Kind::True => Ok(true),
        Kind::False => Ok(false),
        _ => Err(Misfit::Kind),
    }
}

pub(crate) fn float(kind: Kind, raw: &str) -> Result<f64, Misfit> {
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

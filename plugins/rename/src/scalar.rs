//! Single values of any type.

use std::borrow::Cow;
use std::fmt;

use azenha_sdk::{
    Batch, Column, ColumnBuilder, DataType, Date, Decimal, Json, Time, Timestamp, Value, read_decimal, write_decimal,
};

/// A value of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    Boolean(bool),
    Int64(i64),
    Float64(f64),
    /// Units and scale.
    Decimal(i128, u8),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    Date(Date),
    Time(Time),
    Timestamp(Timestamp),
    Json(Cow<'a, str>),
}

/// The value as text.
impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Int64(value) => value.fmt(f),
            Self::Float64(value) => value.fmt(f),
            Self::Decimal(units, scale) => f.write_str(&write_decimal(*units, *scale)),
            Self::Text(text) | Self::Json(text) => f.write_str(text),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Date(date) => date.fmt(f),
            Self::Time(time) => time.fmt(f),
            Self::Timestamp(timestamp) => timestamp.fmt(f),
        }
    }
}

impl Scalar<'_> {
    /// Reads a value of this type from text; none if the text is none.
    pub fn parse(text: &str, data_type: DataType) -> Option<Scalar<'static>> {
        Some(match data_type {
            DataType::Boolean => Scalar::Boolean(text.parse().ok()?),
            DataType::Int64 => Scalar::Int64(read_decimal(text, 0)?.try_into().ok()?),
            DataType::Float64 => Scalar::Float64(text.parse().ok()?),
            DataType::Decimal(scale) => Scalar::Decimal(read_decimal(text, scale)?, scale),
            DataType::Text => Scalar::Text(Cow::Owned(text.to_owned())),
            DataType::Bytes => return None,
            DataType::Date => Scalar::Date(text.parse().ok()?),
            DataType::Time => Scalar::Time(text.parse().ok()?),
            DataType::Timestamp => Scalar::Timestamp(text.parse().ok()?),
            DataType::Json => {
                serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
                Scalar::Json(Cow::Owned(text.to_owned()))
            }
        })
    }
}

/// The values of the column at `slot` of a batch.
pub fn read_column<'a>(batch: &'a Batch, slot: usize, data_type: DataType) -> Result<Vec<Option<Scalar<'a>>>, String> {
    match data_type {
        DataType::Boolean => each(batch, slot, Scalar::Boolean),
        DataType::Int64 => each(batch, slot, Scalar::Int64),
        DataType::Float64 => each(batch, slot, Scalar::Float64),
        DataType::Decimal(scale) => each(batch, slot, |units: Decimal<0>| Scalar::Decimal(units.0, scale)),
        DataType::Text => each(batch, slot, Scalar::Text),
        DataType::Bytes => each(batch, slot, Scalar::Bytes),
        DataType::Date => each(batch, slot, Scalar::Date),
        DataType::Time => each(batch, slot, Scalar::Time),
        DataType::Timestamp => each(batch, slot, Scalar::Timestamp),
        DataType::Json => each(batch, slot, |json: Json<&'a str>| Scalar::Json(Cow::Borrowed(json.0))),
    }
}

fn each<'a, T: Value<'a>>(
    batch: &'a Batch,
    slot: usize,
    wrap: impl Fn(T) -> Scalar<'a>,
) -> Result<Vec<Option<Scalar<'a>>>, String> {
    Ok(batch.column::<T>(slot)?.iter().map(|value| value.map(&wrap)).collect())
}

/// A column of scalars in the making.
pub enum ScalarBuilder {
    Boolean(ColumnBuilder<'static, bool>),
    Int64(ColumnBuilder<'static, i64>),
    Float64(ColumnBuilder<'static, f64>),
    /// The scale stands in the column's field.
    Decimal(ColumnBuilder<'static, Decimal<0>>),
    Text(ColumnBuilder<'static, String>),
    Bytes(ColumnBuilder<'static, Vec<u8>>),
    Date(ColumnBuilder<'static, Date>),
    Time(ColumnBuilder<'static, Time>),
    Timestamp(ColumnBuilder<'static, Timestamp>),
    Json(ColumnBuilder<'static, Json<String>>),
}

impl ScalarBuilder {
    pub fn new(data_type: DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(Default::default()),
            DataType::Int64 => Self::Int64(Default::default()),
            DataType::Float64 => Self::Float64(Default::default()),
            DataType::Decimal(_) => Self::Decimal(Default::default()),
            DataType::Text => Self::Text(Default::default()),
            DataType::Bytes => Self::Bytes(Default::default()),
            DataType::Date => Self::Date(Default::default()),
            DataType::Time => Self::Time(Default::default()),
            DataType::Timestamp => Self::Timestamp(Default::default()),
            DataType::Json => Self::Json(Default::default()),
        }
    }

    /// Adds a value of the column's type.
    pub fn push(&mut self, value: Option<Scalar<'_>>) {
        match (self, value) {
            (Self::Boolean(column), Some(Scalar::Boolean(value))) => column.push(value),
            (Self::Int64(column), Some(Scalar::Int64(value))) => column.push(value),
            (Self::Float64(column), Some(Scalar::Float64(value))) => column.push(value),
            (Self::Decimal(column), Some(Scalar::Decimal(units, _))) => column.push(Decimal(units)),
            (Self::Text(column), Some(Scalar::Text(text))) => column.push(text.into_owned()),
            (Self::Bytes(column), Some(Scalar::Bytes(bytes))) => column.push(bytes.to_vec()),
            (Self::Date(column), Some(Scalar::Date(date))) => column.push(date),
            (Self::Time(column), Some(Scalar::Time(time))) => column.push(time),
            (Self::Timestamp(column), Some(Scalar::Timestamp(timestamp))) => column.push(timestamp),
            (Self::Json(column), Some(Scalar::Json(json))) => column.push(Json(json.into_owned())),
            (column, _) => column.push_absent(),
        }
    }

    fn push_absent(&mut self) {
        match self {
            Self::Boolean(column) => column.push_absent(),
            Self::Int64(column) => column.push_absent(),
            Self::Float64(column) => column.push_absent(),
            Self::Decimal(column) => column.push_absent(),
            Self::Text(column) => column.push_absent(),
            Self::Bytes(column) => column.push_absent(),
            Self::Date(column) => column.push_absent(),
            Self::Time(column) => column.push_absent(),
            Self::Timestamp(column) => column.push_absent(),
            Self::Json(column) => column.push_absent(),
        }
    }

    pub fn finish(self) -> Column {
        match self {
            Self::Boolean(column) => column.finish(),
            Self::Int64(column) => column.finish(),
            Self::Float64(column) => column.finish(),
            Self::Decimal(column) => column.finish(),
            Self::Text(column) => column.finish(),
            Self::Bytes(column) => column.finish(),
            Self::Date(column) => column.finish(),
            Self::Time(column) => column.finish(),
            Self::Timestamp(column) => column.finish(),
            Self::Json(column) => column.finish(),
        }
    }
}

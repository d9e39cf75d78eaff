//! How the values of a made column come about.

use azenha_sdk::{DataType, Field, Json, Rejection};

use crate::config::PartName;
use crate::scalar::Scalar;

/// A made column.
pub struct Maker {
    pub field: Field,
    pub recipe: Recipe,
}

/// Where its values come from. Columns are meant by their index among those that are read.
pub enum Recipe {
    Cast(usize),
    Constant(Scalar<'static>),
    Concatenate(Vec<Piece>),
    DatePart(usize, PartName),
    Length(usize),
}

/// A part of a concatenation.
pub enum Piece {
    Text(String),
    Column(usize),
}

const MICROS_PER_SECOND: i64 = 1_000_000;

impl Maker {
    /// The value for `row`; none if it is absent.
    pub fn make<'a>(&self, columns: &[Vec<Option<Scalar<'a>>>], row: usize) -> Result<Option<Scalar<'a>>, Rejection> {
        let value_of = |column: usize| columns[column][row].as_ref();
        Ok(match &self.recipe {
            Recipe::Cast(column) => value_of(*column).map(|value| self.cast(value)).transpose()?,
            Recipe::Constant(value) => Some(value.clone()),
            Recipe::Concatenate(pieces) => {
                let pieces = pieces.iter().map(|piece| match piece {
                    Piece::Text(text) => Some(text.clone()),
                    Piece::Column(column) => value_of(*column).map(Scalar::to_string),
                });
                pieces.collect::<Option<String>>().map(|text| Scalar::Text(text.into()))
            }
            Recipe::DatePart(column, part) => value_of(*column).and_then(|value| date_part(value, *part)),
            Recipe::Length(column) => value_of(*column).and_then(length),
        })
    }

    fn cast(&self, value: &Scalar<'_>) -> Result<Scalar<'static>, Rejection> {
        cast(value, self.field.data_type).ok_or_else(|| {
            let reason = format!("`{value}` is not {}", self.field.data_type);
            Rejection::of_part(&self.field.name, reason)
        })
    }
}

/// A value is cast by way of its text, which is exact: what the text does not say in the other type is refused.
fn cast(value: &Scalar<'_>, data_type: DataType) -> Option<Scalar<'static>> {
    match (value, data_type) {
        (Scalar::Timestamp(timestamp), DataType::Date) => Some(Scalar::Date(timestamp.date())),
        (Scalar::Timestamp(timestamp), DataType::Time) => Some(Scalar::Time(timestamp.time())),
        (Scalar::Date(date), DataType::Timestamp) => Scalar::parse(&format!("{date}T00:00:00Z"), data_type),
        _ => Scalar::parse(&value.to_string(), data_type),
    }
}

/// Whether values of one type may be values of the other.
pub fn can_cast(from: DataType, to: DataType) -> bool {
    use DataType::{Bytes, Date, Decimal, Float64, Int64, Json, Text, Time, Timestamp};
    match (from, to) {
        (Bytes, _) | (_, Bytes) => false,
        (_, Text) | (Text, _) => true,
        (Int64 | Float64 | Decimal(_), Int64 | Float64 | Decimal(_) | Json) => true,
        (Timestamp, Date | Time) | (Date, Timestamp) => true,
        _ => from == to,
    }
}

fn date_part(value: &Scalar<'_>, part: PartName) -> Option<Scalar<'static>> {
    let (date, time) = match value {
        Scalar::Date(date) => (Some(*date), None),
        Scalar::Time(time) => (None, Some(*time)),
        Scalar::Timestamp(timestamp) => (Some(timestamp.date()), Some(timestamp.time())),
        _ => return None,
    };
    let seconds = || time.map(|time| time.0 / MICROS_PER_SECOND);
    let number = match part {
        PartName::Year => i64::from(date?.year_month_day().0),
        PartName::Month => i64::from(date?.year_month_day().1),
        PartName::Day => i64::from(date?.year_month_day().2),
        // 1970-01-01 was a Thursday.
        PartName::Weekday => i64::from((date?.0 + 3).rem_euclid(7)) + 1,
        PartName::Hour => seconds()? / 3600,
        PartName::Minute => seconds()? / 60 % 60,
        PartName::Second => seconds()? % 60,
    };
    Some(Scalar::Int64(number))
}

/// How many items a list has; none if it is no list.
fn length(value: &Scalar<'_>) -> Option<Scalar<'static>> {
    let Scalar::Json(json) = value else { return None };
    let items = Json::<&str>(json).items().ok()?;
    Some(Scalar::Int64(items.len() as i64))
}

/// Whether values of this type have this part.
pub fn has_part(data_type: DataType, part: PartName) -> bool {
    let of_day = matches!(part, PartName::Hour | PartName::Minute | PartName::Second);
    match data_type {
        DataType::Timestamp => true,
        DataType::Date => !of_day,
        DataType::Time => of_day,
        _ => false,
    }
}

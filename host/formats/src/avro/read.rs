//! Following the steps: from the bytes of a record to the ends of columns.

use super::cursor::{Cursor, Fault};
use super::json::{push_uuid, push_value};
use super::plan::{Plan, Read, Step};
use super::schema::{AvroSchema, Type};
use super::skip::skip;
use crate::civil;
use crate::column::{ColumnBuilder, SHORT, Strings, Values};
use crate::decimal;
use crate::json::is_json;

/// Why a record gave no row, and the column whose value is wrong, if it is one's.
pub(super) type Refused = (Option<usize>, Box<Fault>);

/// Reads records of one schema.
pub(super) struct Reader<'a> {
    pub plan: &'a Plan,
    pub columns: &'a mut [(usize, ColumnBuilder)],
    /// Whether each text is checked to be UTF-8. It is faster to check those of a batch together.
    pub checks_text: bool,
    /// Holds what is written before it is appended.
    pub scratch: &'a mut String,
}

impl Reader<'_> {
    /// Appends the row of the datum that begins at the cursor. If it is refused, some columns may have grown.
    #[inline]
    pub fn record(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Refused> {
        let plan = self.plan;
        self.follow(&plan.steps, cursor)?;
        cursor.end().map_err(|fault| (None, fault))
    }

    fn follow(&mut self, steps: &[Step], cursor: &mut Cursor<'_>) -> Result<(), Refused> {
        for step in steps {
            match step {
                Step::Read(column, read) => {
                    self.value(*column, *read, cursor).map_err(|fault| (Some(*column), fault))?;
                }
                Step::Skip(id) => match &self.plan.schema.types[*id] {
                    // Without a call for what most fields are.
                    Type::Text => cursor.bytes().map(drop),
                    _ => skip(&self.plan.schema, *id, cursor, 0),
                }
                .map_err(|fault| (None, fault))?,
                Step::Null(column) => self.null(*column).map_err(|fault| (Some(*column), fault))?,
                Step::Choose(branches) => {
                    let branch = cursor.branch(branches.len()).map_err(|fault| (None, fault))?;
                    match &branches[branch] {
                        Ok(steps) => self.follow(steps, cursor)?,
                        Err(reason) => return Err((None, Fault::Unreadable(reason.clone()).into())),
                    }
                }
                Step::Again(readings) => {
                    let start = cursor.at;
                    for steps in readings {
                        cursor.at = start;
                        self.follow(steps, cursor)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn null(&mut self, column: usize) -> Result<(), Box<Fault>> {
        let (_, column) = &mut self.columns[column];
        if !column.field.nullable {
            return Err(Fault::Null.into());
        }
        column.append_null();
        Ok(())
    }

    #[inline]
    fn value(&mut self, column: usize, read: Read, cursor: &mut Cursor<'_>) -> Result<(), Box<Fault>> {
        let (_, column) = &mut self.columns[column];
        match &mut column.values {
            Values::Text(strings) if read == Read::Text && !self.checks_text => append_next(strings, cursor)?,
            Values::Text(strings) | Values::Json(strings) => {
                append_text(strings, read, cursor, &self.plan.schema, self.scratch)?;
            }
            Values::Bytes(strings) => match read {
                Read::Bytes => append_next(strings, cursor)?,
                Read::Fixed(size) => append(strings, cursor.take(size)?)?,
                _ => return Err(other_plan()),
            },
            Values::Boolean(bits) => bits.append(cursor.boolean()?),
            Values::Int64(values) => values.push(whole(read, cursor)?),
            Values::Float64(values) => values.push(float(read, cursor)?),
            Values::Decimal(values, _) => values.push(decimal(read, cursor)?),
            Values::Date(values) => values.push(date(cursor)?),
            Values::Time(values) => values.push(time(read, cursor)?),
            Values::Timestamp(values, _) => values.push(timestamp(read, cursor)?),
        }
        column.nulls.append_non_null();
        Ok(())
    }
}

/// A plan is made for the columns that it is used with, so this is never seen.
#[cold]
fn other_plan() -> Box<Fault> {
    Fault::Unreadable("was planned for other columns".to_owned()).into()
}

#[inline]
fn append(strings: &mut Strings, bytes: &[u8]) -> Result<(), Box<Fault>> {
    if !strings.has_room(bytes.len()) {
        return Err(Fault::TooMuchText.into());
    }
    strings.push(bytes);
    Ok(())
}

/// Appends the bytes at the cursor. Most fields are strings: a call for each would take a fifth of the time.
#[inline(always)]
fn append_next(strings: &mut Strings, cursor: &mut Cursor<'_>) -> Result<(), Box<Fault>> {
    let bytes = cursor.bytes()?;
    match cursor.since(bytes.len()).first_chunk() {
        Some(chunk) if bytes.len() <= SHORT && strings.has_room(SHORT) => strings.push_short(chunk, bytes.len()),
        _ => append(strings, bytes)?,
    }
    Ok(())
}

/// Appends a value as text that is UTF-8.
fn append_text(
    strings: &mut Strings,
    read: Read,
    cursor: &mut Cursor<'_>,
    schema: &AvroSchema,
    scratch: &mut String,
) -> Result<(), Box<Fault>> {
    scratch.clear();
    let text = match read {
        Read::Text => cursor.text()?,
        Read::JsonText => json_text(cursor)?,
        Read::Symbol(id) => match &schema.types[id] {
            Type::Enum(symbols) => cursor.symbol(symbols)?,
            _ => return Err(other_plan()),
        },
        Read::Uuid => {
            push_uuid(scratch, cursor.chunk()?);
            scratch
        }
        Read::Json(id) => {
            push_value(schema, id, cursor, scratch)?;
            scratch
        }
        _ => return Err(other_plan()),
    };
    append(strings, text.as_bytes())
}

fn json_text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Box<Fault>> {
    let text = cursor.text()?;
    if is_json(text) { Ok(text) } else { Err(Fault::NotJson.into()) }
}

#[inline]
fn whole(read: Read, cursor: &mut Cursor<'_>) -> Result<i64, Box<Fault>> {
    match read {
        Read::Long => cursor.long(),
        Read::Int => cursor.int().map(i64::from),
        _ => Err(other_plan()),
    }
}

#[inline]
fn float(read: Read, cursor: &mut Cursor<'_>) -> Result<f64, Box<Fault>> {
    let value = match read {
        Read::Double => f64::from_le_bytes(cursor.chunk()?),
        Read::Float => f64::from(f32::from_le_bytes(cursor.chunk()?)),
        Read::IntToFloat => f64::from(cursor.int()?),
        Read::LongToFloat => cursor.long()? as f64,
        _ => return Err(other_plan()),
    };
    // There is one NaN, so that the same rows give the same bytes.
    Ok(if value.is_nan() { f64::NAN } else { value })
}

fn decimal(read: Read, cursor: &mut Cursor<'_>) -> Result<i128, Box<Fault>> {
    let (value, factor) = match read {
        Read::IntToDecimal(factor) => (i128::from(cursor.int()?), factor),
        Read::LongToDecimal(factor) => (i128::from(cursor.long()?), factor),
        Read::Decimal { size, factor } => (unscaled(size, cursor)?, factor),
        _ => return Err(other_plan()),
    };
    let value = value.checked_mul(factor).filter(|value| value.unsigned_abs() <= decimal::MAX_DECIMAL.unsigned_abs());
    value.ok_or_else(|| Fault::Range("38 digits").into())
}

/// A whole number in two's complement, the highest byte first.
pub(super) fn unscaled(size: Option<usize>, cursor: &mut Cursor<'_>) -> Result<i128, Box<Fault>> {
    let bytes = match size {
        Some(size) => cursor.take(size)?,
        None => cursor.bytes()?,
    };
    decimal::unscaled(bytes).ok_or_else(|| Fault::Range("38 digits").into())
}

pub(super) fn date(cursor: &mut Cursor<'_>) -> Result<i32, Box<Fault>> {
    let days = cursor.int()?;
    let exists = civil::TIMESTAMPS.contains(&(i64::from(days) * civil::DAY));
    if exists { Ok(days) } else { Err(Fault::Range("the years 1 to 9999").into()) }
}

pub(super) fn time(read: Read, cursor: &mut Cursor<'_>) -> Result<i64, Box<Fault>> {
    let micros = match read {
        Read::TimeMillis => i64::from(cursor.int()?) * 1000,
        Read::TimeMicros => cursor.long()?,
        _ => return Err(other_plan()),
    };
    if (0..civil::DAY).contains(&micros) { Ok(micros) } else { Err(Fault::Range("a day").into()) }
}

#[inline]
pub(super) fn timestamp(read: Read, cursor: &mut Cursor<'_>) -> Result<i64, Box<Fault>> {
    let micros = match read {
        Read::Timestamp(unit) => cursor.long()?.checked_mul(unit),
        Read::TimestampNanos => Some(cursor.long()?.div_euclid(1000)),
        Read::Iso => return civil::parse_timestamp(cursor.text()?).ok_or_else(|| Fault::NotIso.into()),
        _ => return Err(other_plan()),
    };
    micros.filter(|micros| civil::TIMESTAMPS.contains(micros)).ok_or_else(|| Fault::Range("the years 1 to 9999").into())
}

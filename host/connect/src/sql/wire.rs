//! Columns in PostgreSQL's binary format, which arrays and `COPY` share: each value after its length
//! (<https://www.postgresql.org/docs/current/sql-copy.html>, and the types' receive functions).

use azenha_formats::civil;
use azenha_model::DataType;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use sqlx::{Encode, Postgres, Type};

use super::session::Failure;
use crate::store::cells::{Cells, Values};

/// PostgreSQL counts from 2000-01-01: in days, and in microseconds.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH: i64 = EPOCH_DAYS as i64 * civil::DAY;
/// The version of the format of `jsonb`.
const JSONB_VERSION: u8 = 1;
/// `numeric` has four decimal digits in each of its own.
const NUMERIC_BASE: u128 = 10_000;
const NEGATIVE: u16 = 0x4000;

/// The types of a value and of an array of them, from `pg_type.dat`: these never change.
fn oids(data_type: DataType) -> (u32, u32) {
    match data_type {
        DataType::Boolean => (16, 1000),
        DataType::Int64 => (20, 1016),
        DataType::Float64 => (701, 1022),
        DataType::Decimal { .. } => (1700, 1231),
        DataType::Text => (25, 1009),
        DataType::Bytes => (17, 1001),
        DataType::Date => (1082, 1182),
        DataType::Time => (1083, 1183),
        DataType::Timestamp => (1184, 1185),
        DataType::Json => (3802, 3807),
    }
}

/// A column as a parameter of an array type.
pub(super) struct ArrayParameter {
    oid: u32,
    bytes: Vec<u8>,
}

impl ArrayParameter {
    pub fn new(cells: &Cells<'_>, rows: usize) -> Result<Self, Failure> {
        let (element, oid) = oids(cells.field.data_type);
        let mut bytes = Vec::with_capacity(20 + 16 * rows);
        // Dimensions, whether nulls may occur, the type of the elements, their number, the first index.
        for number in [1, 1, element, rows as u32, 1] {
            bytes.extend(number.to_be_bytes());
        }
        for row in 0..rows {
            write(cells, row, &mut bytes)?;
        }
        Ok(Self { oid, bytes })
    }
}

impl Type<Postgres> for ArrayParameter {
    fn type_info() -> PgTypeInfo {
        // Each value says its own.
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for ArrayParameter {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.oid)))
    }
}

/// Rows as `COPY … (FORMAT binary)` reads them.
pub(super) fn copied(columns: &[Cells<'_>], rows: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::with_capacity(32 + rows * (2 + 16 * columns.len()));
    bytes.extend_from_slice(b"PGCOPY\n\xff\r\n\0");
    // No flags, no extension of the header.
    bytes.extend([0; 8]);
    for row in 0..rows {
        bytes.extend((columns.len() as i16).to_be_bytes());
        for cells in columns {
            write(cells, row, &mut bytes)?;
        }
    }
    bytes.extend((-1_i16).to_be_bytes());
    Ok(bytes)
}

/// Appends a value after its length; null is a length of -1.
fn write(cells: &Cells<'_>, row: usize, bytes: &mut Vec<u8>) -> Result<(), Failure> {
    if cells.is_null(row) {
        bytes.extend((-1_i32).to_be_bytes());
        return Ok(());
    }
    match cells.values {
        Values::Boolean(array) => sized(bytes, &[u8::from(array.value(row))]),
        Values::Int64(array) => sized(bytes, &array.value(row).to_be_bytes()),
        Values::Float64(array) => sized(bytes, &array.value(row).to_be_bytes()),
        Values::Decimal(array) => numeric(bytes, array.value(row), array.scale() as u32),
        Values::Text(array) => sized(bytes, array.value(row).as_bytes()),
        Values::Bytes(array) => sized(bytes, array.value(row)),
        Values::Json(array) => {
            let text = array.value(row).as_bytes();
            bytes.extend((1 + text.len() as i32).to_be_bytes());
            bytes.push(JSONB_VERSION);
            bytes.extend_from_slice(text);
        }
        Values::Date(array) => sized(bytes, &(cells.checked_date(array.value(row))? - EPOCH_DAYS).to_be_bytes()),
        Values::Time(array) => sized(bytes, &cells.checked_time(array.value(row))?.to_be_bytes()),
        Values::Timestamp(array) => sized(bytes, &(cells.checked_timestamp(array.value(row))? - EPOCH).to_be_bytes()),
    }
    Ok(())
}

fn sized(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend((value.len() as i32).to_be_bytes());
    bytes.extend_from_slice(value);
}

/// Digits of base 10,000, the decimal point between two of them: those before it and those after it are made apart.
fn numeric(bytes: &mut Vec<u8>, value: i128, scale: u32) {
    let one = 10_u128.pow(scale);
    let (mut whole, mut fraction) = (value.unsigned_abs() / one, value.unsigned_abs() % one);
    // From the last to the first: 38 decimal digits on one side of the point, or on both.
    let mut digits = [0_u16; 11];
    let mut count = 0;
    let mut push = |digit: u128| {
        digits[count] = digit as u16;
        count += 1;
    };
    let decimals = scale % 4;
    if decimals > 0 {
        let unit = 10_u128.pow(decimals);
        push((fraction % unit) * (NUMERIC_BASE / unit));
        fraction /= unit;
    }
    for _ in 0..scale / 4 {
        push(fraction % NUMERIC_BASE);
        fraction /= NUMERIC_BASE;
    }
    let mut weight = -1_i16;
    while whole > 0 {
        push(whole % NUMERIC_BASE);
        whole /= NUMERIC_BASE;
        weight += 1;
    }
    bytes.extend((8 + 2 * count as i32).to_be_bytes());
    let sign = if value < 0 { NEGATIVE } else { 0 };
    for part in [count as u16, weight as u16, sign, scale as u16] {
        bytes.extend(part.to_be_bytes());
    }
    for digit in digits[..count].iter().rev() {
        bytes.extend(digit.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(value: i128, scale: u32) -> Vec<i16> {
        let mut bytes = Vec::new();
        numeric(&mut bytes, value, scale);
        assert_eq!(bytes.len() as i32, 4 + i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        bytes[4..].chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn decimals_have_digits_of_base_ten_thousand_around_the_point() {
        assert_eq!(parts(0, 0), [0, -1, 0, 0]);
        assert_eq!(parts(-5, 2), [1, -1, 0x4000, 2, 500]);
        assert_eq!(parts(1_234_567_890, 5), [4, 1, 0, 5, 1, 2345, 6789, 0]);
        assert_eq!(parts(10_000, 0), [2, 1, 0, 0, 1, 0]);
        assert_eq!(parts(1, 38), [10, -1, 0, 38, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100]);
        assert_eq!(parts(10_i128.pow(38) - 1, 38)[4..], [9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9900]);
    }
}

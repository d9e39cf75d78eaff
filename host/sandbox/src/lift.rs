//! The contract to Arrow. Whatever a plugin returns may be wrong or hostile, so everything is checked here,
//! once, before an array is made of it; buffers are taken over, not copied.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use azenha_model::types::DECIMAL_PRECISION;
use azenha_model::{DataType, Field};

use crate::bindings::data::{ColumnResult, StringsResult, ValuesResult};
use crate::error::Failure;

/// Microseconds of a day: a time is below.
const DAY: i64 = 86_400_000_000;

/// The columns of a plugin's output that declared `fields`, each with `rows` rows. `whole` names the output
/// in messages.
pub fn columns<'a>(
    whole: &str,
    fields: impl ExactSizeIterator<Item = &'a Field>,
    rows: usize,
    columns: Vec<ColumnResult>,
) -> Result<Vec<ArrayRef>, Failure> {
    if columns.len() != fields.len() {
        let (given, planned) = (columns.len(), fields.len());
        return Err(Failure::contract(format!("{whole} has {given} made columns, but the plan says {planned}")));
    }
    let lift = |(field, given): (&Field, ColumnResult)| {
        column(field, rows, given)
            .map_err(|wrong| Failure::contract(format!("column `{}` of {whole} {wrong}", field.name)))
    };
    fields.zip(columns).map(lift).collect()
}

/// Accumulators, one for each of `count`.
pub fn accumulators(whole: &str, count: usize, given: StringsResult) -> Result<BinaryArray, Failure> {
    offsets(given.offsets, count, given.bytes.len())
        .and_then(|offsets| BinaryArray::try_new(offsets, given.bytes.into(), None).map_err(|error| error.to_string()))
        .map_err(|wrong| Failure::contract(format!("{whole} {wrong}")))
}

/// An array, or what is wrong in words that follow "column `x`".
fn column(field: &Field, rows: usize, column: ColumnResult) -> Result<ArrayRef, String> {
    let nulls = validity(column.validity, rows)?;
    if !field.nullable
        && let Some(nulls) = &nulls
    {
        let row = nulls.iter().position(|present| !present).unwrap_or_default();
        return Err(format!("has no value at row {row}, but it is not nullable"));
    }
    Ok(match (field.data_type, column.values) {
        (DataType::Boolean, ValuesResult::Booleans(bytes)) => {
            Arc::new(BooleanArray::new(bits("values", bytes, rows)?, nulls))
        }
        (DataType::Int64, ValuesResult::Int64s(values)) => Arc::new(primitive::<Int64Type>(values, rows, nulls)?),
        (DataType::Float64, ValuesResult::Float64s(values)) => Arc::new(primitive::<Float64Type>(values, rows, nulls)?),
        (DataType::Decimal { scale }, ValuesResult::Decimals(words)) => Arc::new(decimals(&words, scale, rows, nulls)?),
        (DataType::Text, ValuesResult::Texts(values)) => Arc::new(texts(values, rows, nulls)?),
        (DataType::Bytes, ValuesResult::Binaries(values)) => {
            let offsets = offsets(values.offsets, rows, values.bytes.len())?;
            Arc::new(BinaryArray::try_new(offsets, values.bytes.into(), nulls).map_err(|error| error.to_string())?)
        }
        (DataType::Date, ValuesResult::Dates(values)) => Arc::new(primitive::<Date32Type>(values, rows, nulls)?),
        (DataType::Time, ValuesResult::Times(values)) => Arc::new(times(values, rows, nulls)?),
        (DataType::Timestamp, ValuesResult::Timestamps(values)) => {
            Arc::new(primitive::<TimestampMicrosecondType>(values, rows, nulls)?.with_timezone("UTC"))
        }
        (DataType::Json, ValuesResult::Jsons(values)) => Arc::new(jsons(values, rows, nulls)?),
        (declared, given) => return Err(format!("is declared as {declared}, but it holds {}", kind(&given))),
    })
}

fn kind(values: &ValuesResult) -> &'static str {
    match values {
        ValuesResult::Booleans(_) => "booleans",
        ValuesResult::Int64s(_) => "int64s",
        ValuesResult::Float64s(_) => "float64s",
        ValuesResult::Decimals(_) => "decimals",
        ValuesResult::Texts(_) => "texts",
        ValuesResult::Binaries(_) => "binaries",
        ValuesResult::Dates(_) => "dates",
        ValuesResult::Times(_) => "times",
        ValuesResult::Timestamps(_) => "timestamps",
        ValuesResult::Jsons(_) => "jsons",
    }
}

fn bits(what: &str, bytes: Vec<u8>, rows: usize) -> Result<BooleanBuffer, String> {
    if bytes.len() != rows.div_ceil(8) {
        let (given, due) = (bytes.len(), rows.div_ceil(8));
        return Err(format!("has {given} bytes of {what}, but {rows} rows need {due}"));
    }
    Ok(BooleanBuffer::new(Buffer::from_vec(bytes), 0, rows))
}

/// `None` if every value is present.
fn validity(bytes: Option<Vec<u8>>, rows: usize) -> Result<Option<NullBuffer>, String> {
    let Some(bytes) = bytes else { return Ok(None) };
    let nulls = NullBuffer::new(bits("validity", bytes, rows)?);
    Ok(Some(nulls).filter(|nulls| nulls.null_count() > 0))
}

fn length(given: usize, rows: usize) -> Result<(), String> {
    if given != rows {
        return Err(format!("has {given} values, but there are {rows} rows"));
    }
    Ok(())
}

fn primitive<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Result<PrimitiveArray<T>, String> {
    length(values.len(), rows)?;
    PrimitiveArray::try_new(ScalarBuffer::from(values), nulls).map_err(|error| error.to_string())
}

/// The first row whose value is present and does not pass.
fn first_wrong(rows: usize, nulls: Option<&NullBuffer>, passes: impl Fn(usize) -> bool) -> Option<usize> {
    (0..rows).find(|row| nulls.is_none_or(|nulls| nulls.is_valid(*row)) && !passes(*row))
}

fn times(
    values: Vec<i64>,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Result<PrimitiveArray<Time64MicrosecondType>, String> {
    let array = primitive::<Time64MicrosecondType>(values, rows, nulls)?;
    let passes = |row| (0..DAY).contains(&array.values()[row]);
    if let Some(row) = first_wrong(rows, array.nulls(), passes) {
        let time = array.values()[row];
        return Err(format!("has {time} at row {row}, which is no time of day in microseconds"));
    }
    Ok(array)
}

fn decimals(
    words: &[u64],
    scale: u8,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Result<PrimitiveArray<Decimal128Type>, String> {
    if words.len() != rows * 2 {
        return Err(format!("has {} words, but {rows} decimals need {}", words.len(), rows * 2));
    }
    let whole = |pair: &[u64]| (u128::from(pair[1]) << 64 | u128::from(pair[0])) as i128;
    let values: Vec<i128> = words.chunks_exact(2).map(whole).collect();
    let limit = 10_u128.pow(u32::from(DECIMAL_PRECISION));
    if let Some(row) = first_wrong(rows, nulls.as_ref(), |row| values[row].unsigned_abs() < limit) {
        return Err(format!("has a decimal of more than {DECIMAL_PRECISION} digits at row {row}"));
    }
    let array = primitive::<Decimal128Type>(values, rows, nulls)?;
    array.with_precision_and_scale(DECIMAL_PRECISION, scale as i8).map_err(|error| error.to_string())
}

/// Offsets that are one more than `rows`, start at zero or later, never decrease and stay within `bytes`.
fn offsets(offsets: Vec<i32>, rows: usize, bytes: usize) -> Result<OffsetBuffer<i32>, String> {
    if offsets.len() != rows + 1 {
        return Err(format!("has {} offsets, but {rows} rows need {}", offsets.len(), rows + 1));
    }
    // Without branches, so that the usual case costs next to nothing.
    let rising = offsets.windows(2).fold(true, |rising, pair| rising & (pair[0] <= pair[1]));
    if !rising {
        let row = offsets.windows(2).position(|pair| pair[0] > pair[1]).unwrap_or_default();
        return Err(format!("has offsets that run backwards at row {row}: {} to {}", offsets[row], offsets[row + 1]));
    }
    let (first, last) = (offsets[0], offsets[rows]);
    if first < 0 {
        return Err(format!("has offsets that start at {first}, before its bytes"));
    }
    if last as usize > bytes {
        return Err(format!("has offsets that end at {last}, but there are {bytes} bytes"));
    }
    Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
}

fn texts(values: StringsResult, rows: usize, nulls: Option<NullBuffer>) -> Result<StringArray, String> {
    let offsets = offsets(values.offsets, rows, values.bytes.len())?;
    let bytes = Buffer::from_vec(values.bytes);
    if let Ok(array) = StringArray::try_new(offsets.clone(), bytes.clone(), nulls.clone()) {
        return Ok(array);
    }
    let value = |row: usize| std::str::from_utf8(&bytes[offsets[row] as usize..offsets[row + 1] as usize]);
    if let Some(row) = first_wrong(rows, nulls.as_ref(), |row| value(row).is_ok()) {
        return Err(format!("is not UTF-8 at row {row}"));
    }
    // Only what stands at absent rows is wrong, and that is ignored.
    let present = |row: &usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row));
    Ok((0..rows).map(|row| Some(row).filter(present).and_then(|row| value(row).ok())).collect())
}

/// A document that is not one value could forge the members that follow it in a written record.
fn jsons(values: StringsResult, rows: usize, nulls: Option<NullBuffer>) -> Result<StringArray, String> {
    let array = texts(values, rows, nulls)?;
    let passes = |row| serde_json::from_str::<serde::de::IgnoredAny>(array.value(row)).is_ok();
    match first_wrong(rows, array.nulls(), passes) {
        Some(row) => Err(format!("is not one JSON value at row {row}")),
        None => Ok(array),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;

    use super::*;

    fn strings(offsets: &[i32], bytes: &[u8]) -> StringsResult {
        StringsResult { offsets: offsets.to_vec(), bytes: bytes.to_vec() }
    }

    fn lift(field: &Field, rows: usize, values: ValuesResult, validity: Option<Vec<u8>>) -> Result<ArrayRef, String> {
        columns("output `main`", [field].into_iter(), rows, vec![ColumnResult { values, validity }])
            .map(|mut columns| columns.remove(0))
            .map_err(|failure| failure.message)
    }

    fn wrong(kind: DataType, rows: usize, values: ValuesResult, validity: Option<Vec<u8>>) -> String {
        lift(&Field::new("x", kind, true), rows, values, validity).expect_err("the contract is broken")
    }

    #[test]
    fn every_type_becomes_the_array_that_the_model_says() {
        let columns = [
            (DataType::Boolean, ValuesResult::Booleans(vec![0b10])),
            (DataType::Int64, ValuesResult::Int64s(vec![1, 2])),
            (DataType::Float64, ValuesResult::Float64s(vec![0.5, f64::NAN])),
            (DataType::Decimal { scale: 2 }, ValuesResult::Decimals(vec![1, 0, u64::MAX, u64::MAX])),
            (DataType::Text, ValuesResult::Texts(strings(&[0, 1, 3], "aé".as_bytes()))),
            (DataType::Bytes, ValuesResult::Binaries(strings(&[0, 1, 1], b"\xff"))),
            (DataType::Date, ValuesResult::Dates(vec![0, -1])),
            (DataType::Time, ValuesResult::Times(vec![0, DAY - 1])),
            (DataType::Timestamp, ValuesResult::Timestamps(vec![i64::MIN, i64::MAX])),
            (DataType::Json, ValuesResult::Jsons(strings(&[0, 4, 6], b"null[]"))),
        ];
        for (kind, values) in columns {
            for nullable in [false, true] {
                let array = lift(&Field::new("x", kind, nullable), 2, values.clone(), None).expect("it is right");
                assert_eq!(array.data_type(), &kind.arrow());
                assert_eq!((array.len(), array.null_count()), (2, 0));
            }
        }
    }

    #[test]
    fn a_wrong_length_is_refused_for_every_type() {
        for values in [
            ValuesResult::Booleans(vec![0, 0]),
            ValuesResult::Int64s(vec![1]),
            ValuesResult::Float64s(vec![1.0; 4]),
            ValuesResult::Decimals(vec![1; 3]),
            ValuesResult::Texts(strings(&[0, 0, 0], b"")),
            ValuesResult::Binaries(strings(&[], b"")),
            ValuesResult::Dates(vec![1; 4]),
            ValuesResult::Times(vec![]),
            ValuesResult::Timestamps(vec![1; 2]),
            ValuesResult::Jsons(strings(&[0, 0, 0, 0, 0], b"")),
        ] {
            let declared = match &values {
                ValuesResult::Booleans(_) => DataType::Boolean,
                ValuesResult::Int64s(_) => DataType::Int64,
                ValuesResult::Float64s(_) => DataType::Float64,
                ValuesResult::Decimals(_) => DataType::Decimal { scale: 0 },
                ValuesResult::Texts(_) => DataType::Text,
                ValuesResult::Binaries(_) => DataType::Bytes,
                ValuesResult::Dates(_) => DataType::Date,
                ValuesResult::Times(_) => DataType::Time,
                ValuesResult::Timestamps(_) => DataType::Timestamp,
                ValuesResult::Jsons(_) => DataType::Json,
            };
            let message = wrong(declared, 3, values, None);
            assert!(message.starts_with("column `x` of output `main` has "), "{message}");
            assert!(message.contains('3'), "{message}");
        }
    }

    #[test]
    fn values_of_another_type_are_refused() {
        let message = wrong(DataType::Text, 1, ValuesResult::Jsons(strings(&[0, 0], b"")), None);
        assert_eq!(message, "column `x` of output `main` is declared as text, but it holds jsons");
    }

    #[test]
    fn offsets_backwards_or_out_of_range_are_refused() {
        let text = |offsets: &[i32]| wrong(DataType::Text, 2, ValuesResult::Texts(strings(offsets, b"abc")), None);
        assert!(text(&[0, 3, 1]).contains("run backwards at row 1: 3 to 1"));
        assert!(text(&[-1, 0, 1]).contains("start at -1"));
        assert!(text(&[0, 1, 4]).contains("end at 4, but there are 3 bytes"));
        assert!(text(&[0, 1, i32::MAX]).contains("but there are 3 bytes"));
        assert!(text(&[i32::MIN, i32::MIN, i32::MIN]).contains("before its bytes"));
        let failure = accumulators("what `merge` returned", 1, strings(&[2, 1], b"abc")).expect_err("backwards");
        assert!(failure.message.starts_with("what `merge` returned has offsets"), "{}", failure.message);
    }

    #[test]
    fn invalid_utf8_is_refused_with_its_row() {
        let values = || ValuesResult::Texts(strings(&[0, 1, 2], b"a\xff"));
        assert!(wrong(DataType::Text, 2, values(), None).ends_with("is not UTF-8 at row 1"));
        // Together the bytes are UTF-8, but a row ends in the middle of a character.
        let split = ValuesResult::Texts(strings(&[0, 1, 2], "é".as_bytes()));
        assert!(wrong(DataType::Text, 2, split, None).ends_with("is not UTF-8 at row 0"));
        assert!(wrong(DataType::Json, 1, ValuesResult::Jsons(strings(&[0, 1], b"\xff")), None).contains("UTF-8"));
    }

    #[test]
    fn what_stands_at_an_absent_row_is_ignored() {
        let field = |kind| Field::new("x", kind, true);
        let first_only = || Some(vec![0b01]);
        let bytes = || strings(&[0, 1, 2], b"1\xff");
        let text = lift(&field(DataType::Text), 2, ValuesResult::Texts(bytes()), first_only()).expect("text");
        assert_eq!(text.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("1"), None]);
        lift(&field(DataType::Json), 2, ValuesResult::Jsons(bytes()), first_only()).expect("json");
        lift(&field(DataType::Time), 2, ValuesResult::Times(vec![0, -1]), first_only()).expect("time");
        let words = ValuesResult::Decimals(vec![0, 0, u64::MAX, i64::MAX as u64]);
        lift(&field(DataType::Decimal { scale: 0 }), 2, words, first_only()).expect("decimal");
    }

    #[test]
    fn an_absent_value_in_a_column_that_is_not_nullable_is_refused() {
        let field = Field::new("x", DataType::Int64, false);
        let lift = |validity| lift(&field, 2, ValuesResult::Int64s(vec![1, 2]), Some(vec![validity]));
        assert!(lift(0b01).expect_err("absent").ends_with("has no value at row 1, but it is not nullable"));
        assert!(lift(0b11).is_ok());
    }

    #[test]
    fn validity_of_the_wrong_length_is_refused() {
        let values = || ValuesResult::Int64s(vec![0; 9]);
        assert!(
            wrong(DataType::Int64, 9, values(), Some(vec![0xff])).contains("1 bytes of validity, but 9 rows need 2")
        );
        assert!(wrong(DataType::Int64, 9, values(), Some(vec![0xff; 3])).contains("3 bytes of validity"));
    }

    #[test]
    fn values_outside_their_types_range_are_refused() {
        let words = |value: i128| ValuesResult::Decimals(vec![value as u64, (value >> 64) as u64]);
        let limit = 10_i128.pow(38);
        let scale = DataType::Decimal { scale: 38 };
        for value in [limit, -limit, i128::MAX, i128::MIN] {
            assert!(wrong(scale, 1, words(value), None).ends_with("more than 38 digits at row 0"));
        }
        for value in [limit - 1, 1 - limit] {
            let array = lift(&Field::new("x", scale, false), 1, words(value), None).expect("38 digits");
            assert_eq!(array.as_primitive::<Decimal128Type>().value(0), value);
        }
        assert!(wrong(DataType::Time, 1, ValuesResult::Times(vec![DAY]), None).contains("no time of day"));
    }

    #[test]
    fn json_that_is_not_one_value_is_refused() {
        for document in ["", "{", "1,\"admin\":true", "nul", "1 2"] {
            let values = ValuesResult::Jsons(strings(&[0, document.len() as i32], document.as_bytes()));
            assert!(wrong(DataType::Json, 1, values, None).ends_with("is not one JSON value at row 0"));
        }
    }

    #[test]
    fn a_missing_or_surplus_column_is_refused() {
        let field = Field::new("x", DataType::Int64, true);
        let failure = columns("output `main`", [&field].into_iter(), 0, vec![]).expect_err("a column is missing");
        assert_eq!(failure.message, "output `main` has 0 made columns, but the plan says 1");
    }
}

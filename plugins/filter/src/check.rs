//! Conditions, checked against the columns, and how they are evaluated: a column at a time.

use std::borrow::Borrow;
use std::cmp::Ordering;

use azenha_sdk::{Batch, DataType, Date, Decimal, Field, Problem, Time, Timestamp, Value, missing, read_decimal};
use serde_json::Value as Json;

use crate::condition::{Condition, Test};

/// A condition whose columns are found and whose operands have their columns' types.
pub enum Checked {
    All(Vec<Checked>),
    Any(Vec<Checked>),
    Not(Box<Checked>),
    /// A test of the column at this index of the batch.
    Column(usize, Check),
}

/// What a value is compared with. Each variant stands for the types of column that are stored alike.
pub enum Check {
    Present(bool),
    Boolean(Comparison<bool>),
    Int64(Comparison<i64>),
    Float64(Comparison<f64>),
    Decimal(Comparison<Decimal<0>>),
    Text(TextCheck),
    Date(Comparison<Date>),
    Time(Comparison<Time>),
    Timestamp(Comparison<Timestamp>),
}

/// Tests of values that have an order.
pub enum Comparison<T> {
    In(Vec<T>),
    IsNot(T),
    Ordered(fn(Ordering) -> bool, T),
}

/// Tests of text.
pub enum TextCheck {
    Compared(Comparison<String>),
    Contains(String),
    StartsWith(String),
    EndsWith(String),
}

impl Checked {
    /// Finds the columns and reads the operands; what is wrong is added to `problems`, with its place.
    pub fn new(
        condition: &Condition,
        path: &str,
        input: &[Field],
        reads: &mut Vec<u32>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut each = |name: &str, conditions: &[Condition]| {
            let checked = conditions.iter().enumerate();
            checked
                .map(|(index, part)| Self::new(part, &format!("{path}/{name}/{index}"), input, reads, problems))
                .collect()
        };
        match condition {
            Condition::All { all } => Self::All(each("all", all)),
            Condition::Any { any } => Self::Any(each("any", any)),
            Condition::Not { not } => {
                Self::Not(Box::new(Self::new(not, &format!("{path}/not"), input, reads, problems)))
            }
            Condition::Column { column, test } => {
                let Some(index) = input.iter().position(|field| field.name == *column) else {
                    problems.push(Problem::at(format!("{path}/column"), missing(column, input)));
                    return Self::All(Vec::new());
                };
                let check = Check::new(test, &input[index]).unwrap_or_else(|message| {
                    problems.push(Problem { input: Some(index as u32), ..Problem::at(path, message) });
                    Check::Present(true)
                });
                Self::Column(slot_of(index as u32, reads), check)
            }
        }
    }

    /// Whether the condition holds, for each row.
    pub fn of_batch(&self, batch: &Batch) -> Result<Vec<bool>, String> {
        let rows = batch.rows as usize;
        let fold = |parts: &[Checked], start: bool, join: fn(bool, bool) -> bool| {
            parts.iter().try_fold(vec![start; rows], |so_far, part| {
                Ok(so_far.into_iter().zip(part.of_batch(batch)?).map(|(left, right)| join(left, right)).collect())
            })
        };
        match self {
            Self::All(parts) => fold(parts, true, |left, right| left && right),
            Self::Any(parts) => fold(parts, false, |left, right| left || right),
            Self::Not(part) => Ok(part.of_batch(batch)?.into_iter().map(|holds| !holds).collect()),
            Self::Column(column, check) => check.of_column(batch, *column),
        }
    }
}

/// The place of an input column among those that are read; it is read once, however often it is tested.
fn slot_of(index: u32, reads: &mut Vec<u32>) -> usize {
    reads.iter().position(|read| *read == index).unwrap_or_else(|| {
        reads.push(index);
        reads.len() - 1
    })
}

impl Check {
    fn new(test: &Test, field: &Field) -> Result<Self, String> {
        if let Test::Present(present) | Test::Absent(present) = test {
            return Ok(Self::Present(*present == matches!(test, Test::Present(_))));
        }
        match field.data_type {
            DataType::Boolean => comparison(test, field, Json::as_bool).map(Self::Boolean),
            DataType::Int64 => comparison(test, field, Json::as_i64).map(Self::Int64),
            DataType::Float64 => comparison(test, field, Json::as_f64).map(Self::Float64),
            DataType::Decimal(scale) => {
                let read = |operand: &Json| {
                    let written = operand.as_str().map_or_else(|| operand.to_string(), str::to_owned);
                    read_decimal(&written, scale).map(Decimal)
                };
                comparison(test, field, read).map(Self::Decimal)
            }
            DataType::Text => text_check(test, field).map(Self::Text),
            DataType::Date => comparison(test, field, |day| day.as_str()?.parse().ok()).map(Self::Date),
            DataType::Time => comparison(test, field, |time| time.as_str()?.parse().ok()).map(Self::Time),
            DataType::Timestamp => comparison(test, field, |time| time.as_str()?.parse().ok()).map(Self::Timestamp),
            DataType::Bytes | DataType::Json => {
                Err(format!("column `{}` is {}: it can only be `present` or `absent`", field.name, field.data_type))
            }
        }
    }

    fn of_column(&self, batch: &Batch, column: usize) -> Result<Vec<bool>, String> {
        match self {
            Self::Present(present) => {
                let validity = batch.validity(column)?;
                Ok((0..batch.rows as usize).map(|row| validity.is_present(row) == *present).collect())
            }
            Self::Boolean(comparison) => comparison.of_column(batch, column),
            Self::Int64(comparison) => comparison.of_column(batch, column),
            Self::Float64(comparison) => comparison.of_column(batch, column),
            Self::Decimal(comparison) => comparison.of_column(batch, column),
            Self::Date(comparison) => comparison.of_column(batch, column),
            Self::Time(comparison) => comparison.of_column(batch, column),
            Self::Timestamp(comparison) => comparison.of_column(batch, column),
            Self::Text(check) => {
                let texts = batch.column::<&str>(column)?;
                Ok(texts.iter().map(|text| check.holds(text)).collect())
            }
        }
    }
}

impl<T: PartialOrd> Comparison<T> {
    fn of_column<'a>(&self, batch: &'a Batch, column: usize) -> Result<Vec<bool>, String>
    where
        T: Value<'a>,
    {
        Ok(batch.column::<T>(column)?.iter().map(|value| self.holds(value.as_ref())).collect())
    }

    fn holds<V: PartialOrd + ?Sized>(&self, value: Option<&V>) -> bool
    where
        T: Borrow<V>,
    {
        match (self, value) {
            (Self::IsNot(operand), value) => value.is_none_or(|value| value != operand.borrow()),
            (_, None) => false,
            (Self::In(operands), Some(value)) => operands.iter().any(|operand| value == operand.borrow()),
            (Self::Ordered(accepts, operand), Some(value)) => value.partial_cmp(operand.borrow()).is_some_and(accepts),
        }
    }
}

impl TextCheck {
    fn holds(&self, text: Option<&str>) -> bool {
        match self {
            Self::Compared(comparison) => comparison.holds(text),
            Self::Contains(part) => text.is_some_and(|text| text.contains(part)),
            Self::StartsWith(part) => text.is_some_and(|text| text.starts_with(part)),
            Self::EndsWith(part) => text.is_some_and(|text| text.ends_with(part)),
        }
    }
}

fn text_check(test: &Test, field: &Field) -> Result<TextCheck, String> {
    Ok(match test {
        Test::Contains(part) => TextCheck::Contains(part.clone()),
        Test::StartsWith(part) => TextCheck::StartsWith(part.clone()),
        Test::EndsWith(part) => TextCheck::EndsWith(part.clone()),
        _ => TextCheck::Compared(comparison(test, field, |operand| operand.as_str().map(str::to_owned))?),
    })
}

/// The test with operands of the column's type.
fn comparison<T>(test: &Test, field: &Field, read: impl Fn(&Json) -> Option<T>) -> Result<Comparison<T>, String> {
    let operand = |written: &Json| {
        read(written)
            .ok_or_else(|| format!("column `{}` is {}, but it is compared with {written}", field.name, field.data_type))
    };
    let ordered = |accepts: fn(Ordering) -> bool, written| Ok(Comparison::Ordered(accepts, operand(written)?));
    match test {
        Test::Is(written) => Ok(Comparison::In(vec![operand(written)?])),
        Test::In(written) => written.iter().map(operand).collect::<Result<_, _>>().map(Comparison::In),
        Test::IsNot(written) => operand(written).map(Comparison::IsNot),
        Test::Above(written) => ordered(Ordering::is_gt, written),
        Test::Below(written) => ordered(Ordering::is_lt, written),
        Test::AtLeast(written) => ordered(Ordering::is_ge, written),
        Test::AtMost(written) => ordered(Ordering::is_le, written),
        Test::Contains(_) | Test::StartsWith(_) | Test::EndsWith(_) => {
            Err(format!("column `{}` is {}, but only text can be searched for a part", field.name, field.data_type))
        }
        Test::Present(_) | Test::Absent(_) => Err("presence needs no operand".to_owned()),
    }
}

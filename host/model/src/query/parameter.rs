//! What a request may say, and within which bounds.

use super::Value;
use crate::types::DataType;

/// A parameter of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name, in the statement and in requests.
    pub name: String,
    /// What its values are.
    pub data_type: DataType,
    /// What stands for a value that a request does not give.
    pub if_absent: IfAbsent,
    /// The least value, as the file writes it.
    pub least: Option<String>,
    /// The greatest value, as the file writes it.
    pub most: Option<String>,
    /// Characters that a text has at most.
    pub max_length: usize,
}

/// What stands for a value that a request does not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfAbsent {
    /// The request has to give one.
    Required,
    /// None: null in the statement.
    Null,
    /// This, as the file writes it: a time may be relative to the request's.
    Text(String),
}

impl Parameter {
    /// Characters of a text, where the file does not say.
    pub const MAX_LENGTH: usize = 1_000;

    /// Reads and checks a value; `now` is the present in microseconds since 1970.
    ///
    /// # Errors
    /// What would be right.
    pub fn read(&self, text: &str, now: i64) -> Result<Value, String> {
        let value = Value::read(self.data_type, text, now)?;
        if let Value::Text(text) = &value
            && text.chars().count() > self.max_length
        {
            return Err(format!("write at most {} characters", self.max_length));
        }
        let beyond = |bound: &Option<String>, is_beyond: fn(&Value, &Value) -> bool| {
            let bound = bound.as_ref()?;
            // That the file's own bounds can be read was checked with the file.
            Value::read(self.data_type, bound, now).ok().filter(|read| is_beyond(&value, read)).map(|_| bound.clone())
        };
        if let Some(least) = beyond(&self.least, less) {
            return Err(format!("write at least {least}"));
        }
        if let Some(most) = beyond(&self.most, |value, bound| less(bound, value)) {
            return Err(format!("write at most {most}"));
        }
        Ok(value)
    }

    /// Whether values of this type have an order that bounds can go by.
    pub fn has_bounds(data_type: DataType) -> bool {
        matches!(data_type, DataType::Int64 | DataType::Float64 | DataType::Date | DataType::Timestamp)
    }
}

/// Whether one value of a type is less than another.
fn less(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Int64(left), Value::Int64(right)) => left < right,
        (Value::Float64(left), Value::Float64(right)) => left < right,
        (Value::Date(left), Value::Date(right)) => left < right,
        (Value::Timestamp(left), Value::Timestamp(right)) => left < right,
        _ => false,
    }
}

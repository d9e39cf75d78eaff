//! Why a record is refused, in words: which field, what it is, what it should be.

use azenha_model::plan::TimeFormat;
use azenha_model::{DataType, Field};

use super::scan::{Fault, Kind, MAX_DEPTH};

/// Why a value does not fit its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Null or absent, though the column has no nulls.
    Absent,
    /// A value of another kind.
    Kind,
    /// A string of the right kind that says something else.
    Form,
    /// A value that the column's type has no room for.
    Range,
}

/// What a column takes.
pub(crate) struct Wanted<'a> {
    pub field: &'a Field,
    /// Its type, as the pipeline file writes it.
    pub schema: String,
    /// What the type is read from.
    pub needs: &'static str,
}

impl<'a> Wanted<'a> {
    pub fn of_json(field: &'a Field, format: TimeFormat) -> Self {
        Self { field, schema: schema(field.data_type, format), needs: needs(field.data_type, format) }
    }
}

/// Characters of a value that a message shows.
const SHOWN: usize = 60;

/// Bytes that are not UTF-8 from `at` on.
pub(crate) fn not_utf8(at: usize) -> String {
    format!("not UTF-8 at byte {at}")
}

/// A record that has another form than the wanted fields need; `path` names the members of slots.
pub(crate) fn of_fault(
    fault: Fault,
    at: usize,
    record: &str,
    path: impl Fn(usize) -> String,
) -> (Option<String>, String) {
    match fault {
        Fault::Expected(expected) => {
            (None, format!("not JSON at byte {at}: expected {expected}, found {}", found(record, at)))
        }
        Fault::TooDeep => {
            (None, format!("nested too deeply at byte {at}: at most {MAX_DEPTH} arrays and objects may be open"))
        }
        Fault::RecordNotAnObject(kind) => {
            (None, format!("the record is {}, but needs to be an object", kind_name(kind)))
        }
        Fault::Duplicate(slot) => of_field(path(slot), "stands twice in its object"),
        Fault::NotAnObject(slot, kind) => {
            of_field(path(slot), &format!("is {}, but the schema says an object", kind_name(kind)))
        }
    }
}

/// A value, the text `raw`, that does not fit its column.
pub(crate) fn of_misfit(
    misfit: Misfit,
    wanted: &Wanted<'_>,
    path: &str,
    kind: Kind,
    raw: &str,
) -> (Option<String>, String) {
    let Wanted { field, schema, needs } = wanted;
    let what = match misfit {
        Misfit::Absent if kind == Kind::Missing => "is missing".to_owned(),
        Misfit::Absent => "is null, but not nullable".to_owned(),
        Misfit::Kind => format!("is {}, but the schema says {schema}: {needs}", kind_name(kind)),
        Misfit::Form => format!("is {}, but the schema says {schema}: {needs}", value(kind, raw, field.pii)),
        Misfit::Range => {
            format!("is {}, which does not fit in {schema}{}", value(kind, raw, field.pii), limits(field.data_type))
        }
    };
    of_field(path.to_owned(), &what)
}

pub(crate) fn of_field(path: String, what: &str) -> (Option<String>, String) {
    let reason = format!("field `{path}` {what}");
    (Some(path), reason)
}

fn found(record: &str, at: usize) -> String {
    match record.get(at..).and_then(|rest| rest.chars().next()) {
        Some(character) if character.is_control() => format!("`{}`", character.escape_default()),
        Some(character) => format!("`{character}`"),
        None => "the end".to_owned(),
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Missing => "missing",
        Kind::Null => "null",
        Kind::True | Kind::False => "a boolean",
        Kind::Integer | Kind::Number => "a number",
        Kind::Text | Kind::EscapedText => "a string",
        Kind::Array => "an array",
        Kind::Object => "an object",
    }
}

/// A number or string as the record has it; personal data is not shown.
fn value(kind: Kind, raw: &str, pii: bool) -> String {
    let noun = if matches!(kind, Kind::Integer | Kind::Number) { "number" } else { "string" };
    match raw.char_indices().nth(SHOWN) {
        _ if pii => format!("the {noun} ***"),
        Some((end, _)) => format!("the {noun} {}…", &raw[..end]),
        None => format!("the {noun} {raw}"),
    }
}

/// The type as schemas write it.
pub(crate) fn schema(data_type: DataType, format: TimeFormat) -> String {
    match (data_type, format) {
        (DataType::Timestamp, TimeFormat::Seconds) => "timestamp(s)".to_owned(),
        (DataType::Timestamp, TimeFormat::Millis) => "timestamp(ms)".to_owned(),
        (DataType::Timestamp, TimeFormat::Micros) => "timestamp(us)".to_owned(),
        (DataType::Timestamp, TimeFormat::Nanos) => "timestamp(ns)".to_owned(),
        (DataType::Timestamp, TimeFormat::Iso) => "timestamp(iso)".to_owned(),
        _ => data_type.to_string(),
    }
}

fn needs(data_type: DataType, format: TimeFormat) -> &'static str {
    match (data_type, format) {
        (DataType::Boolean, _) => "true or false",
        (DataType::Int64, _) => "a whole number",
        (DataType::Float64, _) => "a number",
        (DataType::Decimal { .. }, _) => "a number, or one in a string",
        (DataType::Text, _) => "a string",
        (DataType::Bytes, _) => "a string of base64",
        (DataType::Date, _) => "a string such as \"2024-01-31\"",
        (DataType::Time, _) => "a string such as \"23:59:59\"",
        (DataType::Timestamp, TimeFormat::Seconds) => "a number of seconds",
        (DataType::Timestamp, TimeFormat::Millis) => "a number of milliseconds",
        (DataType::Timestamp, TimeFormat::Micros) => "a number of microseconds",
        (DataType::Timestamp, TimeFormat::Nanos) => "a number of nanoseconds",
        (DataType::Timestamp, TimeFormat::Iso) => "a string such as \"2024-01-31T23:59:59Z\"",
        (DataType::Json, _) => "any value but null",
    }
}

/// What a type has room for, where its name does not say it.
fn limits(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Int64 => " (whole numbers of 64 bits)",
        DataType::Decimal { .. } => " (at most 38 digits, and as many after the point as it says)",
        DataType::Timestamp => " (whole numbers, in the years 1 to 9999)",
        _ => "",
    }
}

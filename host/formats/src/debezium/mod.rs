//! Change streams that Debezium writes: what became of the rows of a database's tables, to typed columns.
//!
//! A record is an *envelope*: `op` says what happened, `before` and `after` hold the row, `source` says where the
//! change stands in the database's log. In JSON it may have a schema beside it (`{"schema": …, "payload": …}`), which
//! is told record by record. Avro is read as the JSON that it stands for.
//!
//! | column | is read from |
//! |---|---|
//! | boolean | `true`, `false`, 1, 0 |
//! | int64 | a whole number; base64 of an unscaled number, if a schema says that it is one without digits after the point |
//! | float64 | a number; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | decimal(s) | a number; a string, which is base64 of the unscaled number or a number as text, as the schema or the source says; `{"scale": …, "value": …}` |
//! | text | a string |
//! | bytes | a string of base64 |
//! | date | a number of days; `"2024-01-31"`, perhaps with a `Z` |
//! | time | a number in the unit that the schema or the column says; `"23:59:59.5"`, perhaps with a `Z` |
//! | timestamp | a number in the unit that the schema or the column says; ISO 8601 text |
//! | json | a string that holds JSON; any other value but `null`, as it stands |
//!
//! Where a schema says that a value is something else than its column (a date for a timestamp), the record is refused.

mod avro;
mod embedded;
mod json;
mod meaning;
mod position;
mod reader;
mod rows;
mod unavailable;
mod value;

pub(crate) use avro::{DebeziumAvroDecoder, unreadable};
pub(crate) use json::DebeziumDecoder;

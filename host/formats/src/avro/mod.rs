//! Avro records to typed columns, and back: straight from the bytes into the columns, by steps that are made once for
//! each schema that records were written with.
//!
//! | column | is read from | is written as |
//! |---|---|---|
//! | boolean | boolean | the same |
//! | int64 | int, long; the number that a date, time or timestamp is | long |
//! | float64 | int, long, float, double | double |
//! | decimal(s) | decimal with at most s digits after the point, int, long | decimal(38, s) as bytes |
//! | text | string, bytes of UTF-8, enum, uuid | string |
//! | bytes | bytes, string, fixed | bytes |
//! | date | date, int | date |
//! | time | time-millis, time-micros | time-micros |
//! | timestamp | timestamp-* and local-timestamp-* of every unit; long in the unit of the column; string for `timestamp(iso)` | timestamp-micros |
//! | json | a string that holds JSON; any other type, as JSON | string |
//!
//! Fields are found by their names. A union is read by the branch that a record has; null needs a nullable column. A
//! nullable column whose field is not there is null; without a field, a column that is not nullable cannot be read.
//! A local timestamp is taken as UTC.

mod cursor;
mod decode;
mod encode;
mod json;
mod pick;
mod plan;
mod read;
mod schema;
mod skip;

pub use decode::AvroDecoder;
pub use encode::{AvroEncoder, avro_schema};
pub(crate) use json::push_datum;
pub(crate) use pick::{Pick, Picked};
pub use plan::Unreadable;
pub use schema::{AvroSchema, BadSchema, incompatibility};

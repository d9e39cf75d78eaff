//! JSON records (RFC 8259) to typed columns, and back.
//!
//! | type | is read from | is written as |
//! |---|---|---|
//! | boolean | `true`, `false` | the same |
//! | int64 | a number whose value is whole, so `1.0` and `1e3` too | digits |
//! | float64 | a number, rounded to the nearest | the shortest that reads back; NaN and the infinities, for which JSON has no number, as `null` |
//! | decimal(s) | a number, or one in a string; exact | a string, because most readers would round a number |
//! | text | a string | a string |
//! | bytes | a string of base64 (standard alphabet, padded) | the same |
//! | date, time | `"2024-01-31"`, `"23:59:59.5"` | the same |
//! | timestamp | a whole number of seconds, milliseconds, microseconds or nanoseconds, or ISO 8601 text | the same, rounded down |
//! | json | any value but `null` | the same, character by character |
//!
//! The whole record is checked, but only the fields that somebody reads are decoded. A field that is absent or
//! `null` is a null.

mod column;
mod decode;
mod encode;
mod locate;
mod number;
mod reason;
mod scan;
mod text;

pub use crate::decoded::{Decoded, Refused};
pub(crate) use column::{float, instant, string, timestamp, whole};
pub use decode::JsonDecoder;
pub(crate) use decode::{Texts, Tombstones};
pub use encode::{JsonEncoder, row_json};
pub(crate) use encode::{ObjectEncoder, push_decimal, push_float, push_integer, quoted};
pub(crate) use locate::Locator;
pub(crate) use number::scaled;
pub(crate) use reason::{Misfit, Wanted, not_utf8, of_fault, of_field, of_misfit, schema};
pub(crate) use scan::{Kind, MAX_DEPTH, is_json, is_number};
pub(crate) use text::push_quoted;

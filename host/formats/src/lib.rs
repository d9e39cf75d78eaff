//! Records as bytes to typed columns, and back. Everything here is pure: bytes and arrays in, arrays and
//! reasons out.

#![warn(missing_docs)]

pub mod avro;
mod codec;
mod column;
mod debezium;
mod decimal;
mod decoded;
pub mod json;
mod json_schema;
pub mod objects;
mod wire;

pub use azenha_model::civil;
pub use codec::{Decoder, Encoder, registered_schema, unreadable};
pub use decoded::{ChangeKind, ChangePosition, Changes, Decoded, Refused};
pub use wire::RegisteredSchema;

//! Records as bytes to typed columns, and back. Everything here is pure: bytes and arrays in, arrays and
//! reasons out.

#![warn(missing_docs)]

pub mod civil;
pub mod json;

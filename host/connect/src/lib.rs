//! The concrete logs and stores behind the engine's traits: the embedded log, and SQL tables. Each client
//! library is named in one module only.

#![warn(missing_docs)]

pub mod embedded;

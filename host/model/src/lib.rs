//! What Azenha talks about: column types, records, pipeline files, the host's configuration, and the plan
//! of what runs. Everything here is pure: no I/O, no clock, no randomness.

pub mod access;
mod capability;
pub mod civil;
pub mod config;
pub mod connection;
pub mod dead_letter;
pub mod diagnostic;
mod format;
pub mod http;
pub mod kafka;
mod names;
pub mod pipeline;
pub mod plan;
pub mod plugin;
pub mod query;
mod records;
pub mod registry;
pub mod relation;
pub mod schedule;
pub mod template;
pub mod topic;
pub mod types;
mod units;
mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use records::{Fetched, Offset, Records};
pub use types::{DataType, Field, Schema};
pub use units::parse_duration;
pub use yaml::{Environment, Place, Spanned, with_variables};

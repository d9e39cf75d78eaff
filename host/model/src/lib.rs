//! What Azenha talks about: column types, records, pipeline files, the host's configuration, and the plan
//! of what runs. Everything here is pure: no I/O, no clock, no randomness.

pub mod config;
pub mod diagnostic;
mod names;
pub mod pipeline;
pub mod plan;
pub mod plugin;
pub mod records;
pub mod types;
mod units;
mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use records::{Fetched, Offset, Records};
pub use types::{DataType, Field, Schema};
pub use yaml::{Environment, Place, Spanned};

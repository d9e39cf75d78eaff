//! What the end-to-end tests share: a directory for each test, the `azenha` binary run as a user runs it,
//! and SQL for looking at what came out.

mod clicks;
mod host;
mod http;
mod sql;

pub use clicks::{Click, clicks_of, recount, shuffled, write_ndjson};
pub use host::{Azenha, Finished, Running, repository};
pub use http::{Answer, get, post};
pub use sql::{Counts, Database};

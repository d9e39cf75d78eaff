//! What the benchmarks share: the clickstream with its plugins, clicks and customers' events to feed, and what a process
//! takes.

mod clicks;
mod clickstream;
mod customers;
mod process;

pub use clicks::Clicks;
pub use clickstream::Clickstream;
pub use customers::CustomerLoad;
pub use process::{cpu_seconds, peak_memory};

use std::path::{Path, PathBuf};

/// The folder of the whole project.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

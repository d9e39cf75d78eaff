//! What the benchmarks share: the clickstream with its plugins, and clicks to feed it.

mod clicks;
mod clickstream;

pub use clicks::Clicks;
pub use clickstream::Clickstream;

use std::path::{Path, PathBuf};

/// The folder of the whole project.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

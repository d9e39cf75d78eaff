//! Plugins as files on disk: where they are found, how they are built, begun and tested.

pub mod build;
pub mod cases;
pub mod find;
pub mod scaffold;
mod toolchain;

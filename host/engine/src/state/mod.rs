//! The state of a stateful lane: groups in memory, and the blocks of the changelog that they are restored from.

mod changelog;
mod groups;

pub use changelog::{Restored, StateHeader, StateLog, header_of, restore, whole};
pub use groups::{GroupTable, Slot};

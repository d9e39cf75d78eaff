//! Plugins at work: what the engine does around each call into the sandbox.

mod halving;
mod stage;

pub use halving::{BadPlugin, Guard, Part, Usage, in_parts};
pub use stage::FusedStage;

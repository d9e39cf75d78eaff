//! The engine: it runs a plan's tasks as lanes over a log and stores.

mod aggregation;
pub mod clock;
mod dead_letter;
pub mod difference;
pub mod edition;
mod end;
mod engine;
mod error;
mod exchange;
pub mod failpoint;
mod group;
mod lane;
pub mod log;
pub mod objects;
pub mod partition;
mod pipeline;
mod plugin;
mod relation;
pub mod replay;
mod rows;
pub mod schemas;
pub mod shadow;
pub mod spool;
mod state;
pub mod status;
pub mod store;
mod tap;
mod task;
mod watermark;
mod window;
mod wire;
mod worker;

pub use engine::Engine;
pub use error::EngineError;
pub use pipeline::{Drained, Pipeline};
pub use task::{EngineOptions, Program};

//! The engine: it runs a plan's tasks as lanes over a log and stores.

mod aggregation;
pub mod clock;
mod dead_letter;
mod end;
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
mod rows;
pub mod schemas;
mod state;
pub mod status;
pub mod store;
mod tap;
mod task;
mod watermark;
mod window;
mod wire;
mod worker;

pub use error::EngineError;
pub use pipeline::{Drained, Engine, Pipeline};
pub use task::{EngineOptions, Program};

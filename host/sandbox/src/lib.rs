//! Runs plugins, and nothing else in the host knows how: compiles WebAssembly, bounds what it may take, and
//! turns Arrow arrays into the plugin's columns and back.
//!
//! A [`Sandbox`] loads a [`Plugin`]; a plugin is opened as a [`Transform`], an [`Aggregate`] or an
//! [`Assemble`], each with an instance of its own. A call that fails gives a [`Failure`] for the plugin's author and throws its
//! instance away; no output of a plugin is believed before it was checked.
#![warn(missing_docs)]

mod aggregate;
mod assemble;
#[allow(missing_docs)]
mod bindings;
mod checks;
mod error;
mod explain;
mod finished;
mod inspect;
mod instance;
mod lift;
mod limits;
mod lower;
mod plugin;
mod sandbox;
mod state;
mod transform;
mod words;

pub use aggregate::Aggregate;
pub use assemble::{Assemble, Grouped};
pub use error::{Failure, FailureKind, LoadError, LoadReason, OpenError, SandboxError};
pub use finished::Finished;
pub use limits::Limits;
pub use plugin::Plugin;
pub use sandbox::Sandbox;
pub use transform::{Emitted, Transform, TransformOutput};

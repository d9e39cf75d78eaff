//! Dead letters after they were written: found, shown, put back or discarded, and made into bundles that replay what was
//! decided on any machine.

pub mod bundle;
mod components;
mod decisions;
mod desk;
mod index;
mod name;
mod pack;
mod put_back;
pub mod replay;
mod reveal;
mod shelf;
mod tail;
mod warn;

pub use components::keep;
pub use decisions::Decision;
pub use desk::{Desk, DeskError, Found};
pub use index::Filter;
pub use pack::PackError;
pub use put_back::NotPutBack;
pub use warn::warn;

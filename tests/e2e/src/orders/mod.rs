//! The orders system: a shop's tables, changes to them, the change streams that Debezium makes of them, and the documents
//! that must come of it.

mod change;
mod changes;
mod documents;
mod kept;
mod live;
mod overlap;
mod recording;
mod recount;
mod shop;
mod tables;

pub use change::Change;
pub use changes::{Changes, Transaction};
pub use documents::Views;
pub use kept::Kept;
pub use live::{Live, Size, Strike};
pub use overlap::change_across_snapshot;
pub use recording::{TABLES, record, recorded};
pub use recount::recount;
pub use shop::Shop;
pub use tables::{Line, Tables};

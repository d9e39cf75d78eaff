//! What the author of an Azenha plugin depends on.
//!
//! A plugin is a pure function over typed columns. Four traits:
//!
//! - [`Transform`]: a row in; a row, none, or several out.
//! - [`Aggregate`]: rows folded into a state for each group.
//! - [`Assemble`]: the rows that tables hold of a key, made into one row.
//! - [`ColumnTransform`]: whole columns in, whole columns out.
//!
//! ```
//! use azenha_sdk::{NoConfig, Problem, Rejection, Row, Transform};
//!
//! #[derive(Row)]
//! struct Order<'a> {
//!     customer: Option<&'a str>,
//!     #[row(name = "amountCents")]
//!     amount_cents: i64,
//! }
//!
//! #[derive(Row)]
//! struct Priced<'a> {
//!     customer: &'a str,
//!     amount: f64,
//! }
//!
//! struct Price;
//!
//! impl Transform for Price {
//!     type Config = NoConfig;
//!     type Input<'a> = Order<'a>;
//!     type Output<'a> = Priced<'a>;
//!
//!     fn open(_config: NoConfig) -> Result<Self, Problem> {
//!         Ok(Self)
//!     }
//!
//!     fn process<'a>(&self, order: Order<'a>) -> Result<Priced<'a>, Rejection> {
//!         let customer = order.customer.ok_or("order without customer")?;
//!         Ok(Priced { customer, amount: order.amount_cents as f64 / 100.0 })
//!     }
//! }
//!
//! azenha_sdk::transform!(Price);
//! ```

mod accumulator;
mod aggregate;
mod assemble;
mod data;
mod decimal;
mod export;
mod finished;
#[doc(hidden)]
pub mod guest;
mod json;
pub mod log;
mod row;
#[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
pub mod testing;
mod transform;
mod types;
mod value;

pub use accumulator::Accumulator;
pub use aggregate::{Aggregate, AggregatePlan, Folded, Folder};
pub use assemble::{Assemble, AssemblePlan, Assembler, Found, Grouped, Table, TableColumns, TableFields, Tables};
pub use azenha_sdk_derive::{Accumulator, Row, Tables};
pub use data::{Batch, Column, DataType, Field, Problem, RejectedRow, Rejection, Strings, Values};
pub use decimal::{Decimal, read_decimal, write_decimal};
pub use finished::Finished;
pub use row::{Cell, Row, RowField, missing};
pub use transform::{ByRow, ColumnTransform, Emitted, Given, Outlet, Output, Plan, Rows, Selection, Transform};
pub use types::{Date, Json, Malformed, Time, Timestamp};
pub use value::{Bits, ColumnBuilder, StringStore, Texts, Validity, Value, View};

/// The configuration of a plugin that has none.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

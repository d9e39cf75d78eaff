//! Queries that a pipeline declares and hosts answer: what may be asked, with which parameters, and what comes back.

mod parameter;
mod path;
mod request;
mod search;
mod sql;
mod value;

use std::time::Duration;

pub use parameter::{IfAbsent, Parameter};
pub use path::Path;
pub use request::{Asked, Refusal, Request};
pub use search::{Condition, Search, Test};
pub use sql::{Piece, Sql, SqlError};
pub use value::Value;

use crate::types::Field;

/// The parameter of a request that says how many rows are wanted.
pub const LIMIT: &str = "limit";
/// The parameter of a request that says where the page before ended.
pub const CURSOR: &str = "cursor";

/// A query, as the plan has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Its name in the pipeline's file.
    pub name: String,
    /// Where it is answered.
    pub path: Path,
    /// The connection that answers it.
    pub connection: String,
    /// What a request says; those of the path are among them.
    pub parameters: Vec<Parameter>,
    /// What is asked.
    pub ask: Ask,
    /// The columns of the answer, in order.
    pub columns: Vec<Field>,
    /// What rows are sorted by; a cursor goes on from there. If it is empty, there are no further pages.
    pub order: Vec<OrderBy>,
    /// How many rows an answer has.
    pub limit: RowLimit,
    /// How long the database may take.
    pub time_limit: Duration,
    /// The task of the sink whose progress says how fresh the answer is, if one is named.
    pub freshness: Option<String>,
}

/// What a query asks of its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A statement: one `SELECT`.
    Sql(Sql),
    /// Rows of an index.
    Search(Search),
}

/// A column that rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderBy {
    /// The position among the query's columns.
    pub column: usize,
    /// Whether the greatest comes first.
    pub descending: bool,
}

/// How many rows an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowLimit {
    /// Where the request does not say.
    pub default: u32,
    /// At most.
    pub most: u32,
}

impl Query {
    /// The types of what rows are sorted by, in order.
    pub fn order_types(&self) -> impl Iterator<Item = crate::DataType> {
        self.order.iter().map(|order| self.columns[order.column].data_type)
    }
}

//! How a task ends: in topics, in the first or second half of an aggregation or a lookup, in a table, in a relation, in a
//! store, or in objects.

mod aggregate;
mod definition;
mod exchange;
mod keeper;
mod lookup;
mod objects;
mod outbox;
mod relate;
mod repartition;
mod store;
mod table;
mod topic_writer;
mod topics;

use std::sync::Arc;

pub use aggregate::AggregateEnd;
pub use definition::{Definition, Unfit};
pub use exchange::ExchangeEnd;
pub use keeper::Keeper;
pub use lookup::{LookupEnd, definition as lookup_definition};
pub use objects::{ObjectsEnd, Place as ObjectsPlace, ReplacedEnd, definition as cut_definition, folders_of};
pub use outbox::Outbox;
pub use relate::{Operation, RelateEnd};
pub use repartition::RepartitionEnd;
pub use store::{StoreBatch, StoreEnd};
pub use table::{Order, TableEnd};
pub use topic_writer::TopicWriter;
pub use topics::TopicsEnd;

use azenha_model::Offset;
use azenha_model::plan::End as EndPlan;

use crate::dead_letter::DeadLetters;
use crate::error::EngineError;
use crate::log::Append;
use crate::objects::NewObject;
use crate::plugin::Usage;
use crate::rows::{Rows, Source};
use crate::state::{GroupTable, Restored};

/// So many bytes that wait are committed before the interval is over.
pub const PENDING_BYTES: usize = 4 << 20;

/// The definition of a state whose rows others follow: a table's or a relation's.
pub fn kept_under(end: &EndPlan) -> Option<Definition> {
    match end {
        EndPlan::Table { table, feeds, outputs } => Some(table::definition(table, feeds, outputs)),
        EndPlan::Relate { relation, feeds, outputs } => Some(relate::definition(relation, feeds, outputs)),
        _ => None,
    }
}

/// What a lane has reached when it commits.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The first offset that this commit covers.
    pub from: Offset,
    /// The next offset to read.
    pub position: Offset,
    /// The highest event time read, in microseconds, or [`crate::status::NO_TIME`].
    pub event_time: i64,
    /// The watermark of the lane's own source, in microseconds, or [`crate::status::NO_TIME`].
    pub watermark: i64,
    /// The partition has been without records for a while.
    pub idle: bool,
    /// The timestamp of the last record, in microseconds: what derived records carry.
    pub timestamp: i64,
}

/// Objects that are put before a commit, whose position covers what is in them.
#[derive(Debug)]
pub struct Cut {
    /// The position until the commit.
    pub from: Offset,
    /// What the log is told before an object is put: where the cut ends, or nothing new. Whoever lost the lane ends there.
    pub fence: Append,
    /// Whether the objects must not be there; otherwise those that are there are replaced.
    pub are_new: bool,
    /// Where they go.
    pub connection: String,
    /// At least one.
    pub objects: Vec<NewObject>,
}

/// What goes out with a commit.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Records for topics, the changelog among them.
    pub appends: Vec<Append>,
    /// Rows for a store.
    pub rows: Vec<StoreBatch>,
    /// Objects.
    pub cut: Option<Cut>,
    /// The rows among both that are results: neither state nor messages nor dead letters.
    pub results: u64,
    /// After this commit the changelog is needed from here on only.
    pub purge_changelog: Option<Offset>,
}

/// The end of a lane.
pub trait End: Send {
    /// Gives what has to be committed. Called for each commit, also when no row came.
    fn commit(&mut self, moment: &Moment, dead: &mut DeadLetters) -> Result<Outgoing, EngineError>;

    /// Whether another commit is needed before any record is read: what old rows are to somebody new takes several.
    fn has_more(&self) -> bool {
        false
    }

    /// Bytes that wait for the next commit, closely; state does not count.
    fn pending_bytes(&self) -> usize;

    /// Whether so much waits that it is committed before its time.
    fn is_full(&self) -> bool {
        self.pending_bytes() >= PENDING_BYTES
    }

    /// The offset at which the next commit must be made, if an earlier owner of the lane has begun to make it.
    fn promised(&self) -> Option<Offset> {
        None
    }

    /// Gives up what it keeps, as a changelog would give it back, once everything until this moment was handed over to be
    /// committed: other code goes on with it. None: that has to be read back.
    fn hand_over(&mut self, _: &Moment) -> Option<Restored> {
        None
    }

    /// The state, if the end keeps one.
    fn state(&mut self) -> Option<State<'_>>;

    /// What calls of the end's plugin cost since this was last asked.
    fn take_usage(&mut self) -> Usage;
}

/// The state of an end.
pub struct State<'a> {
    /// The step, for messages.
    pub step: &'a str,
    /// What is kept.
    pub table: &'a GroupTable,
    /// Writes the changelog.
    pub keeper: &'a mut Keeper,
    /// By when windows close here, in microseconds, or [`crate::status::NO_TIME`].
    pub watermark: i64,
}

/// An end that takes rows.
pub trait RowEnd: End {
    /// Takes rows in.
    fn rows(&mut self, rows: &Rows, source: &Arc<Source>, dead: &mut DeadLetters) -> Result<(), EngineError>;
}

/// An end that takes messages of an exchange.
pub trait MessageEnd: End {
    /// Takes the message in that is the record with this index.
    fn message(&mut self, source: &Source, record: u32, dead: &mut DeadLetters) -> Result<(), EngineError>;
}

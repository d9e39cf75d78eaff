//! Aggregates: rows folded into accumulators, one for each group.

use serde::de::DeserializeOwned;

use crate::accumulator::Accumulator;
use crate::data::{Batch, Field, Problem, RejectedRow, Rejection, Strings};
use crate::finished::Finished;
use crate::row::{Binding, Row};
use crate::value::bit;

/// An aggregate. Export it with [`aggregate!`](crate::aggregate!).
///
/// The host makes the groups (keys and windows) and keeps the states. A group's first row meets
/// `State::default()`.
pub trait Aggregate: Sized {
    /// The step's configuration; [`NoConfig`](crate::NoConfig) if there is none.
    type Config: DeserializeOwned;
    /// The columns that are read; `()` for none.
    type Input<'a>: Row<'a>
    where
        Self: 'a;
    /// What is known of a group.
    type State: Accumulator + Default;
    /// The columns that are made of a group's state; the host adds the keys.
    type Output: for<'a> Row<'a>;

    /// The version of the states that this code writes: raise it when the encoding of `State` changes.
    const STATE_VERSION: u32 = 1;
    /// Older versions that [`migrate`](Self::migrate) can read.
    const READS_VERSIONS: &'static [u32] = &[];
    /// [`merge`](Self::merge) is there, is associative and commutative, and agrees with `fold`: the host may
    /// fold in parts. False for what depends on the order of rows: first, last, sums of floats.
    const MERGES: bool = false;
    /// [`retract`](Self::retract) is there: rows can be taken back.
    const RETRACTS: bool = false;

    /// Makes the aggregate, or says what is wrong with its configuration.
    fn open(config: Self::Config) -> Result<Self, Problem>;

    /// Folds a row into the state of its group, or refuses it and leaves the state as it was.
    fn fold<'a>(&'a self, state: &mut Self::State, row: Self::Input<'a>) -> Result<(), Rejection>;

    /// Takes a row back that was folded before.
    fn retract<'a>(&'a self, _state: &mut Self::State, _row: Self::Input<'a>) -> Result<(), Rejection> {
        Err(Rejection::new("this aggregate cannot take rows back"))
    }

    /// Merges the state `right` of the same group into `left`. An error fails the batch.
    fn merge(&self, _left: &mut Self::State, _right: Self::State) -> Result<(), String> {
        Err("this aggregate does not merge".to_owned())
    }

    /// The group's row; none: the group has no row (any more).
    fn finish(&self, state: &Self::State) -> Result<Option<Self::Output>, Rejection>;

    /// Reads a state of an older version that is named in [`READS_VERSIONS`](Self::READS_VERSIONS).
    fn migrate(&self, from_version: u32, _state: &[u8]) -> Result<Self::State, String> {
        Err(format!("states of version {from_version} cannot be read"))
    }
}

/// What an aggregate will read and give.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregatePlan {
    /// Indices of the input columns that are read.
    pub reads: Vec<u32>,
    /// The columns that are made.
    pub gives: Vec<Field>,
    /// The version of the states that are written.
    pub state_version: u32,
    /// Older versions that can be read.
    pub reads_versions: Vec<u32>,
    /// The host may fold in parts.
    pub merges: bool,
    /// Rows can be taken back.
    pub retracts: bool,
}

/// New accumulators, in the order of those that were given, and the rows that were refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// One for each that was given, in the same order.
    pub accumulators: Strings,
    /// The rows that are refused.
    pub rejected: Vec<RejectedRow>,
}

/// An [`Aggregate`] over columns and accumulators as the host has them.
pub struct Folder<A> {
    aggregate: A,
    binding: Binding,
}

impl<A: Aggregate> Folder<A> {
    /// Makes the aggregate and its plan for these input columns.
    pub fn open(config: A::Config, input: &[Field]) -> Result<(Self, AggregatePlan), Vec<Problem>> {
        let aggregate = A::open(config).map_err(|problem| vec![problem])?;
        let binding = Binding::new(&A::Input::fields(), input)?;
        let plan = AggregatePlan {
            reads: binding.reads.clone(),
            gives: A::Output::fields().into_iter().map(|made| made.field).collect(),
            state_version: A::STATE_VERSION,
            reads_versions: A::READS_VERSIONS.to_vec(),
            merges: A::MERGES,
            retracts: A::RETRACTS,
        };
        Ok((Self { aggregate, binding }, plan))
    }

    /// Folds row i into accumulator `groups[i]`; `retracted` has one bit a row, 1 where the row is taken back.
    pub fn fold(
        &self,
        batch: &Batch,
        groups: &[u32],
        retracted: Option<&[u8]>,
        accumulators: &Strings,
    ) -> Result<Folded, String> {
        let columns = A::Input::columns(batch, &self.binding.slots)?;
        let mut states = decode_all::<A::State>(accumulators)?;
        let mut rejected = Vec::new();
        for (row, group) in groups.iter().enumerate() {
            let state = states.get_mut(*group as usize).ok_or_else(|| format!("there is no group {group}"))?;
            let input = A::Input::read(&columns, row);
            let outcome = match retracted {
                Some(bits) if bit(bits, row) => self.aggregate.retract(state, input),
                _ => self.aggregate.fold(state, input),
            };
            if let Err(rejection) = outcome {
                rejected.push(rejection.at_row(row as u32));
            }
        }
        Ok(Folded { accumulators: encode_all(&states), rejected })
    }

    /// Merges accumulators pairwise.
    pub fn merge(&self, left: &Strings, right: &Strings) -> Result<Strings, String> {
        let mut merged = decode_all::<A::State>(left)?;
        let right = decode_all::<A::State>(right)?;
        if merged.len() != right.len() {
            return Err(format!("{} accumulators cannot be merged with {}", merged.len(), right.len()));
        }
        for (left, right) in merged.iter_mut().zip(right) {
            self.aggregate.merge(left, right)?;
        }
        Ok(encode_all(&merged))
    }

    /// Makes the rows of groups.
    pub fn finish(&self, accumulators: &Strings) -> Result<Finished, String> {
        let states = decode_all::<A::State>(accumulators)?;
        Ok(Finished::of::<A::Output>(states.iter().map(|state| self.aggregate.finish(state))))
    }

    /// Rewrites accumulators of an older version.
    pub fn migrate(&self, from_version: u32, accumulators: &Strings) -> Result<Strings, String> {
        let migrated: Result<Vec<_>, String> =
            each(accumulators).map(|bytes| self.aggregate.migrate(from_version, bytes)).collect();
        Ok(encode_all(&migrated?))
    }
}

/// The bytes of each accumulator.
fn each(accumulators: &Strings) -> impl Iterator<Item = &[u8]> {
    let bounds = accumulators.offsets.windows(2);
    bounds.map(|bound| &accumulators.bytes[bound[0] as usize..bound[1] as usize])
}

fn decode_all<S: Accumulator + Default>(accumulators: &Strings) -> Result<Vec<S>, String> {
    let decode = |mut bytes: &[u8]| {
        if bytes.is_empty() {
            return Ok(S::default());
        }
        let state = S::decode(&mut bytes)?;
        if bytes.is_empty() { Ok(state) } else { Err(format!("the accumulator has {} bytes too many", bytes.len())) }
    };
    each(accumulators).map(decode).collect()
}

fn encode_all<S: Accumulator>(states: &[S]) -> Strings {
    let mut strings = Strings { offsets: Vec::with_capacity(states.len() + 1), bytes: Vec::new() };
    strings.offsets.push(0);
    for state in states {
        state.encode(&mut strings.bytes);
        strings.offsets.push(strings.bytes.len() as i32);
    }
    strings
}

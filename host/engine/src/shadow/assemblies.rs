//! An assembly beside another one.

use std::sync::Mutex;

use azenha_model::Field;
use azenha_model::plugin::AssemblePlan;
use azenha_sandbox::{Assemble, Failure, Finished};

use super::answers::{Judged, halved, judge, whole};
use super::candidate::Stopwatch;
use super::results::Results;
use super::tally::Tally;
use crate::error::EngineError;
use crate::relation::Gathered;

/// A candidate that makes rows of groups' rows.
pub struct Assemblies {
    plugin: Assemble,
    /// Of the columns that the live plugin reads of each table, those that the candidate does.
    reads: Vec<Vec<usize>>,
    results: Results,
}

impl Assemblies {
    /// An opened candidate beside what runs.
    pub fn new(plugin: Assemble, key_fields: Vec<Field>, live: &AssemblePlan, tried: &AssemblePlan) -> Self {
        let of_table = |(live, tried): (&Vec<usize>, &Vec<usize>)| {
            tried.iter().filter_map(|column| live.iter().position(|read| read == column)).collect()
        };
        Self {
            plugin,
            reads: live.reads.iter().zip(&tried.reads).map(of_table).collect(),
            results: Results { key_fields, live_gives: live.gives.clone(), gives: tried.gives.clone() },
        }
    }

    /// Bytes of memory that the candidate holds.
    pub fn memory(&self) -> usize {
        self.plugin.memory()
    }

    /// Asks the candidate for the rows of the same groups, and compares.
    pub fn assemble(
        &mut self,
        input: &Gathered,
        live: Result<Finished, Failure>,
        watch: &mut Stopwatch,
        tally: &Mutex<Tally>,
    ) -> Result<Judged, EngineError> {
        let (groups, read) = (input.keys.num_rows(), input.project(&self.reads)?);
        let plugin = &mut self.plugin;
        let answer = halved(groups, |range| {
            let part = read.part(&range);
            watch.time(|| part.hand_to(plugin))
        });
        let judged = judge(live.is_ok(), &answer);
        self.results.answered(&input.keys, whole(groups, live), answer, tally)?;
        Ok(judged)
    }
}

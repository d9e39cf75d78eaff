//! Candidates that work beside steps of this host's pipelines: what would be in force if one were promoted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::control::Version;

/// A definition whose code of one step is tried.
#[derive(Debug)]
pub struct Proposal {
    /// The version beside which it was proposed.
    pub version: Version,
    /// The pipeline file.
    pub text: String,
    /// The digests of its plugins, by name.
    pub plugins: BTreeMap<String, String>,
}

/// Proposals by pipeline and step. One that was forgotten stands here until another one takes its place: whether a
/// candidate works, the engine knows.
#[derive(Debug, Default)]
pub struct Proposals(Mutex<BTreeMap<(String, String), Arc<Proposal>>>);

impl Proposals {
    /// The one beside a step.
    pub fn get(&self, pipeline: &str, step: &str) -> Option<Arc<Proposal>> {
        let proposals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        proposals.get(&(pipeline.to_owned(), step.to_owned())).cloned()
    }

    /// Notes one.
    pub fn put(&self, pipeline: &str, step: &str, proposal: Proposal) {
        let mut proposals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        proposals.insert((pipeline.to_owned(), step.to_owned()), Arc::new(proposal));
    }
}

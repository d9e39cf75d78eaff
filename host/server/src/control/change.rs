//! Changes of definitions: written to the log, and read back before whoever asked is answered.

use std::sync::Arc;

use azenha_engine::log::LogError;

use super::definition::{Definition, Definitions, FORMAT, Version};
use super::follow::Followed;
use super::library::json;
use crate::ingest::now;

/// How often a change that does not depend on a version is tried: each time, one of those that coincide is made.
pub const ATTEMPTS: u32 = 10;

/// Which version must be in force for a change to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Any: whatever is in force when the change is asked for.
    Any,
    /// This one.
    Version(Version),
    /// Whichever, but there must be one.
    Present,
    /// None: the pipeline is to be new.
    Absent,
}

impl Condition {
    /// For a change that was planned against what is in force, and fits nothing else.
    pub fn planned_for(self, in_force: Option<&Definition>) -> Self {
        match (self, in_force) {
            (Self::Any | Self::Present, Some(in_force)) => Self::Version(in_force.version()),
            (Self::Any, None) => Self::Absent,
            (as_it_is, _) => as_it_is,
        }
    }
}

/// A change that somebody asks for.
#[derive(Debug)]
pub struct Change {
    /// The pipeline's name.
    pub pipeline: String,
    /// On what it depends.
    pub condition: Condition,
    /// The name of the token that was used.
    pub by: Option<String>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such pipeline in the log.
    #[error("no definition of a pipeline `{0}` is in the log")]
    Missing(String),
    /// Another version is in force than the change is meant for.
    #[error("pipeline `{pipeline}` {}, not as the request wants it", in_force(*.version))]
    NotMet {
        /// The pipeline's name.
        pipeline: String,
        /// The version in force; none if there is no such pipeline.
        version: Option<Version>,
    },
    /// It was written by a newer version of this program, and would lose what this one does not know.
    #[error("the definition of pipeline `{0}` was written by a newer version of azenha; ask a host that runs that")]
    Newer(String),
    /// Somebody else's change was accepted first.
    #[error("another change of pipeline `{0}` was accepted first")]
    Overtaken(String),
    /// The log failed: the change was written, or was not.
    #[error(transparent)]
    Log(#[from] LogError),
}

fn in_force(version: Option<Version>) -> String {
    version.map_or("does not exist".to_owned(), |version| format!("has version {version}"))
}

impl Change {
    /// The change that defines the pipeline anew, whether or not it existed.
    fn of(&self, in_force: Option<&Definition>) -> Definition {
        let id = format!("{:032x}", fastrand::u128(..));
        let (by, at) = (self.by.clone(), now());
        match in_force {
            Some(before) => {
                let (format, replaces) = (FORMAT, before.version());
                // Code is on probation once: whoever brings other code says so anew.
                Definition { format, id, replaces, guard: None, note: None, by, at, ..before.clone() }
            }
            None => Definition {
                format: FORMAT,
                pipeline: self.pipeline.clone(),
                id,
                replaces: 0,
                text: None,
                paused: false,
                restarts: 0,
                generation: 0,
                plugins: Default::default(),
                guard: None,
                resets: Default::default(),
                recomputes: Default::default(),
                undone: Default::default(),
                distrusted: Default::default(),
                note: None,
                by,
                at,
            },
        }
    }

    /// Checks the condition.
    pub fn check(&self, in_force: Option<&Definition>) -> Result<(), ChangeError> {
        let version = in_force.filter(|before| before.text.is_some()).map(Definition::version);
        let is_met = match self.condition {
            Condition::Any => true,
            Condition::Version(wanted) => version == Some(wanted),
            Condition::Present => version.is_some(),
            Condition::Absent => version.is_none(),
        };
        if is_met { Ok(()) } else { Err(ChangeError::NotMet { pipeline: self.pipeline.clone(), version }) }
    }
}

impl Followed<Definitions> {
    /// What is in force for a pipeline now, unless it was deleted.
    pub async fn in_force(&self, pipeline: &str) -> Result<Arc<Definition>, ChangeError> {
        self.catch_up().await?;
        let found = self.look(|definitions| definitions.get(pipeline)).filter(|found| found.text.is_some());
        found.ok_or_else(|| ChangeError::Missing(pipeline.to_owned()))
    }

    /// Changes what is in force, if the condition holds: `edit` is given it, or an empty definition of a pipeline that
    /// does not exist. Gives what is in force then, which is as it was if `edit` changes nothing.
    pub async fn change(
        &self,
        change: &Change,
        edit: impl Fn(&mut Definition),
    ) -> Result<Arc<Definition>, ChangeError> {
        let mut left = if change.condition == Condition::Any { ATTEMPTS } else { 1 };
        loop {
            left -= 1;
            match self.change_once(change, &edit).await {
                Err(ChangeError::Overtaken(_)) if left > 0 => {}
                outcome => return outcome,
            }
        }
    }

    async fn change_once(
        &self,
        change: &Change,
        edit: impl Fn(&mut Definition),
    ) -> Result<Arc<Definition>, ChangeError> {
        self.catch_up().await?;
        let before = self.look(|definitions| definitions.get(&change.pipeline));
        change.check(before.as_deref())?;
        if before.as_ref().is_some_and(|before| before.format > FORMAT) {
            return Err(ChangeError::Newer(change.pipeline.clone()));
        }
        let mut definition = change.of(before.as_deref());
        edit(&mut definition);
        if let Some(before) = before.as_ref().filter(|before| before.runs_like(&definition)) {
            return Ok(Arc::clone(before));
        }
        let least_needed = self.look(|definitions| definitions.least_needed(&change.pipeline));
        self.append(&[(definition.key(), Some(json(&definition)))]).await?;
        self.catch_up().await?;
        let is_accepted = self.look(|definitions| definitions.is_accepted(&definition));
        let no_longer_kept =
            if is_accepted { least_needed.map(|version| version.key()) } else { Some(definition.key()) };
        if let Some(key) = no_longer_kept {
            self.tidy(key).await;
        }
        if is_accepted { Ok(Arc::new(definition)) } else { Err(ChangeError::Overtaken(definition.pipeline)) }
    }

    /// Lets compaction remove a record. One that stays does no harm.
    async fn tidy(&self, key: String) {
        if let Err(error) = self.append(&[(key, None)]).await {
            tracing::warn!(%error, "a definition that nobody goes back to stays in the log");
        }
    }
}

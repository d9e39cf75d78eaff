//! Why a lane or a pipeline cannot go on.

use azenha_formats::objects::ObjectError;
use azenha_sandbox::OpenError;

use crate::edition::Distrust;
use crate::log::LogError;
use crate::plugin::BadPlugin;
use crate::schemas::SchemasError;
use crate::store::StoreError;
use crate::wire::Malformed;

/// Why a pipeline did not start, or a lane of it stopped.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The log failed or refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A schema registry failed or refused.
    #[error(transparent)]
    Schemas(#[from] SchemasError),
    /// An object cannot be written.
    #[error("an object cannot be written: {0}")]
    Object(#[from] ObjectError),
    /// A plugin fails on everything.
    #[error("step `{step}`: {source}")]
    Plugin {
        /// The step.
        step: String,
        /// What the plugin did.
        source: BadPlugin,
    },
    /// A plugin could not be opened for the plan.
    #[error("step `{step}`: {source}")]
    Open {
        /// The step.
        step: String,
        /// Why.
        source: OpenError,
    },
    /// Something that the engine itself wrote cannot be read back.
    #[error("{what}: {source}")]
    Malformed {
        /// Where it stands.
        what: String,
        /// What is wrong with it.
        source: Malformed,
    },
    /// State and position do not belong together.
    #[error("{0}")]
    State(String),
    /// Columns are not what the plan says.
    #[error("columns do not fit the plan: {0}")]
    Columns(#[from] arrow_schema::ArrowError),
    /// A lane that was waited for does not go on.
    #[error("task `{task}`, partition {partition}: {reason}")]
    Lane {
        /// The task.
        task: String,
        /// The partition of its input.
        partition: u32,
        /// Why.
        reason: String,
    },
    /// The host runs an older version of the pipeline than wrote what a lane reads: it is about to run that one too.
    #[error("{0}")]
    Behind(String),
    /// A lane does not go on with new code; nothing of what that did is committed.
    #[error("version {} does not go on: {}", .0.version, .0.reason)]
    Distrusted(Distrust),
    /// The plan names something that the program does not bring, or a thread could not be started.
    #[error("{0}")]
    Setup(String),
}

impl EngineError {
    /// Whether starting the lane again from its last commit may help without anybody changing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Log(error) => error.is_passing(),
            // A lane that is still this host's is taken back; one that is not will be revoked.
            Self::Store(error) => matches!(error, StoreError::Unavailable { .. } | StoreError::Fenced { .. }),
            Self::Schemas(error) => matches!(error, SchemasError::Unavailable { .. }),
            Self::Behind(_) => true,
            _ => false,
        }
    }
}

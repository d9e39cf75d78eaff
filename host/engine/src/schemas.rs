//! Where the schemas of records are.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use azenha_formats::{RegisteredSchema, registered_schema};
use azenha_model::plan::{Format, value_subject};
use tokio::task::JoinSet;

use crate::error::EngineError;
use crate::task::Program;

/// A schema registry.
#[async_trait]
pub trait Schemas: fmt::Debug + Send + Sync {
    /// The schema with an id; none if the registry does not know it.
    ///
    /// # Errors
    /// `Unavailable` if asking again may help.
    async fn schema(&self, id: u32) -> Result<Option<Arc<RegisteredSchema>>, SchemasError>;

    /// Adds a version to a subject, if it does not have it yet, and gives the schema's id.
    ///
    /// # Errors
    /// `Unavailable` if trying again may help, `Refused` if the registry does not take the schema.
    async fn register(&self, subject: &str, schema: &RegisteredSchema) -> Result<u32, SchemasError>;
}

/// Why a registry did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemasError {
    /// It cannot be reached, or is out of order.
    #[error("the schema registry at {registry} cannot be reached: {reason}")]
    Unavailable {
        /// Its URL.
        registry: String,
        /// What happened.
        reason: String,
    },
    /// It answered that it will not.
    #[error("the schema registry at {registry} refuses: {reason}")]
    Refused {
        /// Its URL.
        registry: String,
        /// What it says.
        reason: String,
    },
    /// No registry is known, or the configuration of one is wrong.
    #[error("{0}")]
    Configuration(String),
}

/// How many schemas are fetched at once.
const AT_ONCE: usize = 16;

/// The schemas with some ids.
pub(crate) async fn fetch(
    registry: Arc<dyn Schemas>,
    ids: BTreeSet<u32>,
) -> Result<Vec<(u32, Option<Arc<RegisteredSchema>>)>, EngineError> {
    let mut fetched = Vec::with_capacity(ids.len());
    let mut ids = ids.into_iter();
    let mut fetching = JoinSet::new();
    loop {
        for id in ids.by_ref().take(AT_ONCE - fetching.len()) {
            let registry = Arc::clone(&registry);
            fetching.spawn(async move { Ok::<_, SchemasError>((id, registry.schema(id).await?)) });
        }
        match fetching.join_next().await {
            None => return Ok(fetched),
            Some(ended) => fetched.push(ended.map_err(|error| EngineError::Setup(error.to_string()))??),
        }
    }
}

/// Registers what a program writes. Gives the ids of the schemas, by topic.
pub(crate) async fn register_outputs(program: &Program) -> Result<HashMap<String, u32>, EngineError> {
    let mut ids = HashMap::new();
    for task in &program.plan.tasks {
        for output in task.end.outputs() {
            if let Format::Registered { kind, registry } = &output.format {
                let schema = registered_schema(*kind, &output.topic, &output.columns);
                let registry = program.registry(registry.as_deref())?;
                ids.insert(output.topic.clone(), registry.register(&value_subject(&output.topic), &schema).await?);
            }
        }
    }
    Ok(ids)
}

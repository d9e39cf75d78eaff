//! A registry: schemas by id, kept; subjects and their versions.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use azenha_engine::schemas::{Schemas, SchemasError};
use azenha_formats::RegisteredSchema;
use azenha_model::plan::SchemaKind;
use azenha_model::registry::RegistryConfig;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::http::Api;

/// How many schemas a schema may name, all the way down.
const MAX_REFERENCES: usize = 100;

/// A schema registry. A schema is fetched once: what has an id never changes.
#[derive(Debug)]
pub struct Registry {
    api: Api,
    /// A cell for each id that was asked for: whoever asks while another does waits for the same answer.
    schemas: std::sync::Mutex<HashMap<u32, Arc<OnceCell<Arc<RegisteredSchema>>>>>,
}

/// A schema as the API gives it.
#[derive(Debug, Deserialize)]
struct Answer {
    schema: String,
    /// Avro if it is not there.
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

/// Another schema that a schema names.
#[derive(Debug, Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: u32,
}

#[derive(Debug, Deserialize)]
struct Registered {
    id: u32,
}

#[derive(Debug, Deserialize)]
struct Compatibility {
    is_compatible: bool,
    #[serde(default)]
    messages: Vec<String>,
}

impl Registry {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// If the file of certificates cannot be read.
    pub fn new(config: &RegistryConfig) -> Result<Self, SchemasError> {
        Ok(Self { api: Api::new(config)?, schemas: std::sync::Mutex::default() })
    }

    /// The latest schema of a subject; none if it has none.
    ///
    /// # Errors
    /// `Unavailable` if asking again may help.
    pub async fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>, SchemasError> {
        let answer = self.api.call(Method::GET, &["subjects", subject, "versions", "latest"], None).await?;
        match answer {
            Some(answer) => Ok(Some(self.completed(answer).await?)),
            None => Ok(None),
        }
    }

    /// Why a subject would not take a schema as its next version; none if it would, or has it already.
    ///
    /// # Errors
    /// `Unavailable` if asking again may help.
    pub async fn incompatibility(
        &self,
        subject: &str,
        schema: &RegisteredSchema,
    ) -> Result<Option<Vec<String>>, SchemasError> {
        let body = body(schema);
        let known: Option<Registered> = self.api.call(Method::POST, &["subjects", subject], Some(&body)).await?;
        if known.is_some() {
            return Ok(None);
        }
        let path = ["compatibility", "subjects", subject, "versions", "latest"];
        let answer: Option<Compatibility> = self.api.call(Method::POST, &path, Some(&body)).await?;
        Ok(answer.filter(|answer| !answer.is_compatible).map(|answer| answer.messages))
    }

    /// A schema with those that it names.
    async fn completed(&self, answer: Answer) -> Result<RegisteredSchema, SchemasError> {
        let kind = match answer.kind.as_deref() {
            None | Some("AVRO") => Some(SchemaKind::Avro),
            Some("JSON") => Some(SchemaKind::JsonSchema),
            Some(_) => None,
        };
        let mut references: Vec<(String, String)> = Vec::new();
        let mut open = answer.references;
        while let Some(Reference { name, subject, version }) = open.pop() {
            if references.iter().any(|(known, _)| *known == name) {
                continue;
            }
            if references.len() == MAX_REFERENCES {
                return Err(self.api.refused(format!("a schema names more than {MAX_REFERENCES} others")));
            }
            let path = ["subjects", &subject, "versions", &version.to_string()];
            let found: Option<Answer> = self.api.call(Method::GET, &path, None).await?;
            let missing =
                || self.api.refused(format!("a schema names version {version} of `{subject}`, which is gone"));
            let found = found.ok_or_else(missing)?;
            references.push((name, found.schema));
            open.extend(found.references);
        }
        Ok(RegisteredSchema { kind, text: answer.schema, references })
    }

    fn cell(&self, id: u32) -> Arc<OnceCell<Arc<RegisteredSchema>>> {
        let mut schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(schemas.entry(id).or_default())
    }

    /// Ids of all kinds cost no memory.
    fn forget(&self, id: u32) {
        self.schemas.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

/// Why an id has no schema.
enum Missing {
    Unknown,
    Failed(SchemasError),
}

#[async_trait]
impl Schemas for Registry {
    async fn schema(&self, id: u32) -> Result<Option<Arc<RegisteredSchema>>, SchemasError> {
        let fetch = async || {
            let answer = self.api.call(Method::GET, &["schemas", "ids", &id.to_string()], None).await;
            let answer = answer.map_err(Missing::Failed)?.ok_or(Missing::Unknown)?;
            Ok(Arc::new(self.completed(answer).await.map_err(Missing::Failed)?))
        };
        match self.cell(id).get_or_try_init(fetch).await {
            Ok(schema) => Ok(Some(Arc::clone(schema))),
            Err(missing) => {
                self.forget(id);
                match missing {
                    Missing::Unknown => Ok(None),
                    Missing::Failed(error) => Err(error),
                }
            }
        }
    }

    async fn register(&self, subject: &str, schema: &RegisteredSchema) -> Result<u32, SchemasError> {
        let path = ["subjects", subject, "versions"];
        let answer: Option<Registered> = self.api.call(Method::POST, &path, Some(&body(schema))).await?;
        let nowhere = || self.api.refused(format!("there is no subject `{subject}`, and none can be made"));
        answer.map(|registered| registered.id).ok_or_else(nowhere)
    }
}

fn body(schema: &RegisteredSchema) -> Value {
    match schema.kind {
        Some(SchemaKind::JsonSchema) => json!({ "schemaType": "JSON", "schema": schema.text }),
        _ => json!({ "schema": schema.text }),
    }
}

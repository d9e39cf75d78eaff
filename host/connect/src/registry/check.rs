//! Whether what a pipeline reads and writes goes together with what its registry has.

use azenha_engine::schemas::SchemasError;
use azenha_formats::avro::incompatibility;
use azenha_formats::{RegisteredSchema, registered_schema, unreadable};
use azenha_model::pipeline::SchemaProblem;
use azenha_model::plan::{Format, SchemaKind, StreamColumn, TopicOutput, value_subject};

use super::{Registries, Registry};

impl Registries {
    /// Whether records of a topic's latest schema, if there is one, can be read as these columns.
    ///
    /// # Errors
    /// What does not fit, or why that cannot be told.
    pub async fn check_readable(
        &self,
        topic: &str,
        format: &Format,
        columns: &[StreamColumn],
    ) -> Result<(), Vec<SchemaProblem>> {
        let Some((_, registry)) = format.registered() else { return Ok(()) };
        let subject = value_subject(topic);
        let registry = self.open(registry.map(String::as_str)).map_err(problem)?;
        let Some(schema) = registry.latest(&subject).await.map_err(problem)? else { return Ok(()) };
        let of_subject = |reason: String| format!("the latest schema of `{subject}` cannot be read: {reason}");
        let found = match unreadable(format, &schema, columns) {
            Ok(found) => found.into_iter().map(|(column, reason)| (Some(column), reason)).collect(),
            Err(reason) => vec![(None, reason)],
        };
        let help = "change the column, or the `format`, to what the schema has";
        let problem = |(column, reason)| SchemaProblem { column, message: of_subject(reason), help: help.to_owned() };
        let problems: Vec<SchemaProblem> = found.into_iter().map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Whether a registry would take the schema of what is written to a topic.
    ///
    /// # Errors
    /// What does not fit, or why that cannot be told.
    pub async fn check_writable(&self, output: &TopicOutput) -> Result<(), Vec<SchemaProblem>> {
        let Format::Registered { kind, registry } = &output.format else { return Ok(()) };
        let subject = value_subject(&output.topic);
        let registry = self.open(registry.as_deref()).map_err(problem)?;
        let schema = registered_schema(*kind, &output.topic, &output.columns);
        let Some(mut said) = registry.incompatibility(&subject, &schema).await.map_err(problem)? else {
            return Ok(());
        };
        if said.is_empty() {
            said.push(explained(&registry, &subject, &schema).await);
        }
        let message = format!("the schema of `{subject}` cannot become what is written: {}", said.join("; "));
        let help = "keep the columns and their types as the registered schema has them, make new ones nullable (`?`), \
                    or write another topic";
        Err(vec![SchemaProblem { column: None, message, help: help.to_owned() }])
    }
}

/// What is wrong, if the registry does not say it itself.
async fn explained(registry: &Registry, subject: &str, schema: &RegisteredSchema) -> String {
    let silent = || "the registry gives no reason".to_owned();
    match registry.latest(subject).await {
        Ok(Some(latest)) if latest.kind != schema.kind => "the registered schema is of another kind".to_owned(),
        Ok(Some(latest)) if schema.kind == Some(SchemaKind::Avro) => {
            incompatibility(&latest.text, &schema.text).unwrap_or_else(silent)
        }
        _ => silent(),
    }
}

fn problem(error: SchemasError) -> Vec<SchemaProblem> {
    let help = match &error {
        SchemasError::Unavailable { .. } => "start the registry, or correct its URL: the pipeline needs it",
        SchemasError::Refused { .. } => "correct what the registry says",
        SchemasError::Configuration(_) => "the formats `avro`, `json-schema` and `debezium-avro` need a registry",
    };
    vec![SchemaProblem { column: None, message: error.to_string(), help: help.to_owned() }]
}

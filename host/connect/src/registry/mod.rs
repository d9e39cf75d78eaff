//! Schema registries with Confluent's API: what pipelines read and write is checked against them, schemas are fetched
//! by id, and those of sinks are registered.

mod check;
mod client;
mod http;

use std::collections::HashMap;
use std::sync::Arc;

use azenha_engine::schemas::{Schemas, SchemasError};
use azenha_model::plan::{Format, Input, Plan, Task};
use azenha_model::registry::RegistryConfig;
pub use client::Registry;

/// The registries that pipelines may use: the host's, and those that they name themselves.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    host: Option<RegistryConfig>,
    only_allowed: bool,
}

impl Registries {
    /// `host` is that of the host's configuration.
    pub fn new(host: Option<RegistryConfig>) -> Self {
        Self { host, only_allowed: false }
    }

    /// Only those that the host's configuration names: whoever may write definitions could have the host ask anything
    /// that it reaches.
    pub fn only_allowed(self) -> Self {
        Self { only_allowed: true, ..self }
    }

    /// The registry at a URL, or the host's. What the host says to get in, only its own registry hears.
    ///
    /// # Errors
    /// If there is none, it is not allowed, or its file of certificates cannot be read.
    pub fn open(&self, url: Option<&str>) -> Result<Registry, SchemasError> {
        let config = match (url, &self.host) {
            (None, None) => {
                return Err(SchemasError::Configuration(
                    "no schema registry is known: write `registry: URL` beside the format, or \
                     `registry: { url: … }` in the host's configuration"
                        .to_owned(),
                ));
            }
            (None, Some(host)) => host.clone(),
            (Some(url), Some(host)) if *url == host.url => host.clone(),
            (Some(url), host)
                if self.only_allowed && !host.iter().any(|host| host.others.iter().any(|other| other == url)) =>
            {
                return Err(SchemasError::Configuration(format!(
                    "definitions may not name the registry {url}: leave `registry` out for the host's own, or add the URL to \
                     `registry: {{ others: […] }}` in the host's configuration"
                )));
            }
            (Some(url), _) => RegistryConfig { url: url.to_owned(), ..RegistryConfig::default() },
        };
        Registry::new(&config)
    }

    /// The registries that a plan needs, by the URLs that it names.
    ///
    /// # Errors
    /// As [`Registries::open`].
    pub fn of_plan(&self, plan: &Plan) -> Result<HashMap<Option<String>, Arc<dyn Schemas>>, SchemasError> {
        let mut opened: HashMap<Option<String>, Arc<dyn Schemas>> = HashMap::new();
        for format in plan.tasks.iter().flat_map(formats) {
            if let Some((_, registry)) = format.registered()
                && !opened.contains_key(&registry.cloned())
            {
                opened.insert(registry.cloned(), Arc::new(self.open(registry.map(String::as_str))?));
            }
        }
        Ok(opened)
    }
}

/// The formats that a task reads and writes.
fn formats(task: &Task) -> Vec<&Format> {
    let read = match &task.input {
        Input::Stream(stream) => Some(&stream.format),
        Input::Exchange { .. } => None,
    };
    read.into_iter().chain(task.end.outputs().iter().map(|output| &output.format)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_names_no_registry_that_the_host_does_not() {
        let others = vec!["http://other".to_owned()];
        let host = RegistryConfig { url: "http://own".to_owned(), others, ..RegistryConfig::default() };
        for (host, allowed) in [(Some(host), &["http://own", "http://other"][..]), (None, &[])] {
            let (files, definitions) = (Registries::new(host.clone()), Registries::new(host).only_allowed());
            for url in ["http://own", "http://other", "http://169.254.169.254", "http://own/further"] {
                assert!(files.open(Some(url)).is_ok(), "{url}");
                assert_eq!(definitions.open(Some(url)).is_ok(), allowed.contains(&url), "{url}");
            }
        }
    }
}

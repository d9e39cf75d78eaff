//! The clickstream, as the host would run it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use azenha_model::config::HostConfig;
use azenha_model::plan::Plan;
use azenha_sandbox::{Plugin, Sandbox};
use azenha_server::program::{Loaded, Loader, PipelineText};

use crate::repository;

/// The pipeline and its plugins.
pub struct Clickstream {
    /// What runs.
    pub plan: Plan,
    /// The plugins, as the plan calls them.
    pub plugins: HashMap<String, Plugin>,
}

impl Clickstream {
    /// The pipeline of the file, but with so many partitions of its source.
    pub fn load(sandbox: &Sandbox, partitions: u32) -> Result<Self> {
        let file = repository().join("pipelines/clickstream/pipeline.yaml");
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let text = text.replace("partitions: 4", &format!("partitions: {partitions}"));
        let config = HostConfig::default_for(Path::new("data"));
        let pipeline = PipelineText { shown: file.display().to_string(), text };
        let Loaded { plan, plugins, .. } =
            Loader::new(&config, sandbox, BTreeMap::new()).load_text(&file, &pipeline)?;
        Ok(Self { plan, plugins })
    }

    /// One of the plugins.
    pub fn plugin(&self, name: &str) -> Result<&Plugin> {
        self.plugins.get(name).with_context(|| format!("the clickstream does not use `{name}`"))
    }
}

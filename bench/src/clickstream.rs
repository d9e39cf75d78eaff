//! The clickstream, as the host would run it.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use azenha_model::Field;
use azenha_model::pipeline::{PipelineFile, PluginError, Surroundings};
use azenha_model::plan::Plan;
use azenha_model::plugin::{AggregatePlan, TransformPlan};
use azenha_sandbox::{OpenError, Plugin, Sandbox};

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
        let path = repository().join("pipelines/clickstream/pipeline.yaml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let text = text.replace("partitions: 4", &format!("partitions: {partitions}"));
        let definition = PipelineFile::parse(&path.display().to_string(), &text, &|_| None)?;
        let mut site = Site::default();
        for reference in definition.plugins() {
            let name = reference.plugin.value;
            let bytes = component(&name)?;
            site.plugins.insert(name.clone(), sandbox.load(&name, &bytes)?);
        }
        Ok(Self { plan: definition.resolve(&site)?, plugins: site.plugins })
    }

    /// One of the plugins.
    pub fn plugin(&self, name: &str) -> Result<&Plugin> {
        self.plugins.get(name).with_context(|| format!("the clickstream does not use `{name}`"))
    }
}

fn component(name: &str) -> Result<Vec<u8>> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let path = target.join("plugins").join(format!("{name}.wasm"));
    let help = || format!("{}: `cargo run --release -- plugin build` makes it", path.display());
    fs::read(&path).with_context(help)
}

/// What the file is checked against: its plugins, and a host that has every connection and no topic.
#[derive(Default)]
struct Site {
    plugins: HashMap<String, Plugin>,
}

impl Site {
    fn plugin(&self, name: &str) -> Result<&Plugin, PluginError> {
        self.plugins.get(name).ok_or_else(|| PluginError::Unknown { known: self.plugins.keys().cloned().collect() })
    }
}

impl Surroundings for Site {
    fn open_transform(&self, plugin: &str, config: &str, input: &[Field]) -> Result<TransformPlan, PluginError> {
        Ok(self.plugin(plugin)?.open_transform(config, input).map_err(broken)?.plan().clone())
    }

    fn open_aggregate(
        &self,
        plugin: &str,
        config: &str,
        input: &[Field],
        keys: &[Field],
    ) -> Result<AggregatePlan, PluginError> {
        Ok(self.plugin(plugin)?.open_aggregate(config, input, keys).map_err(broken)?.plan().clone())
    }

    fn partitions(&self, _topic: &str) -> Option<u32> {
        None
    }

    fn has_connection(&self, _name: &str) -> Result<(), String> {
        Ok(())
    }
}

fn broken(error: OpenError) -> PluginError {
    PluginError::Broken(error.to_string())
}

//! From a pipeline file to what the engine runs: the file is read, its plugins are found, built and loaded,
//! and everything is checked against each other.

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use azenha_connect::open_store;
use azenha_connect::registry::Registries;
use azenha_model::config::HostConfig;
use azenha_model::pipeline::{PipelineFile, PluginError, SchemaProblem, Surroundings};
use azenha_model::plan::{Format, Plan, StreamColumn, Target, TopicOutput};
use azenha_model::plugin::{AggregatePlan, AssemblePlan, TableFields, TransformPlan};
use azenha_model::template::{MODEL_EXTENSION, Template};
use azenha_model::{Diagnostics, Field};
use azenha_sandbox::{OpenError, Plugin, Sandbox};

use crate::ingest::SourceTopic;
use crate::plugins::build::Builder;
use crate::plugins::find::names_near;
use crate::queries::{Claim, Routes};
use crate::usage::Usage;

/// The file in a pipeline's folder that defines it.
pub const PIPELINE_FILE: &str = "pipeline.yaml";

/// The file that the user means by a path: a pipeline's, or the folder that holds it.
pub fn pipeline_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(PIPELINE_FILE) } else { path.to_owned() }
}

/// The text of a pipeline.
#[derive(Debug)]
pub struct PipelineText {
    /// What messages call it.
    pub shown: String,
    /// The text.
    pub text: String,
}

/// Reads a pipeline file: one pipeline, or if it is a template one for each of its models, in the order of their names.
pub fn read_pipelines(file: &Path) -> Result<Vec<PipelineText>> {
    let shown = file.display().to_string();
    let unreadable = |error| Usage(format!("there is no pipeline to read at {shown}: {error}"));
    let text = fs::read_to_string(file).map_err(unreadable)?;
    let wrong = |error| Usage(format!("{shown}: {error}"));
    let Some(template) = Template::of(&text).map_err(wrong)? else { return Ok(vec![PipelineText { shown, text }]) };
    let models = models(&folder_of_models(file, &template))?;
    let filled = |(name, path): &(String, PathBuf)| {
        let model = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let text = template.filled(name, &model).map_err(wrong)?;
        Ok(PipelineText { shown: format!("{shown} of {}", path.display()), text })
    };
    models.iter().map(filled).collect()
}

/// What [`read_pipelines`] reads: the file, and the folder of its models if it is a template.
pub fn read_from(file: &Path) -> Vec<PathBuf> {
    let template = fs::read_to_string(file).ok().and_then(|text| Template::of(&text).ok().flatten());
    let folder = template.map(|template| folder_of_models(file, &template));
    std::iter::once(file.to_owned()).chain(folder).collect()
}

fn folder_of_models(file: &Path, template: &Template) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(&template.folder)
}

/// Whether a file defines batches.
pub fn is_batch(file: &Path) -> Result<bool> {
    let mut is_batch = false;
    for PipelineText { shown, text } in read_pipelines(file)? {
        is_batch |= PipelineFile::parse(&shown, &text, &environment)?.is_batch();
    }
    Ok(is_batch)
}

/// The partitions of the topics of sources whose past stands in folders, where somebody wishes for a number of them.
pub fn partitions_of_histories(file: &Path, wanted: Option<u32>) -> Result<BTreeMap<String, u32>> {
    let Some(wanted) = wanted else { return Ok(BTreeMap::new()) };
    let mut partitions = BTreeMap::new();
    for PipelineText { shown, text } in read_pipelines(file)? {
        let definition = PipelineFile::parse(&shown, &text, &environment)?;
        let pasts = definition.sources().iter().filter(|source| source.folder.is_some());
        partitions.extend(pasts.map(|source| (source.topic.value.clone(), wanted)));
    }
    Ok(partitions)
}

/// The models in a folder, by name; at least one.
fn models(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let shown = folder.display();
    let entries = fs::read_dir(folder).map_err(|error| Usage(format!("there are no models at {shown}: {error}")))?;
    let mut models = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        models.extend(name.filter(|_| path.extension().is_some_and(|found| found == MODEL_EXTENSION)).zip(Some(path)));
    }
    if models.is_empty() {
        return Err(Usage(format!("there is no model at {shown}: write one, `NAME.yaml`, for each table")).into());
    }
    models.sort_unstable();
    Ok(models)
}

/// Where a pipeline comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A file of this machine.
    File,
    /// The log, into which others write it.
    Log,
}

/// A pipeline that is ready to run.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What runs.
    pub plan: Plan,
    /// The plugins, as the file calls them.
    pub plugins: HashMap<String, Plugin>,
    /// Where records come in.
    pub sources: Vec<SourceTopic>,
}

impl Loaded {
    /// Checks a definition against its plugins, and the host that is to run it.
    pub fn new(definition: &PipelineFile, plugins: Plugins, place: &Place<'_>) -> Result<Self, Diagnostics> {
        let plan = definition.resolve(&Site { pipeline: definition.name(), plugins: &plugins, place })?;
        let sources = sources(definition, &plan);
        let plugins = plugins.into_iter().filter_map(|(name, plugin)| Some((name, plugin.ok()?))).collect();
        Ok(Self { plan, plugins, sources })
    }
}

/// Where a pipeline is to run.
#[derive(Debug)]
pub struct Place<'a> {
    /// The partitions of the topics that exist.
    pub topics: &'a BTreeMap<String, u32>,
    /// The host's configuration.
    pub config: &'a HostConfig,
    /// Where other pipelines answer queries.
    pub routes: &'a Routes,
    /// Where the pipeline comes from.
    pub origin: Origin,
}

/// Loads pipelines whose files, and whose plugins, are on this machine.
pub struct Loader<'a> {
    config: &'a HostConfig,
    sandbox: &'a Sandbox,
    /// The partitions of the topics that exist.
    topics: BTreeMap<String, u32>,
    builder: Builder,
    /// Where the pipelines that were loaded answer queries.
    routes: Routes,
    claims: Vec<Claim>,
}

/// The plugins of one pipeline, as its file calls them, or why one cannot be had.
pub type Plugins = HashMap<String, Result<Plugin, PluginError>>;

impl<'a> Loader<'a> {
    /// A loader for a host with this configuration, whose log has these topics.
    pub fn new(config: &'a HostConfig, sandbox: &'a Sandbox, topics: BTreeMap<String, u32>) -> Self {
        let (builder, routes) = (Builder::default(), Routes::default());
        Self { config, sandbox, topics, builder, routes, claims: Vec::new() }
    }

    /// Loads the pipelines of a file, or of the folder that holds its `pipeline.yaml`: one, or those of a template.
    /// Everything that is wrong with one of them is one error, [`Diagnostics`](azenha_model::Diagnostics).
    pub fn load(&mut self, path: &Path) -> Result<Vec<Loaded>> {
        let file = pipeline_file(path);
        read_pipelines(&file)?.iter().map(|pipeline| self.load_text(&file, pipeline)).collect()
    }

    /// Loads a pipeline whose text is at hand, as if it stood in `file`.
    pub fn load_text(&mut self, file: &Path, pipeline: &PipelineText) -> Result<Loaded> {
        let definition = PipelineFile::parse(&pipeline.shown, &pipeline.text, &environment)?;
        let folder = file.canonicalize()?.parent().map(Path::to_owned).unwrap_or_default();
        let plugins = self.plugins(&definition, &folder);
        let place = Place { topics: &self.topics, config: self.config, routes: &self.routes, origin: Origin::File };
        let loaded = Loaded::new(&definition, plugins, &place)?;
        self.claims.push(self.routes.claim(&loaded.plan.pipeline, &loaded.plan.queries)?);
        Ok(loaded)
    }

    fn plugins(&mut self, definition: &PipelineFile, folder: &Path) -> Plugins {
        let mut plugins = Plugins::new();
        for reference in definition.plugins() {
            plugins.entry(reference.plugin.value).or_insert_with_key(|name| self.plugin(name, folder));
        }
        plugins
    }

    fn plugin(&mut self, name: &str, folder: &Path) -> Result<Plugin, PluginError> {
        let broken = |error: anyhow::Error| PluginError::Broken(format!("{error:#}"));
        let path = self.builder.file(name, folder).map_err(broken)?;
        let path = path.ok_or_else(|| PluginError::Unknown { known: names_near(folder) })?;
        let bytes = fs::read(&path).with_context(|| path.display().to_string()).map_err(broken)?;
        self.sandbox.load(name, &bytes).map_err(|error| PluginError::Broken(error.reason.to_string()))
    }
}

/// Variables of the process's environment, for `${NAME}` in files.
pub fn environment(name: &str) -> Option<String> {
    env::var(name).ok()
}

fn sources(definition: &PipelineFile, plan: &Plan) -> Vec<SourceTopic> {
    let partitions = |topic: &str| plan.topics.iter().find(|spec| spec.name == topic).map_or(1, |spec| spec.partitions);
    let source = |source: &azenha_model::pipeline::Source| SourceTopic {
        pipeline: plan.pipeline.clone(),
        source: source.name.value.clone(),
        topic: source.topic.value.clone(),
        partitions: partitions(&source.topic.value),
        partitioned_by: source.partitioned_by.iter().flatten().map(|column| source.columns[*column].clone()).collect(),
        is_table: source.key.is_some(),
    };
    // What announces objects is not for others to write.
    definition.sources().iter().filter(|source| source.objects.is_none()).map(source).collect()
}

/// What a pipeline file is checked against.
struct Site<'a> {
    pipeline: &'a str,
    plugins: &'a Plugins,
    place: &'a Place<'a>,
}

impl Site<'_> {
    fn plugin(&self, name: &str) -> Result<&Plugin, PluginError> {
        match self.plugins.get(name) {
            Some(Ok(plugin)) => Ok(plugin),
            Some(Err(error)) => Err(error.clone()),
            None => Err(PluginError::Unknown { known: self.plugins.keys().cloned().collect() }),
        }
    }

    fn registries(&self) -> Registries {
        let registries = Registries::new(self.place.config.registry.clone());
        match self.place.origin {
            Origin::File => registries,
            Origin::Log => registries.only_allowed(),
        }
    }
}

/// Waits on a thread of the runtime: definitions are resolved without `async`.
fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work))
}

impl Surroundings for Site<'_> {
    fn open_transform(&self, plugin: &str, config: &str, input: &[Field]) -> Result<TransformPlan, PluginError> {
        let opened = self.plugin(plugin)?.open_transform(config, input).map_err(refused)?;
        Ok(opened.plan().clone())
    }

    fn open_aggregate(
        &self,
        plugin: &str,
        config: &str,
        input: &[Field],
        keys: &[Field],
    ) -> Result<AggregatePlan, PluginError> {
        let opened = self.plugin(plugin)?.open_aggregate(config, input, keys).map_err(refused)?;
        Ok(opened.plan().clone())
    }

    fn open_assemble(
        &self,
        plugin: &str,
        config: &str,
        tables: &[TableFields],
        keys: &[Field],
    ) -> Result<AssemblePlan, PluginError> {
        let opened = self.plugin(plugin)?.open_assemble(config, tables, keys).map_err(refused)?;
        Ok(opened.plan().clone())
    }

    fn partitions(&self, topic: &str) -> Option<u32> {
        self.place.topics.get(topic).copied()
    }

    fn has_connection(&self, name: &str) -> Result<(), String> {
        self.place.config.connection(name).map(drop).ok_or_else(|| self.place.config.connection_help(name))
    }

    fn check_target(&self, connection: &str, target: &Target) -> Result<(), String> {
        self.place.config.check_target(connection, target)
    }

    fn check_search(&self, connection: &str) -> Result<(), String> {
        self.place.config.check_search(connection)
    }

    fn has_objects(&self, name: &str) -> Result<(), String> {
        self.place.config.objects_connection(name).ok_or_else(|| self.place.config.connection_help(name))?;
        self.place.config.check_objects(name)
    }

    fn check_connection(&self, name: &str) -> Result<(), String> {
        let Some(url) = self.place.config.connection(name) else { return Ok(()) };
        // Nothing is connected: this only reads the URL.
        open_store(name, url.reveal()).map(drop).map_err(|error| error.to_string())
    }

    fn check_readable(&self, topic: &str, format: &Format, columns: &[StreamColumn]) -> Result<(), Vec<SchemaProblem>> {
        wait(self.registries().check_readable(topic, format, columns))
    }

    fn check_writable(&self, output: &TopicOutput) -> Result<(), Vec<SchemaProblem>> {
        wait(self.registries().check_writable(output))
    }

    fn path_taken(&self, path: &azenha_model::query::Path) -> Option<String> {
        self.place.routes.taken(path, self.pipeline)
    }
}

fn refused(error: OpenError) -> PluginError {
    match error {
        OpenError::WrongWorld { found, .. } => PluginError::WrongWorld { found },
        OpenError::Problems(problems) => PluginError::Problems(problems),
        OpenError::Failed(failure) => PluginError::Broken(failure.message),
    }
}

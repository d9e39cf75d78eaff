//! Pipeline files: read with the place of every value, checked, and resolved into the plan of what runs.

mod column;
mod difference;
mod file;
mod format;
mod resolve;
mod rewrite;
mod source;

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostics;
use crate::plan::Plan;
use crate::plugin::World;
use crate::topic;
use crate::yaml::{self, Entries, Environment, FromNode, Named, Report, Spanned};
pub use difference::differences;
use file::{BatchDef, Definition, QueryDef, SinkDef, StepDef};
pub use resolve::{PluginError, SchemaProblem, Surroundings};
pub use rewrite::with_plugin;
pub use source::Source;

/// A pipeline file that is well formed: its keys are known and its values have the right types. Whether its
/// parts fit together, and fit the plugins, shows when it is resolved.
#[derive(Debug, Clone)]
pub struct PipelineFile {
    file: String,
    name: Spanned<String>,
    sources: Vec<Source>,
    steps: Vec<Named<StepDef>>,
    sinks: Vec<Named<SinkDef>>,
    queries: Vec<Named<QueryDef>>,
    batch: Option<BatchDef>,
}

/// A plugin that a pipeline names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginReference {
    /// Its name, or the path of a `.wasm` file relative to the pipeline file.
    pub plugin: Spanned<String>,
    /// The kind that the step needs.
    pub world: World,
}

impl PipelineFile {
    /// Reads a pipeline file. `file_name` is only for messages.
    ///
    /// # Errors
    /// Every error of form that the file has.
    pub fn parse(file_name: &str, text: &str, environment: &Environment<'_>) -> Result<Self, Diagnostics> {
        let mut report = Report::new(file_name);
        let definition = yaml::parse(text, environment, &mut report)
            .and_then(|root| Definition::from_node(&root, &mut report))
            .map(|definition| Self::checked(file_name, definition, &mut report));
        report.into_result(definition)
    }

    fn checked(file_name: &str, definition: Definition, report: &mut Report) -> Self {
        let Definition { name, sources: Entries(sources), steps, sinks: Entries(sinks), queries, batch } = definition;
        let (Entries(steps), Entries(queries)) = (steps.unwrap_or_default(), queries.unwrap_or_default());
        check_name("a pipeline", &name, IN_NAMES, report);
        sources.iter().for_each(|source| check_name("a source", &source.name, IN_SOURCES, report));
        steps.iter().for_each(|step| check_name("a step", &step.name, IN_NAMES, report));
        sinks.iter().for_each(|sink| check_name("a sink", &sink.name, IN_NAMES, report));
        queries.iter().for_each(|query| check_name("a query", &query.name, IN_NAMES, report));
        let names = sources.iter().map(|source| ("a source", &source.name));
        let names = names.chain(steps.iter().map(|step| ("a step", &step.name)));
        let names = names.chain(sinks.iter().map(|sink| ("a sink", &sink.name)));
        check_distinct(names, report);
        for sink in &sinks {
            match &sink.value {
                SinkDef::Topic(sink) => check_topic(&sink.topic, report),
                SinkDef::Table(sink) => check_connection(&sink.connection, report),
                SinkDef::Collection(sink) => check_connection(&sink.connection, report),
                SinkDef::Index(sink) => check_connection(&sink.connection, report),
                SinkDef::Objects(sink) => {
                    check_connection(&sink.connection, report);
                    sink.announce.iter().for_each(|topic| check_topic(topic, report));
                }
            }
        }
        queries.iter().for_each(|query| check_connection(&query.value.connection, report));
        batch.iter().for_each(|batch| check_connection(&batch.connection, report));
        steps.iter().filter_map(|step| step.value.plugin()).for_each(|(plugin, _)| check_plugin(plugin, report));
        let sources = sources.into_iter().filter_map(|source| Source::checked(source, report)).collect();
        Self { file: file_name.to_owned(), name, sources, steps, sinks, queries, batch }
    }

    /// The pipeline's name.
    pub fn name(&self) -> &str {
        &self.name.value
    }

    /// Whether it runs over the past of its sources only.
    pub fn is_batch(&self) -> bool {
        self.batch.is_some()
    }

    /// Checks the pipeline's name, where it is known from elsewhere.
    ///
    /// # Errors
    /// If the file gives another name.
    pub fn must_be_called(&self, name: &str) -> Result<(), Diagnostics> {
        let mut report = Report::new(&self.file);
        if self.name.value != name {
            report
                .error(self.name.place, format!("this pipeline is called `{}`, not `{name}`", self.name.value))
                .suggest(format!("write `name: {name}`, or use the name `{}`", self.name.value));
        }
        report.into_result(Some(()))
    }

    /// The sources, in the order of the file.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The sink that announces the objects which a source reads, if it is one of this file.
    fn announcer(&self, source: &Source) -> Option<&Named<SinkDef>> {
        let announces = |sink: &&Named<SinkDef>| match &sink.value {
            SinkDef::Objects(sink) => sink.announce.as_ref().is_some_and(|topic| topic.value == source.topic.value),
            _ => false,
        };
        self.sinks.iter().find(announces).filter(|_| source.objects.is_some())
    }

    /// Whether another sink than the one called `but` writes a topic.
    fn writes_topic(&self, topic: &str, but: &str) -> bool {
        let written = |sink: &Named<SinkDef>| match &sink.value {
            SinkDef::Topic(sink) => sink.topic.value == topic,
            SinkDef::Objects(sink) => sink.announce.as_ref().is_some_and(|announced| announced.value == topic),
            SinkDef::Table(_) | SinkDef::Collection(_) | SinkDef::Index(_) => false,
        };
        self.sinks.iter().any(|sink| sink.name.value != but && written(sink))
    }

    /// The plugins that steps name, in the order of the file; one may stand several times.
    pub fn plugins(&self) -> impl Iterator<Item = PluginReference> {
        let plugins = self.steps.iter().filter_map(|step| step.value.plugin());
        plugins.map(|(plugin, world)| PluginReference { plugin: plugin.clone(), world })
    }

    /// Makes the plan of what runs.
    ///
    /// # Errors
    /// Everything that does not fit: within the file, with the plugins, or with the topics that exist.
    pub fn resolve(&self, surroundings: &dyn Surroundings) -> Result<Plan, Diagnostics> {
        resolve::resolve(self, surroundings)
    }
}

/// The JSON Schema of pipeline files, with which editors complete and check them.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Definition).to_value()
}

/// What names may hold beside letters and digits. Tasks, and so positions and internal topics, are called
/// `pipeline.step`: neither may hold a dot.
const IN_NAMES: &str = "_-";
const IN_SOURCES: &str = "_-.";

/// Whether a pipeline can be called so.
pub fn is_pipeline_name(name: &str) -> bool {
    is_name(name, IN_NAMES)
}

fn is_name(name: &str, also: &str) -> bool {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || also.contains(letter);
    !name.is_empty() && name.chars().all(is_allowed)
}

fn check_name(what: &str, name: &Spanned<String>, also: &str, report: &mut Report) {
    if !is_name(&name.value, also) {
        report
            .error(name.place, format!("{what} cannot be called `{}`", name.value))
            .suggest(format!("write letters, digits and any of `{also}`"));
    }
}

pub(crate) fn check_connection(name: &Spanned<String>, report: &mut Report) {
    check_name("a connection", name, IN_NAMES, report);
}

/// What is no path of a file is the name of a crate, and must not lead elsewhere as a path would.
fn check_plugin(plugin: &Spanned<String>, report: &mut Report) {
    let is_allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || IN_NAMES.contains(letter);
    if !plugin.value.ends_with(".wasm") && (plugin.value.is_empty() || !plugin.value.chars().all(is_allowed)) {
        report
            .error(plugin.place, format!("a plugin cannot be called `{}`", plugin.value))
            .suggest(format!("write small letters, digits and any of `{IN_NAMES}`, or the path of a `.wasm` file"));
    }
}

fn check_topic(topic: &Spanned<String>, report: &mut Report) {
    if let Err(error) = topic::check_name(&topic.value) {
        report.error(topic.place, error.message).suggest(error.help);
    }
}

fn check_distinct<'a>(names: impl Iterator<Item = (&'static str, &'a Spanned<String>)>, report: &mut Report) {
    let mut seen = BTreeMap::new();
    for (what, name) in names {
        match seen.insert(&name.value, (what, name)) {
            // The same name twice in one mapping is reported as a repeated key.
            Some((first_what, first)) if first_what != what => {
                let line = first.place.line;
                report
                    .error(name.place, format!("`{}` is {first_what} already, in line {line}", name.value))
                    .suggest("`from` must tell sources, steps and sinks apart: rename one of them");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
name: shop
sources:
  clicks:
    topic: ${TOPIC:-click_events}
    partitions: 4
    partitioned_by: [user]
    schema: { at: timestamp(iso), user: { type: text, path: customer.id }, price: 'decimal(2)?' }
    event_time: { field: at, lateness: 30s }
steps:
  clean: { transform: ./clean.wasm, from: clicks }
  counts: { aggregate: count, from: clean, by: [user] }
sinks:
  counted: { from: counts, topic: counts }
";

    fn parse(environment: &Environment<'_>) -> PipelineFile {
        PipelineFile::parse("shop.yaml", TEXT, environment).unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn a_source_tells_what_its_feeder_needs() {
        let file = parse(&|_| None);
        let [source] = file.sources() else { panic!("{:?}", file.sources()) };
        assert_eq!((file.name(), source.name.value.as_str()), ("shop", "clicks"));
        assert_eq!(source.topic.value, "click_events");
        assert_eq!(source.partitions.as_ref().map(|partitions| partitions.value), Some(4));
        assert_eq!(source.partitioned_by, Some(vec![1]));
        assert_eq!(source.columns[1].path, ["customer", "id"]);
        let event_time = source.event_time.unwrap();
        assert_eq!((event_time.column, event_time.lateness, event_time.idle_after), (0, 30_000_000, 60_000_000));
    }

    #[test]
    fn a_variable_replaces_the_default() {
        let file = parse(&|name| (name == "TOPIC").then(|| "other".to_owned()));
        assert_eq!(file.sources()[0].topic.value, "other");
    }

    #[test]
    fn the_plugins_are_told_with_their_kind_and_place() {
        let plugins: Vec<PluginReference> = parse(&|_| None).plugins().collect();
        let told: Vec<_> = plugins.iter().map(|found| (found.plugin.value.as_str(), found.world)).collect();
        assert_eq!(told, [("./clean.wasm", World::Transform), ("count", World::Aggregate)]);
        assert_eq!((plugins[0].plugin.place.line, plugins[0].plugin.place.column), (11, 23));
    }
}

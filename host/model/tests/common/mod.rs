//! What the tests of pipeline files share: plugins, topics and connections that are not real, and goldens.

use std::fs;
use std::path::{Path, PathBuf};

use azenha_model::pipeline::{PipelineFile, PluginError, SchemaProblem, Surroundings};
use azenha_model::plan::{Format, Plan, StreamColumn, Target, TopicOutput};
use azenha_model::plugin::{AggregatePlan, AssemblePlan, Given, Outlet, Problem, TableFields, TransformPlan, World};
use azenha_model::query;
use azenha_model::{DataType, Diagnostics, Field};

const TRANSFORMS: &[&str] = &["enrich-click", "contact", "route", "rekey", "erase", "broken"];
const ASSEMBLIES: &[&str] = &["order-total"];
const AGGREGATES: &[&str] = &["click-count", "first-click"];

/// One connection, `warehouse`; topics of the names `with_N_partitions`; what a pipeline called `stale` left
/// behind when its source had two partitions.
pub struct Fake;

impl Surroundings for Fake {
    fn open_transform(&self, plugin: &str, config: &str, input: &[Field]) -> Result<TransformPlan, PluginError> {
        check_world(plugin, World::Transform)?;
        let config: serde_json::Value = serde_json::from_str(config).unwrap();
        match plugin {
            "enrich-click" => enrich_click(&config, input),
            "contact" => Ok(plan(vec![position(input, "email")?], vec![("main", all(input))])),
            "route" => Ok(plan(vec![position(input, "campaignId")?], vec![("main", all(input)), ("rest", all(input))])),
            "rekey" => Ok(plan(vec![], vec![("main", made(input, "campaignId"))])),
            "erase" => Ok(plan(vec![], vec![("main", made(input, "$op"))])),
            _ => Err(PluginError::Broken("it imports `wasi:cli/environment`".to_owned())),
        }
    }

    fn open_aggregate(
        &self,
        plugin: &str,
        _config: &str,
        input: &[Field],
        keys: &[Field],
    ) -> Result<AggregatePlan, PluginError> {
        check_world(plugin, World::Aggregate)?;
        assert!(!keys.is_empty());
        let reads = if plugin == "first-click" { vec![position(input, "userId")?] } else { vec![] };
        let gives = vec![Field::new("click_count", DataType::Int64, false)];
        let merges = plugin == "click-count";
        Ok(AggregatePlan { reads, gives, state_version: 1, reads_versions: vec![], merges, retracts: false })
    }

    fn open_assemble(
        &self,
        plugin: &str,
        _config: &str,
        tables: &[TableFields],
        keys: &[Field],
    ) -> Result<AssemblePlan, PluginError> {
        check_world(plugin, World::Assemble)?;
        assert!(!keys.is_empty());
        let reads = tables.iter().map(|table| (0..table.fields.len()).collect()).collect();
        Ok(AssemblePlan { reads, gives: vec![Field::new("total", DataType::Decimal { scale: 2 }, false)] })
    }

    fn partitions(&self, topic: &str) -> Option<u32> {
        if topic.starts_with("azenha.stale.") {
            return Some(2);
        }
        topic.strip_prefix("with_")?.strip_suffix("_partitions")?.parse().ok()
    }

    fn check_connection(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn has_connection(&self, name: &str) -> Result<(), String> {
        if ["warehouse", "documents", "engine"].contains(&name) {
            Ok(())
        } else {
            Err("connections are `warehouse`, `documents` and `engine`".to_owned())
        }
    }

    fn has_objects(&self, name: &str) -> Result<(), String> {
        if name == "lake" { Ok(()) } else { Err("objects stand in `lake`".to_owned()) }
    }

    fn check_target(&self, connection: &str, target: &Target) -> Result<(), String> {
        match (connection, target) {
            ("warehouse", Target::Table { .. }) => Ok(()),
            ("warehouse", _) => Err("connection `warehouse` has tables only".to_owned()),
            ("documents", Target::Collection { .. }) => Ok(()),
            ("documents", _) => Err("connection `documents` has collections only".to_owned()),
            ("engine", Target::Index { .. }) => Ok(()),
            ("engine", _) => Err("connection `engine` has indexes only".to_owned()),
            _ => Ok(()),
        }
    }

    fn check_search(&self, connection: &str) -> Result<(), String> {
        if connection == "documents" { Err("connection `documents` answers no queries".to_owned()) } else { Ok(()) }
    }

    fn check_readable(&self, topic: &str, _: &Format, columns: &[StreamColumn]) -> Result<(), Vec<SchemaProblem>> {
        let column = columns.iter().position(|column| column.field.data_type == DataType::Boolean);
        match column {
            Some(_) => Err(vec![schema_problem(column, format!("the schema of `{topic}` has no booleans"))]),
            None => Ok(()),
        }
    }

    fn check_writable(&self, output: &TopicOutput) -> Result<(), Vec<SchemaProblem>> {
        let topic = &output.topic;
        if topic.contains("incompatible") {
            return Err(vec![schema_problem(None, format!("the registry refuses the schema of `{topic}`"))]);
        }
        Ok(())
    }

    fn path_taken(&self, path: &query::Path) -> Option<String> {
        (path.to_string() == "/taken").then(|| "query `all` of pipeline `other`".to_owned())
    }
}

fn schema_problem(column: Option<usize>, message: String) -> SchemaProblem {
    SchemaProblem { column, message, help: "change the schema".to_owned() }
}

fn check_world(plugin: &str, wanted: World) -> Result<(), PluginError> {
    let (right, other, found) = match wanted {
        World::Transform => (TRANSFORMS, AGGREGATES, World::Aggregate),
        World::Aggregate => (AGGREGATES, TRANSFORMS, World::Transform),
        World::Assemble => (ASSEMBLIES, TRANSFORMS, World::Transform),
    };
    if right.contains(&plugin) {
        Ok(())
    } else if other.contains(&plugin) {
        Err(PluginError::WrongWorld { found })
    } else {
        Err(PluginError::Unknown { known: right.iter().map(|name| (*name).to_owned()).collect() })
    }
}

/// Reads the campaign and the time, passes everything on, makes `stage`; `levels` in its configuration must
/// be numbers.
fn enrich_click(config: &serde_json::Value, input: &[Field]) -> Result<TransformPlan, PluginError> {
    let mut problems = Vec::new();
    for (index, level) in config["levels"].as_array().into_iter().flatten().enumerate() {
        if !level.is_number() {
            let config_path = Some(format!("/levels/{index}"));
            problems.push(Problem { message: format!("{level} is not a level"), config_path, input: None });
        }
    }
    let timestamp = position(input, "timestamp")?;
    if input[timestamp].data_type != DataType::Timestamp {
        let message = format!("a timestamp is wanted, not {}", input[timestamp].data_type);
        problems.push(Problem { message, config_path: None, input: Some(timestamp) });
    }
    if !problems.is_empty() {
        return Err(PluginError::Problems(problems));
    }
    Ok(plan(vec![position(input, "campaignId")?, timestamp], vec![("main", made(input, "stage"))]))
}

fn plan(reads: Vec<usize>, outlets: Vec<(&str, Vec<Given>)>) -> TransformPlan {
    let outlet = |(name, gives): (&str, Vec<Given>)| Outlet { name: name.to_owned(), gives };
    TransformPlan { reads, outlets: outlets.into_iter().map(outlet).collect() }
}

fn position(input: &[Field], name: &str) -> Result<usize, PluginError> {
    let found = input.iter().position(|field| field.name == name);
    found.ok_or_else(|| PluginError::Problems(vec![Problem::general(format!("a column `{name}` is needed"))]))
}

/// Everything but the metadata, passed on.
fn all(input: &[Field]) -> Vec<Given> {
    let own = input.iter().enumerate().filter(|(_, field)| !field.name.starts_with('$'));
    own.map(|(input, field)| Given::Passed { input, name: field.name.clone() }).collect()
}

/// Everything but the metadata, passed on, but for one column that is made.
fn made(input: &[Field], name: &str) -> Vec<Given> {
    let is_other = |given: &Given| !matches!(given, Given::Passed { name: passed, .. } if passed == name);
    let mut gives: Vec<Given> = all(input).into_iter().filter(is_other).collect();
    gives.push(Given::Made(Field::new(name, DataType::Text, false)));
    gives
}

/// Parses and resolves a file among the fakes. `CAMPAIGN` is the only variable that is set.
pub fn resolve(name: &str, text: &str) -> Result<Plan, Diagnostics> {
    let environment = |name: &str| (name == "CAMPAIGN").then(|| "campaignId".to_owned());
    PipelineFile::parse(name, text, &environment)?.resolve(&Fake)
}

/// Compares what `describe` says of each `*.yaml` in a folder of `tests/` with the file beside it; with
/// `AZENHA_BLESS=1` writes that file instead. Returns how many there were.
pub fn check_goldens(folder: &str, extension: &str, describe: impl Fn(&str, &str) -> String) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|found| found == "yaml")).collect();
    files.sort();
    let mut differing = Vec::new();
    for path in &files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let found = describe(name, &fs::read_to_string(path).unwrap());
        let golden = path.with_extension(extension);
        if std::env::var_os("AZENHA_BLESS").is_some() {
            fs::write(&golden, &found).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != found {
            differing.push(format!("--- {name} gives\n{found}"));
        }
    }
    assert!(differing.is_empty(), "AZENHA_BLESS=1 accepts these:\n{}", differing.join("\n"));
    files.len()
}

//! `azenha pipeline`

use std::collections::BTreeSet;
use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use azenha_model::Diagnostics;
use azenha_model::civil::format_timestamp;
use azenha_model::pipeline::PipelineFile;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Outcome;
use super::look_on::look_on;
use super::shadow::{ShadowCommand, shadow};
use crate::api::{DryRun, InForce, ListedPipeline, VersionDetail};
use crate::client::{Client, Refused, ServerArgs};
use crate::host::SwapPlan;
use crate::plugins::build::Builder;
use crate::program::{PipelineText, pipeline_file, read_pipelines};
use crate::results::{align_right, table};

#[derive(Debug, Subcommand)]
pub enum PipelineCommand {
    /// Defines a pipeline for every host of the group, and uploads the plugins of this machine that it names.
    Apply {
        /// A pipeline file, or the folder that holds a `pipeline.yaml`.
        file: PathBuf,
        #[command(flatten)]
        change: SwapArgs,
        /// Looks on for so many seconds, and fails if the host goes back from the version meanwhile, or does not run it by
        /// then.
        #[arg(long, value_name = "SECONDS", conflicts_with = "dry_run")]
        wait: Option<u32>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Lists the pipelines.
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Shows how a pipeline does.
    Status(Named),
    /// Stops a pipeline on every host, until it is resumed.
    Pause(Named),
    /// Lets a paused pipeline go on where it stopped.
    Resume(Named),
    /// Starts a pipeline again on every host, after something failed.
    Restart(Named),
    /// Lists the versions that can be gone back to, and from where on each lane ran them.
    Versions(Named),
    /// Goes back to an earlier version: the last one that ran other code, unless another one is named.
    Rollback {
        #[command(flatten)]
        named: Named,
        /// The version.
        #[arg(long, value_name = "VERSION")]
        to: Option<u64>,
        /// Only says what would change.
        #[arg(long)]
        dry_run: bool,
    },
    /// Tries code of a step beside what runs, before it does.
    #[command(subcommand)]
    Shadow(ShadowCommand),
    /// Deletes a pipeline; what it wrote stays, and its positions too.
    Delete(Named),
}

#[derive(Debug, Args)]
pub struct Named {
    /// The pipeline's name.
    name: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// How a pipeline goes over to another version.
#[derive(Debug, Args)]
pub struct SwapArgs {
    /// Only says what would change. Plugins are uploaded all the same; what runs does not take them.
    #[arg(long)]
    dry_run: bool,
    /// A step whose state is given up.
    #[arg(long, value_name = "STEP")]
    reset: Vec<String>,
    /// A step of which every group gives its result anew.
    #[arg(long, value_name = "STEP")]
    recompute: Vec<String>,
    /// Records of each lane after which new code is trusted [default: 1000]; before, the host goes back by itself if
    /// plugins refuse or fail on too many rows. 0: trusted at once.
    #[arg(long, value_name = "RECORDS")]
    probation: Option<u64>,
}

impl SwapArgs {
    /// As the API takes it.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let listed = |name, steps: &[String]| (!steps.is_empty()).then(|| (name, steps.join(",")));
        [
            self.dry_run.then(|| ("dry_run", "true".to_owned())),
            listed("reset", &self.reset),
            listed("recompute", &self.recompute),
            self.probation.map(|records| ("probation", records.to_string())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Changes and shows what the hosts of a group run.
pub async fn pipeline(command: PipelineCommand) -> Result<Outcome> {
    match command {
        PipelineCommand::Apply { file, change, wait, server } => {
            let client = server.client()?;
            let (outcome, in_force) = apply(&client, &pipeline_file(&file), &change).await?;
            return match (outcome, wait) {
                (Outcome::Done, Some(seconds)) => look_on(&client, &in_force, seconds).await,
                (outcome, _) => Ok(outcome),
            };
        }
        PipelineCommand::List { server } => list(&server.client()?).await?,
        PipelineCommand::Status(named) => status(&named).await?,
        PipelineCommand::Pause(named) => named.post("pause").await?,
        PipelineCommand::Resume(named) => named.post("resume").await?,
        PipelineCommand::Restart(named) => named.post("restart").await?,
        PipelineCommand::Versions(named) => versions(&named).await?,
        PipelineCommand::Rollback { named, to, dry_run } => return rollback(&named, to, dry_run).await,
        PipelineCommand::Shadow(command) => return shadow(command).await,
        PipelineCommand::Delete(named) => named.call(Method::DELETE, &["pipelines", &named.name]).await?,
    }
    Ok(Outcome::Done)
}

impl Named {
    async fn post(&self, what: &str) -> Result<()> {
        self.call(Method::POST, &["pipelines", &self.name, what]).await
    }

    async fn call(&self, method: Method, path: &[&str]) -> Result<()> {
        let in_force: InForce = self.server.client()?.call(method, path, None).await?;
        say(&in_force);
        Ok(())
    }
}

fn say(in_force: &InForce) {
    let state = match in_force {
        InForce { deleted: true, .. } => ", deleted",
        InForce { paused: true, .. } => ", paused",
        _ => "",
    };
    println!("pipeline `{}`: version {}{state}", in_force.name, in_force.version);
    if let Some(note) = &in_force.note {
        println!("{note}");
    }
}

/// Uploads what a pipeline file names, and defines its pipelines; with what is in force since, unless that was only planned.
pub async fn apply(client: &Client, file: &Path, change: &SwapArgs) -> Result<(Outcome, Vec<InForce>)> {
    let mut in_force = Vec::new();
    for pipeline in read_pipelines(file)? {
        let (outcome, changed) = apply_one(client, file, pipeline, change).await?;
        in_force.extend(changed);
        if let Outcome::Failed = outcome {
            return Ok((outcome, in_force));
        }
    }
    Ok((Outcome::Done, in_force))
}

async fn apply_one(
    client: &Client,
    file: &Path,
    PipelineText { shown, text }: PipelineText,
    change: &SwapArgs,
) -> Result<(Outcome, Option<InForce>)> {
    let definition = PipelineFile::parse(&shown, &text, &|_| None)?;
    push_plugins(client, &definition, file).await?;
    let path = ["pipelines", definition.name()];
    let body = Some(("application/yaml", text.into_bytes()));
    match client.call_with::<Value>(Method::PUT, &path, &change.parameters(), body).await {
        Ok(answer) => Ok((say_change(definition.name(), answer.clone())?, serde_json::from_value(answer).ok())),
        Err(error) => match error.downcast::<Refused>() {
            Ok(Refused { body, .. }) if !body.diagnostics.is_empty() => {
                let diagnostics = body.diagnostics.into_iter().map(|problem| problem.of_file(&shown)).collect();
                eprintln!("{}", Diagnostics(diagnostics));
                Ok((Outcome::Failed, None))
            }
            Ok(refused) => Err(refused.into()),
            Err(error) => Err(error),
        },
    }
}

/// Uploads the plugins that are found on this machine, unless the hosts have the same bytes under the name. Those that
/// are not found may have been uploaded from elsewhere.
pub async fn push_plugins(client: &Client, definition: &PipelineFile, file: &Path) -> Result<()> {
    let folder = file.canonicalize()?.parent().map(Path::to_owned).unwrap_or_default();
    let names: BTreeSet<String> = definition.plugins().map(|reference| reference.plugin.value).collect();
    let known = if names.is_empty() { Vec::new() } else { client.plugins().await? };
    let mut builder = Builder::default();
    for name in names.iter().filter(|name| !name.ends_with(".wasm")) {
        let built = builder.file(name, &folder).with_context(|| format!("plugin `{name}`"))?;
        let Some(path) = built else { continue };
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if !known.iter().any(|plugin| plugin.name == *name && plugin.digest == digest) {
            let pushed = client.push(name, bytes).await?;
            println!("plugin `{name}`: {} bytes, digest {}", pushed.size, pushed.digest);
        }
    }
    Ok(())
}

/// Says what a change did, or what it would do.
pub fn say_change(name: &str, answer: Value) -> Result<Outcome> {
    let Ok(DryRun { accepted, problems, plan }) = serde_json::from_value(answer.clone()) else {
        say(&serde_json::from_value(answer)?);
        return Ok(Outcome::Done);
    };
    let changes = plan.as_ref().is_none_or(SwapPlan::changes_something);
    let outcome = match (accepted, changes) {
        (true, true) => "would be changed",
        (true, false) => "would run as before",
        (false, _) => "would be refused",
    };
    println!("pipeline `{name}`: {outcome}");
    let mut table = table(["task", "change", "state", "plugins", ""].map(str::to_owned));
    for task in plan.into_iter().flat_map(|plan| plan.tasks) {
        let plugins: Vec<String> = task.plugins.into_keys().collect();
        table.add_row([task.task, task.change, task.state, plugins.join(", "), task.detail.unwrap_or_default()]);
    }
    writeln!(stdout(), "{table}")?;
    problems.iter().for_each(|problem| eprintln!("error: {problem}"));
    Ok(if accepted { Outcome::Done } else { Outcome::Failed })
}

async fn versions(named: &Named) -> Result<()> {
    let versions: Vec<VersionDetail> = named.server.client()?.get(&["pipelines", &named.name, "versions"]).await?;
    let mut table = table(["version", "at", "by", "lanes that began it", "note"].map(str::to_owned));
    for version in versions {
        let begun = version.lanes.iter().map(|lane| format!("{}/{} at {}", lane.task, lane.partition, lane.from));
        let begun: Vec<String> = begun.collect();
        let note = version.note.unwrap_or_else(|| match (version.deleted, version.paused) {
            (true, _) => "deleted".to_owned(),
            (false, true) => "paused".to_owned(),
            (false, false) => String::new(),
        });
        let at = format_timestamp(version.at);
        table.add_row([version.version.to_string(), at, version.by.unwrap_or_default(), begun.join("\n"), note]);
    }
    align_right(&mut table, 0..1);
    writeln!(stdout(), "{table}")?;
    Ok(())
}

async fn rollback(named: &Named, to: Option<u64>, dry_run: bool) -> Result<Outcome> {
    let mut parameters: Vec<(&str, String)> = to.map(|to| ("to", to.to_string())).into_iter().collect();
    parameters.extend(dry_run.then(|| ("dry_run", "true".to_owned())));
    let path = ["pipelines", &named.name, "rollback"];
    say_change(&named.name, named.server.client()?.post(&path, &parameters).await?)
}

async fn list(client: &Client) -> Result<()> {
    let columns = ["pipeline", "version", "state", "lag", "dead letters", "defined by", "note"];
    let mut table = table(columns.map(str::to_owned));
    for ListedPipeline { summary, progress } in client.get::<Vec<ListedPipeline>>(&["pipelines"]).await? {
        let state = summary.error.map_or(summary.state.clone(), |error| format!("{}: {error}", summary.state));
        let number = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
        let (version, lag, letters) =
            (number(summary.version), number(progress.lag), progress.dead_letters.to_string());
        let file = summary.file.unwrap_or_else(|| "the log".to_owned());
        table.add_row([summary.name, version, state, lag, letters, file, summary.note.unwrap_or_default()]);
    }
    align_right(&mut table, [1, 3, 4]);
    writeln!(stdout(), "{table}")?;
    Ok(())
}

async fn status(named: &Named) -> Result<()> {
    let pipeline: Value = named.server.client()?.get(&["pipelines", &named.name]).await?;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    println!("{}: {}", named.name, text(&pipeline["state"]));
    for (name, value) in [("error", &pipeline["error"]), ("version", &pipeline["version"]), ("file", &pipeline["file"])]
    {
        if !value.is_null() {
            println!("{name}: {}", text(value));
        }
    }
    let cell = |value: &Value| if value.is_null() { String::new() } else { text(value) };
    let mut table = table(["task", "partition", "state", "position", "lag", "error"].map(str::to_owned));
    for task in pipeline["tasks"].as_array().into_iter().flatten() {
        for lane in task["lanes"].as_array().into_iter().flatten() {
            let columns = ["partition", "state", "position", "lag", "error"].map(|column| cell(&lane[column]));
            table.add_row([vec![cell(&task["task"])], columns.to_vec()].concat());
        }
    }
    align_right(&mut table, [1, 3, 4]);
    writeln!(stdout(), "{table}")?;
    Ok(())
}

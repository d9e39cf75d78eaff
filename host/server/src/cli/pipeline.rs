//! `azenha pipeline`

use std::collections::BTreeSet;
use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use azenha_model::Diagnostics;
use azenha_model::pipeline::PipelineFile;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Outcome;
use crate::api::{InForce, PipelineSummary};
use crate::client::{Client, Refused, ServerArgs};
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

/// Changes and shows what the hosts of a group run.
pub async fn pipeline(command: PipelineCommand) -> Result<Outcome> {
    match command {
        PipelineCommand::Apply { file, server } => return apply(&server.client()?, &pipeline_file(&file)).await,
        PipelineCommand::List { server } => list(&server.client()?).await?,
        PipelineCommand::Status(named) => status(&named).await?,
        PipelineCommand::Pause(named) => named.post("pause").await?,
        PipelineCommand::Resume(named) => named.post("resume").await?,
        PipelineCommand::Restart(named) => named.post("restart").await?,
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

async fn apply(client: &Client, file: &Path) -> Result<Outcome> {
    for pipeline in read_pipelines(file)? {
        if let Outcome::Failed = apply_one(client, file, pipeline).await? {
            return Ok(Outcome::Failed);
        }
    }
    Ok(Outcome::Done)
}

async fn apply_one(client: &Client, file: &Path, PipelineText { shown, text }: PipelineText) -> Result<Outcome> {
    let definition = PipelineFile::parse(&shown, &text, &|_| None)?;
    push_plugins(client, &definition, file).await?;
    let path = ["pipelines", definition.name()];
    match client.call::<InForce>(Method::PUT, &path, Some(("application/yaml", text.into_bytes()))).await {
        Ok(in_force) => {
            say(&in_force);
            Ok(Outcome::Done)
        }
        Err(error) => match error.downcast::<Refused>() {
            Ok(Refused { body, .. }) if !body.diagnostics.is_empty() => {
                let diagnostics = body.diagnostics.into_iter().map(|problem| problem.of_file(&shown)).collect();
                eprintln!("{}", Diagnostics(diagnostics));
                Ok(Outcome::Failed)
            }
            Ok(refused) => Err(refused.into()),
            Err(error) => Err(error),
        },
    }
}

/// Uploads the plugins that are found on this machine, unless the hosts have the same bytes under the name. Those that
/// are not found may have been uploaded from elsewhere.
async fn push_plugins(client: &Client, definition: &PipelineFile, file: &Path) -> Result<()> {
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

async fn list(client: &Client) -> Result<()> {
    let mut table = table(["pipeline", "version", "state", "defined by"].map(str::to_owned));
    for pipeline in client.get::<Vec<PipelineSummary>>(&["pipelines"]).await? {
        let state = pipeline.error.map_or(pipeline.state.clone(), |error| format!("{}: {error}", pipeline.state));
        let version = pipeline.version.map_or_else(String::new, |version| version.to_string());
        table.add_row([pipeline.name, version, state, pipeline.file.unwrap_or_else(|| "the log".to_owned())]);
    }
    align_right(&mut table, 1..2);
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

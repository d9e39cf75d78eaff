//! `azenha plugin`

use std::env;
use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use azenha_model::plugin::World;
use azenha_sandbox::{Limits, Sandbox};
use clap::{Args, Subcommand};

use super::Outcome;
use crate::client::{Client, ServerArgs};
use crate::plugins::build::Builder;
use crate::plugins::cases::{Verdict, case_files, run_case};
use crate::plugins::find::{PluginCrate, crates_of_workspace};
use crate::plugins::scaffold::scaffold;
use crate::results::{align_right, grouped, table};
use crate::usage::Usage;

#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Makes a crate for a new plugin, which builds and passes its cases at once.
    New(NewArgs),
    /// Compiles plugins to components.
    Build {
        /// Plugins of this workspace by name, or folders of crates; without any, all of the workspace.
        plugins: Vec<String>,
    },
    /// Runs the cases of plugins in the sandbox.
    Test {
        /// Plugins of this workspace by name, or folders of crates; without any, all of the workspace.
        plugins: Vec<String>,
        /// Writes what comes out into the cases that do not hold.
        #[arg(long)]
        bless: bool,
    },
    /// Uploads a plugin to the hosts of a group.
    Push {
        /// What pipelines call it.
        name: String,
        /// The component, or the module that cargo makes.
        file: PathBuf,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Lists the plugins that were uploaded.
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Removes a plugin that was uploaded and that no pipeline runs.
    Remove {
        /// Its digest, as `plugin list` shows it.
        digest: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(Debug, Args)]
pub struct NewArgs {
    /// The plugin's name: small letters, digits and `-`.
    name: String,
    /// An aggregate, which folds rows into one for each group, instead of a transform.
    #[arg(long)]
    aggregate: bool,
    /// An assemble, which makes one row of what tables hold of a key, instead of a transform.
    #[arg(long, conflicts_with = "aggregate")]
    assemble: bool,
    /// The folder in which the crate's folder is made; by default the workspace's `plugins`, or else this folder.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// Makes, builds, tests and uploads plugins.
pub async fn plugin(command: PluginCommand) -> Result<Outcome> {
    match command {
        PluginCommand::New(args) => new(&args),
        PluginCommand::Build { plugins } => build(&plugins),
        PluginCommand::Test { plugins, bless } => test(&plugins, bless),
        PluginCommand::Push { name, file, server } => push(&server.client()?, &name, &file).await,
        PluginCommand::List { server } => list(&server.client()?).await,
        PluginCommand::Remove { digest, server } => {
            server.client()?.remove_plugin(&digest).await?;
            println!("removed {digest}");
            Ok(Outcome::Done)
        }
    }
}

async fn push(client: &Client, name: &str, file: &Path) -> Result<Outcome> {
    let bytes = fs::read(file).map_err(|error| Usage(format!("there is no plugin at {}: {error}", file.display())))?;
    let pushed = client.push(name, bytes).await?;
    println!("plugin `{name}`: {} bytes, digest {}", pushed.size, pushed.digest);
    if !pushed.earlier_used_by.is_empty() {
        println!("{} go on with what it was before, until they are applied again", pushed.earlier_used_by.join(", "));
    }
    Ok(Outcome::Done)
}

async fn list(client: &Client) -> Result<Outcome> {
    let mut table = table(["plugin", "kind", "bytes", "digest", "used by"].map(str::to_owned));
    for plugin in client.plugins().await? {
        let earlier = plugin.earlier_used_by.iter().map(|pipeline| format!("{pipeline} (an earlier one)"));
        let users: Vec<String> = plugin.used_by.iter().cloned().chain(earlier).collect();
        table.add_row([plugin.name, plugin.world, grouped(plugin.size), plugin.digest, users.join(", ")]);
    }
    align_right(&mut table, 2..3);
    writeln!(stdout(), "{table}")?;
    Ok(Outcome::Done)
}

fn new(args: &NewArgs) -> Result<Outcome> {
    let world = match args {
        NewArgs { aggregate: true, .. } => World::Aggregate,
        NewArgs { assemble: true, .. } => World::Assemble,
        _ => World::Transform,
    };
    let folder = scaffold(&args.name, world, args.path.as_deref())?;
    let shown = folder.strip_prefix(env::current_dir()?).unwrap_or(&folder).display();
    println!("made {shown}");
    println!("  azenha plugin test {shown}    runs its cases in the sandbox");
    Ok(Outcome::Done)
}

fn build(plugins: &[String]) -> Result<Outcome> {
    let mut builder = Builder::default();
    for plugin in chosen(plugins)? {
        builder.build(&plugin).with_context(|| named(&plugin))?;
        println!("{}: {}", plugin.name, plugin.artifact().display());
    }
    Ok(Outcome::Done)
}

fn test(plugins: &[String], bless: bool) -> Result<Outcome> {
    let mut builder = Builder::default();
    let sandbox = Sandbox::new(Limits::default(), None)?;
    let mut outcome = Outcome::Done;
    for plugin in chosen(plugins)? {
        let files = case_files(&plugin.folder)?;
        if files.is_empty() {
            println!("{}: no cases", plugin.name);
            continue;
        }
        let bytes = fs::read(builder.component(&plugin).with_context(|| named(&plugin))?)?;
        let loaded = sandbox.load(&plugin.name, &bytes)?;
        for file in files {
            let verdict = run_case(&loaded, &file, bless).with_context(|| file.display().to_string())?;
            if !report(&plugin.name, &file, &verdict) {
                outcome = Outcome::Failed;
            }
        }
    }
    Ok(outcome)
}

fn named(plugin: &PluginCrate) -> String {
    format!("plugin `{}`", plugin.name)
}

/// Prints what became of a case; false if it does not hold.
fn report(plugin: &str, file: &Path, verdict: &Verdict) -> bool {
    let case = file.file_stem().unwrap_or_default().display();
    match verdict {
        Verdict::Holds => println!("{plugin}: {case} holds"),
        Verdict::Blessed => println!("{plugin}: {case} is written anew"),
        Verdict::Differs(differences) => {
            println!("{plugin}: {case} does not hold ({})", file.display());
            differences.iter().for_each(|difference| println!("    {difference}"));
        }
    }
    !matches!(verdict, Verdict::Differs(_))
}

/// The crates that the user means.
fn chosen(plugins: &[String]) -> Result<Vec<PluginCrate>> {
    let here = env::current_dir()?;
    let workspace = crates_of_workspace(&here)?;
    if plugins.is_empty() {
        if workspace.is_empty() {
            return Err(Usage(format!("there are no plugins in {} or above it", here.display())).into());
        }
        return Ok(workspace);
    }
    let choose = |name: &String| {
        let by_name = workspace.iter().find(|plugin| plugin.name == *name).cloned();
        by_name.or_else(|| PluginCrate::at(Path::new(name))).ok_or_else(|| {
            let known: Vec<&str> = workspace.iter().map(|plugin| plugin.name.as_str()).collect();
            Usage(format!("`{name}` is neither a plugin of this workspace ({}) nor a crate's folder", known.join(", ")))
                .into()
        })
    };
    plugins.iter().map(choose).collect()
}

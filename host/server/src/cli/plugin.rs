//! `azenha plugin`

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use azenha_sandbox::{Limits, Sandbox};
use clap::{Args, Subcommand};

use super::Outcome;
use crate::plugins::build::Builder;
use crate::plugins::cases::{Verdict, case_files, run_case};
use crate::plugins::find::{PluginCrate, crates_of_workspace};
use crate::plugins::scaffold::{Kind, scaffold};
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
}

#[derive(Debug, Args)]
pub struct NewArgs {
    /// The plugin's name: small letters, digits and `-`.
    name: String,
    /// An aggregate, which folds rows into one for each group, instead of a transform.
    #[arg(long)]
    aggregate: bool,
    /// The folder in which the crate's folder is made; by default the workspace's `plugins`, or else this folder.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// Makes, builds and tests plugins.
pub fn plugin(command: PluginCommand) -> Result<Outcome> {
    match command {
        PluginCommand::New(args) => new(&args),
        PluginCommand::Build { plugins } => build(&plugins),
        PluginCommand::Test { plugins, bless } => test(&plugins, bless),
    }
}

fn new(args: &NewArgs) -> Result<Outcome> {
    let kind = if args.aggregate { Kind::Aggregate } else { Kind::Transform };
    let folder = scaffold(&args.name, kind, args.path.as_deref())?;
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

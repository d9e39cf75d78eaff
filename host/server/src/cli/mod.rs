//! The command line: one module a command.

mod backfill;
mod dead_letters;
mod demo;
mod init;
mod load;
mod look_on;
mod pipeline;
mod plugin;
mod replay;
mod run;
mod schema;
mod shadow;
mod topic;
mod validate;
mod watch;

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use azenha_model::Diagnostics;
use clap::{Parser, Subcommand};

use crate::telemetry::LogFormat;
use crate::usage::Usage;

/// Data transformations as sandboxed WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(name = "azenha", version, propagate_version = true)]
pub struct Cli {
    /// How log lines are written.
    #[arg(long, global = true, value_enum, default_value_t, env = "AZENHA_LOG_FORMAT")]
    pub log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs pipelines.
    Run(run::RunArgs),
    /// Runs a pipeline over the past of its sources: a batch as a whole, another until it can go on live.
    Backfill(backfill::BackfillArgs),
    /// Makes what pipelines need: topics, tables, connectors.
    Init(init::InitArgs),
    /// Runs every pipeline that brings a sample, and shows what comes out.
    Demo(demo::DemoArgs),
    /// Checks pipeline files, and prints every error.
    Validate(validate::ValidateArgs),
    /// Prints the JSON Schema of pipeline files, with which editors complete them.
    Schema,
    /// Produces test load to a topic.
    Load(load::LoadArgs),
    /// Shows what is in the log.
    #[command(subcommand)]
    Topic(topic::TopicCommand),
    /// Changes and shows what the hosts of a group run.
    #[command(subcommand)]
    Pipeline(pipeline::PipelineCommand),
    /// Applies a pipeline whenever a file of it, or of its plugins, is saved.
    Watch(watch::WatchArgs),
    /// Makes, builds, tests and uploads plugins.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Shows what was refused, fetches it for a replay, puts it back or discards it.
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLettersCommand),
    /// Makes the call of a plugin once more that a dead letter comes from.
    Replay(replay::ReplayArgs),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As wished: exit code 0.
    Done,
    /// It found errors, which it has printed: exit code 1.
    Failed,
    /// There are dead letters, and the user asked to be told: exit code 3.
    DeadLetters,
}

impl Cli {
    /// Runs the command.
    pub async fn run(self) -> Result<Outcome> {
        match self.command {
            Command::Run(args) => run::run(args).await,
            Command::Backfill(args) => backfill::backfill(args).await,
            Command::Init(args) => init::init(args).await,
            Command::Demo(args) => demo::demo(args).await,
            Command::Validate(args) => validate::validate(&args),
            Command::Schema => schema::schema(),
            Command::Load(args) => load::load(args).await,
            Command::Topic(command) => topic::topic(command).await,
            Command::Pipeline(command) => pipeline::pipeline(command).await,
            Command::Watch(args) => watch::watch(args).await,
            Command::Plugin(command) => plugin::plugin(command).await,
            Command::DeadLetters(command) => dead_letters::dead_letters(command).await,
            Command::Replay(args) => replay::replay(&args).await,
        }
    }
}

/// Prints an error for people, and the exit code that says so to programs.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe) {
        // Whoever reads the output, `head` for instance, has seen enough.
        return ExitCode::SUCCESS;
    }
    match error.downcast_ref::<Diagnostics>() {
        Some(diagnostics) => eprintln!("{diagnostics}"),
        None => eprintln!("error: {}", explained(error)),
    }
    if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// An error and its causes on one line. A cause that the message before it already ends with is not repeated.
fn explained(error: &anyhow::Error) -> String {
    let mut explained = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !explained.ends_with(&cause) {
            explained = format!("{explained}: {cause}");
        }
    }
    explained
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("reading the log: {source}")]
    struct Failed {
        source: io::Error,
    }

    #[test]
    fn a_cause_is_said_once_even_if_the_error_itself_says_it() {
        let failed = anyhow!(Failed { source: io::Error::other("the disk is gone") }).context("pipeline `shop`");
        assert_eq!(explained(&failed), "pipeline `shop`: reading the log: the disk is gone");
    }
}

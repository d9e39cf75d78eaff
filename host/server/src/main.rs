//! `azenha`, the host: command line and HTTP API.

mod api;
mod cli;
mod dead_letters;
mod feed;
mod host;
mod ingest;
mod plugins;
mod program;
mod results;
mod telemetry;
mod usage;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use cli::{Cli, Outcome};

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::start(cli.log_format);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return cli::failed(&error.into()),
    };
    let outcome = runtime.block_on(cli.run());
    // A file that is read ahead may take a moment; nobody waits for what it gives any more.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::DeadLetters) => ExitCode::from(3),
        Err(error) => cli::failed(&error),
    }
}

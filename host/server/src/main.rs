//! `azenha`, the host: command line and HTTP API.

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use azenha_engine::failpoint;
use azenha_server::cli::{self, Cli, Outcome};
use azenha_server::telemetry;
use azenha_server::usage::Usage;
use clap::Parser;

/// Where the process is to die, for tests of what a crash leaves behind.
const FAILPOINT: &str = "AZENHA_FAILPOINT";

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::start(cli.log_format);
    if let Ok(place) = env::var(FAILPOINT)
        && let Err(reason) = failpoint::arm(&place)
    {
        return cli::failed(&Usage(format!("{FAILPOINT}: {reason}")).into());
    }
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

//! `azenha validate`

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use azenha_model::Diagnostics;
use clap::Args;

use super::Outcome;
use crate::host::{configuration, sandbox};
use crate::program::{Loader, pipeline_file};

#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Pipeline files, or folders that hold a `pipeline.yaml`.
    #[arg(required = true)]
    pipelines: Vec<PathBuf>,
    /// The host's configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Prints every error of the files.
pub fn validate(args: &ValidateArgs) -> Result<Outcome> {
    let config = configuration(args.config.as_deref(), None)?;
    let sandbox = sandbox(&config, None)?;
    let mut loader = Loader::new(&config, &sandbox, BTreeMap::new());
    let mut outcome = Outcome::Done;
    for path in &args.pipelines {
        match loader.load(path) {
            Ok(loaded) => loaded.iter().for_each(|loaded| {
                println!("{}: pipeline `{}` is right", pipeline_file(path).display(), loaded.plan.pipeline);
            }),
            Err(error) => {
                eprintln!("{}", error.downcast::<Diagnostics>()?);
                outcome = Outcome::Failed;
            }
        }
    }
    Ok(outcome)
}

//! `azenha init`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use azenha_engine::log::Log;
use azenha_model::config::HostConfig;
use azenha_model::plan::{End, Plan, Target};
use clap::Args;
use tokio::task::block_in_place;

use super::Outcome;
use crate::connectors::{Connect, Registration, connectors_beside};
use crate::host::{configuration, open_log_beside, open_object_stores, open_stores, sandbox};
use crate::program::{Loaded, Loader, pipeline_file};

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Pipeline files, or folders that hold a `pipeline.yaml`.
    #[arg(required = true)]
    pipelines: Vec<PathBuf>,
    /// The host's configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the embedded log is; by default `data`.
    #[arg(long, value_name = "DIR", env = "AZENHA_DATA")]
    data: Option<PathBuf>,
    /// The API of a Kafka Connect, which gets the connectors of `connectors/*.json` beside each pipeline.
    #[arg(long, value_name = "URL")]
    connect: Option<String>,
    /// Of those only this one, `postgres` for `connectors/postgres.json`; may be given several times.
    #[arg(long = "connector", value_name = "NAME", requires = "connect")]
    connectors: Vec<String>,
}

/// Makes what pipelines need: topics, tables, connectors. What is there stays, so that it may be run again.
pub async fn init(args: InitArgs) -> Result<Outcome> {
    let config = configuration(args.config.as_deref(), args.data.as_deref())?;
    let connect = args.connect.as_deref().map(Connect::at).transpose()?;
    let log = open_log_beside(&config).await?;
    let done = init_all(&args, &config, &log, connect.as_ref()).await;
    log.close().await?;
    done.map(|()| Outcome::Done)
}

/// Nothing is made before every file has been found right.
async fn init_all(args: &InitArgs, config: &HostConfig, log: &Arc<dyn Log>, connect: Option<&Connect>) -> Result<()> {
    let topics: BTreeMap<String, u32> =
        log.topics().await?.into_iter().map(|topic| (topic.spec.name, topic.spec.partitions)).collect();
    let sandbox = sandbox(config, None)?;
    let loaded: Vec<Vec<Loaded>> = block_in_place(|| {
        let mut loader = Loader::new(config, &sandbox, topics.clone());
        args.pipelines.iter().map(|path| loader.load(path)).collect::<Result<_>>()
    })?;
    for (path, pipelines) in args.pipelines.iter().zip(&loaded) {
        for Loaded { plan, .. } in pipelines {
            println!("pipeline `{}`", plan.pipeline);
            make_topics(plan, &**log, &topics).await?;
            make_tables(plan, config).await?;
            make_buckets(plan, config).await?;
        }
        if let Some(connect) = connect {
            register(connect, &pipeline_file(path), &args.connectors).await?;
        }
    }
    Ok(())
}

async fn make_buckets(plan: &Plan, config: &HostConfig) -> Result<()> {
    for (connection, objects) in open_object_stores(config, plan)? {
        objects.prepare().await?;
        println!("  objects in `{connection}`: ready");
    }
    Ok(())
}

async fn make_topics(plan: &Plan, log: &dyn Log, topics: &BTreeMap<String, u32>) -> Result<()> {
    for spec in &plan.topics {
        let topic = log.ensure_topic(spec).await?;
        let done = if topics.contains_key(&spec.name) { "is there" } else { "made" };
        println!("  topic `{}`, {} partitions: {done}", spec.name, topic.spec.partitions);
    }
    Ok(())
}

/// A store says only that a table fits now, not whether it did before.
async fn make_tables(plan: &Plan, config: &HostConfig) -> Result<()> {
    let stores = open_stores(config, plan)?;
    for task in &plan.tasks {
        let End::Store(output) = &task.end else { continue };
        let store = stores.get(&output.connection).with_context(|| config.connection_help(&output.connection))?;
        store.prepare(output).await.with_context(|| format!("connection `{}`", output.connection))?;
        let what = match output.target {
            Target::Table { .. } => "table",
            Target::Collection { .. } => "collection",
            Target::Index { .. } => "index",
        };
        println!("  {what} `{}` of `{}`: ready", output.name, output.connection);
    }
    for store in stores.values() {
        store.close().await;
    }
    Ok(())
}

async fn register(connect: &Connect, file: &Path, only: &[String]) -> Result<()> {
    for connector in connectors_beside(file, only)? {
        let done = match connect.register(&connector).await? {
            Registration::Made => "made",
            Registration::Changed => "changed to what its file says",
            Registration::Same => "is there",
        };
        println!("  connector `{}`: {done}", connector.name);
    }
    Ok(())
}

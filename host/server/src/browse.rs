//! Looking into a log that a host may be running on: nothing is taken over, nothing written.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use azenha_connect::embedded::{EmbeddedReader, OpenError};
use azenha_engine::log::{Bounds, Log, LogError, ReadLimit, Topic};
use azenha_model::config::{HostConfig, LogConfig};
use azenha_model::{Fetched, Offset};
use clap::Args;

use crate::host::{configuration, open_log_beside};
use crate::usage::Usage;

/// Which log.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// The host's configuration, which says where the log is.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the log is if it is an embedded one. By default `data`, or what the configuration says.
    #[arg(long, value_name = "DIR", env = "AZENHA_DATA")]
    data: Option<PathBuf>,
}

/// A log to look into.
pub enum Browser {
    /// An embedded one, perhaps another process's.
    Embedded(EmbeddedReader),
    /// One that any number of processes share.
    Shared(Arc<dyn Log>),
}

impl Browser {
    /// Opens the log that the command line names.
    pub async fn open(args: &LogArgs) -> Result<Self> {
        Self::of(&configuration(args.config.as_deref(), args.data.as_deref())?).await
    }

    /// Opens the log of a host.
    pub async fn of(config: &HostConfig) -> Result<Self> {
        let LogConfig::Embedded { directory } = &config.log else {
            return Ok(Self::Shared(open_log_beside(config).await?));
        };
        match EmbeddedReader::open(directory).await {
            Err(error @ OpenError::Missing { .. }) => {
                Err(Usage(format!("{error}; name the directory with --data")).into())
            }
            opened => Ok(Self::Embedded(opened?)),
        }
    }

    /// All topics, by name.
    pub async fn topics(&self) -> Result<Vec<Topic>, LogError> {
        match self {
            Self::Embedded(reader) => Ok(reader.topics().await?.into_iter().map(|(topic, _)| topic).collect()),
            Self::Shared(log) => log.topics().await,
        }
    }

    /// What the partitions of a topic hold.
    pub async fn bounds(&self, topic: &Topic) -> Result<Vec<Bounds>, LogError> {
        let name = &topic.spec.name;
        let log = match self {
            Self::Shared(log) => log,
            Self::Embedded(reader) => {
                let mut topics = reader.topics().await?.into_iter();
                let found = topics.find(|(topic, _)| topic.spec.name == *name);
                return found.map(|(_, bounds)| bounds).ok_or_else(|| LogError::NoSuchTopic(name.clone()));
            }
        };
        let mut bounds = Vec::new();
        for partition in 0..topic.spec.partitions {
            bounds.push(log.bounds(name, partition).await?);
        }
        Ok(bounds)
    }

    /// What [`Log::read`] gives.
    pub async fn read(&self, topic: &str, partition: u32, from: Offset, limit: ReadLimit) -> Result<Fetched, LogError> {
        match self {
            Self::Embedded(reader) => reader.read(topic, partition, from, limit).await,
            Self::Shared(log) => log.read(topic, partition, from, limit).await,
        }
    }
}

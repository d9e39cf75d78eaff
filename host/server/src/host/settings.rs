//! From the host's configuration to what it describes: a log, a sandbox, stores.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;

use anyhow::{Context, Result};
use azenha_connect::embedded::{EmbeddedLog, EmbeddedOptions};
use azenha_connect::kafka::{KafkaLog, KafkaOptions};

use azenha_connect::{open_objects, open_store, private};
use azenha_engine::log::Log;
use azenha_engine::objects::Objects;
use azenha_engine::store::Store;
use azenha_model::access::Secret;
use azenha_model::config::{HostConfig, LogConfig};
use azenha_model::kafka::KafkaConfig;
use azenha_model::plan::{End, Plan};
use azenha_sandbox::{Limits, Sandbox};
use uuid::Uuid;

use crate::program::environment;
use crate::usage::Usage;

/// The file of the data directory that holds the host's identity.
const INSTANCE: &str = "instance";

/// Reads the host's configuration, or makes the default one. `data` is the data directory that the user names: by
/// default `data`, unless the file says where the log is.
pub fn configuration(file: Option<&Path>, data: Option<&Path>) -> Result<HostConfig> {
    let directory = data.unwrap_or(Path::new("data"));
    let Some(file) = file else { return Ok(HostConfig::default_for(directory)) };
    let name = file.display().to_string();
    let text = fs::read_to_string(file)
        .map_err(|error| Usage(format!("there is no configuration to read at {name}: {error}")))?;
    let config = HostConfig::parse(&name, &text, &environment, directory)?;
    if let LogConfig::Embedded { directory: configured } = &config.log
        && data.is_some_and(|data| data != configured)
    {
        let (configured, named) = (configured.display(), directory.display());
        let help = "leave out --data (and AZENHA_DATA), or `log` in the file";
        return Err(Usage(format!("{name} has the log in {configured}, but --data names {named}; {help}")).into());
    }
    Ok(config)
}

/// Opens the log; whoever opened it closes it.
pub async fn open_log(config: &HostConfig) -> Result<Arc<dyn Log>> {
    open(config, || instance(&config.data)).await
}

/// Opens the log for a process that is no host, and does not end the commits of the one beside it.
pub async fn open_log_beside(config: &HostConfig) -> Result<Arc<dyn Log>> {
    open(config, || Ok(Uuid::new_v4().to_string())).await
}

async fn open(config: &HostConfig, instance: impl FnOnce() -> Result<String>) -> Result<Arc<dyn Log>> {
    match &config.log {
        LogConfig::Embedded { directory } => {
            Ok(Arc::new(EmbeddedLog::open(directory, EmbeddedOptions::default()).await?))
        }
        LogConfig::Kafka(kafka) => Ok(Arc::new(KafkaLog::connect(kafka_options(kafka, instance()?)).await?)),
    }
}

/// Lanes that share a producer share its transactions, and a transaction costs the brokers the same for one lane and for all;
/// while a producer can hand over about as many records as four cores can make.
const CORES_PER_COMMITTER: usize = 4;

fn kafka_options(kafka: &KafkaConfig, instance: String) -> KafkaOptions {
    let revealed = |(name, value): (&String, &Secret)| (name.clone(), value.reveal().to_owned());
    KafkaOptions {
        brokers: kafka.brokers.clone(),
        properties: kafka.properties.iter().map(revealed).collect(),
        instance,
        committers: available_parallelism().map_or(1, usize::from).div_ceil(CORES_PER_COMMITTER),
        replication: kafka.replication.map(|copies| copies as i16),
    }
}

/// The identity of this host, made at its first start. Whoever starts another host with it ends this one's commits.
fn instance(data: &Path) -> Result<String> {
    let file = data.join(INSTANCE);
    let unwritable = |error| Usage(format!("the host's identity cannot be kept in {}: {error}", file.display()));
    if let Ok(known) = fs::read_to_string(&file) {
        return Ok(known.trim().to_owned());
    }
    let made = Uuid::new_v4().to_string();
    private::make_directory(data).map_err(unwritable)?;
    fs::write(&file, format!("{made}\n")).map_err(unwritable)?;
    Ok(made)
}

/// The folder of the data directory where the contents of objects stand until they are put.
pub fn spool(config: &HostConfig) -> Result<PathBuf> {
    let folder = config.data.join("spool");
    private::make_directory(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// The sandbox of a host with this configuration.
pub fn sandbox(config: &HostConfig, cache: Option<&Path>) -> Result<Sandbox> {
    let limits = Limits {
        memory_bytes: config.limits.plugin_memory as usize,
        call_time: config.limits.plugin_time,
        ..Limits::default()
    };
    Ok(Sandbox::new(limits, cache)?)
}

/// The stores that a plan writes to, by connection.
pub fn open_stores(config: &HostConfig, plan: &Plan) -> Result<HashMap<String, Arc<dyn Store>>> {
    let mut stores: HashMap<String, Arc<dyn Store>> = HashMap::new();
    for task in &plan.tasks {
        if let End::Store(output) = &task.end
            && !stores.contains_key(&output.connection)
        {
            let name = &output.connection;
            let url = config.connection(name).with_context(|| config.connection_help(name))?;
            stores.insert(name.clone(), open_store(name, url.reveal())?);
        }
    }
    Ok(stores)
}

/// The object stores that a plan reads or writes, by connection.
pub fn open_object_stores(config: &HostConfig, plan: &Plan) -> Result<HashMap<String, Arc<dyn Objects>>> {
    let open = |name: &str| {
        let connection = config.objects_connection(name).with_context(|| config.connection_help(name))?;
        Ok((name.to_owned(), open_objects(name, &connection, &spool(config)?)?))
    };
    plan.object_connections().into_iter().map(open).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_in_one_place_or_the_user_is_told_of_both() {
        let folder = tempfile::tempdir().unwrap();
        let (file, data) = (folder.path().join("host.yaml"), Path::new("here"));
        fs::write(&file, "log: { embedded: ./there }").unwrap();
        let refused = configuration(Some(&file), Some(data)).unwrap_err();
        assert!(refused.is::<Usage>() && refused.to_string().contains("./there"), "{refused}");
        assert_ne!(configuration(Some(&file), None).unwrap(), HostConfig::default_for(data));

        fs::write(&file, "{}").unwrap();
        assert_eq!(configuration(Some(&file), Some(data)).unwrap(), HostConfig::default_for(data));
    }

    #[test]
    fn a_configuration_that_is_missing_is_wrong_usage() {
        assert!(configuration(Some(Path::new("no/such/host.yaml")), None).unwrap_err().is::<Usage>());
    }
}

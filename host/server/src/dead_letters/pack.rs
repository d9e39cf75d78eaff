//! Makes the bundle of a letter.

use azenha_model::plugin::World;
use azenha_model::{Field, Schema};
use azenha_sandbox::{Plugin, Sandbox};
use tokio::task::spawn_blocking;

use super::bundle::{About, Bundle, Input, Limits, Manifest, Outlet};
use super::components;
use super::letter::{Call, Column, Letter, Opened, fields};
use super::replay::config;
use crate::host::Host;

/// Why there is no bundle of a letter.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// No plugin has to do with it.
    #[error("no call of a plugin is the cause of this letter: there is nothing to replay")]
    NoCall,
    /// The letter does not say what the plugin was given.
    #[error(
        "the letter does not carry what the plugin was given: it, or those before it, were too large, or an older host wrote it"
    )]
    NotKept,
    /// The code is gone.
    #[error(
        "the component of plugin `{plugin}` with digest {digest} is neither in the log nor in this host's data directory"
    )]
    NoComponent {
        /// The plugin.
        plugin: String,
        /// Its digest.
        digest: String,
    },
    /// It could not be written.
    #[error("the bundle cannot be made: {0}")]
    Failed(String),
}

/// The bundle of a letter. `like`: the letter that says for it what was given.
///
/// # Errors
/// [`PackError`] says why there is none.
pub async fn pack(host: &Host, letter: Letter, like: Option<Letter>) -> Result<Vec<u8>, PackError> {
    let Letter { id, cause, failure, reason, part, call, .. } = letter;
    let call = call.ok_or(PackError::NoCall)?;
    let call = if call.like.is_some() { like.and_then(|like| like.call).ok_or(PackError::NotKept)? } else { call };
    let Call { plugin, digest, contract, function, opened, columns, accumulator, into, tables, .. } = call;
    let opened = opened.ok_or(PackError::NotKept)?;
    let function = function.ok_or(PackError::NoCall)?;
    let missing = || PackError::NoComponent { plugin: plugin.clone(), digest: digest.clone() };
    let component = component(host, &digest).await.ok_or_else(missing)?;
    let config = host.config();
    let limits =
        Limits { memory_bytes: config.limits.plugin_memory, call_millis: config.limits.plugin_time.as_millis() as u64 };
    let (format, version) = Manifest::made_here();
    let letter = About { id, cause, failure, reason, part };
    let manifest = Manifest {
        format,
        host: version,
        contract,
        plugin,
        digest,
        function,
        opened,
        gives: Vec::new(),
        limits,
        letter,
    };
    let mut bundle = Bundle { manifest, input: Input { columns, accumulator, into, tables }, plugin: component };
    let sandbox = host.runner().sandbox.clone();
    let written = spawn_blocking(move || {
        bundle.manifest.gives = gives(&sandbox, &bundle).unwrap_or_default();
        bundle.write()
    });
    let failed = |error: &dyn std::error::Error| PackError::Failed(error.to_string());
    written.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

/// The bytes with a digest: of the log, or of a file that this host was started with.
async fn component(host: &Host, digest: &str) -> Option<Vec<u8>> {
    match host.control().plugins.bytes(digest).await {
        Ok(bytes) => Some(bytes),
        Err(_) => components::find(&host.config().data, digest),
    }
}

/// What the plugin gives. None if it wants a variable's value, which the letter does not have.
fn gives(sandbox: &Sandbox, bundle: &Bundle) -> Option<Vec<Outlet>> {
    let Manifest { plugin, opened, .. } = &bundle.manifest;
    let (config, _) = config(opened, &|_| None).ok()?;
    let plugin = sandbox.load(plugin, &bundle.plugin).ok()?;
    outlets(&plugin, opened, &config)
}

fn outlets(plugin: &Plugin, opened: &Opened, config: &str) -> Option<Vec<Outlet>> {
    let input = fields(&opened.input).ok()?;
    let keys = fields(&opened.keys).ok()?;
    let of_groups = |gives: &[Field]| vec![outlet("main", &Schema::new([&keys, gives].concat()))];
    match plugin.world() {
        World::Transform => {
            let opened = plugin.open_transform(config, &input).ok()?;
            let outlets = opened.plan().outlets.iter();
            Some(outlets.map(|known| outlet(&known.name, &known.schema(&input))).collect())
        }
        World::Aggregate => {
            let opened = plugin.open_aggregate(config, &input, &keys).ok()?;
            Some(of_groups(&opened.plan().gives))
        }
        World::Assemble => {
            let opened = plugin.open_assemble(config, &opened.table_fields().ok()?, &keys).ok()?;
            Some(of_groups(&opened.plan().gives))
        }
    }
}

fn outlet(name: &str, schema: &Schema) -> Outlet {
    Outlet { name: name.to_owned(), columns: schema.fields.iter().map(Column::of).collect() }
}

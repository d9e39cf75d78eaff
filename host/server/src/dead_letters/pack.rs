//! Makes the bundle of a letter.

use std::collections::BTreeSet;

use azenha_model::connection::StoreKind;
use azenha_model::dead_letter::{Basis, DeadLetter, Opened, Original};
use azenha_model::plugin::World;
use azenha_model::{Field, Schema};
use azenha_sandbox::{Plugin, Sandbox};
use tokio::task::spawn_blocking;

use super::bundle::{About, Bundle, Limits, Manifest, Outlet};
use super::components;
use super::replay::config;
use crate::host::Host;

/// Why there is no bundle of a letter.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The letter does not say what was decided on.
    #[error(
        "the letter does not carry what was decided on: its source has personal data, it or those before it were too large, or an older host wrote it"
    )]
    NotKept,
    /// The record was decided on, and stands in its topic only.
    #[error("the letter leaves out the record that was decided on: its source has personal data, or it is too large")]
    LeftOut,
    /// The record is gone.
    #[error("the log does not hold the record any more")]
    NoRecord,
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

/// What a letter says, and what it leaves out for its personal data.
pub struct Told {
    /// The letter.
    pub letter: DeadLetter,
    /// What it, or the one that it refers to, was decided on.
    pub basis: Basis,
    /// The record, as far as it may be told.
    pub record: Option<Original>,
    /// The columns of personal data for whose values something else stands.
    pub masked: BTreeSet<String>,
}

impl Told {
    /// What anybody may see of a letter. `like`: the letter that says for it what was given.
    ///
    /// # Errors
    /// If it does not say it.
    pub fn of(mut letter: DeadLetter, like: Option<DeadLetter>) -> Result<Self, PackError> {
        let basis = match letter.basis.take() {
            Some(Basis::Call(call)) if call.like.is_some() => like.and_then(|like| like.basis),
            basis => basis,
        };
        let is_said = |basis: &Basis| !matches!(basis, Basis::Call(call) if call.opened.is_none());
        let basis = basis.filter(is_said).ok_or(PackError::NotKept)?;
        // Of what a plugin saw, or a store got, the record may hold more.
        let record = letter.record.take().filter(|_| decides_by_record(&basis));
        let masked = basis.personal();
        Ok(Self { letter, basis, record, masked })
    }

    /// Whether the record, where it stands in its topic, may say more.
    pub fn leaves_out(&self) -> bool {
        let is_of_record = !self.letter.group && self.letter.object.is_none();
        is_of_record && (!self.masked.is_empty() || self.record.is_none() && decides_by_record(&self.basis))
    }
}

/// Whether the record itself was decided on, and not only what was made of it.
pub fn decides_by_record(basis: &Basis) -> bool {
    matches!(basis, Basis::Decoding(_) | Basis::Announced(_))
}

/// What is in the bundle of a letter, but for what its plugin gives.
///
/// # Errors
/// [`PackError`] says why there is none.
pub async fn gather(host: &Host, told: Told) -> Result<Bundle, PackError> {
    let Told { letter, basis, record, masked } = told;
    if decides_by_record(&basis) && record.is_none() {
        return Err(if letter.object.is_none() { PackError::LeftOut } else { PackError::NotKept });
    }
    let plugin = match &basis {
        Basis::Call(call) => component(host, &call.plugin, &call.digest).await?,
        _ => Vec::new(),
    };
    let limits = &host.config().limits;
    let (format, version) = Manifest::made_here();
    let manifest = Manifest {
        format,
        host: version,
        letter: About::of(&letter),
        masked,
        gives: Vec::new(),
        limits: Limits { memory_bytes: limits.plugin_memory, call_millis: limits.plugin_time.as_millis() as u64 },
        store: store(host, &basis),
    };
    Ok(Bundle { manifest, basis, record, plugin })
}

/// The bundle of a letter, as a file.
///
/// # Errors
/// [`PackError`] says why there is none.
pub async fn pack(host: &Host, told: Told) -> Result<Vec<u8>, PackError> {
    let mut bundle = gather(host, told).await?;
    let sandbox = host.runner().sandbox.clone();
    let written = spawn_blocking(move || {
        bundle.manifest.gives = gives(&sandbox, &bundle).unwrap_or_default();
        bundle.write()
    });
    let failed = |error: &dyn std::error::Error| PackError::Failed(error.to_string());
    written.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

/// What a row was for.
fn store(host: &Host, basis: &Basis) -> Option<StoreKind> {
    let Basis::Store(row) = basis else { return None };
    StoreKind::of(host.config().connection(&row.output.connection)?.reveal())
}

/// The bytes with a digest: of the log, or of a file that this host was started with.
async fn component(host: &Host, plugin: &str, digest: &str) -> Result<Vec<u8>, PackError> {
    let found = match host.control().plugins.bytes(digest).await {
        Ok(bytes) => Some(bytes),
        Err(_) => components::find(&host.config().data, digest),
    };
    found.ok_or_else(|| PackError::NoComponent { plugin: plugin.to_owned(), digest: digest.to_owned() })
}

/// What the plugin gives. None if it wants a variable's value, which the letter does not have.
fn gives(sandbox: &Sandbox, bundle: &Bundle) -> Option<Vec<Outlet>> {
    let Basis::Call(call) = &bundle.basis else { return None };
    let opened = call.opened.as_ref()?;
    let (config, _) = config(opened, &|_| None).ok()?;
    let plugin = sandbox.load(&call.plugin, &bundle.plugin).ok()?;
    outlets(&plugin, opened, &config)
}

fn outlets(plugin: &Plugin, opened: &Opened, config: &str) -> Option<Vec<Outlet>> {
    let Opened { input, keys, tables, .. } = opened;
    let of_groups = |gives: &[Field]| vec![outlet("main", &Schema::new([keys, gives].concat()))];
    match plugin.world() {
        World::Transform => {
            let opened = plugin.open_transform(config, input).ok()?;
            let outlets = opened.plan().outlets.iter();
            Some(outlets.map(|known| outlet(&known.name, &known.schema(input))).collect())
        }
        World::Aggregate => {
            let opened = plugin.open_aggregate(config, input, keys).ok()?;
            Some(of_groups(&opened.plan().gives))
        }
        World::Assemble => {
            let opened = plugin.open_assemble(config, tables, keys).ok()?;
            Some(of_groups(&opened.plan().gives))
        }
    }
}

fn outlet(name: &str, schema: &Schema) -> Outlet {
    Outlet { name: name.to_owned(), columns: schema.fields.clone() }
}

//! A loaded plugin: compiled code that any number of steps can open.

use std::sync::Arc;

use azenha_model::Field;
use azenha_model::plugin::{TableFields, World};
use wasmtime::Engine;

use crate::aggregate::Aggregate;
use crate::assemble::Assemble;
use crate::bindings::aggregate::{self as aggregate_world, AggregatePre};
use crate::bindings::assemble::{self as assemble_world, AssemblePre};
use crate::bindings::transform::{self as transform_world, TransformPre};
use crate::error::{Failure, OpenError};
use crate::instance::Instance;
use crate::limits::Limits;
use crate::state::{Log, State};
use crate::transform::Transform;

/// A plugin that was loaded and compiled. Cheap to clone.
#[derive(Clone)]
pub struct Plugin(Arc<Loaded>);

/// What a [`Plugin`] shares.
pub(crate) struct Loaded {
    pub engine: Engine,
    pub limits: Limits,
    /// Where its instances log, under its name.
    pub log: Arc<Log>,
    /// What was loaded.
    pub bytes: Arc<[u8]>,
    /// Its SHA-256 in hex.
    pub digest: String,
    pub config_schema: Option<String>,
    pub code: Code,
}

/// Compiled code whose imports are linked and whose exports have the types of the contract.
pub(crate) enum Code {
    Transform(TransformPre<State>),
    Aggregate(AggregatePre<State>),
    Assemble(AssemblePre<State>),
}

impl Plugin {
    pub(crate) fn new(loaded: Loaded) -> Self {
        Self(Arc::new(loaded))
    }

    /// The name that it was loaded under.
    pub fn name(&self) -> &str {
        self.0.log.plugin()
    }

    /// The SHA-256 of the bytes that were loaded, in hex.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// The bytes that were loaded.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// What kind of plugin it is.
    pub fn world(&self) -> World {
        match self.0.code {
            Code::Transform(_) => World::Transform,
            Code::Aggregate(_) => World::Aggregate,
            Code::Assemble(_) => World::Assemble,
        }
    }

    /// The JSON Schema of its configuration, if it has one.
    pub fn config_schema(&self) -> Option<&str> {
        self.0.config_schema.as_deref()
    }

    /// Opens it as a transform over `input`, with the step's configuration as JSON.
    ///
    /// # Errors
    /// [`OpenError`] if it is no transform, refuses the configuration or the input, or fails.
    pub fn open_transform(&self, config: &str, input: &[Field]) -> Result<Transform, OpenError> {
        Transform::open(self.clone(), config, input)
    }

    /// Opens it as an aggregate over `input`, grouped by `keys`, with the step's configuration as JSON.
    ///
    /// # Errors
    /// [`OpenError`] if it is no aggregate, refuses the configuration, the input or the keys, or fails.
    pub fn open_aggregate(&self, config: &str, input: &[Field], keys: &[Field]) -> Result<Aggregate, OpenError> {
        Aggregate::open(self.clone(), config, input, keys)
    }

    /// Opens it as an assemble over `tables`, grouped by `keys`, with the step's configuration as JSON.
    ///
    /// # Errors
    /// [`OpenError`] if it is no assemble, refuses the configuration, the tables or the keys, or fails. The
    /// `input` of a [`Problem`](azenha_model::plugin::Problem) counts through the tables' columns.
    pub fn open_assemble(&self, config: &str, tables: &[TableFields], keys: &[Field]) -> Result<Assemble, OpenError> {
        Assemble::open(self.clone(), config, tables, keys)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn start_transform(&self) -> Result<Instance<transform_world::Transform>, OpenError> {
        let Loaded { engine, limits, log, code, .. } = &*self.0;
        match code {
            Code::Transform(code) => Ok(Instance::start(engine, log.clone(), limits, |store| code.instantiate(store))?),
            _ => Err(self.wrong_world(World::Transform)),
        }
    }

    pub(crate) fn start_aggregate(&self) -> Result<Instance<aggregate_world::Aggregate>, OpenError> {
        let Loaded { engine, limits, log, code, .. } = &*self.0;
        match code {
            Code::Aggregate(code) => Ok(Instance::start(engine, log.clone(), limits, |store| code.instantiate(store))?),
            _ => Err(self.wrong_world(World::Aggregate)),
        }
    }

    pub(crate) fn start_assemble(&self) -> Result<Instance<assemble_world::Assemble>, OpenError> {
        let Loaded { engine, limits, log, code, .. } = &*self.0;
        match code {
            Code::Assemble(code) => Ok(Instance::start(engine, log.clone(), limits, |store| code.instantiate(store))?),
            _ => Err(self.wrong_world(World::Assemble)),
        }
    }

    fn wrong_world(&self, wanted: World) -> OpenError {
        OpenError::WrongWorld { plugin: self.name().to_owned(), found: self.world(), wanted }
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name()).field("digest", &self.digest()).finish_non_exhaustive()
    }
}

/// Works with the instance in `slot`, or with a new one if a failure has emptied it; keeps it only if all goes well.
pub(crate) fn with_instance<W, P: PartialEq, R>(
    slot: &mut Option<Instance<W>>,
    plan: &P,
    start: impl FnOnce() -> Result<(Instance<W>, P), OpenError>,
    work: impl FnOnce(&mut Instance<W>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let mut instance = match slot.take() {
        Some(instance) => instance,
        None => reopened(start(), plan)?,
    };
    let result = work(&mut instance)?;
    *slot = Some(instance);
    Ok(result)
}

/// An instance that takes the place of one that failed. It must say of itself what the first one said.
fn reopened<I, P: PartialEq>(started: Result<(I, P), OpenError>, plan: &P) -> Result<I, Failure> {
    match started {
        Ok((instance, again)) if again == *plan => Ok(instance),
        Ok(_) => {
            Err(Failure::contract("`open` returned another plan than before for the same configuration and input"))
        }
        Err(OpenError::Failed(failure)) => Err(failure),
        Err(refused) => Err(Failure::contract(format!("`open` refuses what it accepted before: {refused}"))),
    }
}

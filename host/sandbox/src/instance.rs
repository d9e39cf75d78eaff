//! One running instance of a plugin, and its calls.

use std::sync::Arc;

use wasmtime::{Engine, Store};

use crate::error::{Failure, FailureKind};
use crate::explain::explain;
use crate::limits::Limits;
use crate::state::{Log, State};
use crate::words::{MESSAGE, shown};

/// An instance whose exports are those of the world `W`.
///
/// After a failure an instance is in an unknown state: whoever sees one must drop it.
pub struct Instance<W> {
    store: Store<State>,
    world: W,
    limits: Limits,
}

impl<W> Instance<W> {
    /// Starts an instance. Instantiation runs code of the plugin, so it is bounded like a call.
    pub fn start(
        engine: &Engine,
        log: Arc<Log>,
        limits: &Limits,
        instantiate: impl FnOnce(&mut Store<State>) -> wasmtime::Result<W>,
    ) -> Result<Self, Failure> {
        let mut store = Store::new(engine, State::new(log, limits));
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(limits.output_bytes);
        store.set_epoch_deadline(limits.call_ticks());
        match instantiate(&mut store) {
            Ok(world) => Ok(Self { store, world, limits: *limits }),
            Err(error) => Err(explain(&error, store.data(), limits)),
        }
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.store.data().meter.memory()
    }

    /// Calls into the plugin.
    pub fn call<R>(&mut self, call: impl FnOnce(&W, &mut Store<State>) -> wasmtime::Result<R>) -> Result<R, Failure> {
        self.store.data_mut().begin_call();
        self.store.set_epoch_deadline(self.limits.call_ticks());
        call(&self.world, &mut self.store).map_err(|error| explain(&error, self.store.data(), &self.limits))
    }

    /// Calls a function that returns its errors as text.
    pub fn call_fallible<R>(
        &mut self,
        call: impl FnOnce(&W, &mut Store<State>) -> wasmtime::Result<Result<R, String>>,
    ) -> Result<R, Failure> {
        self.call(call)?.map_err(|message| Failure::new(FailureKind::Error, shown(&message, MESSAGE)))
    }
}

//! The engine that all plugins share: its settings, its clock, and how a file becomes a plugin.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;

use azenha_model::plugin::World;
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Cache, CacheConfig, Config, Engine};
use wit_component::ComponentEncoder;

use crate::bindings::aggregate::AggregatePre;
use crate::bindings::assemble::AssemblePre;
use crate::bindings::log;
use crate::bindings::transform::TransformPre;
use crate::error::{LoadError, LoadReason, SandboxError};
use crate::explain::RECORDED;
use crate::inspect::{Form, inspect};
use crate::limits::Limits;
use crate::plugin::{Code, Loaded, Plugin};
use crate::state::{Log, State};

/// The stack of a thread that compiles: the compiler recurses into what it is given.
const COMPILER_STACK: usize = 16 << 20;

/// Loads plugins. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    engine: Engine,
    linker: Arc<Linker<State>>,
    limits: Limits,
}

impl Sandbox {
    /// A sandbox whose plugins keep to `limits`. Compiled code is kept in the directory `cache`, which is
    /// made if it is missing and must belong to the host alone: what is in it is executed.
    ///
    /// # Errors
    /// If the engine does not start or the directory cannot be used.
    pub fn new(limits: Limits, cache: Option<&Path>) -> Result<Self, SandboxError> {
        let mut config = config(&limits);
        if let Some(directory) = cache {
            config.cache(Some(open_cache(directory)?));
        }
        let failed = |error: wasmtime::Error| SandboxError::Engine(format!("{error:#}"));
        let engine = Engine::new(&config).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        log::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state).map_err(failed)?;
        start_ticker(&engine)?;
        Ok(Self { engine, linker: Arc::new(linker), limits })
    }

    /// Makes a plugin of a component, or of the core module that `cargo build` makes. `name` is for messages.
    ///
    /// Compilation is given up after [`Limits::compile_time`]; the thread that compiles ends when it is done.
    ///
    /// # Errors
    /// [`LoadError`] says what is wrong with any other file.
    pub fn load(&self, name: &str, bytes: &[u8]) -> Result<Plugin, LoadError> {
        self.load_code(name, bytes).map_err(|reason| LoadError { plugin: name.to_owned(), reason })
    }

    fn load_code(&self, name: &str, bytes: &[u8]) -> Result<Plugin, LoadReason> {
        let inspected = inspect(bytes, &self.limits)?;
        let component = self.compile(inspected.form, bytes)?;
        Ok(Plugin::new(Loaded {
            engine: self.engine.clone(),
            limits: self.limits,
            log: Arc::new(Log::new(name, &self.limits)),
            bytes: bytes.into(),
            digest: hex(&Sha256::digest(bytes)),
            config_schema: inspected.config_schema,
            code: self.link(&component)?,
        }))
    }

    /// Compiles on a thread of its own: to be able to give up, and because the compiler may panic on a
    /// damaged file.
    fn compile(&self, form: Form, bytes: &[u8]) -> Result<Component, LoadReason> {
        let (engine, bytes) = (self.engine.clone(), bytes.to_vec());
        let (done, waiting) = sync_channel(1);
        let work = move || {
            // Nobody receives it if the compilation took too long.
            let _ = done.send(componentize(form, bytes).and_then(|bytes| {
                Component::new(&engine, bytes).map_err(|error| LoadReason::Compile(format!("{error:#}")))
            }));
        };
        thread::Builder::new()
            .name("plugin-compiler".to_owned())
            .stack_size(COMPILER_STACK)
            .spawn(work)
            .map_err(|error| LoadReason::Compile(format!("the compiler's thread does not start: {error}")))?;
        waiting.recv_timeout(self.limits.compile_time).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => Err(LoadReason::CompileTime(self.limits.compile_time)),
            RecvTimeoutError::Disconnected => {
                Err(LoadReason::Compile("the compiler gave up on it; the file is probably damaged".to_owned()))
            }
        })
    }

    fn link(&self, component: &Component) -> Result<Code, LoadReason> {
        let exports: Vec<String> =
            component.component_type().exports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        let exports_any = |name: &str| exports.iter().any(|export| export == name);
        let other = |world, error: wasmtime::Error| LoadReason::OtherContract { world, message: format!("{error:#}") };
        if exports_any("process") {
            let linked = self.linker.instantiate_pre(component).and_then(TransformPre::new);
            linked.map(Code::Transform).map_err(|error| other(World::Transform, error))
        } else if exports_any("fold") {
            let linked = self.linker.instantiate_pre(component).and_then(AggregatePre::new);
            linked.map(Code::Aggregate).map_err(|error| other(World::Aggregate, error))
        } else if exports_any("assemble") {
            let linked = self.linker.instantiate_pre(component).and_then(AssemblePre::new);
            linked.map(Code::Assemble).map_err(|error| other(World::Assemble, error))
        } else {
            Err(LoadReason::NoWorld { exports: listed(&exports) })
        }
    }
}

fn config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes)
        .wasm_backtrace_max_frames(NonZeroUsize::new(RECORDED))
        // The same input gives the same output on every machine.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false);
    config
}

fn open_cache(directory: &Path) -> Result<Cache, SandboxError> {
    let failed = |reason: String| SandboxError::Cache { path: directory.display().to_string(), reason };
    make_private(directory).map_err(|error| failed(error.to_string()))?;
    let absolute = directory.canonicalize().map_err(|error| failed(error.to_string()))?;
    let mut config = CacheConfig::new();
    config.with_directory(absolute);
    Cache::new(config).map_err(|error| failed(format!("{error:#}")))
}

/// Makes the directory, or checks that nobody else can put code into it.
fn make_private(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        builder.mode(0o700).create(directory)?;
        if directory.metadata()?.permissions().mode() & 0o022 != 0 {
            return Err(std::io::Error::other("others may write to it, and what is in it is executed"));
        }
        Ok(())
    }
    #[cfg(not(unix))]
    builder.create(directory)
}

/// Starts the clock of all deadlines. It stops when the last plugin and the last sandbox are gone.
fn start_ticker(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(Limits::TICK);
        }
    };
    thread::Builder::new().name("plugin-clock".to_owned()).spawn(tick).map(drop)
}

fn componentize(form: Form, bytes: Vec<u8>) -> Result<Vec<u8>, LoadReason> {
    match form {
        Form::Component => Ok(bytes),
        Form::Module => ComponentEncoder::default()
            .validate(true)
            .module(&bytes)
            .and_then(|encoder| encoder.encode())
            .map_err(|error| LoadReason::NotComponent(format!("{error:#}"))),
    }
}

fn listed(exports: &[String]) -> String {
    match exports {
        [] => "nothing".to_owned(),
        exports => format!("`{}`", exports.join("`, `")),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

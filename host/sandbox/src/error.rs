//! Everything that can be wrong with a plugin, in words for its author.

use std::time::Duration;

use azenha_model::plugin::{Problem, World};

/// The sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine refuses its settings, or the machine cannot run it.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// The directory for compiled code cannot be made or used.
    #[error("the directory for compiled plugins, {path}, cannot be used: {reason}")]
    Cache {
        /// The directory.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// The clock that interrupts plugins could not be started.
    #[error("the thread that measures the time of plugins does not start: {0}")]
    Ticker(#[from] std::io::Error),
}

/// A file that is not a plugin, or not one that this host runs.
#[derive(Debug, thiserror::Error)]
#[error("plugin `{plugin}`: {reason}")]
pub struct LoadError {
    /// The name that it was loaded under.
    pub plugin: String,
    /// What is wrong.
    pub reason: LoadReason,
}

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadReason {
    /// Something else than WebAssembly.
    #[error("this is not WebAssembly: {found}; give the .wasm file that `azenha plugin build` makes")]
    NotWasm {
        /// What it seems to be.
        found: &'static str,
    },
    /// Machine code: it could do anything, so it is never taken from outside.
    #[error("this is compiled machine code (.cwasm or a native library), which is never accepted; give the .wasm file")]
    Compiled,
    /// The file ends too early.
    #[error("the file is truncated: it ends at byte {offset}, in the middle of a section")]
    Truncated {
        /// Where it ends.
        offset: u64,
    },
    /// The bytes are no valid module or component.
    #[error("the file is damaged at byte {offset}: {message}")]
    Malformed {
        /// Where the parser stopped.
        offset: u64,
        /// What it found.
        message: String,
    },
    /// One of the bounds of [`Limits`](crate::Limits) on files.
    #[error("it has {found} {what}; the limit is {limit}")]
    TooBig {
        /// What is counted.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much there may be.
        limit: usize,
    },
    /// It asks for something that the sandbox does not have.
    #[error("it imports `{import}`, but a plugin may import nothing but `azenha:plugin/log@0.1.0`: {advice}")]
    Import {
        /// The import's name.
        import: String,
        /// What to do.
        advice: &'static str,
    },
    /// A core module that says nothing about the contract.
    #[error(
        "this is a plain WebAssembly module that does not say which plugin it is (it has no `component-type` \
         section): build it with the SDK, `azenha plugin new` shows how"
    )]
    NoContract,
    /// A core module whose exports do not fit its own description.
    #[error("it cannot be made a component: {0}")]
    NotComponent(String),
    /// It exports neither world.
    #[error(
        "it exports neither `process` (a transform) nor `fold` (an aggregate), but {exports}: build it with the SDK"
    )]
    NoWorld {
        /// What it exports, for people.
        exports: String,
    },
    /// Its functions have other types than the contract says.
    #[error("its `{world}` is not that of azenha:plugin@0.1.0: {message}")]
    OtherContract {
        /// The world that its exports name.
        world: World,
        /// The first difference.
        message: String,
    },
    /// The custom section `azenha:config-schema` is unusable.
    #[error("its section `azenha:config-schema` is not a JSON document: {0}")]
    ConfigSchema(String),
    /// The compiler refuses it.
    #[error("it does not compile: {0}")]
    Compile(String),
    /// The compiler took too long.
    #[error("it was not compiled within {0:?}")]
    CompileTime(Duration),
}

/// Why a plugin was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A transform was wanted and this is an aggregate, or the other way round.
    #[error("plugin `{plugin}` is {}, not {}", article(*found), article(*wanted))]
    WrongWorld {
        /// The plugin.
        plugin: String,
        /// What it is.
        found: World,
        /// What the step needs.
        wanted: World,
    },
    /// The configuration or the input does not fit; at least one.
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
    /// `open` failed, or its plan breaks the contract.
    #[error(transparent)]
    Failed(#[from] Failure),
}

fn article(world: World) -> &'static str {
    match world {
        World::Transform => "a transform",
        World::Aggregate => "an aggregate",
    }
}

fn list(problems: &[Problem]) -> String {
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    messages.join("; ")
}

/// A call that gave nothing usable. The instance is gone; the next call starts a new one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// For the plugin's author: what happened, and where if that is known.
    pub message: String,
}

/// The kinds of [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The plugin returned an error.
    Error,
    /// The plugin panicked, used up its stack or did something impossible.
    Trap,
    /// The call took too long.
    Timeout,
    /// The plugin asked for more memory than it may have.
    Memory,
    /// What the plugin returned breaks the contract.
    Contract,
}

impl Failure {
    /// Something that the plugin returned and must not.
    pub(crate) fn contract(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Contract, message: message.into() }
    }
}

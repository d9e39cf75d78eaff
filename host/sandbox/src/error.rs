//! Everything that can be wrong with a plugin, in words for its author.

use std::time::Duration;

use azenha_model::plugin::{Problem, World};

use crate::words::{MESSAGE, NAME, shown};

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

/// What is wrong with a file. What is quoted of the file is escaped and cut when it is shown.
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
    #[error("the file is damaged at byte {offset}: {}", shown(.message, MESSAGE))]
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
    #[error(
        "it imports `{}`, but a plugin may import nothing but `azenha:plugin/log@0.1.0`: {advice}",
        shown(.import, NAME)
    )]
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
    #[error("it cannot be made a component: {}", shown(.0, MESSAGE))]
    NotComponent(String),
    /// It exports no world.
    #[error(
        "it exports none of `process` (a transform), `fold` (an aggregate) and `assemble` (an assemble), but {}: \
         build it with the SDK",
        shown(.exports, MESSAGE)
    )]
    NoWorld {
        /// What it exports, for people.
        exports: String,
    },
    /// Its functions have other types than the contract says.
    #[error("its `{world}` is not that of azenha:plugin@0.1.0: {}", shown(.message, MESSAGE))]
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
    #[error("it does not compile: {}", shown(.0, MESSAGE))]
    Compile(String),
    /// The compiler took too long.
    #[error("it was not compiled within {0:?}")]
    CompileTime(Duration),
}

/// Why a plugin was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A transform was wanted and this is an aggregate, for instance.
    #[error("plugin `{plugin}` is {}, not {}", found.with_article(), wanted.with_article())]
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
    /// The functions that it happened in, innermost first, those of the language and the SDK among them; nothing if it was
    /// no trap or the plugin was stripped of their names.
    pub stack: Vec<String>,
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

impl FailureKind {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Contract => "contract",
        }
    }
}

impl Failure {
    /// A failure whose message may quote the plugin, and the functions that it happened in.
    pub(crate) fn new(kind: FailureKind, message: impl AsRef<str>) -> Self {
        Self { kind, message: shown(message.as_ref(), 2 * MESSAGE), stack: Vec::new() }
    }

    /// The same in these functions.
    pub(crate) fn within(self, stack: Vec<String>) -> Self {
        Self { stack, ..self }
    }

    /// Something that the plugin returned and must not.
    pub(crate) fn contract(message: impl AsRef<str>) -> Self {
        Self::new(FailureKind::Contract, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_quotes_of_a_plugin_is_escaped_and_bounded() {
        assert_eq!(Failure::contract("column `\x1b]0;` is wrong\n").message, r"column `\u{1b}]0;` is wrong\n");
        assert!(Failure::new(FailureKind::Trap, "x".repeat(1 << 20)).message.len() < 3 * MESSAGE);
        let reason = LoadReason::Import { import: "evil\nINFO all is well".to_owned(), advice: "do not" };
        assert!(reason.to_string().contains(r"`evil\nINFO all is well`"), "{reason}");
        let reason = LoadReason::NoWorld { exports: "`\x1b[2J`".repeat(MESSAGE) }.to_string();
        assert!(reason.contains(r"but `\u{1b}[2J`") && reason.len() < 2 * MESSAGE, "{reason}");
    }
}

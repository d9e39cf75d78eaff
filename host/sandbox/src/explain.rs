//! A call that went wrong, in words: what happened, the plugin's own panic message, and which of its
//! functions it happened in.

use wasmtime::{Trap, WasmBacktrace};

use crate::error::{Failure, FailureKind};
use crate::limits::Limits;
use crate::state::State;
use crate::words::{NAME, shown};

/// The calls of a stack that are recorded.
pub const RECORDED: usize = 64;

/// The functions that a message names.
const NAMED: usize = 8;

/// The functions of the contract: between them and the author's code stands what the SDK generates.
const EXPORTS: [&str; 7] = ["open", "process", "fold", "merge", "finish", "migrate", "assemble"];

/// The module that the SDK's macros make in the author's crate.
const GENERATED: &str = "::azenha_plugin::";

/// Where the code comes from that an author has not written.
const FOREIGN: [&str; 11] = [
    "core::",
    "std::",
    "alloc::",
    "azenha_sdk::",
    "wit_bindgen",
    "dlmalloc::",
    "hashbrown::",
    "compiler_builtins::",
    "cabi_",
    "__",
    "rust_",
];

/// Makes a [`Failure`] of what `wasmtime` says about a call.
pub fn explain(error: &wasmtime::Error, state: &State, limits: &Limits) -> Failure {
    let stack = error.downcast_ref::<WasmBacktrace>();
    let deep = stack.is_some_and(|stack| stack.frames().len() >= RECORDED);
    let (kind, what) = cause(error, deep, state, limits);
    let functions = stack.map(functions).unwrap_or_default();
    let message = match author_frames(&functions) {
        frames if frames.is_empty() => what,
        frames => format!("{what}; in {}", frames.join(", called by ")),
    };
    Failure::new(kind, message).within(functions)
}

fn cause(error: &wasmtime::Error, deep: bool, state: &State, limits: &Limits) -> (FailureKind, String) {
    let trap = error.downcast_ref::<Trap>();
    match trap {
        Some(Trap::Interrupt) => return (FailureKind::Timeout, format!("it ran longer than {:?}", limits.call_time)),
        Some(Trap::StackOverflow) => {
            let stack = limits.stack_bytes >> 10;
            return (FailureKind::Trap, format!("it used up its stack of {stack} KiB: the recursion is too deep"));
        }
        // Compilers keep what has an address on a second stack at the bottom of the memory.
        Some(Trap::MemoryOutOfBounds) if deep => {
            return (FailureKind::Trap, "it used up the stack in its memory: the recursion is too deep".to_owned());
        }
        _ => {}
    }
    if let Some(refused) = &state.meter.refused {
        return (FailureKind::Memory, refused.clone());
    }
    let Some(trap) = trap else {
        return (FailureKind::Contract, unreadable(error, limits));
    };
    let what = match state.last_error() {
        Some(panic) if panic.starts_with("panicked") => panic.to_owned(),
        Some(logged) => format!("{trap}; its last error message: {logged}"),
        None => trap.to_string(),
    };
    (FailureKind::Trap, what)
}

/// Not a trap: the host could not read what the plugin returned.
fn unreadable(error: &wasmtime::Error, limits: &Limits) -> String {
    let root = error.root_cause().to_string();
    // `wasmtime` has no public type for this error.
    if root.contains("fuel allocated for hostcalls") {
        return format!("it returned more than {} KiB", limits.output_bytes >> 10);
    }
    format!("what it returned cannot be read: {root}")
}

/// The names of the functions on the stack, innermost first; a plugin that was stripped has none.
fn functions(backtrace: &WasmBacktrace) -> Vec<String> {
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name());
    names.map(|name| shown(&format!("{:#}", rustc_demangle::demangle(name)), NAME)).collect()
}

/// The author's own functions; if there are none, all of them.
fn author_frames(functions: &[String]) -> Vec<String> {
    let mut own: Vec<&String> = functions.iter().filter(|name| !is_foreign(name)).collect();
    if own.is_empty() {
        own = functions.iter().collect();
    }
    let mut frames: Vec<(&String, usize)> = Vec::new();
    for name in own {
        match frames.last_mut() {
            Some((last, times)) if *last == name => *times += 1,
            _ => frames.push((name, 1)),
        }
    }
    let show = |(name, times): (&String, usize)| match times {
        1 => format!("`{name}`"),
        _ => format!("`{name}` (again and again)"),
    };
    frames.into_iter().take(NAMED).map(show).collect()
}

/// `<alloc::vec::Vec<T> as core::ops::Index>::index` is as foreign as `core::panicking::panic_fmt`; a
/// type without a path, as in `<[T] as core::fmt::Debug>::fmt`, belongs to the language.
fn is_foreign(name: &str) -> bool {
    if EXPORTS.contains(&name) || name.contains(GENERATED) {
        return true;
    }
    match name.strip_prefix('<') {
        Some(implementation) => {
            let of = implementation.split(" as ").next().unwrap_or(implementation);
            !of.contains("::") || is_foreign(of.trim_start_matches(['<', '&', '[']))
        }
        None => FOREIGN.iter().any(|prefix| name.starts_with(prefix)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(names: &[&str]) -> Vec<String> {
        author_frames(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_authors_own_functions_come_first() {
        let stack = [
            "rust_begin_unwind",
            "core::panicking::panic_fmt",
            "<usize as core::slice::index::SliceIndex<[T]>>::index",
            "<alloc::vec::Vec<u8> as core::ops::index::Index<usize>>::index",
            "enrich_click::stage_of",
            "<enrich_click::EnrichClick as azenha_sdk::Transform>::process",
            "azenha_sdk::transform::process",
            "<enrich_click::azenha_plugin::Exported as enrich_click::azenha_plugin::bindings::Guest>::process",
            "enrich_click::azenha_plugin::bindings::_export_process_cabi",
            "process",
        ];
        let expected = ["`enrich_click::stage_of`", "`<enrich_click::EnrichClick as azenha_sdk::Transform>::process`"];
        assert_eq!(frames(&stack), expected);
    }

    #[test]
    fn a_recursion_is_named_once() {
        assert_eq!(frames(&["deep", "deep", "deep", "top"]), ["`deep` (again and again)", "`top`"]);
    }

    #[test]
    fn without_own_functions_all_are_shown() {
        assert_eq!(frames(&["core::panicking::panic", "__rg_alloc"]), ["`core::panicking::panic`", "`__rg_alloc`"]);
    }
}

//! A first look at a file, before any of it is compiled: what it is, how big, what it imports, and the
//! schema of its configuration.

use std::ops::Range;

use wasmparser::{BinaryReaderError, ComponentImport, ComponentTypeRef, Import, Parser, Payload, TypeBounds};

use crate::error::LoadReason;
use crate::limits::Limits;

/// The imports that a plugin may have: the log, and the interface that only holds types.
const ALLOWED: [&str; 2] = ["azenha:plugin/log@0.1.0", "azenha:plugin/data@0.1.0"];

/// The custom section in which the JSON Schema of a plugin's configuration travels.
const CONFIG_SCHEMA: &str = "azenha:config-schema";

/// The custom section in which a core module describes the component that it wants to be.
const COMPONENT_TYPE: &str = "component-type";

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// What `cargo build --target wasm32-unknown-unknown` makes.
    Module,
    /// A component.
    Component,
}

/// A file that may be compiled.
#[derive(Debug, PartialEq, Eq)]
pub struct Inspected {
    /// A module has yet to be made a component.
    pub form: Form,
    /// The JSON Schema of the plugin's configuration.
    pub config_schema: Option<String>,
}

/// Looks at a file without validating it: that is the compiler's task.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Inspected, LoadReason> {
    bounded("bytes", bytes.len(), limits.module_bytes)?;
    let form = form(bytes)?;
    let mut walk = Walk { limits, form, depth: 0, functions: 0, config_schema: None, described: false };
    for payload in Parser::new(0).parse_all(bytes) {
        walk.visit(payload.map_err(damage)?).map_err(|error| match error {
            Stop::Refused(reason) => reason,
            Stop::Damaged(error) => damage(error),
        })?;
    }
    if form == Form::Module && !walk.described {
        return Err(LoadReason::NoContract);
    }
    Ok(Inspected { form, config_schema: walk.config_schema })
}

fn form(bytes: &[u8]) -> Result<Form, LoadReason> {
    if Parser::is_core_wasm(bytes) {
        return Ok(Form::Module);
    }
    if Parser::is_component(bytes) {
        return Ok(Form::Component);
    }
    if bytes.starts_with(b"\x7fELF") || bytes.starts_with(b"\xcf\xfa\xed\xfe") || bytes.starts_with(b"MZ") {
        return Err(LoadReason::Compiled);
    }
    let found = match bytes.trim_ascii_start() {
        [] => "the file is empty",
        [b'\0', b'a', b's', b'm', ..] if bytes.len() < 8 => "the file ends within its first 8 bytes",
        [b'\0', b'a', b's', b'm', ..] => "its version is neither that of a module nor that of a component",
        [b'(', ..] => "it looks like WebAssembly's text format, which has to be assembled first",
        [b'\x1f', b'\x8b', ..] => "it is compressed with gzip",
        [b'P', b'K', ..] => "it is a zip archive",
        _ => "it does not start with `\\0asm`",
    };
    Err(LoadReason::NotWasm { found })
}

fn bounded(what: &'static str, found: usize, limit: usize) -> Result<(), LoadReason> {
    if found > limit {
        return Err(LoadReason::TooBig { what, found, limit });
    }
    Ok(())
}

fn damage(error: BinaryReaderError) -> LoadReason {
    let offset = error.offset();
    // The parser has no kind of error for this, only this text.
    if error.message().starts_with("unexpected end") {
        return LoadReason::Truncated { offset };
    }
    LoadReason::Malformed { offset, message: error.message().to_owned() }
}

/// Why the walk over a file ends early.
enum Stop {
    Refused(LoadReason),
    Damaged(BinaryReaderError),
}

impl From<LoadReason> for Stop {
    fn from(reason: LoadReason) -> Self {
        Self::Refused(reason)
    }
}

impl From<BinaryReaderError> for Stop {
    fn from(error: BinaryReaderError) -> Self {
        Self::Damaged(error)
    }
}

struct Walk<'a> {
    limits: &'a Limits,
    form: Form,
    /// Zero in the file itself; modules and components inside a component are deeper.
    depth: usize,
    functions: usize,
    config_schema: Option<String>,
    /// There is a section that describes the component to be.
    described: bool,
}

impl Walk<'_> {
    fn visit(&mut self, payload: Payload<'_>) -> Result<(), Stop> {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => self.depth += 1,
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            // Inside a component, a module's imports are satisfied by the component.
            Payload::ImportSection(section) if self.form == Form::Module => {
                for import in section.into_imports() {
                    check_module_import(&import?)?;
                }
            }
            Payload::ComponentImportSection(section) if self.depth == 0 => {
                for import in section {
                    check_component_import(&import?)?;
                }
            }
            Payload::CodeSectionStart { count, .. } => {
                self.functions = self.functions.saturating_add(count as usize);
                bounded("functions", self.functions, self.limits.functions)?;
            }
            Payload::CodeSectionEntry(body) => {
                let Range { start, end } = body.range();
                bounded("bytes in one function", (end - start) as usize, self.limits.function_bytes)?;
            }
            Payload::CustomSection(section) if section.name() == CONFIG_SCHEMA => {
                self.config_schema = Some(schema(section.data())?);
            }
            Payload::CustomSection(section) if section.name().starts_with(COMPONENT_TYPE) => self.described = true,
            _ => {}
        }
        Ok(())
    }
}

fn check_module_import(import: &Import<'_>) -> Result<(), LoadReason> {
    if ALLOWED.contains(&import.module) {
        return Ok(());
    }
    Err(refused(format!("{}.{}", import.module, import.name)))
}

fn check_component_import(import: &ComponentImport<'_>) -> Result<(), LoadReason> {
    let name = import.name.name;
    match import.ty {
        ComponentTypeRef::Instance(_) if ALLOWED.contains(&name) => Ok(()),
        // A name for a type that is known already: nothing that could be called.
        ComponentTypeRef::Type(TypeBounds::Eq(_)) => Ok(()),
        _ => Err(refused(name.to_owned())),
    }
}

fn refused(import: String) -> LoadReason {
    let advice = if import.starts_with("wasi") {
        "that is WASI, the way to files, clocks, randomness and the network, and a plugin has none of them; build \
         it for wasm32-unknown-unknown and look for the dependency that uses them"
    } else if import.starts_with("azenha:plugin/") {
        "that is another version of the contract than this host's; build the plugin again with the SDK of this \
         release"
    } else if import.starts_with("__wbindgen") || import.starts_with("wbg.") {
        "that is wasm-bindgen's, for browsers; a dependency has its `js` feature on: turn it off"
    } else {
        "build it for wasm32-unknown-unknown with nothing but the SDK"
    };
    LoadReason::Import { import, advice }
}

fn schema(data: &[u8]) -> Result<String, LoadReason> {
    let text = std::str::from_utf8(data).map_err(|error| LoadReason::ConfigSchema(error.to_string()))?;
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| LoadReason::ConfigSchema(error.to_string()))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(bytes: &[u8]) -> Result<Inspected, LoadReason> {
        inspect(bytes, &Limits::default())
    }

    fn assemble(text: &str) -> Vec<u8> {
        wat::parse_str(text).expect("the fixture is valid")
    }

    #[test]
    fn whatever_is_not_wasm_is_named() {
        let found = |bytes: &[u8]| look(bytes).expect_err("not wasm").to_string();
        assert!(found(b"").contains("the file is empty"));
        assert!(found(b"#!/bin/sh\n").contains("does not start with"));
        assert!(found(b"(module)").contains("text format"));
        assert!(found(b"\0asm").contains("ends within its first 8 bytes"));
        assert!(found(b"\0asm\x09\0\0\0").contains("version"));
        assert!(found(b"\x1f\x8b\x08").contains("gzip"));
        assert_eq!(look(b"\x7fELF\x02\x01"), Err(LoadReason::Compiled));
    }

    #[test]
    fn a_module_without_the_contract_is_told_to_use_the_sdk() {
        let error = look(&assemble("(module)")).expect_err("no contract");
        assert_eq!(error, LoadReason::NoContract);
        assert!(error.to_string().contains("SDK"));
    }

    #[test]
    fn a_truncated_module_is_refused_with_the_place() {
        let whole = assemble(r#"(module (func (export "process") nop) (memory 1))"#);
        for length in 9..whole.len() {
            match look(&whole[..length]) {
                Err(LoadReason::Truncated { offset }) => assert!(offset <= length as u64),
                // Cut between two sections.
                Err(LoadReason::Malformed { message, .. }) => assert!(message.contains("code section is absent")),
                Err(LoadReason::NoContract) => {}
                other => panic!("at {length}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_import_of_wasi_is_refused_by_name() {
        let module = assemble(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#);
        let message = look(&module).expect_err("imports WASI").to_string();
        assert!(message.contains("`wasi_snapshot_preview1.fd_write`"), "{message}");
        assert!(message.contains("wasm32-unknown-unknown"), "{message}");

        let component = assemble(r#"(component (import "wasi:cli/run@0.2.0" (instance)))"#);
        let message = look(&component).expect_err("imports WASI").to_string();
        assert!(message.contains("`wasi:cli/run@0.2.0`"), "{message}");
    }

    #[test]
    fn a_component_may_not_import_a_function_under_an_allowed_name() {
        let component = assemble(r#"(component (import "azenha:plugin/log@0.1.0" (func)))"#);
        assert!(matches!(look(&component), Err(LoadReason::Import { .. })));
    }

    #[test]
    fn sizes_are_bounded_before_anything_is_compiled() {
        let module = assemble("(module (func nop nop nop) (func))");
        let of = |limits: Limits| inspect(&module, &limits).expect_err("too big").to_string();
        assert!(of(Limits { module_bytes: 10, ..Limits::default() }).contains("bytes; the limit is 10"));
        assert!(of(Limits { functions: 1, ..Limits::default() }).contains("2 functions; the limit is 1"));
        assert!(of(Limits { function_bytes: 4, ..Limits::default() }).contains("5 bytes in one function"));
    }

    #[test]
    fn the_schema_of_the_configuration_is_found_in_a_nested_module_too() {
        let component =
            assemble(r#"(component (core module (@custom "azenha:config-schema" "{\"type\": \"object\"}")))"#);
        let inspected = look(&component).expect("a component");
        assert_eq!(inspected.config_schema.as_deref(), Some(r#"{"type": "object"}"#));
        assert_eq!(inspected.form, Form::Component);

        let broken = assemble(r#"(component (core module (@custom "azenha:config-schema" "{")))"#);
        assert!(matches!(look(&broken), Err(LoadReason::ConfigSchema(_))));
    }
}

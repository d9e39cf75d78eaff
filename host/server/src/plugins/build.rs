//! Builds plugin crates: cargo makes a core module of each, which becomes a component.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use wit_component::ComponentEncoder;

use super::find::{Found, PluginCrate, find};
use super::toolchain::Toolchain;

/// Builds crates with the compiler of this machine, which it looks for when it is first needed.
#[derive(Debug, Default)]
pub struct Builder {
    toolchain: Option<Toolchain>,
}

impl Builder {
    /// The file of the plugin that a pipeline in `folder` calls `name`, built if need be; none if there is no such
    /// plugin.
    pub fn file(&mut self, name: &str, folder: &Path) -> Result<Option<PathBuf>> {
        match find(name, folder) {
            Some(Found::File(path)) => Ok(Some(path)),
            Some(Found::Crate(plugin)) => self.component(&plugin).map(Some),
            None => Ok(None),
        }
    }

    /// The crate's component: the one that is there if it is up to date, or else a new one.
    pub fn component(&mut self, plugin: &PluginCrate) -> Result<PathBuf> {
        if plugin.is_stale() {
            eprintln!("building plugin `{}`", plugin.name);
            self.build(plugin)?;
        }
        Ok(plugin.artifact())
    }

    /// Compiles the crate and leaves its component at [`PluginCrate::artifact`].
    pub fn build(&mut self, plugin: &PluginCrate) -> Result<()> {
        let toolchain = match &self.toolchain {
            Some(toolchain) => toolchain,
            None => self.toolchain.insert(Toolchain::find()?),
        };
        // What is saved while it compiles is newer than what comes of it.
        let begun = SystemTime::now();
        let module = compile(toolchain, plugin)?;
        let module = fs::read(&module).with_context(|| module.display().to_string())?;
        let component = ComponentEncoder::default()
            .module(&module)
            .and_then(|encoder| encoder.validate(true).encode())
            .map_err(|error| anyhow!("it cannot be made a component: {error:#}"))?;
        let artifact = plugin.artifact();
        write_whole(&artifact, &component, begun).with_context(|| artifact.display().to_string())
    }
}

/// One line of what cargo prints.
#[derive(Deserialize)]
struct CargoMessage {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Runs cargo; the path of the module that it made.
fn compile(toolchain: &Toolchain, plugin: &PluginCrate) -> Result<PathBuf> {
    let output = toolchain
        .build_command(plugin)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo does not start; is Rust installed (https://rustup.rs)?")?;
    if !output.status.success() {
        bail!("it does not compile; see above");
    }
    let manifest = plugin.folder.join("Cargo.toml");
    let messages = String::from_utf8_lossy(&output.stdout);
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<CargoMessage>(line).ok())
        .filter(|message| message.reason == "compiler-artifact" && message.manifest_path == manifest)
        .flat_map(|message| message.filenames)
        .find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
        .context("it makes no WebAssembly module; its Cargo.toml needs `[lib] crate-type = [\"cdylib\", \"rlib\"]`")
}

/// Writes a file that is never seen half written, as if it had been changed at that time.
fn write_whole(path: &Path, bytes: &[u8], changed: SystemTime) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.set_modified(changed)?;
    fs::rename(&unfinished, path)
}

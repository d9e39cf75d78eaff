//! A compiler that can make WebAssembly: rustup's, or Debian's where rustup cannot reach its servers.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::find::{PluginCrate, target_folder};

const TARGET: &str = "wasm32-unknown-unknown";

/// Instructions that every WebAssembly engine of today has and that the compiler does not use by itself; and no
/// debug information but the names of functions, which traces of traps show. As in `.cargo/config.toml`, so that
/// cargo's own builds of the same crate are not made anew.
const RUSTFLAGS: &str = "-Ctarget-feature=+simd128,+bulk-memory -Cstrip=debuginfo";

/// How plugins are compiled on this machine.
#[derive(Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The compiler on the path has the target's standard library.
    Installed,
    /// Debian's compiler makes the standard library from source; the linker is rustup's.
    Debian {
        /// `rust-lld`.
        linker: PathBuf,
    },
}

impl Toolchain {
    /// Looks for a compiler, and asks rustup for the target if it is missing.
    pub fn find() -> Result<Self> {
        if has_target() {
            return Ok(Self::Installed);
        }
        eprintln!("plugins need the compiler's target {TARGET}: asking rustup for it");
        let added = Command::new("rustup").args(["target", "add", TARGET]).status();
        if added.is_ok_and(|status| status.success()) && has_target() {
            return Ok(Self::Installed);
        }
        if let Some(debian) = Self::debian() {
            eprintln!("rustup could not add it; building with Debian's compiler, which takes longer the first time");
            return Ok(debian);
        }
        bail!(
            "the Rust compiler cannot make WebAssembly here: run `rustup target add {TARGET}`, or, where rustup's \
             servers cannot be reached, `apt-get install rustc-web cargo-web rust-web-src`"
        )
    }

    fn debian() -> Option<Self> {
        let sysroot = output(Command::new("/usr/bin/rustc").args(["--print", "sysroot"]))?;
        let sources = Path::new(&sysroot).join("lib/rustlib/src/rust/library");
        let rustup_sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
        let host = output(Command::new("rustc").args(["--print", "host-tuple"]))?;
        let linker = Path::new(&rustup_sysroot).join("lib/rustlib").join(host).join("bin/rust-lld");
        let complete = Path::new("/usr/bin/cargo").is_file() && sources.exists() && linker.is_file();
        complete.then_some(Self::Debian { linker })
    }

    /// The cargo call that compiles a crate and prints what it makes as JSON.
    pub fn build_command(&self, plugin: &PluginCrate) -> Command {
        let mut command = match self {
            Self::Installed => Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
            Self::Debian { linker } => debian_cargo(linker, plugin),
        };
        command
            .args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"])
            .arg("--manifest-path")
            .arg(plugin.folder.join("Cargo.toml"))
            .env("RUSTFLAGS", rustflags());
        if let Self::Debian { .. } = self {
            command.arg("-Zbuild-std=std,panic_abort");
        }
        command
    }
}

fn debian_cargo(linker: &Path, plugin: &PluginCrate) -> Command {
    let mut path = OsString::from("/usr/bin:");
    path.push(env::var_os("PATH").unwrap_or_default());
    let mut command = Command::new("/usr/bin/cargo");
    command
        .env("PATH", path)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
        // Two compilers in one folder would make each other's work anew at every turn.
        .env("CARGO_TARGET_DIR", target_folder(&plugin.workspace).join("plugins-debian"))
        // Set by `cargo run` for rustup's compiler; with them this one would load the wrong libraries.
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("RUSTC");
    command
}

fn rustflags() -> OsString {
    match env::var_os("RUSTFLAGS") {
        Some(mut flags) => {
            flags.push(" ");
            flags.push(RUSTFLAGS);
            flags
        }
        None => RUSTFLAGS.into(),
    }
}

fn has_target() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let folder = output(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]));
    folder.is_some_and(|folder| Path::new(&folder).is_dir())
}

/// What a command prints, if it succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

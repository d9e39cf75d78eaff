//! Components of pipelines that files define, kept by digest: a bundle needs the code that failed, not what was built
//! since. Those of the log's pipelines are kept there.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use azenha_connect::private;
use azenha_sandbox::Plugin;

/// The folder of the data directory.
const FOLDER: &str = "components";

fn file(data: &Path, digest: &str) -> PathBuf {
    data.join(FOLDER).join(format!("{digest}.wasm"))
}

/// Keeps the components of a pipeline.
///
/// # Errors
/// If the data directory cannot be written.
pub fn keep(data: &Path, plugins: &HashMap<String, Plugin>) -> io::Result<()> {
    private::make_directory(&data.join(FOLDER))?;
    for plugin in plugins.values() {
        let kept = file(data, plugin.digest());
        if !kept.exists() {
            // Whoever finds the file finds all of it.
            let part = kept.with_extension("part");
            fs::write(&part, plugin.bytes())?;
            fs::rename(&part, &kept)?;
        }
    }
    Ok(())
}

/// The component with a digest, if it was kept here.
pub fn find(data: &Path, digest: &str) -> Option<Vec<u8>> {
    // It comes out of a letter, and becomes a part of a path.
    let is_digest = digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest { fs::read(file(data, digest)).ok() } else { None }
}

//! What tests measure, for people.

use std::env;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;

/// Prints what was measured, and adds it to the file that AZENHA_TEST_FIGURES names: cargo shows nothing of what a test
/// prints that passes.
pub fn figure(what: &str, said: impl Display) {
    let line = format!("{what}: {said}\n");
    print!("{line}");
    let Some(path) = env::var_os("AZENHA_TEST_FIGURES") else { return };
    let file = OpenOptions::new().create(true).append(true).open(&path);
    // In one piece: other tests may add to it, too.
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        println!("{}: {error}", path.display());
    }
}

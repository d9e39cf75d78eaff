//! What a dead letter says of the call of a plugin that it comes from.

use std::sync::Arc;

use azenha_model::dead_letter::{Arguments, CONTRACT, Function, Opened, PluginCall};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use twox_hash::XxHash3_64;

/// Accumulators above this many bytes are left out of dead letters.
const ACCUMULATOR_BYTES: usize = 64 * 1024;

/// An accumulator as a dead letter carries it.
pub fn encode_accumulator(accumulator: &[u8]) -> Option<String> {
    (accumulator.len() <= ACCUMULATOR_BYTES).then(|| BASE64.encode(accumulator))
}

/// A number that is the same for what is the same.
pub fn fingerprint(given: &Arguments) -> u64 {
    // Texts always become JSON.
    XxHash3_64::oneshot(&serde_json::to_vec(given).unwrap_or_default())
}

/// A plugin that a step has opened, and with what.
#[derive(Debug, Clone)]
pub struct Callee {
    plugin: Arc<str>,
    digest: Arc<str>,
    contract: Arc<str>,
    opened: Arc<Opened>,
}

impl Callee {
    /// The plugin with this name in the pipeline file, and the SHA-256 of its bytes.
    pub fn new(plugin: &str, digest: &str, opened: Opened) -> Self {
        Self { plugin: plugin.into(), digest: digest.into(), contract: CONTRACT.into(), opened: Arc::new(opened) }
    }

    /// A call of one of its functions.
    pub fn call(&self, function: Function, given: Arguments) -> PluginCall {
        PluginCall {
            plugin: Arc::clone(&self.plugin),
            digest: Arc::clone(&self.digest),
            contract: Arc::clone(&self.contract),
            function,
            like: None,
            opened: Some(Arc::clone(&self.opened)),
            given,
        }
    }
}

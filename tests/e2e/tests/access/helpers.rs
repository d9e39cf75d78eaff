//! A host with a token for each role, and asking it.

use anyhow::{Result, ensure};
use azenha_e2e::{Answer, Azenha, Running, send};
use serde_json::Value;

/// The roles, the one that may least first; each has a token `ROLE-0123456789abcdef` of its name.
pub const ROLES: [&str; 3] = ["viewer", "operator", "deployer"];

pub const TOKENS: &str = "tokens: [
    { name: viewer, token: viewer-0123456789abcdef, role: viewer },
    { name: operator, token: operator-0123456789abcdef, role: operator },
    { name: deployer, token: deployer-0123456789abcdef, role: deployer } ]";

/// Copies clicks to a topic.
pub const COPY: &str = "name: copy
sources:
  clicks: { topic: clicks, schema: { campaignId: text, timestamp: timestamp(ms) } }
sinks:
  output: { from: clicks, topic: copy_output }
";

/// A host with the tokens, and with more under `http`.
pub fn start(azenha: &Azenha, more: &str) -> Result<Running> {
    let config = azenha.write("host.yaml", &format!("http: {{ {TOKENS}{more} }}\n"))?;
    azenha.start(&[], &["--config", &config.display().to_string()])
}

/// Asks with the token of a role, or with any other text; without a token if it is empty.
pub fn ask(
    host: &Running,
    role: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let bearer = format!("Bearer {role}-0123456789abcdef");
    let token = [("Authorization", bearer.as_str())];
    let token = if role.is_empty() { &[][..] } else { &token[..] };
    send(&host.address, method, path, &[headers, token].concat(), body.as_bytes())
}

/// Defines [`COPY`].
pub fn define(host: &Running) -> Result<Answer> {
    ask(host, "deployer", "PUT", "/pipelines/copy", &[("Content-Type", "application/yaml")], COPY)
}

/// GET, as JSON.
pub fn show(host: &Running, role: &str, path: &str) -> Result<Value> {
    let answer = ask(host, role, "GET", path, &[], "")?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    answer.json()
}

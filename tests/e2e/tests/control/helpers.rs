//! Asking a host with tokens, and waiting for what it does.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Answer, Azenha, Click, Database, Running, repository, send};
use serde_json::Value;

pub const READER: &str = "reader-0123456789";
pub const WRITER: &str = "writer-0123456789";
pub const ADMIN: &str = "admin-0123456789";

pub const TOKENS: &str = "
http:
  tokens:
    - { name: reader, token: reader-0123456789, role: viewer }
    - { name: writer, token: writer-0123456789, role: operator }
    - { name: admin, token: admin-0123456789, role: deployer }
";

/// Copies clicks to a table that holds each as often as it was written.
pub const COPY: &str = "name: copy
sources:
  clicks: { topic: copied, partitions: 2, partitioned_by: [campaignId], schema: { campaignId: text, timestamp: timestamp(ms) } }
sinks:
  output: { from: clicks, topic: copy_output }
  rows: { from: clicks, connection: warehouse, table: rows }
";

/// Counts clicks with plugins.
pub const COUNTED: &str = "name: counted
sources:
  clicks: { topic: clicks_in, schema: { campaignId: text, timestamp: timestamp(ms) } }
steps:
  kept: { transform: filter, from: clicks, config: { column: campaignId, present: true } }
  counts: { aggregate: click-count, from: kept, by: [campaignId] }
sinks:
  counts_output: { from: counts, topic: counts_output, key: [campaignId] }
  warehouse: { from: counts_output, connection: warehouse, table: counts, key: [campaignId] }
";

/// A host with tokens, that runs what the log defines.
pub fn start(azenha: &Azenha) -> Result<Running> {
    let config = azenha.write("host.yaml", TOKENS)?;
    azenha.start(&[], &["--config", &config.display().to_string()])
}

pub fn call(
    host: &Running,
    token: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let bearer = format!("Bearer {token}");
    send(&host.address, method, path, &[headers, &[("Authorization", &bearer)]].concat(), body.as_bytes())
}

pub fn put(host: &Running, name: &str, definition: &str, more: &[(&str, &str)]) -> Result<Answer> {
    let headers = [&[("Content-Type", "application/yaml")], more].concat();
    call(host, ADMIN, "PUT", &format!("/pipelines/{name}"), &headers, definition)
}

pub fn show(host: &Running, path: &str) -> Result<Value> {
    let answer = call(host, READER, "GET", path, &[], "")?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    answer.json()
}

pub fn change(host: &Running, what: &str) -> Result<Answer> {
    call(host, WRITER, "POST", &format!("/pipelines/{what}"), &[], "")
}

pub fn await_state(host: &mut Running, name: &str, state: &str) -> Result<()> {
    host.wait_until(&format!("{name} is {state}"), |host| {
        Ok(show(host, &format!("/pipelines/{name}"))?["state"] == state)
    })
}

/// Sends one click of each campaign.
pub fn click(host: &Running, topic: &str, campaigns: &[&str]) -> Result<()> {
    let click = |campaign: &&str| Click { campaign: (*campaign).to_owned(), timestamp: 1_700_000_000_000 }.json();
    let body = campaigns.iter().map(click).collect::<Vec<_>>().join("\n");
    let kind = [("Content-Type", "application/x-ndjson")];
    let answer = call(host, WRITER, "POST", &format!("/topics/{topic}/records"), &kind, &body)?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

/// Waits until a query of the warehouse gives a number.
pub async fn await_number(azenha: &Azenha, sql: &str, expected: i64) -> Result<()> {
    let mut database = Database::open(&azenha.data().join("warehouse.db")).await?;
    let mut found = None;
    for _ in 0..1_500 {
        found = database.number(sql).await;
        if found == Some(expected) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    anyhow::bail!("`{sql}` gives {found:?} instead of {expected}")
}

/// A command of `azenha` against a host.
pub fn client(azenha: &Azenha, host: &Running, token: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = azenha.command(arguments)?;
    command.env("AZENHA_SERVER", format!("http://{}", host.address)).env("AZENHA_TOKEN", token);
    Ok(command.output()?)
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The component of one of the repository's plugins.
pub fn component(azenha: &Azenha, name: &str) -> Result<Vec<u8>> {
    // Checking a pipeline that names it builds it, if that has to be.
    let pipeline = azenha.write("counted/pipeline.yaml", COUNTED)?;
    azenha.succeed(["validate", &pipeline.display().to_string()])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let file = target.join("plugins").join(format!("{name}.wasm"));
    fs::read(&file).with_context(|| file.display().to_string())
}

/// The same plugin in more bytes: a custom section that nobody reads.
pub fn longer(plugin: &[u8], bytes: usize) -> Vec<u8> {
    let content = [&[7_u8], &b"padding"[..], &vec![0; bytes]].concat();
    let mut section = vec![0];
    let mut length = content.len();
    while length >= 0x80 {
        section.push(length as u8 | 0x80);
        length >>= 7;
    }
    section.push(length as u8);
    [plugin, &section, &content].concat()
}

pub fn upload(host: &Running, token: &str, name: &str, bytes: &[u8]) -> Result<Answer> {
    let bearer = format!("Bearer {token}");
    send(&host.address, "PUT", &format!("/plugins/{name}"), &[("Authorization", &bearer)], bytes)
}

pub fn offsets(host: &Running, pipeline: &str) -> Result<Vec<Value>> {
    let offsets = show(host, &format!("/pipelines/{pipeline}/offsets"))?;
    offsets.as_array().cloned().context("no offsets")
}

pub fn set_offsets(host: &Running, pipeline: &str, offsets: &Value) -> Result<Answer> {
    let kind = [("Content-Type", "application/json")];
    call(host, WRITER, "PATCH", &format!("/pipelines/{pipeline}/offsets"), &kind, &offsets.to_string())
}

//! Other code for a pipeline that runs: lanes go over between two records, state goes on, and what is not to be trusted is
//! gone back from.

mod back;
mod joins;
mod trust;
mod versions;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use azenha_e2e::{Answer, Azenha, Running, figure, repository, send};
use serde_json::{Value, json};

const TOKEN: &str = "deployer-0123456789";

/// A host that takes definitions.
const CONFIG: &str = "http: { tokens: [{ name: deployer, token: deployer-0123456789, role: deployer }] }";

/// Devices whose rows are counted.
const DEVICES: u64 = 20;

/// Counts rows of devices behind an exchange.
fn definition(plugin: &str, config: &str) -> String {
    format!(
        "name: counted
sources:
  rows: {{ topic: rows, partitions: 4, partitioned_by: [number], schema: {{ number: int64, device: text }} }}
steps:
  counts: {{ aggregate: {plugin}, from: rows, by: [device], config: {config} }}
sinks:
  counts_output: {{ from: counts, topic: counts_output, key: [device] }}
"
    )
}

fn tagged(tag: &str) -> String {
    definition("tagged-count", &format!("{{ tag: {tag} }}"))
}

/// Sends the rows with these numbers, of all devices.
fn send_rows(address: &str, numbers: Range<u64>) -> Result<()> {
    let row = |number: u64| json!({"number": number, "device": format!("device-{}", number % DEVICES)}).to_string();
    post_rows(address, &numbers.map(row).collect::<Vec<_>>())
}

fn post_rows(address: &str, rows: &[String]) -> Result<()> {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/x-ndjson")];
    let answer = send(address, "POST", "/topics/rows/records", &headers, rows.join("\n").as_bytes())?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

/// A plugin as it was built.
fn component(plugin: &str) -> Result<Vec<u8>> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    Ok(fs::read(target.join("plugins").join(format!("{plugin}.wasm")))?)
}

/// A host, what was sent to it, and where it works.
struct Stage {
    azenha: Azenha,
    host: Option<Running>,
    sent: u64,
}

impl Stage {
    /// A host with both versions of the plugin, that counts with the first one, under the tag `a`.
    fn set() -> Result<Self> {
        let definition = |plugin| (plugin, definition(plugin, "{ tag: a }"));
        let mut stage = Self::with_plugins(&["tagged-count", "tagged-count-next"].map(definition))?;
        ensure!(stage.put(&tagged("a"), "")?.status == 201);
        stage.await_version(1)?;
        Ok(stage)
    }

    /// A host with plugins, each built with a pipeline that names it.
    fn with_plugins(plugins: &[(&str, String)]) -> Result<Self> {
        let azenha = Azenha::new()?;
        for (_, definition) in plugins {
            let file = azenha.write("built/pipeline.yaml", definition)?;
            azenha.succeed(["validate", &file.display().to_string()])?;
        }
        let mut stage = Self { azenha, host: None, sent: 0 };
        stage.start()?;
        for (plugin, _) in plugins {
            stage.push(plugin, &component(plugin)?)?;
        }
        Ok(stage)
    }

    /// Uploads a plugin.
    fn push(&self, plugin: &str, component: &[u8]) -> Result<()> {
        let pushed = self.call("PUT", &format!("/plugins/{plugin}"), "application/wasm", component)?;
        ensure!(pushed.status == 200, "{pushed:?}");
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        let config = self.azenha.write("host.yaml", CONFIG)?;
        self.host = Some(self.azenha.start(&[], &["--config", &config.display().to_string()])?);
        Ok(())
    }

    fn host(&self) -> Result<&Running> {
        self.host.as_ref().context("no host runs")
    }

    fn call(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Answer> {
        let bearer = format!("Bearer {TOKEN}");
        send(&self.host()?.address, method, path, &[("Authorization", &bearer), ("Content-Type", kind)], body)
    }

    fn put(&self, definition: &str, options: &str) -> Result<Answer> {
        self.call("PUT", &format!("/pipelines/counted{options}"), "application/yaml", definition.as_bytes())
    }

    /// Sends records to a topic, one a line.
    fn append(&self, topic: &str, lines: &[String]) -> Result<()> {
        let (path, body) = (format!("/topics/{topic}/records"), lines.join("\n"));
        let answer = self.call("POST", &path, "application/x-ndjson", body.as_bytes())?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    }

    fn show(&self, path: &str) -> Result<Value> {
        let answer = self.call("GET", path, "", b"")?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
        answer.json()
    }

    /// Sends so many rows more, of all devices.
    fn send(&mut self, rows: u64) -> Result<()> {
        send_rows(&self.host()?.address, self.sent..self.sent + rows)?;
        self.sent += rows;
        Ok(())
    }

    fn wait_until(&mut self, what: &str, check: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        let start = std::time::Instant::now();
        while !check(self)? {
            if start.elapsed() > Duration::from_secs(60) {
                let log = self.host.as_ref().map(Running::log).unwrap_or_default();
                bail!("{what}: not within a minute: {:?}\n{log}", self.lanes());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The lanes of all tasks, which are known to the host.
    fn lanes(&self) -> Result<Vec<Value>> {
        self.lanes_of(|_| true)
    }

    /// The lanes of some tasks.
    fn lanes_of(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Value>> {
        let shown = self.show("/pipelines/counted")?;
        let tasks = shown["tasks"].as_array().cloned().unwrap_or_default();
        let wanted = tasks.iter().filter(|task| task["task"].as_str().is_some_and(&is_wanted));
        Ok(wanted.flat_map(|task| task["lanes"].as_array().cloned().unwrap_or_default()).collect())
    }

    /// Waits until every lane runs a version.
    fn await_version(&mut self, version: u64) -> Result<()> {
        self.wait_until(&format!("version {version} runs"), |stage| {
            let lanes = stage.lanes()?;
            let runs = |lane: &Value| lane["version"] == version && lane["state"] == "running";
            Ok(lanes.len() == 8 && lanes.iter().all(runs))
        })
    }

    /// Waits until everything that was sent is committed by every lane.
    fn settle(&mut self) -> Result<()> {
        self.wait_until("everything is counted", |stage| {
            let lanes = stage.lanes()?;
            Ok(!lanes.is_empty() && lanes.iter().all(|lane| lane["lag"] == 0))
        })
    }

    /// The results, in the order of their partition.
    fn results(&self) -> Result<Vec<Value>> {
        self.azenha.topic("counts_output")
    }

    /// What the last result of each device says in a column; nothing of those that were deleted.
    fn last(&self, column: &str) -> Result<BTreeMap<String, Value>> {
        let mut last = BTreeMap::new();
        for record in self.results()? {
            let device = record["key"]["device"].to_string();
            match &record["value"] {
                Value::Null => last.remove(&device),
                value => last.insert(device, value[column].clone()),
            };
        }
        Ok(last)
    }

    /// Each device must have been counted as often as it was sent, since so many rows.
    fn check_counts(&self, before: u64) -> Result<()> {
        let expected = |device: u64| (before..self.sent).filter(|number| number % DEVICES == device).count();
        let counted = self.last("counted")?;
        for device in 0..DEVICES {
            let found = counted.get(&format!("\"device-{device}\""));
            ensure!(found == Some(&json!(expected(device))), "device-{device}: {found:?}, not {}", expected(device));
        }
        Ok(())
    }

    fn versions(&self) -> Result<Vec<Value>> {
        self.show("/pipelines/counted/versions")?.as_array().cloned().context("no versions")
    }
}

#[test]
fn lanes_go_over_under_load_without_a_record_lost_or_doubled_and_say_from_where_on() -> Result<()> {
    let mut stage = Stage::set()?;
    for version in 2..=12 {
        stage.send(400)?;
        ensure!(stage.put(&tagged(&format!("v{version}")), "")?.status == 200);
        stage.send(400)?;
        stage.await_version(version)?;
    }
    stage.send(400)?;
    stage.settle()?;
    stage.check_counts(0)?;

    // In each partition of the output, a version's results end where those of the next one begin.
    let number = |tag: &Value| tag.as_str().and_then(|tag| tag.strip_prefix('v')?.parse().ok()).unwrap_or(1_u64);
    let mut last: BTreeMap<String, (u64, BTreeMap<String, i64>)> = BTreeMap::new();
    for record in stage.results()? {
        let (value, seen) = (&record["value"], last.entry(record["partition"].to_string()).or_default());
        ensure!(number(&value["tag"]) >= seen.0, "version {} after {}", value["tag"], seen.0);
        seen.0 = number(&value["tag"]);
        let count = value["counted"].as_i64().context("a result without a count")?;
        let before = seen.1.insert(value["device"].to_string(), count);
        ensure!(before.is_none_or(|before| before < count), "{value} after {before:?}");
    }
    ensure!(last.values().all(|(version, _)| *version == 12), "not every partition reached the last version");

    // No lane was opened anew, and each says where it went over.
    let mut begun: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for version in stage.versions()? {
        for lane in version["lanes"].as_array().into_iter().flatten() {
            let place = format!("{}/{}", lane["task"], lane["partition"]);
            let at = version["version"].as_u64().zip(lane["from"].as_u64()).context("no offset")?;
            begun.entry(place).or_default().push(at);
        }
    }
    ensure!(begun.len() == 8, "{begun:?}");
    for (lane, begun) in &begun {
        let versions: Vec<u64> = begun.iter().map(|(version, _)| *version).collect();
        ensure!(versions == (1..=12).collect::<Vec<_>>(), "{lane} ran {versions:?}");
        ensure!(begun.is_sorted_by_key(|(_, from)| *from), "{lane}: {begun:?}");
    }
    let pauses: Vec<f64> = stage.lanes()?.iter().filter_map(|lane| lane["switched"]["pause_ms"].as_f64()).collect();
    figure("pauses of a swap on the embedded log, in ms", format_args!("{pauses:.1?}"));
    ensure!(pauses.len() == 8, "not every lane went over while it ran");
    Ok(())
}

#[test]
fn a_state_is_migrated_once_and_code_that_cannot_read_it_is_refused_until_it_is_given_up() -> Result<()> {
    let mut stage = Stage::set()?;
    stage.send(500)?;
    stage.settle()?;
    let next = definition("tagged-count-next", "{ tag: b }");
    let planned = stage.put(&next, "?dry_run=true")?.json()?;
    let counts = |plan: &Value| plan["plan"]["tasks"].as_array().and_then(|tasks| tasks.last().cloned());
    let change = counts(&planned).context("no plan")?;
    ensure!(
        planned["accepted"] == true && change["state"] == "migrated" && change["change"] == "switched",
        "{planned}"
    );
    ensure!(stage.versions()?.len() == 1, "a dry run changes nothing");

    ensure!(stage.put(&next, "")?.status == 200);
    stage.await_version(2)?;
    stage.send(100)?;
    stage.settle()?;
    stage.check_counts(0)?;
    let before: i64 = stage.last("before")?.values().filter_map(Value::as_i64).sum();
    ensure!(before == 500, "{before} rows were counted before");

    // A host that starts reads what was migrated.
    stage.host.take().context("no host")?.kill()?;
    stage.start()?;
    stage.await_version(2)?;
    stage.send(100)?;
    stage.settle()?;
    stage.check_counts(0)?;

    let refused = stage.put(&tagged("a"), "")?;
    ensure!(refused.status == 409 && refused.body.contains("version 2"), "{refused:?}");
    let given_up = stage.sent;
    ensure!(stage.put(&tagged("c"), "?reset=counts")?.status == 200);
    stage.await_version(3)?;
    stage.send(200)?;
    stage.settle()?;
    stage.check_counts(given_up)?;
    ensure!(stage.put(&tagged("d"), "?reset=nothing")?.status == 400);
    Ok(())
}

#[test]
fn groups_give_their_results_anew_if_that_is_asked_for_and_else_stay_as_the_old_code_made_them() -> Result<()> {
    let mut stage = Stage::set()?;
    stage.send(100)?;
    stage.settle()?;
    ensure!(stage.put(&tagged("b"), "")?.status == 200);
    stage.await_version(2)?;
    ensure!(stage.last("tag")?.values().all(|tag| tag == "a"));
    ensure!(stage.put(&tagged("c"), "?recompute=counts")?.status == 200);
    stage.await_version(3)?;
    stage.wait_until("every result is made anew", |stage| Ok(stage.last("tag")?.values().all(|tag| tag == "c")))?;
    stage.check_counts(0)
}

#[test]
fn a_host_that_dies_in_the_middle_of_a_swap_goes_on_with_the_new_version() -> Result<()> {
    let mut stage = Stage::set()?;
    for version in 2..=9 {
        stage.send(1_000)?;
        ensure!(stage.put(&tagged(&format!("v{version}")), "")?.status == 200);
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..60)));
        stage.host.take().context("no host")?.kill()?;
        stage.start()?;
        stage.await_version(version)?;
    }
    stage.settle()?;
    stage.check_counts(0)
}

#[test]
fn a_definition_that_what_runs_cannot_go_on_with_changes_nothing() -> Result<()> {
    let mut stage = Stage::set()?;
    stage.send(100)?;
    stage.settle()?;
    let other = tagged("b").replace("[device]", "[number]");
    let refused = stage.put(&other, "")?;
    ensure!(refused.status == 409 && refused.body.contains("another name"), "{refused:?}");
    ensure!(stage.put(&other, "?reset=counts")?.status == 409, "keys on their way would be of another kind");
    ensure!(stage.put(&tagged("b"), "?share=2")?.status == 400);
    ensure!(stage.put(&tagged("b"), "?shadow=1")?.status == 400);
    ensure!(stage.call("POST", "/pipelines/counted/rollback", "", b"")?.status == 404, "there is no other version");
    ensure!(stage.call("POST", "/pipelines/counted/rollback?to=7", "", b"")?.status == 404);
    stage.await_version(1)
}

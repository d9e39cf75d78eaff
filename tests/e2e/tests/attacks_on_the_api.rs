//! The API under attack: whatever is sent, the answer is not that the host failed, and the host lives.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use azenha_e2e::{Answer, Azenha, Click, Running, figure, get, is_long, is_there, repository, send};
use serde_json::{Value, json};

const TOKEN: &str = "attacker-0123456789";

/// The limit of requests must not keep the attacks out.
const CONFIG: &str = "
http:
  tokens: [{ name: attacker, token: attacker-0123456789, role: deployer }]
  requests_per_second: 100000
limits: { plugin_time: 200ms }
";

/// How long plugins may take until they have passed some clicks, or are given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Attackers at work at once.
const ATTACKERS: usize = 4;

/// A plugin that counts, and the step that runs it, or what may be a plugin.
const COUNT: (&str, &str) = ("click-count", "aggregate: PLUGIN, by: [campaignId], emit: changes");

/// A plugin that makes a column of each row, and its step.
const RENAME: (&str, &str) = (
    "rename",
    "transform: PLUGIN, config: { columns: { twice: { concatenate: [{ column: campaignId }, { column: campaignId }] } } }",
);

fn pipeline(name: &str, plugin: &str, step: &str) -> String {
    let step = step.replace("PLUGIN", plugin);
    format!(
        "name: {name}
sources:
  clicks: {{ topic: {name}_in, partitions: 1, schema: {{ campaignId: text, timestamp: timestamp(ms) }} }}
steps:
  made: {{ {step}, from: clicks }}
sinks:
  out: {{ from: made, topic: {name}_out, key: [campaignId] }}
"
    )
}

fn start(azenha: &Azenha) -> Result<Running> {
    let config = azenha.write("host.yaml", CONFIG)?;
    azenha.start(&[], &["--config", &config.display().to_string()])
}

fn call(address: &str, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
    let bearer = format!("Bearer {TOKEN}");
    let answer = send(address, method, path, &[("Authorization", &bearer), ("Content-Type", content_type)], body)?;
    ensure!(answer.status < 500, "{method} {path}: {answer:?}");
    Ok(answer)
}

fn file_of(plugin: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    target.join("plugins").join(format!("{plugin}.wasm"))
}

fn component(plugin: &str) -> Result<Vec<u8>> {
    let path = file_of(plugin);
    fs::read(&path).with_context(|| path.display().to_string())
}

/// What became of something that may be a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// It was not taken.
    Refused,
    /// It was taken; but no pipeline with it.
    NotOpened,
    /// It ran, and its step has failed.
    Failed,
    /// It ran, and clicks went past it, into results or dead letters.
    Ran,
}

/// Somebody who uploads what may be plugins, and has each of them run.
struct Attacker<'a> {
    address: &'a str,
    name: String,
    attacks: u64,
}

impl<'a> Attacker<'a> {
    fn new(host: &'a Running, number: usize) -> Self {
        Self { address: &host.address, name: format!("attacked-{number}"), attacks: 0 }
    }

    fn call(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
        call(self.address, method, path, content_type, body)
    }

    /// Uploads what may be a plugin, and has a step run it.
    fn attack(&mut self, step: &str, bytes: &[u8]) -> Result<Fate> {
        self.attacks += 1;
        let pushed = self.call("PUT", &format!("/plugins/{}", self.name), "application/wasm", bytes)?;
        if pushed.status >= 300 {
            return Ok(Fate::Refused);
        }
        let fate = self.let_it_work(step)?;
        let digest = pushed.json()?["digest"].as_str().context("no digest")?.to_owned();
        self.call("DELETE", &format!("/plugins/{digest}"), "text/plain", b"")?;
        Ok(fate)
    }

    /// Defines a pipeline with the plugin, waits until it has worked, and takes it away again.
    fn let_it_work(&self, step: &str) -> Result<Fate> {
        let path = format!("/pipelines/{}", self.name);
        let file = pipeline(&self.name, &self.name, step);
        if self.call("PUT", &path, "application/yaml", file.as_bytes())?.status >= 300 {
            return Ok(Fate::NotOpened);
        }
        // Groups of its own: what others have left of theirs is nothing to it.
        let campaign = |number: u64| format!("{}-{number}", self.attacks);
        let click = |number| Click { campaign: campaign(number), timestamp: 1_700_000_000_000 }.json();
        let clicks: Vec<String> = (0..3).map(click).collect();
        let fate = match self.send(&path, &clicks.join("\n"))? {
            true => self.await_end(&path)?,
            false => Fate::Failed,
        };
        let deleted = self.call("DELETE", &path, "text/plain", b"")?;
        ensure!(deleted.status == 200, "{deleted:?}");
        Ok(fate)
    }

    /// Sends clicks as soon as the pipeline has started and takes them; says whether it has.
    fn send(&self, path: &str, clicks: &str) -> Result<bool> {
        let (records, begun) = (format!("/topics/{}_in/records", self.name), Instant::now());
        loop {
            let sent = self.call("POST", &records, "application/x-ndjson", clicks.as_bytes())?;
            if sent.status == 200 {
                return Ok(true);
            }
            if self.call("GET", path, "", b"")?.json()?["state"] == "failed" {
                return Ok(false);
            }
            ensure!(begun.elapsed() < PATIENCE, "{} does not start: {sent:?}", self.name);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until every click is behind the pipeline, or its step has failed.
    fn await_end(&self, path: &str) -> Result<Fate> {
        let begun = Instant::now();
        loop {
            let shown = self.call("GET", path, "", b"")?.json()?;
            if shown["state"] == "failed" {
                return Ok(Fate::Failed);
            }
            let tasks = shown["tasks"].as_array().into_iter().flatten();
            let mut lanes = tasks.flat_map(|task| task["lanes"].as_array()).flatten().peekable();
            if lanes.peek().is_some() && lanes.all(|lane| lane["state"] == "running" && lane["lag"] == 0) {
                return Ok(Fate::Ran);
            }
            ensure!(begun.elapsed() < PATIENCE, "{} is neither done nor given up: {shown}", self.name);
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Has several attackers upload at once; how often there was each fate. `make` makes what is uploaded, and the step that
/// runs it, from a number.
fn attack_with(
    host: &Running,
    attacks: usize,
    make: impl Fn(usize) -> (&'static str, Vec<u8>) + Sync,
) -> Result<BTreeMap<Fate, u32>> {
    let next = AtomicUsize::new(0);
    let work = |number: usize| {
        let (mut attacker, mut fates) = (Attacker::new(host, number), BTreeMap::new());
        loop {
            let attack = next.fetch_add(1, Relaxed);
            if attack >= attacks {
                return Ok(fates);
            }
            let (step, bytes) = make(attack);
            let fate = attacker.attack(step, &bytes).with_context(|| format!("attack {attack}"))?;
            *fates.entry(fate).or_default() += 1;
        }
    };
    let all: Vec<Result<BTreeMap<Fate, u32>>> = thread::scope(|scope| {
        let attackers: Vec<_> = (0..ATTACKERS).map(|number| scope.spawn(move || work(number))).collect();
        let panicked = |_| Err(anyhow!("an attacker panicked"));
        attackers.into_iter().map(|attacker| attacker.join().unwrap_or_else(panicked)).collect()
    });
    let mut fates = BTreeMap::new();
    for found in all {
        for (fate, number) in found.with_context(|| host.log())? {
            *fates.entry(fate).or_default() += number;
        }
    }
    Ok(fates)
}

/// Checks that the host has survived, and still runs what is right.
fn check_lives(host: &mut Running) -> Result<()> {
    for (plugin, step) in [COUNT, RENAME] {
        let fate = Attacker::new(host, ATTACKERS).attack(step, &component(plugin)?)?;
        ensure!(fate == Fate::Ran, "the whole plugin {plugin}: {fate:?}");
    }
    ensure!(host.ended()?.is_none() && get(&host.address, "/livez")?.status == 200, "{}", host.log());
    Ok(())
}

#[test]
fn a_plugin_that_was_cut_off_is_refused_wherever() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    let (plugin, step) = COUNT;
    let whole = component(plugin)?;
    let fates = attack_with(&host, 500, |part| (step, whole[..whole.len() * part / 500].to_vec()))?;
    ensure!(fates == BTreeMap::from([(Fate::Refused, 500)]), "{fates:?}");
    check_lives(&mut host)
}

#[test]
fn a_plugin_with_a_flipped_bit_is_refused_or_contained() -> Result<()> {
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    // Every third one is of the other kind.
    let kinds = [COUNT, COUNT, RENAME].map(|(plugin, step)| Ok((step, component(plugin)?)));
    let kinds = kinds.into_iter().collect::<Result<Vec<_>>>()?;
    let begun = Instant::now();
    let flips = if is_long() { 10_000 } else { 1_000 };
    let fates = attack_with(&host, flips, |flip| {
        let (step, whole) = &kinds[flip % kinds.len()];
        let (mut random, mut flipped) = (fastrand::Rng::with_seed(flip as u64), whole.clone());
        flipped[random.usize(0..whole.len())] ^= 1 << random.u32(0..8);
        (*step, flipped)
    })?;
    figure("plugins with a flipped bit", format_args!("{flips} in {:.1} s: {fates:?}", begun.elapsed().as_secs_f64()));
    ensure!(fates.contains_key(&Fate::Refused) && fates.contains_key(&Fate::Ran), "{fates:?}");
    check_lives(&mut host)
}

/// The ids of a pipeline's dead letters, once there are so many.
fn await_letters(host: &Running, pipeline: &str, wanted: usize) -> Result<Vec<Value>> {
    let begun = Instant::now();
    loop {
        let listed = call(&host.address, "GET", &format!("/pipelines/{pipeline}/dead-letters"), "", b"")?.json()?;
        let letters = listed["letters"].as_array().into_iter().flatten();
        let ids: Vec<Value> = letters.map(|letter| letter["id"].clone()).collect();
        if ids.len() == wanted {
            return Ok(ids);
        }
        ensure!(begun.elapsed() < PATIENCE, "{wanted} letters are not there: {listed}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_the_description_allows_and_what_it_does_not_is_answered() -> Result<()> {
    if !is_there("AZENHA_TEST_SCHEMATHESIS") {
        return Ok(());
    }
    let azenha = Azenha::empty()?;
    let mut host = start(&azenha)?;
    // What there is to be asked for: a pipeline of the log, so that its versions can be changed, with dead letters.
    let (plugin, step) = COUNT;
    let pipeline = pipeline("attacked", plugin, step);
    let attack = |method, path: &str, content_type, body: &[u8]| call(&host.address, method, path, content_type, body);
    ensure!(attack("PUT", "/plugins/click-count", "application/wasm", &component(plugin)?)?.status == 200);
    ensure!(attack("PUT", "/pipelines/attacked", "application/yaml", pipeline.as_bytes())?.status == 201);
    ensure!(attack("POST", "/topics/attacked_in/records", "application/x-ndjson", b"{\n{\n")?.status == 200);
    let letters = await_letters(&host, "attacked", 2)?;
    let names = json!({ "name": ["attacked"], "step": ["made"], "topic": ["attacked_in"], "id": letters });

    let mut schemathesis = Command::new(std::env::var("AZENHA_TEST_SCHEMATHESIS")?);
    let examples = if is_long() { "500" } else { "40" };
    schemathesis
        .args(["run", &format!("http://{}/openapi.json", host.address)])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        // One worker: Python 3.11 loses count of its own recursion if several parse at once.
        .args(["--checks", "not_a_server_error", "--max-examples", examples, "--seed", "8", "--workers", "1"])
        // Most texts are no ids of dead letters.
        .args(["--suppress-health-check", "filter_too_much", "--request-timeout", "20", "--no-color"])
        .env("PYTHONPATH", repository().join("tests/e2e/schemathesis"))
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("AZENHA_PLUGIN", file_of(plugin))
        .env("AZENHA_PIPELINE", azenha.write("attacked.yaml", &pipeline)?)
        .env("AZENHA_NAMES", names.to_string())
        .current_dir(azenha.path("."));
    let found = schemathesis.output()?;
    let said = String::from_utf8_lossy(&found.stdout);
    ensure!(found.status.success(), "{said}{}", String::from_utf8_lossy(&found.stderr));
    ensure!(host.ended()?.is_none() && get(&host.address, "/livez")?.status == 200, "{}", host.log());
    Ok(())
}

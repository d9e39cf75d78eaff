//! `azenha watch`: what is saved is built and put into force while the pipeline runs.

use std::cell::Cell;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use azenha_e2e::{Answer, Azenha, Running, send};
use serde_json::{Value, json};

const TOKEN: &str = "deployer-0123456789";

const CONFIG: &str = "http: { tokens: [{ name: deployer, token: deployer-0123456789, role: deployer }] }";

const PIPELINE: &str = "name: named
sources:
  people: { topic: people, schema: { number: int64, name: text } }
steps:
  measured: { transform: letters, from: people }
sinks:
  out: { from: measured, topic: measured }
";

/// How a new plugin counts the letters of a name.
const COUNT: &str = "name.chars().count()";

/// A name that is sent, and what is counted before and after the plugin was changed.
const NAME: &str = "azenha";
const COUNTED: [u64; 2] = [6, 60];

/// A plugin takes its time to be built.
const PATIENCE: Duration = Duration::from_secs(240);

/// A host, and somebody who writes a plugin for a pipeline that it runs.
struct Desk {
    azenha: Azenha,
    host: Running,
    watch: Running,
    /// What the command said since that was last looked at.
    said: String,
    /// The plugin as it was when it was begun.
    begun: String,
    sent: Cell<u64>,
}

impl Desk {
    fn set() -> Result<Self> {
        let azenha = Azenha::empty()?;
        azenha.succeed(["plugin", "new", "letters", "--path", &azenha.path("plugins").display().to_string()])?;
        let begun = fs::read_to_string(azenha.path("plugins/letters/src/lib.rs"))?;
        ensure!(begun.contains(COUNT), "{begun}");
        let pipeline = azenha.write("named/pipeline.yaml", PIPELINE)?.display().to_string();
        let config = azenha.write("host.yaml", CONFIG)?.display().to_string();
        let host = azenha.start(&[], &["--config", &config])?;
        let server = format!("http://{}", host.address);
        let watch = azenha.spawn_with(["watch", &pipeline, "--server", &server], &[("AZENHA_TOKEN", TOKEN)])?;
        let mut desk = Self { azenha, host, watch, said: String::new(), begun, sent: Cell::new(0) };
        desk.wait_until("version 1 runs", |desk| desk.runs(1))?;
        Ok(desk)
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/x-ndjson")];
        send(&self.host.address, method, path, &headers, body.as_bytes())
    }

    fn pipeline(&self) -> Result<Value> {
        self.call("GET", "/pipelines/named", "")?.json()
    }

    /// Whether the pipeline runs in a version.
    fn runs(&self, version: u64) -> Result<bool> {
        let lane = &self.pipeline()?["tasks"][0]["lanes"][0];
        Ok(lane["version"] == version && lane["state"] == "running")
    }

    /// Saves the plugin with another way to count.
    fn save(&self, count: &str) -> Result<()> {
        self.azenha.write("plugins/letters/src/lib.rs", &self.begun.replace(COUNT, count)).map(drop)
    }

    fn send(&self, rows: u64) -> Result<()> {
        let first = self.sent.get();
        let row = |number: u64| json!({"number": number, "name": NAME}).to_string();
        let body: Vec<String> = (first..first + rows).map(row).collect();
        let answer = self.call("POST", "/topics/people/records", &body.join("\n"))?;
        ensure!(answer.status == 200, "{answer:?}");
        self.sent.set(first + rows);
        Ok(())
    }

    fn wait_until(&mut self, what: &str, check: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        loop {
            self.said += &self.watch.log();
            if check(self)? {
                return Ok(());
            }
            ensure!(self.watch.ended()?.is_none(), "the command ended: {}", self.said);
            ensure!(start.elapsed() < PATIENCE, "{what}: not in time: {}\n{}", self.said, self.host.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the command says something.
    fn await_said(&mut self, what: &str) -> Result<()> {
        self.wait_until(&format!("`{what}` is said"), |desk| Ok(desk.said.contains(what)))?;
        self.said.clear();
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        self.wait_until("everything is committed", |desk| Ok(desk.pipeline()?["tasks"][0]["lanes"][0]["lag"] == 0))
    }

    /// What became of the rows: each is there once, in its order. Gives how often each version counted.
    fn counted(&self) -> Result<[usize; 2]> {
        let measured = self.azenha.topic("measured")?;
        let numbers: Vec<Option<u64>> = measured.iter().map(|record| record["value"]["number"].as_u64()).collect();
        ensure!(numbers == (0..self.sent.get()).map(Some).collect::<Vec<_>>(), "{numbers:?}");
        let letters: Vec<&Value> = measured.iter().map(|record| &record["value"]["letters"]).collect();
        let before = letters.partition_point(|letters| **letters == COUNTED[0]);
        ensure!(letters[before..].iter().all(|letters| **letters == COUNTED[1]), "both versions at once: {letters:?}");
        Ok([before, letters.len() - before])
    }
}

#[test]
fn a_save_goes_into_force_while_rows_flow_and_one_that_is_wrong_changes_nothing() -> Result<()> {
    let mut desk = Desk::set()?;
    let plugins = desk.pipeline()?["definition"]["plugins"].clone();
    desk.save("no_such_name")?;
    desk.await_said("it does not compile")?;
    desk.send(10)?;
    desk.settle()?;
    let still = desk.pipeline()?;
    ensure!(still["version"] == 1 && still["definition"]["plugins"] == plugins, "{still}");
    ensure!(desk.counted()? == [10, 0]);

    desk.save(&format!("10 * {COUNT}"))?;
    desk.wait_until("version 2 runs", |desk| {
        desk.send(20)?;
        desk.runs(2)
    })?;
    desk.send(10)?;
    desk.settle()?;
    let [before, after] = desk.counted()?;
    ensure!(before > 10 && after >= 10, "{before} {after}");

    desk.azenha.write("named/pipeline.yaml", &PIPELINE.replace("from: people", "from: nobody"))?;
    desk.await_said("pipeline.yaml:5:")?;
    ensure!(desk.pipeline()?["version"] == 2);
    desk.azenha.write("named/pipeline.yaml", &PIPELINE.replace("measured", "counted"))?;
    desk.wait_until("version 3 runs", |desk| desk.runs(3))
}

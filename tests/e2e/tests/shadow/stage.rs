//! A host on which candidates are tried beside a pipeline's steps.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Answer, Azenha, Running, repository, send};
use serde_json::Value;

/// A host that takes definitions.
const CONFIG: &str = "http: { tokens: [{ name: deployer, token: deployer-0123456789, role: deployer }] }";

/// A host that runs one pipeline.
pub struct Stage {
    /// Its directory.
    pub azenha: Azenha,
    /// The host.
    pub host: Running,
    pipeline: String,
    /// Records that were sent to it.
    pub sent: u64,
}

impl Stage {
    /// Defines a pipeline by the first of some texts. The others are what will be tried; `plugins` are those of all.
    pub fn set(pipeline: &str, texts: &[&str], plugins: &[&str]) -> Result<Self> {
        let azenha = Azenha::new()?;
        for text in texts {
            let file = azenha.write("built/pipeline.yaml", text)?;
            azenha.succeed(["validate", &file.display().to_string()])?;
        }
        let config = azenha.write("host.yaml", CONFIG)?;
        let host = azenha.start(&[], &["--config", &config.display().to_string()])?;
        let stage = Self { azenha, host, pipeline: pipeline.to_owned(), sent: 0 };
        for plugin in plugins {
            stage.push(plugin, plugin)?;
        }
        let live = texts.first().context("no pipeline")?;
        let put = stage.call("PUT", &format!("/pipelines/{pipeline}"), "application/yaml", live.as_bytes())?;
        ensure!(put.status == 201, "{put:?}");
        stage.await_lanes()?;
        Ok(stage)
    }

    /// Uploads a plugin under a name.
    pub fn push(&self, plugin: &str, name: &str) -> Result<()> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
        let component = fs::read(target.join("plugins").join(format!("{plugin}.wasm")))?;
        let pushed = self.call("PUT", &format!("/plugins/{name}"), "application/wasm", &component)?;
        ensure!(pushed.status == 200, "{pushed:?}");
        Ok(())
    }

    /// Asks as one who may deploy.
    pub fn call(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Answer> {
        let headers = [("Authorization", "Bearer deployer-0123456789"), ("Content-Type", kind)];
        send(&self.host.address, method, path, &headers, body)
    }

    /// What a path answers, which must be there.
    pub fn show(&self, path: &str) -> Result<Value> {
        let answer = self.call("GET", path, "", b"")?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
        answer.json()
    }

    /// Where the candidate beside a step is found.
    pub fn shadow_path(&self, step: &str) -> String {
        format!("/pipelines/{}/steps/{step}/shadow", self.pipeline)
    }

    /// Tries code beside a step.
    pub fn try_beside(&self, step: &str, options: &str, candidate: &str) -> Result<Answer> {
        let path = format!("{}{options}", self.shadow_path(step));
        self.call("POST", &path, "application/yaml", candidate.as_bytes())
    }

    /// How the candidate beside a step does.
    pub fn shadow(&self, step: &str) -> Result<Value> {
        self.show(&self.shadow_path(step))
    }

    /// Sends records to a topic, one a line.
    pub fn append(&mut self, topic: &str, lines: &[String]) -> Result<()> {
        let path = format!("/topics/{topic}/records");
        let answer = self.call("POST", &path, "application/x-ndjson", lines.join("\n").as_bytes())?;
        ensure!(answer.status == 200, "{answer:?}");
        self.sent += lines.len() as u64;
        Ok(())
    }

    /// Waits for something to become true.
    pub fn wait_until(&self, what: &str, check: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        while !check(self)? {
            ensure!(start.elapsed() < Duration::from_secs(120), "{what}: not in time: {}", self.host.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The lanes of all tasks.
    pub fn lanes(&self) -> Result<Vec<Value>> {
        let shown = self.show(&format!("/pipelines/{}", self.pipeline))?;
        let tasks = shown["tasks"].as_array().cloned().unwrap_or_default();
        Ok(tasks.iter().flat_map(|task| task["lanes"].as_array().cloned().unwrap_or_default()).collect())
    }

    /// Waits until all lanes run.
    pub fn await_lanes(&self) -> Result<()> {
        self.wait_until("every lane runs", |stage| {
            let lanes = stage.lanes()?;
            Ok(!lanes.is_empty() && lanes.iter().all(|lane| lane["state"] == "running"))
        })
    }

    /// Waits until everything that was sent is committed.
    pub fn settle(&self) -> Result<()> {
        self.wait_until("everything is committed", |stage| Ok(stage.lanes()?.iter().all(|lane| lane["lag"] == 0)))
    }

    /// Rows of the step that were compared with the candidate's.
    pub fn compared(&self, step: &str) -> Result<u64> {
        let found = &self.shadow(step)?["rows"];
        let count = |name: &str| found[name].as_u64().unwrap_or_default();
        Ok(["equal", "different", "only_live", "only_candidate"].map(count).iter().sum())
    }

    /// A metric of the step's candidate.
    pub fn metric(&self, name: &str, label: &str) -> Result<f64> {
        let text = self.call("GET", "/metrics", "", b"")?.body;
        let is_it = |line: &&str| line.starts_with(name) && line.contains(label);
        let line = text.lines().find(is_it).with_context(|| format!("no {name} with {label}"))?;
        Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
    }
}

//! A host with pipelines, and what its dead letters are asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Answer, Azenha, Running, get, post, repository};
use serde_json::Value;

/// A host that runs pipelines of files.
pub struct Scene {
    pub azenha: Azenha,
    pub host: Running,
}

impl Scene {
    /// A host with these pipelines, each with its name.
    pub fn start(pipelines: &[(&str, &str)], config: &str) -> Result<Self> {
        Self::start_in(Azenha::new()?, pipelines, config, &[])
    }

    /// The same in a directory that something was made in, with variables in the environment.
    pub fn start_in(
        azenha: Azenha,
        pipelines: &[(&str, &str)],
        config: &str,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let mut files = Vec::new();
        for (name, yaml) in pipelines {
            files.push(azenha.write(&format!("{name}/pipeline.yaml"), yaml)?);
        }
        azenha.write("host.yaml", config)?;
        let host = launch(&azenha, &files, environment)?;
        Ok(Self { azenha, host })
    }

    /// A host in a directory, with pipelines that stand elsewhere.
    pub fn of_files(azenha: Azenha, files: &[PathBuf]) -> Result<Self> {
        azenha.write("host.yaml", "{}")?;
        let host = launch(&azenha, files, &[])?;
        Ok(Self { azenha, host })
    }

    /// Starts the host again, with the pipelines that it had.
    pub fn restart(&mut self, names: &[&str], environment: &[(&str, &str)]) -> Result<()> {
        let files: Vec<PathBuf> = names.iter().map(|name| self.azenha.path(&format!("{name}/pipeline.yaml"))).collect();
        self.host = launch(&self.azenha, &files, environment)?;
        Ok(())
    }

    /// Sends lines to a topic.
    pub fn send(&self, topic: &str, lines: &[&str]) -> Result<()> {
        let path = format!("/topics/{topic}/records");
        let answer = post(&self.host.address, &path, "application/x-ndjson", &lines.join("\n"))?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    }

    /// The letters of a pipeline; `query` follows the `?`.
    pub fn list(&self, pipeline: &str, query: &str) -> Result<Vec<Value>> {
        let answer = get(&self.host.address, &format!("/pipelines/{pipeline}/dead-letters?{query}"))?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.json()?["letters"].as_array().context("no letters")?.clone())
    }

    /// Waits until a pipeline has so many letters that nothing was decided on; gives them.
    pub fn await_letters(&mut self, pipeline: &str, count: usize) -> Result<Vec<Value>> {
        let mut letters = Vec::new();
        let path = format!("/pipelines/{pipeline}/dead-letters?limit=200");
        self.host.wait_until(&format!("{pipeline} has {count} letters"), |host| {
            let answer = get(&host.address, &path)?;
            letters = answer.json()?["letters"].as_array().context(answer.body)?.clone();
            Ok(letters.len() >= count)
        })?;
        ensure!(letters.len() == count, "{} letters, not {count}: {letters:?}", letters.len());
        Ok(letters)
    }

    /// A letter as its topic holds it, with what was decided.
    pub fn show(&self, pipeline: &str, id: &str) -> Result<Value> {
        let answer = get(&self.host.address, &path(pipeline, id, ""))?;
        ensure!(answer.status == 200, "{answer:?}");
        answer.json()
    }

    /// Retries or discards a letter.
    pub fn decide(&self, pipeline: &str, id: &str, what: &str) -> Result<Answer> {
        post(&self.host.address, &path(pipeline, id, what), "application/json", "")
    }

    /// Has the host decide once more; `query` follows the path.
    pub fn replay(&self, pipeline: &str, id: &str, query: &str) -> Result<Answer> {
        self.decide(pipeline, id, &format!("replay{query}"))
    }

    /// A command of `azenha dead-letters` about a letter.
    pub fn command(&self, arguments: &[&str]) -> Result<azenha_e2e::Finished> {
        let server = format!("http://{}", self.host.address);
        let arguments = [&["dead-letters"], arguments, &["--server", &server]].concat();
        self.azenha.run(arguments)
    }

    /// Fetches the bundle of a letter.
    pub fn bundle(&self, pipeline: &str, id: &str) -> Result<PathBuf> {
        self.fetch(pipeline, id, &[])
    }

    /// Fetches the bundle of a letter with personal data.
    pub fn personal_bundle(&self, pipeline: &str, id: &str) -> Result<PathBuf> {
        self.fetch(pipeline, id, &["--personal"])
    }

    fn fetch(&self, pipeline: &str, id: &str, more: &[&str]) -> Result<PathBuf> {
        let file = self.azenha.path(&format!("{}.tar", id.replace('/', "_")));
        let shown = file.display().to_string();
        let finished = self.command(&[&["bundle", pipeline, id, "-o", &shown], more].concat())?;
        ensure!(finished.status.success(), "{id}: {}", finished.text());
        Ok(file)
    }
}

fn launch(azenha: &Azenha, files: &[PathBuf], environment: &[(&str, &str)]) -> Result<Running> {
    let config = azenha.path("host.yaml").display().to_string();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let mut host = azenha.launch(&files, &["--config", &config], environment)?;
    host.wait_until("the host is ready", |host| Ok(host.is_ready()))?;
    Ok(host)
}

/// The path of a letter in the API.
pub fn path(pipeline: &str, id: &str, what: &str) -> String {
    let slash = if what.is_empty() { "" } else { "/" };
    format!("/pipelines/{pipeline}/dead-letters/{}{slash}{what}", id.replace('/', "%2F"))
}

/// A machine that has the program and a file, and nothing else: no home, no variables, no folder to write to.
pub struct Elsewhere(Azenha);

impl Elsewhere {
    pub fn new() -> Result<Self> {
        Ok(Self(Azenha::empty()?))
    }

    /// `azenha replay` of a bundle that is brought here.
    pub fn replay(&self, bundle: &Path, more: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
        let here = self.0.path("bundle.tar");
        fs::copy(bundle, &here)?;
        self.replay_here(more, environment)
    }

    /// The same of these bytes.
    pub fn replay_bytes(&self, bundle: &[u8]) -> Result<Output> {
        fs::write(self.0.path("bundle.tar"), bundle)?;
        self.replay_here(&[], &[])
    }

    fn replay_here(&self, more: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
        let mut command = self.0.command([&["replay", "bundle.tar"], more].concat())?;
        command.env_clear().env("HOME", "/nowhere").envs(environment.iter().copied());
        Ok(command.output()?)
    }
}

/// What a command printed.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The component of a plugin of the repository.
pub fn component(plugin: &str) -> String {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    target.join("plugins").join(format!("{plugin}.wasm")).display().to_string()
}

/// The id of a letter.
pub fn id(letter: &Value) -> &str {
    letter["id"].as_str().unwrap_or_default()
}

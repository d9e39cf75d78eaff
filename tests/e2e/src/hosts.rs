//! Hosts of one group: processes that share the work, each with a data directory of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{Azenha, Running, get};

/// How long the group may take for anything.
const PATIENCE: Duration = Duration::from_secs(180);
/// Starts of a host that may fail in a row, because a service is away.
const FAILED_STARTS: usize = 20;
/// Lines of a host's log that are shown when a test fails.
const SHOWN: usize = 60;

/// A host of a group.
pub struct Host {
    name: String,
    azenha: Azenha,
    running: Option<Running>,
    was_ready: bool,
    /// Starts that failed since it was ready.
    failed: usize,
    log: String,
}

impl Host {
    /// Whether its process runs.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        running.kill()?;
        self.note(&running, "was killed");
        Ok(())
    }

    /// SIGTERM; it must end well.
    pub fn terminate(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        // A host that is only starting may find that what it needs is away.
        let may_fail = !self.was_ready && !running.is_ready();
        let (status, _) = running.terminate()?;
        self.note(&running, "was stopped");
        ensure!(status.success() || may_fail, "{}: {status} after SIGTERM: {}", self.name, tail(&self.log));
        Ok(())
    }

    /// How its process ended by itself, if it did since this was last asked.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(status) = self.running.as_mut().map(Running::ended).transpose()?.flatten() else { return Ok(None) };
        if let Some(running) = self.running.take() {
            self.note(&running, "ended by itself");
        }
        Ok(Some(status))
    }

    /// The JSON of a path of its API, if it answers.
    pub fn ask(&self, path: &str) -> Option<Value> {
        let running = self.running.as_ref()?;
        get(&running.address, path).ok().filter(|answer| answer.status == 200)?.json().ok()
    }

    /// What the lanes of a pipeline do here, by task and partition.
    pub fn lanes(&self, pipeline: &str) -> BTreeMap<(String, u64), String> {
        let shown = self.ask(&format!("/pipelines/{pipeline}")).unwrap_or_default();
        let mut lanes = BTreeMap::new();
        for task in shown["tasks"].as_array().into_iter().flatten() {
            let name = task["task"].as_str().unwrap_or_default();
            for lane in task["lanes"].as_array().into_iter().flatten() {
                let id = (name.to_owned(), lane["partition"].as_u64().unwrap_or_default());
                lanes.insert(id, lane["state"].as_str().unwrap_or_default().to_owned());
            }
        }
        lanes
    }

    fn note(&mut self, running: &Running, end: &str) {
        let _ = writeln!(self.log, "{}\n-- {} {end}", running.log(), self.name);
    }
}

/// The last lines.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

/// Hosts that run the same pipelines.
pub struct Group {
    pipelines: Vec<PathBuf>,
    config: String,
    hosts: Vec<Host>,
    made: usize,
    /// Logs of hosts that are gone.
    gone: Vec<String>,
}

impl Group {
    /// A group without hosts. `config` is the text of the hosts' configuration.
    pub fn new(pipelines: &[&Path], config: &str) -> Self {
        let pipelines = pipelines.iter().map(|path| path.to_path_buf()).collect();
        Self { pipelines, config: config.to_owned(), hosts: Vec::new(), made: 0, gone: Vec::new() }
    }

    /// The hosts, whether they run or not.
    pub fn hosts(&mut self) -> &mut [Host] {
        &mut self.hosts
    }

    /// Starts one more host.
    pub fn add(&mut self) -> Result<()> {
        self.add_with(&[])
    }

    /// Starts one more host, with variables in its environment.
    pub fn add_with(&mut self, environment: &[(&str, &str)]) -> Result<()> {
        let azenha = Azenha::new()?;
        azenha.write("host.yaml", &self.config)?;
        self.made += 1;
        let name = format!("host-{}", self.made);
        self.hosts.push(Host { name, azenha, running: None, was_ready: false, failed: 0, log: String::new() });
        self.start(self.hosts.len() - 1, environment)
    }

    /// Starts a host that was stopped or killed, with its data.
    pub fn start(&mut self, host: usize, environment: &[(&str, &str)]) -> Result<()> {
        let host = &mut self.hosts[host];
        let pipelines: Vec<&Path> = self.pipelines.iter().map(PathBuf::as_path).collect();
        let config = host.azenha.path("host.yaml").display().to_string();
        host.running = Some(host.azenha.launch(&pipelines, &["--config", &config], environment)?);
        host.was_ready = false;
        Ok(())
    }

    /// Forgets a host with its data.
    pub fn forget(&mut self, host: usize) {
        self.gone.push(self.hosts.remove(host).log);
    }

    /// Starts hosts again that ended because something that they need to start was away. One that ran may not end by
    /// itself.
    pub fn tend(&mut self) -> Result<()> {
        for index in 0..self.hosts.len() {
            let host = &mut self.hosts[index];
            let Some(status) = host.ended()? else {
                if host.running.as_ref().is_some_and(Running::is_ready) {
                    (host.was_ready, host.failed) = (true, 0);
                }
                continue;
            };
            host.failed = if host.was_ready { FAILED_STARTS } else { host.failed + 1 };
            ensure!(host.failed < FAILED_STARTS, "{} ended by itself with {status}: {}", host.name, tail(&host.log));
            self.start(index, &[])?;
        }
        Ok(())
    }

    /// Waits until something is true, and starts hosts again that could not start.
    pub async fn wait_until(&mut self, what: &str, mut check: impl AsyncFnMut(&Self) -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while !check(self).await? {
            self.tend().with_context(|| what.to_owned())?;
            if begun.elapsed() > PATIENCE {
                bail!("{what}: not within {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// Waits until every lane of a pipeline runs on exactly one host.
    pub async fn wait_until_shared(&mut self, pipeline: &str) -> Result<()> {
        self.wait_until("every lane runs on one host", async |group| {
            let lanes = group.lanes(pipeline);
            let hosts = group.hosts.iter().filter(|host| host.is_running()).count();
            let is_shared = |states: &Vec<String>| {
                let count = |wanted: &str| states.iter().filter(|state| *state == wanted).count();
                count("running") == 1 && count("elsewhere") == hosts - 1
            };
            Ok(!lanes.is_empty() && lanes.values().all(is_shared))
        })
        .await
    }

    /// Where the hosts that are ready answer.
    pub fn addresses(&self) -> Vec<String> {
        let running = self.hosts.iter().filter_map(|host| host.running.as_ref());
        running.filter(|running| running.is_ready()).map(|running| running.address.clone()).collect()
    }

    /// What the lanes of a pipeline do, on each host one state.
    pub fn lanes(&self, pipeline: &str) -> BTreeMap<(String, u64), Vec<String>> {
        let mut lanes: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (lane, state) in self.hosts.iter().flat_map(|host| host.lanes(pipeline)) {
            lanes.entry(lane).or_default().push(state);
        }
        lanes
    }

    /// The lanes of a pipeline that each host runs, by task and partition.
    pub fn running(&self, pipeline: &str) -> Vec<BTreeSet<(String, u64)>> {
        let running = |host: &Host| {
            let lanes = host.lanes(pipeline).into_iter().filter(|(_, state)| state == "running");
            lanes.map(|(lane, _)| lane).collect()
        };
        self.hosts.iter().map(running).collect()
    }

    /// SIGTERM for all.
    pub fn stop_all(&mut self) -> Result<()> {
        self.hosts.iter_mut().try_for_each(Host::terminate)
    }

    /// The logs of all hosts, also of those that are gone, each with what its lanes do.
    pub fn logs(&mut self) -> Vec<String> {
        for host in &mut self.hosts {
            let pipelines = host.ask("/pipelines").unwrap_or_default();
            for pipeline in pipelines.as_array().into_iter().flatten() {
                let path = format!("/pipelines/{}", pipeline["name"].as_str().unwrap_or_default());
                let _ = writeln!(host.log, "{path}: {:#}", host.ask(&path).unwrap_or_default());
            }
            if let Some(running) = &host.running {
                let _ = writeln!(host.log, "{}", running.log());
            }
        }
        self.gone.iter().chain(self.hosts.iter().map(|host| &host.log)).cloned().collect()
    }

    /// Keeps the logs and shows their ends, if a check failed; fails if a host panicked.
    pub fn judge(&mut self, name: &str, outcome: Result<()>) -> Result<()> {
        let logs = self.logs();
        // A host also logs what plugins panicked at, which it survives: that is of none of its threads.
        let is_own = |line: &&str| line.contains("thread '") && line.contains("panicked at");
        let panicked = logs.iter().flat_map(|log| log.lines()).find(is_own);
        let outcome = match panicked {
            Some(line) => outcome.and(Err(anyhow::anyhow!("a host panicked: {line}"))),
            None => outcome,
        };
        if outcome.is_err() {
            let directory = std::env::temp_dir().join(format!("azenha-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&directory)?;
            for (number, log) in logs.iter().enumerate() {
                println!("== the end of log {number}\n{}", tail(log));
                std::fs::write(directory.join(format!("{number}.log")), log)?;
            }
            println!("== whole logs are in {}", directory.display());
        }
        outcome
    }
}

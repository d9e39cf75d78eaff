//! Running the `azenha` binary.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// No run of a test takes longer; one that hangs is killed and says so.
const PATIENCE: Duration = Duration::from_secs(240);

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The binary that was built beside the tests.
fn binary() -> Result<PathBuf> {
    let tests = std::env::current_exe()?;
    let directory = tests.ancestors().nth(2).context("the tests stand in no target directory")?;
    let binary = directory.join("azenha");
    ensure!(binary.is_file(), "{} is missing: run `cargo build --release` first", binary.display());
    Ok(binary)
}

/// A directory of a test's own, and the host that works in it.
pub struct Azenha {
    directory: TempDir,
}

/// A command that ended by itself.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it logged, and its errors.
    pub stderr: String,
}

impl Finished {
    /// Everything it wrote.
    pub fn text(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

impl Azenha {
    /// A directory in which the repository's plugins are found.
    pub fn new() -> Result<Self> {
        let azenha = Self::empty()?;
        std::os::unix::fs::symlink(repository().canonicalize()?.join("plugins"), azenha.path("plugins"))?;
        Ok(azenha)
    }

    /// An empty directory.
    pub fn empty() -> Result<Self> {
        Ok(Self { directory: tempfile::tempdir()? })
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The data directory of the host.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content)?;
        Ok(path)
    }

    /// A command of the binary in the directory.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command.env("AZENHA_LOG_FORMAT", "text").env("NO_COLOR", "1");
        Ok(command)
    }

    /// Runs a command to its end.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Finished> {
        self.run_with(arguments, &[])
    }

    /// Runs a command to its end, with variables in its environment.
    pub fn run_with<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
    ) -> Result<Finished> {
        let mut command = self.command(arguments)?;
        command.envs(environment.iter().copied());
        let (out, err) = (self.path("stdout.txt"), self.path("stderr.txt"));
        command.stdout(fs::File::create(&out)?).stderr(fs::File::create(&err)?);
        let mut child = command.spawn()?;
        let status = wait(&mut child, PATIENCE)
            .with_context(|| format!("{command:?}: {}", fs::read_to_string(&err).unwrap_or_default()))?;
        Ok(Finished { status, stdout: fs::read_to_string(out)?, stderr: fs::read_to_string(err)? })
    }

    /// Runs a command that must succeed.
    pub fn succeed<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Finished> {
        let finished = self.run(arguments)?;
        ensure!(finished.status.success(), "{}: {}", finished.status, finished.text());
        Ok(finished)
    }

    /// `azenha run PIPELINE --data data --once`, with files for sources; must succeed.
    pub fn run_once(&self, pipeline: &Path, inputs: &[(&str, &Path)], more: &[&str]) -> Result<Finished> {
        self.succeed(self.run_arguments(pipeline, inputs, &[&["--once"], more].concat()))
    }

    /// The arguments of `azenha run`.
    pub fn run_arguments(&self, pipeline: &Path, inputs: &[(&str, &Path)], more: &[&str]) -> Vec<String> {
        let mut arguments = vec!["run".to_owned(), pipeline.display().to_string()];
        arguments.extend(["--data".to_owned(), self.data().display().to_string()]);
        for (source, file) in inputs {
            arguments.extend(["--input".to_owned(), format!("{source}={}", file.display())]);
        }
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        arguments
    }

    /// Starts a host with an API on a free port, and waits until it is ready.
    pub fn start(&self, pipelines: &[&Path], more: &[&str]) -> Result<Running> {
        let mut running = self.launch(pipelines, more, &[])?;
        running.wait_until("the host is ready", |running| Ok(running.is_ready()))?;
        Ok(running)
    }

    /// Starts a host with an API on a free port, and does not wait for it.
    pub fn launch(&self, pipelines: &[&Path], more: &[&str], environment: &[(&str, &str)]) -> Result<Running> {
        let address = crate::free_address()?;
        let mut arguments = vec!["run".to_owned()];
        arguments.extend(pipelines.iter().map(|path| path.display().to_string()));
        arguments.extend([
            "--data".to_owned(),
            self.data().display().to_string(),
            "--listen".to_owned(),
            address.clone(),
        ]);
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let mut command = self.command(arguments)?;
        command.envs(environment.iter().copied());
        Running::spawn(command, address)
    }

    /// Starts a command and leaves it running.
    pub fn spawn<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Running> {
        self.spawn_with(arguments, &[])
    }

    /// Starts a command with variables in its environment, and leaves it running.
    pub fn spawn_with<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
    ) -> Result<Running> {
        let mut command = self.command(arguments)?;
        command.envs(environment.iter().copied());
        Running::spawn(command, String::new())
    }

    /// All records of a topic as `azenha topic read --json` gives them.
    pub fn topic(&self, topic: &str) -> Result<Vec<Value>> {
        let data = self.data().display().to_string();
        let read = self.succeed(["topic", "read", topic, "--json", "--data", &data])?;
        read.stdout.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// The values of a pipeline's dead letters, each once.
    pub fn dead_letters(&self, pipeline: &str) -> Result<Vec<Value>> {
        let mut letters = std::collections::BTreeMap::new();
        for record in self.topic(&format!("{pipeline}.dead_letters"))? {
            let value = record["value"].clone();
            letters.insert(value["id"].to_string(), value);
        }
        Ok(letters.into_values().collect())
    }
}

fn wait(child: &mut Child, patience: Duration) -> Result<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() > patience {
            child.kill()?;
            bail!("the command did not end within {patience:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A host that runs until it is stopped, killed or dropped.
pub struct Running {
    child: Child,
    log: Mutex<Receiver<String>>,
    /// Where its API listens.
    pub address: String,
}

impl Running {
    fn spawn(mut command: Command, address: String) -> Result<Self> {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let (sender, log) = channel();
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self { child, log: Mutex::new(log), address })
    }

    /// Whether its API says that it is ready.
    pub fn is_ready(&self) -> bool {
        crate::get(&self.address, "/readyz").is_ok_and(|answer| answer.status == 200)
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it logged since this was last asked.
    pub fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.try_iter().collect::<Vec<_>>().join("\n")
    }

    /// SIGKILL: the host gets no chance to do anything.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM; gives the exit status and how long it took.
    pub fn terminate(&mut self) -> Result<(ExitStatus, Duration)> {
        let start = Instant::now();
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(sent.success(), "the signal was not sent");
        let status = wait(&mut self.child, PATIENCE)?;
        Ok((status, start.elapsed()))
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for something to become true.
    pub fn wait_until(&mut self, what: &str, mut check: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        while !check(self)? {
            if let Some(status) = self.ended()? {
                bail!("{what}: the host ended with {status}: {}", self.log());
            }
            ensure!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Real services of a test's own, which it may break. They are there where `tests/run` has started its own.

use std::env;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::repository;

/// Whether a service can be had; says why not. `variable` is set by `tests/run`.
pub fn is_there(variable: &str) -> bool {
    let there = env::var_os(variable).is_some();
    if !there {
        println!("skipped: {variable} is not set");
    }
    there
}

/// A service that a script in `tests/services` starts, in a directory of its own; stopped when it is dropped.
struct Service {
    script: &'static str,
    directory: TempDir,
    /// What the script finds in its environment, beside what this process does.
    environment: Vec<(&'static str, String)>,
}

impl Service {
    fn start(script: &'static str, more: &[&str]) -> Result<Self> {
        Self::start_with(script, more, Vec::new())
    }

    fn start_with(script: &'static str, more: &[&str], environment: Vec<(&'static str, String)>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        // Servers that refuse to run as root must be able to enter it.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        let service = Self { script, directory, environment };
        service.run("start", more)?;
        Ok(service)
    }

    fn run(&self, action: &str, more: &[&str]) -> Result<()> {
        // A file and not a pipe: what the script leaves running would hold that open.
        let said = self.directory.path().join(format!("{action}.said"));
        let mut command = Command::new(repository().join("tests/services").join(self.script));
        command.arg(action).arg(self.directory.path().join("service")).args(more);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let output = File::create(&said)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let status = command.status().with_context(|| format!("{command:?}"))?;
        ensure!(status.success(), "{command:?}: {status}: {}", fs::read_to_string(said)?);
        Ok(())
    }

    /// What the script wrote into a file.
    fn file(&self, name: &str) -> Result<String> {
        Ok(fs::read_to_string(self.directory.path().join("service").join(name))?.trim().to_owned())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Err(error) = self.run("stop", &[]) {
            println!("{error:#}");
        }
    }
}

/// A Kafka cluster.
pub struct OwnKafka(Service);

impl OwnKafka {
    /// Starts so many brokers; none if they cannot be had.
    pub fn start(brokers: usize) -> Result<Option<Self>> {
        if !is_there("AZENHA_TEST_KAFKA") {
            return Ok(None);
        }
        Service::start("kafka", &[&brokers.to_string()]).map(|service| Some(Self(service)))
    }

    /// `HOST:PORT` of each broker, with commas between them.
    pub fn brokers(&self) -> Result<String> {
        self.0.file("brokers")
    }

    /// SIGKILL for a broker; they are counted from 1.
    pub fn kill(&self, broker: i32) -> Result<()> {
        self.0.run("kill", &[&broker.to_string()])
    }

    /// Starts a broker that was stopped, and waits until it answers.
    pub fn restart(&self, broker: i32) -> Result<()> {
        self.0.run("restart", &[&broker.to_string()])
    }
}

/// A database.
pub struct OwnDatabase(Service);

impl OwnDatabase {
    /// Starts a PostgreSQL; none if it cannot be had.
    pub fn postgres() -> Result<Option<Self>> {
        Self::start("postgres", "AZENHA_TEST_POSTGRES")
    }

    /// Starts a MariaDB; none if it cannot be had.
    pub fn mariadb() -> Result<Option<Self>> {
        Self::start("mariadb", "AZENHA_TEST_MARIADB")
    }

    /// Starts a MySQL; none if it cannot be had.
    pub fn mysql() -> Result<Option<Self>> {
        Self::start("mysql", "AZENHA_TEST_MYSQL")
    }

    /// Starts a MongoDB; none if it cannot be had.
    pub fn mongodb() -> Result<Option<Self>> {
        Self::start("mongodb", "AZENHA_TEST_MONGODB")
    }

    /// Starts an OpenSearch; none if it cannot be had.
    pub fn opensearch() -> Result<Option<Self>> {
        Self::start("opensearch", "AZENHA_TEST_OPENSEARCH")
    }

    fn start(script: &'static str, variable: &str) -> Result<Option<Self>> {
        if !is_there(variable) {
            return Ok(None);
        }
        Service::start(script, &[]).map(|service| Some(Self(service)))
    }

    /// The URL of a database.
    pub fn url(&self) -> Result<String> {
        self.0.file("url")
    }

    /// Kills it, as a crash does, and starts it again.
    pub fn crash(&self) -> Result<()> {
        self.0.run("restart", &[])
    }
}

/// An S3.
pub struct OwnObjects(Service);

impl OwnObjects {
    /// Starts it; none if it cannot be had.
    pub fn start() -> Result<Option<Self>> {
        if !is_there("AZENHA_TEST_S3") {
            return Ok(None);
        }
        Service::start("s3", &[]).map(|service| Some(Self(service)))
    }

    /// Its URL, with the keys.
    pub fn url(&self) -> Result<String> {
        self.0.file("url")
    }

    /// Kills it, as a crash does, and starts it again.
    pub fn crash(&self) -> Result<()> {
        self.0.run("restart", &[])
    }
}

/// A Kafka Connect with one connector.
pub struct OwnConnect(Service);

impl OwnConnect {
    /// Starts it with the connector of a file, and waits until the connector runs. `environment` is what the file's
    /// `${env:NAME}` stand for.
    pub fn start(brokers: &str, connector: &Path, environment: Vec<(&'static str, String)>) -> Result<Self> {
        let connector = connector.display().to_string();
        Service::start_with("connect", &[brokers, &connector], environment).map(Self)
    }

    /// SIGKILL.
    pub fn kill(&self) -> Result<()> {
        self.0.run("kill", &[])
    }

    /// The URL of its API.
    pub fn url(&self) -> Result<String> {
        self.0.file("url")
    }

    /// Forgets how far the connector has read, while it is away: it takes a new snapshot.
    pub fn forget(&self) -> Result<()> {
        Ok(fs::remove_file(self.0.directory.path().join("service/offsets"))?)
    }

    /// Starts it again after that, and waits until the connector runs.
    pub fn restart(&self) -> Result<()> {
        self.0.run("restart", &[])
    }
}

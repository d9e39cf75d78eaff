//! What the scenes have in common: files of `compose/` for this machine, a host, a Prometheus.

use std::env;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, free_address, get, repository};
use tokio::time::sleep;

pub const PATIENCE: Duration = Duration::from_secs(120);
pub const PASSWORD: &str = "0123456789abcdef";

/// What was started; it ends with the test.
pub struct Started(pub Child);

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub async fn eventually(what: &str, mut check: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !check().await? {
        ensure!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// A file of `compose/` with parts replaced, each of which it must have.
pub fn adapted<T: AsRef<str>>(file: &str, replacements: &[(T, String)]) -> Result<String> {
    let mut text = fs::read_to_string(repository().join("compose").join(file))?;
    for (from, to) in replacements {
        let from = from.as_ref();
        ensure!(text.contains(from), "{file} has no `{from}`");
        text = text.replace(from, to);
    }
    Ok(text)
}

/// Who is scraped in compose, as `prometheus/prometheus.yml` says it.
pub const HOSTS: &str = "{ names: [azenha, cdp, commerce, lake, orders], type: A, port: 8080, refresh_interval: 5s }";
pub const KAFKA_EXPORTER: &str = "{ names: [kafka-exporter], type: A, port: 9308, refresh_interval: 5s }";
pub const ELASTICSEARCH_EXPORTER: &str =
    "{ names: [elasticsearch-exporter], type: A, port: 9114, refresh_interval: 5s }";
pub const LOADS: &str =
    "{ names: [cdp-load, commerce-interactions, commerce-orders, load], type: A, port: 9100, refresh_interval: 5s }";

/// The log of the host's configuration: where there is no Kafka, the embedded one instead.
pub fn log_of(azenha: &Azenha) -> [(&'static str, String); 1] {
    let log = "log: { kafka: { brokers: \"${KAFKA:-kafka:9092}\" } }";
    let embedded = format!("log: {{ embedded: {} }}", azenha.data().display());
    [(log, if kafka().is_some() { log.to_owned() } else { embedded })]
}

pub fn kafka() -> Option<String> {
    env::var("AZENHA_TEST_KAFKA").ok()
}

/// A Prometheus that has scraped something, quicker than the one of compose. `scraped` are those of compose, and the address
/// that is scraped instead.
pub async fn start_prometheus(azenha: &Azenha, program: &str, scraped: &[(&str, &str)]) -> Result<(Started, String)> {
    let token = azenha.write("metrics_token", &format!("metrics_{PASSWORD}"))?.display().to_string();
    let mut replaced = vec![("/run/secrets/metrics_token".to_owned(), token)];
    for (discovered, address) in scraped {
        let here = format!("static_configs:\n      - {{ targets: [\"{address}\"] }}");
        replaced.push((format!("dns_sd_configs:\n      - {discovered}"), here));
    }
    replaced.push(("5s".to_owned(), "1s".to_owned()));
    let config = azenha.write("prometheus.yml", &adapted("prometheus/prometheus.yml", &replaced)?)?;
    let address = free_address()?;
    let started = Command::new(program)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", azenha.path("prometheus").display()))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(fs::File::create(azenha.path("prometheus.log"))?)
        .spawn()
        .context(program.to_owned())?;
    let started = Started(started);
    eventually("Prometheus has scraped the host", async || {
        let up = get(&address, "/api/v1/query?query=up");
        Ok(up.is_ok_and(|answer| answer.body.contains(",\"1\"]")))
    })
    .await?;
    Ok((started, address))
}

/// Starts a host with a command that is ready to run, whose log is `run.log`.
pub async fn start_host(azenha: &Azenha, mut command: Command, address: &str) -> Result<Started> {
    let mut host = Started(command.spawn()?);
    eventually("the host is ready", async || {
        let log = || fs::read_to_string(azenha.path("run.log")).unwrap_or_default();
        ensure!(host.0.try_wait()?.is_none(), "the host has ended: {}", log());
        Ok(get(address, "/readyz").is_ok_and(|answer| answer.status == 200))
    })
    .await?;
    Ok(host)
}

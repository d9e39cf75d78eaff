//! What `compose/` says of itself: Docker Compose accepts it, everything that it names exists, and nothing in it is
//! secret.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use azenha_e2e::{Azenha, LAYERS, repository};
use serde_json::Value;

fn folder() -> PathBuf {
    repository().join("compose")
}

fn text(file: &str) -> Result<String> {
    fs::read_to_string(folder().join(file)).with_context(|| file.to_owned())
}

fn yaml(file: &str) -> Result<Value> {
    serde_saphyr::from_str(&text(file)?).with_context(|| file.to_owned())
}

/// The variables of `.env.example`, with what stands behind them.
fn example() -> Result<Vec<(String, String)>> {
    let example = text(".env.example")?;
    let lines = example.lines().filter(|line| !line.starts_with('#'));
    Ok(lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect())
}

#[test]
fn docker_compose_accepts_the_file() -> Result<()> {
    let Ok(compose) = env::var("AZENHA_TEST_COMPOSE") else {
        println!("skipped: AZENHA_TEST_COMPOSE names no Docker Compose; the other tests here look at the file itself");
        return Ok(());
    };
    let mut words = compose.split_whitespace();
    let mut command = Command::new(words.next().context("AZENHA_TEST_COMPOSE is empty")?);
    command.args(words).arg("-f").arg(folder().join("compose.yaml")).args(["--profile", "*"]);
    command.args(["--env-file", "/dev/null", "config", "--format", "json"]);
    for (name, _) in example()? {
        command.env(name, "1234567890123456");
    }
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.stderr.is_empty(), "it warns: {}", String::from_utf8_lossy(&output.stderr));
    let accepted: Value = serde_json::from_slice(&output.stdout)?;
    let services: BTreeSet<&String> = accepted["services"].as_object().context("no services")?.keys().collect();
    let wanted = "azenha cdp cdp-load cdp-questions commerce commerce-interactions commerce-orders connect \
                  connect-sqlserver connectors connectors-lake connectors-sqlserver elasticsearch \
                  elasticsearch-exporter grafana kafka kafka-exporter lake lake-init load mongodb mysql objects \
                  orders postgres prometheus registry shop shop-sqlserver shop-sqlserver-tables";
    for service in wanted.split_whitespace() {
        assert!(services.contains(&service.to_owned()), "{service} is not among {services:?}");
    }

    command.env_remove("AZENHA_TOKEN");
    let refused = command.output()?;
    assert!(!refused.status.success(), "without a token it must not start");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("AZENHA_TOKEN"));
    Ok(())
}

#[test]
fn every_file_that_the_services_are_given_exists_and_every_image_has_a_version() -> Result<()> {
    let compose = yaml("compose.yaml")?;
    let services = compose["services"].as_object().context("no services")?;
    let shared = compose.as_object().context("no keys")?.iter().filter(|(name, _)| name.starts_with("x-"));
    for (name, service) in services.iter().chain(shared) {
        let volumes = service["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for file in volumes.filter(|volume| volume.starts_with('.')).filter_map(|volume| volume.split(':').next()) {
            assert!(folder().join(file).exists(), "{name} is given {file}, which does not exist");
        }
        if let Some(image) = service["image"].as_str() {
            let tag = image.split_once(':').map_or("", |(_, tag)| tag);
            assert!(tag == "local" || tag.contains('.'), "{name}: {image} may be another one tomorrow");
        }
    }
    let dockerfile = compose["x-azenha"]["build"]["dockerfile"].as_str().context("no Dockerfile")?;
    let dockerfile = fs::read_to_string(repository().join(dockerfile))?;
    let copied = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")?.split(' ').next());
    for source in copied.filter(|source| !source.starts_with("--")) {
        assert!(repository().join(source).exists(), "the Dockerfile copies {source}, which does not exist");
    }
    assert!(dockerfile.lines().any(|line| line == "USER azenha"), "it must not run as root");
    Ok(())
}

#[test]
fn every_variable_is_in_the_example_and_no_secret_is_anywhere() -> Result<()> {
    let known: BTreeSet<String> = example()?.into_iter().map(|(name, _)| name).collect();
    let compose = text("compose.yaml")?;
    for expression in compose.split("${").skip(1) {
        let name: String =
            expression.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
        assert!(known.contains(&name), "{name} is not in .env.example");
    }
    for (name, value) in example()? {
        assert!(value.is_empty() || name == "LOAD_RATE", "{name} has a value");
    }
    let is_secret = |line: &&str| {
        ["password", "PASSWORD", "TOKEN", "token", "SECRET", "secret"].iter().any(|word| line.contains(word))
    };
    for file in ["compose.yaml", "host.yaml", "grafana/datasources/datasources.yaml"] {
        for line in text(file)?.lines().filter(is_secret) {
            let value = line.split_once(':').map_or("", |(_, value)| value.trim());
            assert!(
                value.is_empty() || value.contains('$') || value.ends_with("TOKEN"),
                "{file}: `{line}` holds a secret"
            );
        }
    }
    Ok(())
}

/// Which services run a command of the binary.
fn running<'a>(compose: &'a Value, command: &str) -> Result<BTreeSet<&'a str>> {
    let services = compose["services"].as_object().context("no services")?;
    let runs = services.iter().filter(|(_, service)| service["command"][0] == command);
    Ok(runs.map(|(name, _)| name.as_str()).collect())
}

#[test]
fn every_host_every_load_and_every_exporter_is_scraped() -> Result<()> {
    let (compose, prometheus) = (yaml("compose.yaml")?, yaml("prometheus/prometheus.yml")?);
    let scraped = |job: &str| -> Result<(BTreeSet<&str>, u64)> {
        let jobs = prometheus["scrape_configs"].as_array().context("nothing is scraped")?;
        let found = jobs.iter().find(|found| found["job_name"] == job).context("no such job")?;
        let found = &found["dns_sd_configs"][0];
        let names = found["names"].as_array().context("no names")?.iter().filter_map(Value::as_str).collect();
        Ok((names, found["port"].as_u64().context("no port")?))
    };
    assert_eq!(scraped("azenha")?, (running(&compose, "run")?, 8080));
    let loads = running(&compose, "load")?;
    for load in &loads {
        let command = compose["services"][load]["command"].to_string();
        assert!(command.contains("--metrics=0.0.0.0:9100"), "{load} tells nobody: {command}");
    }
    assert_eq!(scraped("load")?, (loads, 9100));
    for exporter in ["kafka", "elasticsearch"] {
        let name = format!("{exporter}-exporter");
        assert!(compose["services"][&name].is_object() && scraped(exporter)?.0.contains(name.as_str()), "{name}");
    }
    Ok(())
}

#[test]
fn the_dashboards_ask_data_sources_that_are_provisioned() -> Result<()> {
    let provisioned = yaml("grafana/datasources/datasources.yaml")?;
    let sources = provisioned["datasources"].as_array().context("no data sources")?;
    let identity = |source: &Value| (source["uid"].to_string(), source["type"].to_string());
    let known: BTreeSet<(String, String)> = sources.iter().map(identity).collect();
    for name in ["clickstream", "cdp"] {
        let dashboard: Value = serde_json::from_str(&text(&format!("grafana/dashboards/{name}.json"))?)?;
        let panels = dashboard["panels"].as_array().context("no panels")?;
        let in_rows = panels.iter().filter_map(|panel| panel["panels"].as_array()).flatten();
        for panel in panels.iter().chain(in_rows).filter(|panel| panel["type"] != "row") {
            for asked in panel["targets"].as_array().into_iter().flatten().chain([panel]) {
                assert!(known.contains(&identity(&asked["datasource"])), "{}: {}", panel["title"], asked["datasource"]);
            }
        }
    }
    let provider = yaml("grafana/providers/dashboards.yaml")?;
    let path = provider["providers"][0]["options"]["path"].as_str().context("no path")?.to_owned();
    assert!(text("compose.yaml")?.contains(&format!("./grafana/dashboards:{path}:ro")));
    Ok(())
}

#[test]
fn the_registry_refuses_an_incompatible_schema_once_its_rules_are_set() -> Result<()> {
    let Ok(registry) = env::var("AZENHA_TEST_REGISTRY") else {
        println!("skipped: AZENHA_TEST_REGISTRY is not set");
        return Ok(());
    };
    let set = Command::new("sh").arg(folder().join("registry/rules.sh")).env("REGISTRY", &registry).output()?;
    ensure!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let subject = format!("{registry}/subjects/compose-{}-value/versions", std::process::id());
    let register = |fields: &str| -> Result<String> {
        let schema = format!(r#"{{"type":"record","name":"Order","fields":[{fields}]}}"#);
        let body = serde_json::json!({ "schema": schema }).to_string();
        let answer = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Content-Type: application/json"])
            .args(["-d", &body, &subject])
            .output()?;
        Ok(String::from_utf8(answer.stdout)?)
    };
    assert_eq!(register(r#"{"name":"id","type":"long"}"#)?, "200");
    assert_eq!(register(r#"{"name":"id","type":"long"},{"name":"note","type":"string"}"#)?, "409");
    assert_eq!(register(r#"{"name":"id","type":"long"},{"name":"note","type":"string","default":""}"#)?, "200");
    Ok(())
}

#[test]
fn the_buckets_of_the_lake_are_made_with_the_hosts_configuration() -> Result<()> {
    let Ok(s3) = env::var("AZENHA_TEST_S3") else {
        println!("skipped: AZENHA_TEST_S3 is not set");
        return Ok(());
    };
    let (keys, server) =
        s3.strip_prefix("http://").and_then(|rest| rest.split_once('@')).context("a URL without keys")?;
    let (key, secret) = keys.split_once(':').context("a key without a secret")?;
    let azenha = Azenha::new()?;
    let kafka = "log: { kafka: { brokers: \"${KAFKA:-kafka:9092}\" } }";
    let config = text("host.yaml")?;
    assert!(config.contains(kafka), "the log is configured in another way");
    let config = config.replace(kafka, &format!("log: {{ embedded: {} }}", azenha.data().display()));
    let config = azenha.write("host.yaml", &config)?.display().to_string();
    let pipeline = repository().join("pipelines/lake").display().to_string();
    let mut init = azenha.command(["init", &pipeline, "--config", &config])?;
    let unused = [("WAREHOUSE", "postgres://nobody@nowhere/nothing")];
    let tokens = [("AZENHA_TOKEN", "1234567890123456"), ("AZENHA_METRICS_TOKEN", "6543210987654321")];
    let server = format!("http://{server}");
    init.envs([("S3", server.as_str()), ("S3_KEY", key), ("S3_SECRET", secret)]).envs(unused).envs(tokens);
    let done = init.output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8(done.stdout)?;
    for layer in LAYERS {
        assert!(said.contains(&format!("objects in `{layer}`: ready")), "{said}");
    }
    Ok(())
}
